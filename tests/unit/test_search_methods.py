"""Search methods: a new one is a function and an entry; what each needs is planned."""

import csv
from functools import partial
from pathlib import Path

import pytest
import torch

from difftables.common import registry
from difftables.common.errors import ConfigError
from difftables.common.files import read_json, save_tensors
from difftables.config.sampling import Search
from difftables.diffusion.betas import betas_of, schedule_from_betas
from difftables.diffusion.schedule_file import read_schedules
from difftables.jobs import search as verb
from difftables.jobs.job import Job, dumped
from difftables.metrics import scorers
from difftables.nets.build import build_net
from difftables.planning import gpu_hours, net_costs, params, plan
from difftables.search.frozen import adjusted
from difftables.search.learned import no_samples
from difftables.search.methods import METHODS, Method, unchanged

ROOT = Path(__file__).parents[2]


def even_rates(run, sampler, steps, score, *, seed):
    """The same rate at each step: no net is asked."""
    return schedule_from_betas(torch.full((steps,), 0.1 * seed, dtype=torch.float64)), {"tried": score(None), "seconds": 0.0}


MINE = Method(find=even_rates, samples="samples", generates=lambda *_: 7, sampler=adjusted, scored=True, whole=False)


@pytest.fixture
def edited(rewritten, monkeypatch):
    """The plan of params.yaml with some places, "a/b/c", changed, made in the repository's root."""
    monkeypatch.chdir(ROOT)
    return lambda *changes, scale="laptop": plan.Workflow(params.load(rewritten(*changes), scale))


@pytest.fixture
def with_mine(monkeypatch):
    """A call adds MINE to METHODS, and its name to those that params.yaml may use, which are read off the source."""
    names = registry.names

    def add():
        monkeypatch.setitem(METHODS, "mine", MINE)
        monkeypatch.setattr(registry, "names", lambda where: [*names(where), *(["mine"] if where == "search.methods.METHODS" else [])])

    return add


def test_a_new_method_is_planned_and_run_by_its_entry(edited, with_mine, monkeypatch, tmp_path):
    with pytest.raises(ConfigError, match="'mine'"):
        edited(("noise_estimation/samplers/ddim-searched/schedule", "mine"))
    with_mine()
    row = ("noise_estimation/digits", "0", "noise_estimation/ddim-searched")
    before, found = edited(), edited(("noise_estimation/samplers/ddim-searched/schedule", "mine"))
    assert found.search_records() == before.search_records() != []
    assert found.sample_inputs(*row)["schedules"] == [found.schedules_file(*row)]
    assert {"net", "estimator", "features"} <= found.search_inputs(*row).keys()  # it draws with an adjusted sampler, and judges
    assert "estimator" not in before.search_inputs(*row)
    spec = found.search_spec("noise_estimation/digits", "noise_estimation/ddim-searched")
    assert (spec.method, spec.sampler.schedule, spec.sampler.adapt) == ("mine", "fitted", "estimator")
    assert dumped(spec.search) == {"seed": found.params.search.images.seed}
    counted = partial(net_costs.forward_cost, net_costs.read_costs())
    monkeypatch.setattr(gpu_hours, "sample_cost", lambda run, sampler, steps, *_: float(steps))
    asked = gpu_hours.search_schedule(found, {"run": "noise_estimation/digits", "sampler": "noise_estimation/ddim-searched"}, counted)
    assert asked == sum(7 * (steps + net_costs.feature_cost(spec.features)) for steps in spec.steps)
    spec = spec.model_copy(update={"steps": [2, 4], "search": spec.search.model_copy(update={"seed": 3})})
    save_tensors(tmp_path / "net", build_net(spec.run.net, spec.run.data).state_dict(), {"kind": "net"})
    monkeypatch.setitem(scorers.SEARCH, "images", lambda inputs: lambda samples: 1)
    outputs = {name: [tmp_path / name] for name in ("schedules", "record", "made")}
    verb.run(Job("search", spec, "0", inputs={"net": [tmp_path / "net"]}, outputs=outputs))
    with open(outputs["schedules"][0]) as file:
        assert [row["steps"] for row in csv.DictReader(file)] == ["2"] * 3 + ["4"] * 5
    torch.testing.assert_close(betas_of(read_schedules(outputs["schedules"][0])[4]), torch.full((4,), 0.3).double())
    assert read_json(outputs["record"][0])["records"] == {"2": {"tried": 1}, "4": {"tried": 1}}


def test_a_method_that_its_run_lacks_the_means_for_is_refused(edited, with_mine):
    with_mine()
    with pytest.raises(ConfigError, match=r"^[^\n]*runs\.\S+\.(estimator|adjust)[^\n]*$"):
        edited(("improved_ddpm/samplers/large/schedule", "mine"))


@pytest.mark.parametrize("name", METHODS)
def test_what_a_method_reads_are_numbers_of_the_search(name):
    assert set(METHODS[name].reads) <= set(Search.model_fields)
    assert METHODS[name].samples in METHODS[name].reads or METHODS[name].generates is no_samples


def test_each_method_reads_and_draws_what_it_says(edited):
    found = edited()
    searched, frozen = (found.search_spec("noise_estimation/digits", f"ddim-{name}") for name in ("searched", "frozen"))
    row = found.params.samplers["noise_estimation/ddim-searched"]
    assert METHODS["searched"].sampler is unchanged and searched.sampler.solver == row.solver
    assert (frozen.sampler.schedule, frozen.sampler.adapt, frozen.features) == ("fitted", "estimator", None)
    assert dumped(frozen.search).keys() == {"frozen_samples", "seed"}
    assert "frozen_samples" not in dumped(searched.search)
    assert searched.features is not None


def test_a_search_of_an_adjusted_sampler_has_its_estimator(edited):
    found = edited(("noise_estimation/samplers/ddim-searched/adapt", "estimator"))
    assert found.search_inputs("noise_estimation/digits", "0", "noise_estimation/ddim-searched")["estimator"] == [
        found.net_file("noise_estimation/digits", "0", "estimator")
    ]
    assert found.search_spec("noise_estimation/digits", "noise_estimation/ddim-searched").run.estimator is not None


@pytest.mark.parametrize("solver", [{"kind": "rk45", "path": "linear"}, {"kind": "heun"}])
def test_a_study_of_robustness_needs_a_sampler_that_adjusts(edited, solver):
    """RK45 cannot, and takes no step counts; Heun could, but is not told to."""
    changes = [
        ("noise_estimation/samplers/ddim-adjusted/solver", solver),
        ("noise_estimation/samplers/ddim-adjusted/adapt", None),
        ("noise_estimation/samplers/ddim-adjusted/steps", [1]),
    ]
    with pytest.raises(ConfigError, match=r"^[^\n]*samplers\.ddim-adjusted has no adapt[^\n]*$"):
        edited(*changes)
