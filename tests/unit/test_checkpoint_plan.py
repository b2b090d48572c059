"""Runs whose net is a checkpoint: what is planned for them, and what is wrong before any job."""

import hashlib
import shutil
from pathlib import Path

import pytest
from job_files import every_job

from difftables.common.errors import ConfigError
from difftables.common.names import full
from difftables.planning import count_costs, params, shown
from difftables.planning.plan import Workflow

NE, RUN = "noise_estimation", "noise_estimation/digits"
NET = {"kind": "unet", "width": 8, "mult": [1, 2], "blocks": 1, "attention": [4], "dropout": 0.0}
FILE = "nets/net.pt"
SHA = hashlib.sha256(b"net").hexdigest()
ENTRY = {"format": "ddim", "file": FILE, "sha256": SHA, "net": NET}
TAKEN = (f"{RUN.replace('/', '/runs/')}/net", {"checkpoint": "cats"})


@pytest.fixture
def planned(rewritten, monkeypatch):
    """The plan of scale laptop with a checkpoint for the digits, and further changes; its file is there."""

    def plan(*changes, entry=ENTRY, there=True):
        path = rewritten((f"{NE}/checkpoints/cats", entry), TAKEN, *changes)
        root = Path(__file__).parents[2]
        for name in ("tables.yaml", "reported.csv", "claims.yaml"):
            for source in root.glob(f"workflow/papers/*/{name}"):
                target = path.parent / source.relative_to(root)
                target.write_bytes(source.read_bytes())
        shutil.copytree(root / "workflow/speech", path.parent / "workflow/speech", dirs_exist_ok=True)
        monkeypatch.chdir(path.parent)
        if there:
            Path(FILE).parent.mkdir(exist_ok=True)
            Path(FILE).write_bytes(b"net")
        return Workflow(params.load(path, "laptop"))

    return plan


def refused(planned, *changes, words, **options):
    with pytest.raises(ConfigError) as raised:
        planned(*changes, **options)
    message = str(raised.value)
    assert "\n" not in message and all(word in message for word in words), message


def test_a_checkpoint_is_converted_and_not_trained(planned):
    plan = planned()
    jobs = every_job(plan)
    assert ("train", RUN, "0") not in jobs
    assert jobs["checkpoint", f"{NE}/cats"] == ((f"{NE}/cats",), {"weights": [FILE]})
    converted = f"results/laptop/store/checkpoints/{NE}/cats.safetensors"
    for job, (_, files) in jobs.items():
        if job[0] in ("sample", "search") and job[1] == RUN:
            assert files["net"] == [converted], job
    spec = plan.spec("checkpoint", f"{NE}/cats")
    assert spec.net.model_extra["width"] == 8 and spec.shape == {"size": 8, "channels": 1, "classes": 0}


def test_its_estimator_is_trained_here(planned):
    plan = planned()
    assert ("train_estimator", RUN, "0") in every_job(plan)
    curves = plan.curve_files()
    assert plan.curve_file(RUN, 0, "estimator") in curves and plan.curve_file(RUN, 0) not in curves
    costs = plan.cost_files()
    assert plan.provenance_file("train_estimator", RUN, 0) in costs and plan.provenance_file("train", RUN, 0) not in costs
    assert plan.spec("train_estimator", RUN, "0").run.estimator.train.steps == 5000


def test_every_job_of_the_run_has_its_net(planned):
    """Sampling, search, studies and likelihood read the net of the checkpoint, not that of the run that it is like."""
    plan = planned()
    for (verb, *of), (arguments, _) in every_job(plan).items():
        run = getattr(plan.spec(verb, *arguments), "run", None)
        if of[:1] == [RUN] and verb in ("sample", "search", "robustness"):
            assert run.net.model_extra["width"] == 8, (verb, of)
    assert plan.run_notes(RUN, NE)["checkpoint"] == "cats"
    assert "cats" in " ".join(name for name, *_ in count_costs.used_nets(plan))


def test_a_download_is_fetched_under_a_name_of_its_own(planned):
    url = "https://example.org/files/net.pt"
    plan = planned(entry={key: value for key, value in ENTRY.items() if key != "file"} | {"url": url}, there=False)
    jobs = every_job(plan)
    (path,) = jobs["checkpoint", f"{NE}/cats"][1]["weights"]
    assert path == f".cache/downloads/{NE}-cats-net.pt"
    assert plan.spec("download", Path(path).name).model_dump() == {"url": url, "sha256": SHA, "size": None}
    assert ("download", Path(path).name) in jobs


