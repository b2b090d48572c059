"""Sweeps, gradients during training, the power law of compute, and chains whose start is skipped."""

import math
from pathlib import Path

import pytest
import torch

from difftables.common.errors import ConfigError
from difftables.config.sampling import Sampler, Sampling
from difftables.diffusion import timesteps, training_schedules
from difftables.papers.kinds import has_picture
from difftables.planning import params, plan
from difftables.report.kinds import KINDS
from difftables.report.kinds.compute import power_law
from difftables.report.kinds.gradients import noise
from difftables.report.latex import tabular
from difftables.report.sources import Sources
from difftables.sampling.sampling_schedules import first_schedule
from difftables.studies.target_phases import by_references, sigmas
from difftables.studies.target_variance import two_points

ROOT = Path(__file__).parents[2]
SKIPPING = {"solver": {"kind": "walk", "rule": "ddim"}, "schedule": "even", "skip": 0.2}


def sources(layout, rows, records=(), **more):
    spec = {
        "paper": "p", "table": "F", "layout": {"title": "t", "foot": [], **layout}, "rows": rows, "steps": [], "run": "p/net",
        "dataset": "digits", "scale": "laptop", "metric": {"net": "efficientnet-lite0", "pixels": 32}, "n": 200, "seeds": 3,
        "train_seeds": 1, "about": {},
    }  # fmt: skip
    floor = {"values": [1.0, 1.2], "n": 200, "reference": {"samples": 1500}}
    return Sources(spec | more, None, list(records), floor=floor)


def measured(sampler, values_by_steps, nfe=lambda steps: steps, run="p/net"):
    """The record of a sampler: FD of three seeds at each step count."""
    records = [
        {"id": "fd", "metric": "FD", "steps": steps, "nfe": nfe(steps), "value": value, "unit": "", "better": "lower", "n": 200}
        for steps, values in values_by_steps.items() for value in values
    ]  # fmt: skip
    return {"shared": {"sampler": sampler, "run": run, "fingerprint": f"f-{sampler}"}, "records": records}


def row(line, sampler, run="p/net", **more):
    return {
        "id": f"{line}-{sampler}",
        "line": line,
        "label": f"line {line}",
        "run": run,
        "part": "",
        "sampler": sampler,
        "steps": [9],
    } | more


def test_a_sweep_has_a_line_of_its_rows_and_a_column_for_each_number():
    rows = [row("a", "x0", at=0), row("a", "x10", at=10), row("b", "x10", run="p/other", at=10), row("b", "x40", run=None, at=40)]
    records = [
        measured("x0", {9: [3.0, 4.0, 5.0]}),
        measured("x10", {9: [2.0, 2.1, 2.2]}),
        measured("x10", {9: [9.0, 9.2, 9.1]}, run="p/other"),
    ]
    rendered = KINDS["sweep"](sources({"kind": "sweep", "axis": "amount"}, rows, records))
    assert rendered.grid.head == ["", "0", "10", "40"]
    cells = {(cell.row_id, cell.column_id): cell for cell in rendered.cells}
    assert cells["a", "0"].value == pytest.approx(4.0)
    assert (cells["b", "10"].value, cells["b", "10"].status, cells["b", "40"].status) == (pytest.approx(9.1), "measured", "not-run")
    assert len(cells) == len(rendered.cells) == 4
    assert rendered.draw() is not None


def test_a_sweep_without_numbers_is_against_the_calls_that_were_made():
    rows = [row("euler", "euler", steps=[5, 9]), row("heun", "heun", steps=[3, 5]), row("gone", "heun", run=None)]
    records = [
        measured("euler", {5: [4.0, 5.0], 9: [3.0, 3.5]}),
        measured("heun", {3: [2.0, 2.2], 5: [1.0, 1.1]}, nfe=lambda steps: 2 * steps - 1),
    ]
    rendered = KINDS["sweep"](sources({"kind": "sweep", "axis": "network calls"}, rows, records))
    cells = {(cell.row_id, cell.column_id): (cell.steps, cell.value) for cell in rendered.cells}
    assert rendered.grid.head == ["", "5", "9"]
    assert cells == {
        ("euler", "5"): (5, 4.5), ("euler", "9"): (9, 3.25),
        ("heun", "5"): (3, pytest.approx(2.1)), ("heun", "9"): (5, pytest.approx(1.05)),
    }  # fmt: skip
    assert [len(line[1]) for line in rendered.grid.lines] == [2, 2, 2]


