"""Schedules and searches on exact problems: the closed forms of a Gaussian, and brute force."""

import math
from itertools import combinations

import pytest
import torch
from pydantic import ValidationError

from difftables.diffusion.level import Level
from difftables.papers.reported import ReportedNumbers
from difftables.papers.tables import TABLES
from difftables.report.kinds import KINDS
from difftables.report.printing import markdown
from difftables.report.sources import Sources
from difftables.studies import exact_schedules as schedules
from difftables.studies.exact_errors import Range, closed, distance, read_solver, solve
from difftables.studies.exact_problems import PROBLEMS
from difftables.studies.exact_schedules import SEARCHES, Task, path_bound, std_of

DDIM = read_solver({"kind": "walk", "rule": "ddim"})
WIDE = Range(80.0, 0.002)


def white(jumps, solver=DDIM):
    return Task("gaussian", WIDE, jumps, solver, closed=True)


def amplitude(task, sigma):
    return closed(task.problem, task.solver, Level.variance_exploding(sigma)).amplitude.item()


@pytest.mark.parametrize(("jumps", "nats"), [(3, 52.505632), (5, 14.735498), (10, 4.563957)])
def test_entropic_levels_make_the_bound_least(jumps, nats):
    """1 + c^2 / sigma^2 geometric: (N (V^{1/N} - 1) - log V) / 2; the search finds them from the curve."""
    task = white(jumps)
    ends = 1 + 0.25 / torch.tensor([80.0, 0.002], dtype=torch.float64) ** 2
    geometric = (0.25 / (ends[0] * (ends[1] / ends[0]) ** (torch.arange(jumps + 1, dtype=torch.float64) / jumps) - 1)).sqrt()
    assert path_bound(task, geometric) == pytest.approx(nats, abs=6e-7)
    assert path_bound(task, SEARCHES["entropic"](task).sigma) == pytest.approx(nats, rel=1e-4)
    on_grid = path_bound(task, SEARCHES["klub"](task).sigma)
    assert nats < on_grid < 1.1 * nats


@pytest.mark.parametrize(("search", "wanted"), [("arctan", 0.653359), ("power-law", 0.527085), ("log-snr", 0.329682)])
def test_amplitudes_of_three_jumps(search, wanted):
    assert amplitude(white(3), SEARCHES[search](white(3)).sigma) == pytest.approx(wanted, abs=6e-7)


def test_rescaled_entropic_levels_are_those_of_the_arctan():
    task = white(5)
    torch.testing.assert_close(SEARCHES["rescaled-entropic"](task).sigma, SEARCHES["arctan"](task).sigma, rtol=0.01, atol=0)


def test_arctan_down_to_clean():
    """Four steps of DDIM keep cos^8(Theta / 4) of the variance, Theta = arctan(80 / c)."""
    sigma = torch.cat([SEARCHES["arctan-to-clean"](white(3)).sigma, torch.zeros(1, dtype=torch.float64)])
    found = closed(PROBLEMS["gaussian"](), DDIM, Level.variance_exploding(sigma))
    assert found.ratio == pytest.approx(math.cos(math.atan(160) / 4) ** 8, rel=1e-12)
    assert found.ratio == pytest.approx(0.533539, abs=6e-7)


def test_undiscounted_distances_find_the_best_cosines_of_the_grid():
    """The dynamic program of -log cos on the same 61 levels picks 0.812 and 0.260: 0.6520 of the amplitude."""
    task = white(3)
    sigma = SEARCHES["gits-l2"](task).sigma
    assert sigma[1:3].tolist() == pytest.approx([0.812, 0.260], abs=5e-4)
    assert amplitude(task, sigma) == pytest.approx(0.6520, abs=6e-5)
    angle = (task.grid / 0.5).atan()
    best = max(
        combinations(range(1, 60), 2), key=lambda at: math.prod((angle[i] - angle[j]).cos() for i, j in ((0, at[0]), at, (at[1], 60)))
    )
    torch.testing.assert_close(sigma[1:3], task.grid[list(best)])


def test_brute_force_finds_what_the_dynamic_program_finds_on_a_gaussian():
    """All starts of a Gaussian err by one factor, so that the best levels are the same for each."""
    task = Task("gaussian", Range(20.0, 0.01), 3, DDIM)
    best = SEARCHES["exhaustive"](task)
    torch.testing.assert_close(best.sigma, SEARCHES["gits-l2"](task).sigma)
    assert best.evaluations == math.comb(59, 2) * 64 * 3


