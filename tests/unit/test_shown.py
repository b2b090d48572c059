"""`difftables show`: all values of a run or a sampler, and where each is written."""

import re
from functools import cache
from pathlib import Path

import pytest
import yaml

from difftables.commands import show
from difftables.common.errors import ConfigError
from difftables.common.names import full
from difftables.config.params_file import SCALES
from difftables.planning import shown
from difftables.planning.params import load
from difftables.planning.shared_jobs import SharedJobs

ROOT = Path(__file__).parents[2]
NAMES = ("net", "net.checkpoint", "schedule", "checkpoint_of.run", "checkpoint_of.edge_run")  # values that are names of entries


@cache
def written(file):
    return yaml.safe_load((ROOT / file).read_text())


def at(source):
    """The value that a source names, and its paper, if it has one."""
    file, _, key = source.removesuffix(" (inherited)").partition(": ")
    value = written(file)
    for step in key.split("."):
        value = value[step]
    return value, Path(file).parent.name


@pytest.mark.parametrize("scale", SCALES)
def test_each_value_is_written_where_it_is_said_to_be(scale):
    params = load(ROOT / "params.yaml", scale)
    count = 0
    for section in shown.SHOWN:
        for name in getattr(params, section):
            for title, values in shown.described(params, section, name):
                for each in (each for each in values if each.source != "default"):
                    value, paper = at(each.source)
                    wanted = full(value, paper) if section == "runs" and title.startswith("runs.") and each.key in NAMES else value
                    assert each.value == wanted, (name, each)
                    count += 1
    assert count > 1000


def test_a_run_shows_inherited_overridden_and_default_values():
    params = load(ROOT / "params.yaml", "paper")
    blocks = dict(shown.described(params, "runs", "edm/vp-f"))
    assert list(blocks) == ["runs.edm/vp-f", "nets.edm/ddpmpp-augmented", "schedules.edm/edm", "data.cifar"]
    run, net, _, data = ({each.key: each for each in values} for values in blocks.values())
    assert run["train.augment"].source == "workflow/papers/edm/params.yaml: runs.vp-f.train.augment"
    assert run["train.steps"].source == "workflow/papers/edm/params.paper.yaml: runs.ve-e.train.steps (inherited)"
    assert (run["loss_through"].value, run["loss_through"].source) == ("plain", "default")
    assert net["dropout"].value == 0.13
    assert net["biggan"].source == "default"  # of the net's own arguments
    assert "classes" not in net  # which the data set decides
    assert data["held_out"].source == "scales/paper.yaml: data.cifar.held_out"


def test_a_checkpoint_shows_the_training_of_the_run_it_evaluates():
    params = load(ROOT / "params.yaml", "smoke")
    values = {each.key: each for each in shown.values(params, "runs", "improved_ddpm/cosine-hybrid")}
    assert values["checkpoint_of.step"].source == "workflow/papers/improved_ddpm/params.smoke.yaml: runs.cosine-hybrid.checkpoint_of.step"
    assert values["train.lr"].source == "workflow/papers/improved_ddpm/params.yaml: runs.cosine-hybrid-long.train.lr (inherited)"


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("blurr", ("'blurr'", "'blur'")),
        ("edm/vp-z", ("'edm/vp-z'", "'edm/vp-")),
        ("ddim", ("improved_ddpm/ddim", "soft_diffusion/ddim", "stable_target_field/ddim")),
    ],
)
def test_a_name_that_is_none_or_several_is_one_line(word, words):
    with pytest.raises(ConfigError, match=r"^[^\n]*$") as error:
        shown.lookup(load(ROOT / "params.yaml", "laptop"), word)
    assert all(each in str(error.value) for each in words)


def test_a_run_says_which_others_share_its_files(rewritten, monkeypatch):
    monkeypatch.chdir(ROOT)
    twin = ("noise_estimation/runs/twin", {"like": "digits"})
    other = ("noise_estimation/runs/other", {"like": "digits", "train": {"lr": 0.5}})
    found = SharedJobs(load(rewritten(twin, other), "laptop"))
    for name in ("digits", "twin"):
        whole, net, estimator = shown.shared(found, f"noise_estimation/{name}")
        assert {"digits", "twin"} - {name} <= set(re.findall(r"noise_estimation/(\w+)", whole))
        assert set(re.findall(r"noise_estimation/(\w+)", net)) == {"digits", "twin"}
        assert set(re.findall(r"noise_estimation/(\w+)", estimator)) == {"digits", "twin", "other"}
    assert len(shown.shared(found, "noise_estimation/other")) == 1
    assert shown.shared(found, "noise_estimation/voice") == []


def test_the_command_prints_and_fails_in_one_line(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert show.command(["ddim-oracle", "--scale", "smoke"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("samplers.noise_estimation/ddim-oracle, scale smoke\n")
    assert "samplers.ddim-strided.solver.rule (inherited)" in printed
    assert show.command(["ddim-oracel"]) == 1
    assert capsys.readouterr().out.count("\n") == 1
    assert show.command(["digits", "--scale", "smok"]) == 1
    assert "'smoke'" in capsys.readouterr().out
