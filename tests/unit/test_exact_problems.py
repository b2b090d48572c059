"""Exact problems: denoisers against quadrature, ends against closed forms, orders and distributions of solvers."""

import math
from itertools import pairwise

import pytest
import torch
from pydantic import ValidationError

from difftables.diffusion.level import Level, variance_preserving
from difftables.papers.kinds import has_picture
from difftables.papers.reported import ReportedNumbers
from difftables.papers.tables import TABLES
from difftables.report.exact_figure import spread
from difftables.report.kinds import KINDS
from difftables.report.printing import markdown
from difftables.report.sources import Sources
from difftables.studies.exact_errors import FLOOR, Range, closed, distance, order, read_solver, solve, starts_of, steps_of
from difftables.studies.exact_problems import PROBLEMS, even_mixture, gaussian, three_modes

SPAN = Range(20.0, 0.01)
DDIM = {"kind": "walk", "rule": "ddim"}
RELEASED = {"kind": "dpmpp", "order": 3, "second_difference": "halved"}
C = 0.5


def levels(*sigma):
    return Level.variance_exploding(torch.tensor(sigma, dtype=torch.float64))


@pytest.mark.parametrize("sigma", [0.05, 0.4, 3.0])
def test_denoiser_is_the_posterior_mean_by_quadrature(sigma):
    problem, y = three_modes(), torch.linspace(-2, 2, 40001, dtype=torch.float64)
    density = sum(torch.exp(-0.5 * ((y - mean) / 0.1) ** 2) for mean in (-1.0, -0.3, 0.9))
    for u in (-1.2, 0.1, 0.6):
        weight = density * torch.exp(-0.5 * ((u - y) / sigma) ** 2)
        wanted = ((weight * y).sum() / weight.sum()).item()
        found = problem.denoise(torch.tensor([[u]], dtype=torch.float64), levels(sigma)).item()
        assert found == pytest.approx(wanted, abs=1e-9)