@pytest.mark.parametrize("name", ["anisotropic", "modes"])
def test_brute_force_is_the_least_of_ways_tried_one_by_one(monkeypatch, name):
    """A grid of 9 levels: 21 ways of three jumps, each with a solver call of its own."""
    monkeypatch.setattr(schedules, "GRID", 9)
    task = Task(name, Range(20.0, 0.01), 3, read_solver({"kind": "dpmpp", "order": 2}))
    pairs, losses = schedules.pairs_of(task), {}
    for way in combinations(range(1, 8), 2):
        levels = Level.variance_exploding(task.grid[[0, *way, 8]])
        ends, _ = solve(task.problem, task.solver, pairs.start, levels)
        losses[way] = (ends - pairs.end).square().mean().item()
    best = min(losses, key=losses.get)
    torch.testing.assert_close(SEARCHES["exhaustive"](task).sigma, task.grid[[0, *best, 8]])


@pytest.mark.parametrize("name", ["gaussian", "ring"])
def test_learned_levels_reach_brute_force_at_a_thirtieth_of_its_evaluations(name):
    task = Task(name, Range(20.0, 0.01), 3, DDIM)
    learned, best = SEARCHES["ld3"](task), SEARCHES["exhaustive"](task)
    errors = [distance(name, DDIM, Level.variance_exploding(each.sigma), 256)[0] for each in (learned, best)]
    assert errors[0] < 1.01 * errors[1]
    assert learned.evaluations < best.evaluations / 29


def test_distances_off_the_chord_need_a_plane():
    with pytest.raises(ValueError, match="one dimension"):
        SEARCHES["gits"](white(3))


def test_std_of_modes():
    """Three means and 0.1: the root of 0.01 + the variance of -1, -0.3, 0.9."""
    means = (-1.0, -0.3, 0.9)
    spread = sum(mean**2 for mean in means) / 3 - (sum(means) / 3) ** 2
    assert std_of(PROBLEMS["modes"]()) == pytest.approx(math.sqrt(0.01 + spread))


def rendered(kind, **layout):
    model = TABLES[kind].model_validate({"title": "t", "kind": kind, "foot": ["at the foot"], **layout})
    plain = {"foot": model.foot} | model.model_dump(exclude_unset=True)
    rows = [row | {"part": None, "run": None, "steps": []} for row in plain["rows"]]
    spec = {"paper": "p", "table": "E", "layout": plain, "rows": rows, "steps": [], "run": None, "scale": "laptop", "dataset": None}
    return KINDS[kind](Sources(spec, ReportedNumbers(None))), model


def rows(*names):
    return [{"id": name, "label": name, "search": name} for name in names]


def test_the_table_of_schedules_has_the_variances_of_the_closed_forms():
    """Chains of four calls: power law .2778 with DDIM and .2511 ancestral, arctan down to clean .5335 and .4367."""
    made, model = rendered(
        "exact-schedules",
        problem="gaussian",
        levels={"highest": 80.0, "lowest": 0.002},
        jumps=[3],
        rows=rows("power-law", "arctan-to-clean"),
    )
    cells = {(cell.row, cell.column_id): cell for cell in made.cells}
    assert [cells["power-law", each].value for each in model.column_ids()[:2]] == [0.278, 0.251]
    assert [cells["arctan-to-clean", each].value for each in model.column_ids()[:2]] == [0.534, 0.437]
    assert ("arctan-to-clean", "3-klub") not in cells
    assert cells["power-law", "3-klub"].value == 14700
    assert (cells["power-law", "3-ddim"].nfe, cells["power-law", "3-ddim"].status) == (4, "closed-form")
    assert "at the foot" in markdown(made.grid)


def test_the_table_of_searches_has_distances_and_costs():
    solver = {"kind": "walk", "rule": "ddim"}
    made, model = rendered(
        "exact-searches", problems=["gaussian", "ring"], solver=solver, levels={"highest": 20.0, "lowest": 0.01}, jumps=3,
        rows=rows("gits", "arctan"),
    )  # fmt: skip
    cells = {(cell.row, cell.column_id): cell for cell in made.cells}
    assert {column for _, column in cells} == set(model.column_ids())
    assert ("gits", "gaussian") not in cells
    assert (cells["gits", "evaluations"].value, cells["arctan", "evaluations"].value) == (60 * 64, 0)
    assert cells["arctan", "gaussian"].value == pytest.approx(0.167)
    assert "{kind: walk, rule: ddim}" in markdown(made.grid)


def test_a_search_that_is_not_there_is_refused():
    with pytest.raises(ValidationError, match="did you mean 'gits'"):
        rendered("exact-searches", problems=["ring"], solver={"kind": "heun"}, levels={"highest": 2.0, "lowest": 1.0}, jumps=3, rows=[
            {"id": "a", "label": "a", "search": "gts"}])  # fmt: skip