def test_a_sweep_that_nothing_runs_has_no_picture():
    layout, rows = {"kind": "sweep", "axis": "amount"}, [row("a", "x0", run=None, at=0), row("b", "x", run=None)]
    assert KINDS["sweep"](sources(layout, rows)).draw is None
    assert not has_picture(layout, None, rows)


@pytest.mark.parametrize("kind", ["sweep", "gradient-course"])
def test_a_table_without_columns_has_as_many_cells_as_heads(kind):
    rows = [row("a", "x", run=None), row("b", "x", run=None)]
    grid = KINDS[kind](sources({"kind": kind, "axis": "amount"}, rows, run=None)).grid
    assert {1 + len(cells) for _, cells, _ in grid.lines} == {len(grid.head)} == {2}
    assert tabular(grid).count("&") == 3


def test_the_numbers_of_shipped_sweeps_are_those_of_their_samplers(monkeypatch):
    monkeypatch.chdir(ROOT)
    checked = 0
    for scale in ("laptop", "paper"):
        found = plan.read(scale)
        churned = [each for each in found.rows("edm", "F5") if each["sampler"] in found.params.samplers]
        for each in churned:
            churn = dict(found.params.samplers[each["sampler"]].solver)["churn"]
            assert each["at"] == (churn.amount if churn else 0)
        skipped = found.rows("improved_ddpm", "F4")
        for each in skipped:
            assert each["at"] / 100 == (found.params.samplers[each["sampler"]].skip or 0)
            longest = max(found.params.samplers[other["sampler"]].steps[0] for other in skipped)
            assert each["steps"] == [round(longest * (1 - each["at"] / 100))]
        checked += len(churned) + len(skipped)
    assert checked > 20


def gradient_record(objective, density, whole, squares):
    return {"objective": objective, "density": density, "whole": whole, "squares": squares}


def test_the_noise_scale_during_training_is_that_of_what_each_row_studies():
    records = [
        {
            "shared": {"run": f"p/at-{step}", "batch": 2, "batches": 4, "warm_up": 3, "fingerprint": f"f{step}"},
            "records": [
                gradient_record("L_vlb", "index", 1.0, [5.0 * step, 7.0 * step]), gradient_record("L_vlb", "loss_aware", 1.0, [2.0, 4.0]),
                gradient_record("L_hybrid", "index", 9.0, [1.0, 2.0]),
            ],
        }
        for step in (1, 3)
    ]  # fmt: skip
    rows = [
        {"id": f"{studied}-{step}", "line": studied, "label": studied, "run": f"p/at-{step}", "studied": studied, "part": "", "steps": []}
        for studied in ("vlb-uniform", "vlb-importance") for step in (1, 3)
    ]  # fmt: skip
    about = {f"p/at-{step}": {"steps": 100 * step} for step in (1, 3)}
    rendered = KINDS["gradient-course"](sources({"kind": "gradient-course"}, rows, records, about=about))
    cells = {(cell.row_id, cell.column_id): cell for cell in rendered.cells}
    trace, signal = noise(records[0]["records"][1], 2, 4)
    assert rendered.grid.head == ["", "100", "300"]
    assert cells["vlb-importance", "100"].value == pytest.approx(sum(trace) / 2 / signal)
    assert cells["vlb-importance", "300"].value == cells["vlb-importance", "100"].value
    assert cells["vlb-uniform", "300"].value is None
    assert rendered.draw() is not None


def test_the_variance_by_references_of_two_points():
    """n = 1 is the closed form; with both points among the references the target is the posterior mean."""
    sigma, data = sigmas(1), torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    for (mean, error), wanted in zip(by_references(data, 1, sigma), two_points(sigma).tolist(), strict=True):
        assert mean == pytest.approx(wanted, abs=4 * error + 1e-9)
    assert by_references(data, 2, sigma) == [(pytest.approx(0, abs=1e-20), pytest.approx(0, abs=1e-20))] * len(sigma)