def test_denoiser_takes_levels_of_any_process_and_one_per_sample():
    """D of alpha u at the variance-preserving level of sigma is D of u at sigma."""
    problem, sigma = PROBLEMS["ring"](), torch.tensor([0.1, 0.7, 5.0], dtype=torch.float64)
    u = problem.starts(3, 1.0, "test")
    level = variance_preserving(sigma)
    together = problem.denoise(level.alpha[:, None] * u, level)
    alone = [problem.denoise(u[i : i + 1], levels(sigma[i].item())) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", list(PROBLEMS))
def test_slope_of_the_flow_is_the_predicted_noise(name):
    problem = PROBLEMS[name]()
    u = problem.starts(5, 0.8, "slope")
    eps = (u - problem.denoise(u, levels(0.8))) / 0.8
    torch.testing.assert_close(problem.slope(u, 0.8), eps, rtol=1e-10, atol=1e-12)


def test_ends_by_runge_kutta_are_those_of_the_closed_form():
    """A mixture of two equal components is one Gaussian, which the solver does not know."""
    one, two = gaussian(torch.tensor([0.25])), even_mixture(torch.zeros(2, 1, dtype=torch.float64), C)
    u = one.starts(16, 20.0, "twice")
    for lowest in (0.01, 0.0):
        torch.testing.assert_close(two.end(u, 20.0, lowest), one.end(u, 20.0, lowest), rtol=0, atol=1e-9)


def test_ends_of_a_mixture_in_one_dimension_keep_their_quantile():
    """The flow keeps order, so that an end's probability below it is its start's."""
    problem = three_modes()
    start = torch.linspace(-25, 25, 9, dtype=torch.float64)[:, None]
    end = problem.end(start, 20.0)

    def below(u, sigma):
        return sum(0.5 * torch.erfc((mean - u) / math.sqrt(2 * (0.01 + sigma**2))) for mean in (-1.0, -0.3, 0.9)) / 3

    torch.testing.assert_close(below(end, 0.0), below(start, 20.0), rtol=0, atol=1e-8)


def test_one_step_of_ddim_is_a_cosine():
    """sigma = c tan(theta): an Euler step multiplies the exact solution by cos(theta - theta')."""
    found = closed(gaussian(torch.tensor([C**2])), read_solver(DDIM), levels(2.0, 0.3))
    assert found.amplitude.item() == pytest.approx(math.cos(math.atan(2.0 / C) - math.atan(0.3 / C)), rel=1e-13)


@pytest.mark.parametrize(
    ("steps", "arctan", "power", "log"),
    [(3, 0.653359, 0.527085, 0.329682), (5, 0.780680, 0.547818, 0.571334), (10, 0.884916, 0.752777, 0.767349)],
)
def test_amplitudes_of_schedules_of_ddim(steps, arctan, power, log):
    share = torch.arange(steps + 1, dtype=torch.float64) / steps
    theta = math.atan(80 / C) + share * (math.atan(0.002 / C) - math.atan(80 / C))
    seventh = 80 ** (1 / 7) + share * (0.002 ** (1 / 7) - 80 ** (1 / 7))
    for sigma, wanted in ((C * theta.tan(), arctan), (seventh**7, power), (80 * (0.002 / 80) ** share, log)):
        found = closed(gaussian(torch.tensor([C**2])), read_solver(DDIM), Level.variance_exploding(sigma))
        assert found.amplitude.item() == pytest.approx(wanted, abs=6e-7)


@pytest.mark.parametrize(
    ("steps", "rule", "arctan", "power"),
    [(4, "ddim", 0.5335, 0.2778), (4, "ddpm-small", 0.4367, 0.2511), (10, "ddim", 0.7821, 0.5335), (10, "ddpm-small", 0.6800, 0.3645)],
)
def test_variance_of_samples_at_the_clean_end(steps, rule, arctan, power):
    """arctan: even down to theta = 0. Power law: N levels from 80 to 0.002, then clean."""
    share = torch.arange(steps, dtype=torch.float64) / (steps - 1)
    seventh = (80 ** (1 / 7) + share * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    for sigma, wanted in (
        (C * (math.atan(80 / C) * torch.arange(steps, -1, -1, dtype=torch.float64) / steps).tan(), arctan),
        (torch.cat([seventh, torch.zeros(1)]), power),
    ):
        found = closed(gaussian(torch.tensor([C**2])), read_solver({"kind": "walk", "rule": rule}), Level.variance_exploding(sigma))
        assert found.ratio == pytest.approx(wanted, abs=6e-5)


@pytest.mark.parametrize("rule", ["ddpm-small", "ddpm-large", "euler-maruyama"])
def test_closed_variance_is_that_of_drawn_samples(rule):
    """20,000 samples know a variance to 1 %; five of those."""
    problem, solver, schedule = gaussian(torch.tensor([0.25, 0.04])), read_solver({"kind": "walk", "rule": rule}), SPAN.even(12)
    source = torch.Generator().manual_seed(3)
    x = problem.starts(20000, 20.0, "drawn")
    ends, _ = solve(problem, solver, x, schedule, lambda x: torch.randn(x.shape, generator=source, dtype=x.dtype))
    found = closed(problem, solver, schedule)
    assert (ends.var(dim=0) / found.variance - 1).abs().max() < 0.05


def test_measures_of_a_gaussian_of_twice_the_variance():
    found = closed(gaussian(torch.tensor([1.0])), read_solver(DDIM), levels(1.0, 0.5))
    double = type(found)(2 * found.exact, found.exact, found.amplitude, 1)
    assert double.ratio == 2.0
    assert double.divergence == pytest.approx(0.5 * (1 - math.log(2)))
    assert double.transport == pytest.approx((math.sqrt(2) - 1) * math.sqrt(1.25))


ORDERS = [
    (DDIM, 1), ({"kind": "heun"}, 2), ({"kind": "dpmpp", "order": 2}, 2), ({"kind": "dpmpp", "order": 2, "second": "heun"}, 2),
    ({"kind": "dpmpp", "order": 3}, 3), (RELEASED, 2), ({"kind": "singlestep", "order": 3, "prediction": "noise"}, 3),
    ({"kind": "unipc", "order": 1}, 2), ({"kind": "unipc", "order": 2}, 3), ({"kind": "lms", "order": 2}, 2),
    ({"kind": "lms", "order": 3}, 3), ({"kind": "deis", "order": 3}, 3),
]  # fmt: skip


@pytest.mark.parametrize(("solver", "wanted"), ORDERS)
def test_order_of_solvers_on_the_ring(solver, wanted):
    """The third order of DPM-Solver++ is 3 with the whole second difference and 2 as released."""
    assert order("ring", read_solver(solver), SPAN, 96, 16) == pytest.approx(wanted, abs=0.25)


@pytest.mark.parametrize("named", [2, 3, 4])
def test_ipndm_has_order_2_whatever_its_name(named):
    """Its weights are those of equal steps in sigma; these are equal in log sigma."""
    assert order("gaussian", read_solver({"kind": "ipndm", "order": named}), SPAN, 128) == pytest.approx(2, abs=0.02)


def test_unipc_has_one_order_more_than_its_name():
    assert order("gaussian", read_solver({"kind": "unipc", "order": 3}), SPAN, 128) == pytest.approx(4, abs=0.12)


def test_right_is_not_better_at_few_steps():
    """Three modes: 2M, 3M as released, and 3M right, in this order at 8 steps; in the opposite one at 80."""
    solvers = [read_solver(each) for each in ({"kind": "dpmpp", "order": 2}, RELEASED, {"kind": "dpmpp", "order": 3})]
    few, many = ([distance("modes", each, SPAN.even(steps), 256)[0] for each in solvers] for steps in (8, 80))
    assert few[1] < few[2] < 0.15
    assert many[2] < many[1] < many[0] < 0.01


def test_steps_of_as_many_calls_as_asked():
    """Heun: 2N calls, 2N - 1 to a clean end. F-PNDM: N + 9."""
    ddim, heun, runge = (read_solver(each) for each in (DDIM, {"kind": "heun"}, {"kind": "pndm", "start": "runge-kutta"}))
    assert [steps_of(ddim, 9), steps_of(heun, 8), steps_of(heun, 9), steps_of(runge, 20)] == [9, 4, None, 11]
    assert [steps_of(ddim, 9, clean=True), steps_of(heun, 8, clean=True), steps_of(heun, 9, clean=True)] == [9, None, 5]


def test_the_first_step_is_cut_and_the_others_stay():
    graded = SPAN.graded(8).sigma.log()
    torch.testing.assert_close(graded[-8:], SPAN.even(8).sigma.log()[-8:])
    gaps = -graded.diff()
    torch.testing.assert_close(gaps[1:11], gaps[:10].cumsum(0)[:10])
    assert gaps[0].item() == pytest.approx(gaps[-1].item() / 1024)


def test_a_distance_below_rounding_is_the_floor():
    """Exact in one step: the flow of a point."""
    pairs = starts_of("gaussian", 20.0, 19.999999999999, 1)
    assert pairs.start.shape == (1, 1)
    assert distance("gaussian", read_solver(DDIM), levels(20.0, 19.999999999999), 1) == (FLOOR, 1)


def test_noise_has_no_distance_to_the_end_of_the_same_start():
    with pytest.raises(ValueError, match="draws"):
        distance("gaussian", read_solver({"kind": "walk", "rule": "ddpm-small"}), SPAN.even(4), 1)


def test_only_a_centred_gaussian_has_a_closed_distribution():
    with pytest.raises(ValueError, match="centred Gaussian"):
        closed(three_modes(), read_solver(DDIM), SPAN.even(4))


def test_chains_without_a_step_are_refused():
    with pytest.raises(ValueError, match="ask for more steps"):
        Range(20.0, 0.01, clean=True).even(1)


def rendered(kind, rows, steps=(), **more):
    model = TABLES[kind].model_validate({"title": "t", "kind": kind, "rows": rows, "foot": ["at the foot"], **more})
    layout = {"foot": model.foot} | model.model_dump(exclude_unset=True)
    rows = [row | {"part": None, "run": None, "steps": []} for row in layout["rows"]]
    spec = {
        "paper": "p",
        "table": "E",
        "layout": layout,
        "rows": rows,
        "steps": list(steps),
        "run": None,
        "scale": "laptop",
        "dataset": None,
    }
    return KINDS[kind](Sources(spec, ReportedNumbers(None))), model, spec


ROWS = [{"id": "ddim", "label": "DDIM", "solver": DDIM, "drawn": True}, {"id": "heun", "label": "Heun", "solver": {"kind": "heun"}}]


def test_cells_of_distances_are_the_measured_ones_to_three_digits():
    made, model, _ = rendered(
        "exact-distances", ROWS, problems=["gaussian", "ring"], levels={"highest": 20.0, "lowest": 0.01}, calls=[5, 6], order_steps=16
    )
    cells = {(cell.row, cell.column_id): cell for cell in made.cells}
    assert ("Heun", "gaussian-5") not in cells
    assert set(model.column_ids()) == {cell.column_id for cell in made.cells}
    found = cells["DDIM", "gaussian-6"]
    exact = distance("gaussian", read_solver(DDIM), SPAN.even(6), 1)[0]
    assert (found.value, found.status, found.steps, found.nfe) == (float(f"{exact:.3g}"), "closed-form", 6, 6)
    ring = cells["DDIM", "ring-6"]
    assert (ring.status, ring.n, ring.seeds, len(ring.run)) == ("estimated", 128, "1x1", 16)
    text = markdown(made.grid)
    assert "| Heun | - | 0.704 |" in text
    assert "at the foot" in markdown(made.more[-1])
    assert made.draw() is not None


def test_steps_of_a_scale_choose_columns_and_leave_the_order_out():
    layout = {"problems": ["gaussian"], "levels": {"highest": 20.0, "lowest": 0.01}, "calls": [5, 6], "order_steps": 8}
    made, _, _ = rendered("exact-distances", ROWS, steps=[5], **layout)
    assert [(cell.row, cell.column_id) for cell in made.cells] == [("DDIM", "gaussian-5")]
    assert made.draw() is not None


def test_a_figure_without_drawn_rows_is_none():
    made, _, spec = rendered(
        "exact-distances", ROWS[1:], problems=["gaussian"], levels={"highest": 20.0, "lowest": 0.01}, calls=[6], order_steps=8
    )
    assert made.draw is None
    assert not has_picture(spec["layout"], None, spec["rows"])


def test_cells_of_distributions_are_closed_forms():
    levels_ = {"highest": 80.0, "lowest": 0.002, "clean": True}
    made, _, _ = rendered("exact-distributions", ROWS, problems=["gaussian"], levels=levels_, calls=[9, 10])
    cells = {(cell.row, cell.column_id, cell.metric_id): cell for cell in made.cells}
    exact = closed(PROBLEMS["gaussian"](), read_solver(DDIM), Range(80.0, 0.002, True).even(10))
    assert cells["DDIM", "gaussian-10", "variance-ratio"].value == float(f"{exact.ratio:.3g}")
    assert cells["DDIM", "gaussian-10", "w2"].value == float(f"{exact.transport:.3g}")
    assert ("Heun", "gaussian-10", "kl") not in cells
    assert cells["Heun", "gaussian-9", "kl"].steps == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"problems": ["rign"]}, "did you mean 'ring'"),
        ({"levels": {"highest": 0.01, "lowest": 0.1}}, "lowest has to be below highest"),
        ({"rows": [{"id": "a", "label": "a", "solver": {"kind": "heun", "chrun": None}}]}, "chrun"),
        ({"rows": [{"id": "a", "label": "a", "solver": {"kind": "hoin"}}]}, "hoin"),
    ],
)
def test_what_a_table_of_exact_problems_refuses(change, message):
    layout = {"title": "t", "kind": "exact-distances", "problems": ["ring"], "levels": {"highest": 20.0, "lowest": 0.01}, "calls": [6]}
    with pytest.raises(ValidationError, match=message):
        TABLES["exact-distances"].model_validate(layout | {"order_steps": 8, "rows": ROWS} | change)


def test_labels_keep_a_gap_and_their_order():
    places = [0.5, 0.51, 0.505, 0.98, 0.99, 0.02]
    found = spread(places, 0.05, 0.0, 1.0)
    assert sorted(range(6), key=lambda i: found[i]) == sorted(range(6), key=lambda i: places[i])
    ordered = sorted(found)
    assert min(b - a for a, b in pairwise(ordered)) > 0.0499
    assert (min(ordered) > -1e-9, max(ordered) < 1 + 1e-9) == (True, True)
    assert found[5] == 0.02  # far from all others