def test_a_diffusers_folder_is_its_two_files(planned):
    folder = Path("nets/model")
    with pytest.raises(ConfigError, match="nets/model"):
        planned(entry=ENTRY | {"format": "diffusers", "file": str(folder)})
    (folder / "unet").mkdir(parents=True)
    for name in ("config.json", "diffusion_pytorch_model.safetensors"):
        (folder / "unet" / name).write_text("{}")
    found = Workflow(params.load("params.yaml", "laptop")).checkpoint_inputs(f"{NE}/cats")
    assert found == {"weights": [f"{folder}/unet/diffusion_pytorch_model.safetensors"], "config": [f"{folder}/unet/config.json"]}
    (folder / "unet/diffusion_pytorch_model.safetensors").rename(folder / "unet/diffusion_pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"diffusion_pytorch_model\.bin"):
        Workflow(params.load("params.yaml", "laptop"))


def test_show_tells_the_checkpoint_of_a_run(planned):
    plan = planned()
    lines = "\n".join(shown.lines(plan.params, RUN))
    assert f"checkpoints.{full('cats', NE)}" in lines and FILE in lines and SHA in lines
    assert shown.lookup(plan.params, "cats") == ("checkpoints", f"{NE}/cats")


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (TAKEN[0], {"checkpoint": "dogs"}, ("runs.digits.net.checkpoint", "dogs", "cats")),
        (TAKEN[0], {"checkpoints": "cats"}, ("runs.digits.net",)),
        (f"{NE}/checkpoints/cats", ENTRY | {"format": "dim"}, ("checkpoints.cats.format", "ddim")),
        (f"{NE}/checkpoints/cats", ENTRY | {"sha256": "12"}, ("checkpoints.cats.sha256",)),
        (f"{NE}/checkpoints/cats", ENTRY | {"url": "https://example.org/net.pt"}, ("checkpoints.cats", "url", "file")),
        (f"{NE}/checkpoints/cats", ENTRY | {"url": "ftp://example.org/net.pt"}, ("checkpoints.cats.url",)),
        (f"{NE}/checkpoints/cats", ENTRY | {"net": NET | {"widht": 8}}, ("checkpoints.cats.net", "width")),
        (f"{NE}/checkpoints/cats", ENTRY | {"net": NET | {"attention": [3]}}, ("checkpoints.cats.net", "3 px")),
        (f"{NE}/checkpoints/cats", ENTRY | {"file": "nets/none.pt"}, ("checkpoints.cats.file", "nets/none.pt")),
        (f"{NE}/runs/digits/seeds", [0, 1], ("runs.digits", "seeds", "cats")),
    ],
)
def test_what_is_wrong_is_one_line(planned, place, value, words):
    refused(planned, (place, value), words=(f"workflow/papers/{NE}/params.yaml", *words))


def test_a_missing_file_stops_no_plan_whose_net_is_there(planned):
    converted = Path(f"results/laptop/store/checkpoints/{NE}/cats.safetensors")
    refused(planned, words=("checkpoints.cats.file", FILE), there=False)
    converted.parent.mkdir(parents=True)
    converted.touch()
    assert Workflow(params.load("params.yaml", "laptop")).used_checkpoints() == [f"{NE}/cats"]


def test_runs_on_other_shapes_need_a_second_checkpoint(planned):
    other = {"like": "digits", "data": "digits", "condition_on": "labels", "net": {"checkpoint": "cats"}}
    change = (f"{NE}/runs/labelled", other)
    planned(change)  # in no table
    table = (f"{NE}/tables/F3-images/run", "labelled")
    refused(planned, change, table, words=("runs.labelled.net.checkpoint", "classes 10", "classes 0"))


def test_a_course_of_training_needs_a_training(planned):
    paper = "improved_ddpm"
    refused(
        planned,
        (f"{paper}/checkpoints/own", ENTRY | {"net": NET | {"variance": True}}),
        (f"{paper}/runs/vlb-uniform/net", {"checkpoint": "own"}),
        words=("improved_ddpm", "own", "course of training"),
    )


def test_a_view_of_a_checkpoint_has_no_steps(planned):
    """cosine-hybrid is cosine-hybrid-long at half of its training."""
    paper = "improved_ddpm"
    refused(
        planned,
        (f"{paper}/checkpoints/own", ENTRY | {"net": NET | {"variance": True}}),
        (f"{paper}/runs/cosine-hybrid-long/net", {"checkpoint": "own"}),
        words=("runs.cosine-hybrid", "checkpoint_of.step", "own"),
    )


def test_runs_of_one_checkpoint_share_its_net_and_a_trained_net_is_another(planned):
    """Also where the nets have equal numbers."""
    own, again = f"{NE}/own", f"{NE}/again"
    plan = planned(
        (f"{NE}/nets/small", NET),
        (f"{NE}/runs/own", {"like": "digits", "net": "small"}),
        (f"{NE}/runs/again", {"like": "digits"}),
    )
    assert plan.params.net_of(own) == plan.params.net_of(RUN)
    assert plan.same_run(again) == RUN and plan.same_run(own) == own
    assert plan.net_file(again, 0) == plan.net_file(RUN, 0) == plan.checkpoint_file(f"{NE}/cats")
    assert plan.net_file(own, 0) == f"results/laptop/store/nets/{own}/s0/net.safetensors"
    assert plan.net_file(own, 0, "estimator") == plan.net_file(RUN, 0, "estimator")
    with pytest.raises(ConfigError, match="checkpoint"):
        plan.train_inputs(RUN)
