"""Searches that measure a net once: a schedule for each step count, what they cost, and what the plan says of them."""

from pathlib import Path

import pytest
import torch
from job_files import RUN, changed, run_job

from difftables.common.errors import ConfigError
from difftables.common.files import read_json, save_tensors
from difftables.config.job_specs import SearchSpec
from difftables.config.run_spec import RunSpec
from difftables.diffusion.schedule_file import read_schedules
from difftables.metrics import scorers
from difftables.nets.build import build_net
from difftables.planning import gpu_hours, params, plan
from difftables.search.methods import METHODS

ROOT = Path(__file__).parents[2]
MEASURED = ["entropic", "rescaled-entropic", "klub", "score-optimal", "gits"]
NUMBERS = {
    "grid_levels": 9, "curve_samples": 6, "starts": 5, "teacher": "ipndm", "jump_cost": "dev", "gamma": 1.15, "lowest_visited": False,
    "seed": 0,
}  # fmt: skip
EVALUATIONS = {"entropic": 54, "rescaled-entropic": 54, "klub": 54, "score-optimal": 96, "gits": 40}
VP = {
    "schedule": {"family": "linear", "steps": 40, "first": 1e-3, "last": 0.3}, "prior": "standard_normal", "precondition": "eps",
    "conditioning": "sqrt_alpha_bar",
}  # fmt: skip


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder with an untrained net and made-up images."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    spec = RunSpec.model_validate(RUN)
    images = torch.randint(256, (50, 1, 4, 4), dtype=torch.uint8)
    save_tensors("data", {"images": images, "labels": torch.zeros(50), "held_out": torch.arange(50) >= 40}, {"kind": "data"})
    save_tensors("net", build_net(spec.net, spec.data).state_dict(), {"kind": "net"})
    return {"net": "net", "data": "data"}


def spec_of(method, steps=(2, 4), run=None, batch=4, **numbers):
    numbers = {name: value for name, value in (NUMBERS | numbers).items() if name in METHODS[method].reads}
    sampler = {"solver": {"kind": "walk", "rule": "ddim"}, "schedule": method}
    return SearchSpec(
        run=RunSpec.model_validate(RUN | (run or {})), sampler=sampler, method=method, steps=list(steps), search=numbers, batch=batch
    )


def searched(spec, files, name="a"):
    """Schedules by step count, and the record."""
    run_job("search", spec, files, {each: f"{name}.{each}" for each in ("schedules", "record", "made")})
    return read_schedules(Path(f"{name}.schedules")), read_json(f"{name}.record")["records"]


@pytest.mark.parametrize("process", [{}, VP], ids=["ve", "vp"])
@pytest.mark.parametrize("method", MEASURED)
def test_a_net_is_measured_once_for_all_step_counts(files, method, process):
    spec = spec_of(method, run=process)
    schedules, records = searched(spec, files)
    assert [len(schedules[steps]) for steps in (2, 4)] == [3, 5]
    for record in records.values():
        assert (record["network_evaluations"], record["once_for_all_steps"]) == (EVALUATIONS[method], True)
    alone, record = searched(changed(spec, {"steps": [4]}), files, "b")
    assert torch.equal(alone[4].std, schedules[4].std) and record["4"] == records["4"]
    split, _ = searched(changed(spec, {"batch": 3}), files, "c")
    torch.testing.assert_close(split[4].std, schedules[4].std, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", MEASURED)
def test_the_lowest_level_is_visited_where_that_is_asked_for(files, method):
    schedules, _ = searched(spec_of(method, (1, 3), lowest_visited=True), files)
    assert schedules[3].sigma[[0, 2]].tolist() == pytest.approx([50.0, 0.02])
    assert schedules[1].sigma[0].item() == pytest.approx(50.0)
    skipped, _ = searched(spec_of(method, (2,)), files, "b")
    assert skipped[2].sigma[0].item() == pytest.approx(50.0) and skipped[2].sigma[1] > 0.02
    assert skipped[2].sigma[1].item() == pytest.approx(schedules[3].sigma[1].item()), "the same jumps from end to end"


@pytest.mark.parametrize("method", MEASURED)
def test_hours_count_what_is_measured(method):
    found = params.load(ROOT / "params.yaml", "laptop").search.images
    assert METHODS[method].generates(found, 5, 5) == 0
    assert METHODS[method].shared(found.model_copy(update=NUMBERS)) == EVALUATIONS[method]


@pytest.fixture
def edited(rewritten, monkeypatch):
    """The plan of params.yaml with some places changed."""
    monkeypatch.chdir(ROOT)
    return lambda *changes: plan.Workflow(params.load(rewritten(*changes), "laptop"))


@pytest.mark.parametrize("method", MEASURED)
def test_a_row_of_either_process_is_planned_with_what_it_reads(edited, method):
    found = edited(("noise_estimation/samplers/ddim-searched/schedule", method))
    row = ("noise_estimation/digits", "0", "noise_estimation/ddim-searched")
    assert found.sample_inputs(*row)["schedules"] == [found.schedules_file(*row)]
    assert ("data" in found.search_inputs(*row)) == METHODS[method].data
    assert "features" not in found.search_inputs(*row)
    spec = found.search_spec("noise_estimation/digits", "noise_estimation/ddim-searched")
    once = METHODS[method].shared(found.params.search.images)
    asked = gpu_hours.search_schedule(
        found, {"run": "noise_estimation/digits", "sampler": "noise_estimation/ddim-searched"}, lambda *_: 1.0
    )
    assert asked == once and len(spec.steps) > 1


def test_an_operator_is_refused_in_one_line(edited):
    with pytest.raises(ConfigError, match=r"^[^\n]*searches only noise[^\n]*$"):
        edited(("soft_diffusion/samplers/momentum/schedule", "entropic"))


def test_the_cheap_search_scores_few_and_goes_on_after_a_kill(files, monkeypatch):
    """Of 81 candidates 7 are scored; killed at the fifth, the four that were scored are not scored again."""
    numbers = {
        "grid": "ladder", "decades": [-3.0, -1.0], "digits": 9, "groups": 3, "samples": 3, "draws": 1, "budget": 1000,
        "refined_scores": 7, "curve_samples": 8, "seed": 0,
    }  # fmt: skip
    spec = spec_of("searched", (2,), VP)
    sampler = {"solver": {"kind": "walk", "rule": "ddim"}, "schedule": "refined"}
    spec = SearchSpec(run=spec.run, sampler=sampler, method="refined", steps=[2], search=numbers, batch=4)
    scored = list[float]()

    def scorer(inputs):
        def score(samples):
            if len(scored) == kill_at:
                raise KeyboardInterrupt
            scored.append(samples.double().var().item())
            return scored[-1]

        return score

    monkeypatch.setitem(scorers.SEARCH, "images", scorer)
    kill_at = 4
    with pytest.raises(KeyboardInterrupt):
        searched(spec, files)
    kill_at = None
    schedules, records = searched(spec, files)
    assert len(scored) == 7 and records["2"]["candidates"] == 7 and records["2"]["grid"] == 81
    assert records["2"]["network_evaluations"] == 7 * 3 * 2
    assert records["2"]["best"] == min(scored) == scored[records["2"]["found_at"] - 1]
    scored.clear()
    again, _ = searched(spec, files, "b")
    assert len(scored) == 7 and torch.equal(again[2].std, schedules[2].std)