def test_a_table_of_references_needs_no_run():
    problem = {"points": 40, "dimensions": 2, "width": 1e-3}
    rows = [{"id": f"n-{n}", "label": f"n = {n}", "references": n, "run": None, "part": "", "steps": []} for n in (1, 4, 40)]
    rendered = KINDS["references"](sources({"kind": "references", "problem": problem}, rows, run=None, dataset=None))
    cells = {(cell.row_id, cell.column_id): cell for cell in rendered.cells}
    assert {cell.status for cell in rendered.cells} == {"estimated"}
    # sigma = 1: hardly any point explains x by itself, so that V falls nearly as 1 / n.
    middle = rendered.grid.head[5]
    assert middle == "1"
    assert 0.15 < cells["n-4", middle].value / cells["n-1", middle].value < 0.3
    assert all(abs(cells["n-40", column].value) < 1e-12 for column in rendered.grid.head[1:])
    assert rendered.draw() is not None


def test_a_power_law_is_met_where_there_is_one():
    compute = [1e9, 3e9, 2e10, 5e11]
    fit = power_law([(c, 4.0 + (2.5e-12 * c) ** -0.22) for c in compute], 4.0)
    assert (fit.constant, fit.exponent, math.exp(fit.log_rate)) == (4.0, pytest.approx(-0.22), pytest.approx(2.5e-12))
    assert fit.at(7e10) == pytest.approx(4.0 + (2.5e-12 * 7e10) ** -0.22)


def test_a_power_law_needs_three_points_above_its_constant_and_a_slope():
    assert power_law([(1e9, 5.0), (2e9, 4.5), (3e9, 4.0)], 4.0) is None
    assert power_law([(1e9, 5.0), (2e9, 5.0), (3e9, 5.0)], 4.0) is None
    assert power_law([(1e9, 5.0), (1e9, 6.0), (1e9, 7.0)], 4.0) is None


def test_a_chain_whose_start_is_skipped_begins_at_the_first_level_that_is_left():
    training = training_schedules.TRAINING_SCHEDULES["cosine"](100)
    for name in ("even", "strided", "trailing", "whole-stride"):
        found = first_schedule(Sampling.model_validate(SKIPPING | {"schedule": name}), 20, training, None, None)
        assert len(found) == 21 and found.std[-1] == 0
        # The noisiest level left is that of timestep 79; a stride that omits its end starts below.
        assert bool((found.sigma[:-1] <= training.sigma[20]).all())
        if name in ("even", "trailing"):
            assert torch.equal(found.alpha[0], training.alpha[20])
    whole = first_schedule(Sampling.model_validate(SKIPPING | {"skip": 0.4}), 60, training, None, None)
    assert torch.equal(whole.alpha, training.alpha[40:])
    assert timesteps.kept(4000, 0.2) == 3200 and timesteps.kept(3, 0.99) == 1


@pytest.mark.parametrize(
    "change",
    [{"schedule": "fitted"}, {"solver": {"kind": "rk45", "path": "linear"}, "steps": [1]}, {"sections": [3], "steps": [3]}],
)
def test_only_a_walk_down_training_levels_can_skip_their_start(change):
    Sampler.model_validate(SKIPPING)
    with pytest.raises(ValueError, match="skip"):
        Sampler.model_validate(SKIPPING | change)


def test_a_chain_has_no_more_steps_than_are_left(rewritten, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(ConfigError, match="skip-60"):
        plan.Workflow(params.load(rewritten(("improved_ddpm/samplers/skip-60/steps", [41])), "laptop"))


def test_a_clock_of_another_process_is_refused(rewritten, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(ConfigError, match=r"samplers.heun-vp.solver .*sigma-squared.*linear"):
        plan.Workflow(params.load(rewritten(("edm/samplers/heun-vp/solver/clock", "sigma-squared")), "laptop"))
