"""Deterministic solvers of few steps: what they integrate exactly, their orders, starts, ends and costs."""

import math
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from test_solvers import joined, loaded, sampling

from difftables.config.sampling import Sampling
from difftables.diffusion import training_schedules
from difftables.diffusion.beta_families import fitted
from difftables.diffusion.corruptions import blur, scale
from difftables.diffusion.denoiser import Counted, vp_time
from difftables.diffusion.level import PROCESSES, Level, concatenate
from difftables.sampling import exponential, multistep, pndm, singlestep, solvers, unipc
from difftables.sampling.predictions import analytic_first, thresholded

TRAINING = training_schedules.TRAINING_SCHEDULES["linear"](100, first=1e-3, last=0.2)
FEW = {
    "dpmpp-1": {"kind": "dpmpp", "order": 1},
    "dpmpp-2m": {"kind": "dpmpp", "order": 2},
    "dpmpp-2m-heun": {"kind": "dpmpp", "order": 2, "second": "heun"},
    "dpmpp-3m": {"kind": "dpmpp", "order": 3},
    "dpmpp-3m-released": {"kind": "dpmpp", "order": 3, "second_difference": "halved"},
    "dpm-2m": {"kind": "dpmpp", "order": 2, "prediction": "noise", "second": "heun"},
    "dpm-3m": {"kind": "dpmpp", "order": 3, "prediction": "noise", "second": "heun"},
    "dpmpp-2s": {"kind": "singlestep", "order": 2, "prediction": "clean"},
    "dpmpp-3s": {"kind": "singlestep", "order": 3, "prediction": "clean"},
    "dpm2": {"kind": "singlestep", "order": 2, "prediction": "noise"},
    "dpm3": {"kind": "singlestep", "order": 3, "prediction": "noise"},
    **{f"unipc-{p}-{variant}": {"kind": "unipc", "order": p, "variant": variant} for p in (1, 2, 3) for variant in ("bh1", "bh2")},
    **{f"{kind}-{p}": {"kind": kind, "order": p} for kind in ("lms", "deis", "ipndm") for p in (1, 2, 3, 4)},
    "f-pndm": {"kind": "pndm", "start": "runge-kutta"},
    "s-pndm": {"kind": "pndm", "start": "improved-euler", "order": 2},
    "plms": {"kind": "pndm", "start": "improved-euler"},
}  # fmt: skip
FIRST_ORDER = ["dpmpp-1", "lms-1", "deis-1", "ipndm-1"]
SPREAD = 0.5  # std of the data
ORIGINS = torch.tensor([[1.0, -0.4], [0.3, 0.7], [-1.2, 0.1]], dtype=torch.float64)  # of three paths


def solver_of(name, **more):
    return Sampling.model_validate({"solver": FEW[name] | more, "schedule": "even"}).solver


def levels_of(sigma, process="vp", clean=True):
    schedule = PROCESSES[process](torch.as_tensor(sigma, dtype=torch.float64))
    return concatenate([schedule, Level.clean()]) if clean else schedule


def even_in_log(steps, top=20.0, end=0.05):
    return torch.logspace(math.log10(top), math.log10(end), steps + 1, dtype=torch.float64)


def gaussian(x, level):
    """D of N(0, s^2)."""
    alpha, sigma = level.like(x).alpha, (level.like(x).std / level.like(x).alpha)
    return x / alpha * SPREAD**2 / (SPREAD**2 + sigma**2)


def curved(x, level):
    """D of two normals of std 1/2 around -1 and 1: (s^2 u + sigma^2 tanh(u / (s^2 + sigma^2))) / (s^2 + sigma^2), u = x / alpha."""
    u, variance = x / level.like(x).alpha, (level.like(x).std / level.like(x).alpha) ** 2
    return (SPREAD**2 * u + variance * torch.tanh(u / (SPREAD**2 + variance))) / (SPREAD**2 + variance)


def exact(level, like=ORIGINS):
    """On the path of `gaussian`: x / alpha in proportion to sqrt(s^2 + sigma^2)."""
    return level.like(like).alpha * (SPREAD**2 + (level.like(like).std / level.like(like).alpha) ** 2).sqrt() * like


def run(solver, schedule, x, denoise=curved, corrupt=scale, **more):
    function = solvers.bind(solver, TRAINING)
    return function(x, schedule, denoise=denoise, corrupt=corrupt, randn=None, **more)


def start_at(schedule, like=ORIGINS):
    return like * (schedule[0].alpha ** 2 + schedule[0].std ** 2).sqrt()[:, None]


GRID = [14.0, 5.0, 2.2, 0.9, 0.3, 0.08]


@pytest.mark.parametrize("process", ["ve", "vp", "sub-vp"])
@pytest.mark.parametrize("name", FIRST_ORDER)
def test_order_1_of_every_family_is_ddim(name, process):
    ddim = Sampling.model_validate({"solver": {"kind": "walk", "rule": "ddim"}, "schedule": "even"}).solver
    one = levels_of(GRID, process)
    own = [Level(each.alpha.repeat(3), each.std.repeat(3), process=process) for each in (one[i] for i in range(len(one)))]
    shrunk = [PROCESSES[process](each.sigma * torch.tensor([1.0, 0.9, 1.3])) for each in own]
    for schedule in (one, shrunk):
        x = start_at(one)
        torch.testing.assert_close(run(solver_of(name), schedule, x), run(ddim, schedule, x), rtol=1e-12, atol=1e-12)


def test_the_integrals_are_those_of_their_definition():
    """By Gauss-Legendre quadrature; K_k(h) = h int exp(h (1 - u)) u^k du."""
    nodes, weight = (torch.tensor(each) for each in np.polynomial.legendre.leggauss(60))
    u, h = (1 + nodes) / 2, torch.tensor([1e-9, 1e-4, 0.01, 0.3, 0.99999, 1.0, 2.0, 8.0], dtype=torch.float64)
    for sign, found in ((-1, exponential.integrals(h, 5)), (1, exponential.noise_integrals(h, 5))):
        for k in range(5):
            wanted = h * (torch.exp(sign * h[:, None] * (1 - u)) * u**k * weight / 2).sum(dim=1)
            torch.testing.assert_close(found[k], wanted, rtol=5e-14, atol=0)
    torch.testing.assert_close(torch.stack(exponential.moments(torch.zeros(1).double(), 4))[:, 0], 1 / torch.arange(1, 5).double())


def test_a_polynomial_through_the_nodes_is_integrated():
    """int_0^1 of 0.3 - u + 2 u^2 + 0.7 u^3 = 0.3 - 1 / 2 + 2 / 3 + 0.7 / 4."""
    nodes = [torch.tensor([each], dtype=torch.float64) for each in (1.0, 0.0, -0.7, -2.0)]
    weight = exponential.weights(nodes, [torch.tensor([1 / (k + 1)], dtype=torch.float64) for k in range(4)])
    values = polynomial([0.3, -1.0, 2.0, 0.7])(torch.cat(nodes))
    assert (torch.cat(weight) * values).sum().item() == pytest.approx(0.3 - 1 / 2 + 2 / 3 + 0.7 / 4, rel=1e-13)


def polynomial(coefficients):
    """By Horner's rule on tensors."""

    def value(at):
        total = torch.zeros_like(at)
        for each in reversed(coefficients):
            total = total * at + each
        return total

    return value


def integrated(poly, of, rising):
    """The mean of a polynomial in a variable `of` sigma, weighed as a step weighs it, over sigma from 5 to 2.2, to 1e-13."""
    nodes, weight = (torch.tensor(each) for each in np.polynomial.legendre.leggauss(40))
    middle, half = (rising(5.0) + rising(2.2)) / 2, (rising(2.2) - rising(5.0)) / 2
    at = middle + half * nodes  # the variable in which a step's measure is even
    sigma = inverse_of[rising](at)
    return ((poly(of(sigma)) * weight).sum() / weight.sum()).item()


def log(sigma):
    return -torch.as_tensor(sigma, dtype=torch.float64).log()


def reciprocal(sigma):
    return 1 / torch.as_tensor(sigma, dtype=torch.float64)


def itself(sigma):
    return torch.as_tensor(sigma, dtype=torch.float64)


def edm_time(sigma):
    return vp_time(torch.as_tensor(sigma, dtype=torch.float64), multistep.fitted_rates(80, 0.002, 1e-3))


# A step in clean predictions takes them in evenly in e^lambda = 1 / sigma, one in the noise evenly in sigma.
inverse_of = {reciprocal: lambda at: 1 / at, itself: lambda at: at}
EXPONENTIAL = partial(multistep.exponential, second="heun")
RATES = multistep.fitted_rates(80, 0.002, 1e-3)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize(
    ("weigh", "variable", "measure"),
    [
        (partial(EXPONENTIAL, sign=1), log, reciprocal), (partial(EXPONENTIAL, sign=-1), log, itself), (multistep.in_sigma, itself, itself),
        (partial(multistep.in_time_of, rates=RATES), edm_time, itself),
    ],
    ids=["clean in lambda", "noise in lambda", "noise in sigma", "noise in time"],
)  # fmt: skip
def test_p_predictions_are_exact_for_a_polynomial_of_degree_p_minus_1_and_no_more(weigh, variable, measure, count):
    history = [17.0, 9.0, 5.0][-count:][::-1]
    weight = torch.cat(weigh([levels_of([each], clean=False) for each in history], levels_of([2.2], clean=False)))
    for degree, fits in ((count - 1, True), (count, False)):
        poly = polynomial([0.5, -1.0, 0.7, 0.3][: degree + 1])
        wanted = integrated(poly, variable, measure)
        got = (weight * poly(variable(history))).sum().item()
        assert (got == pytest.approx(wanted, rel=1e-11)) == fits


@pytest.mark.parametrize(("history", "sigma"), [([149.0, 150.0], 0.0), ([1.0, 3.0, 9.0], 0.0), ([5.0, 9.0, 17.0, 40.0], 2.2)])
def test_weights_of_deis_in_time_by_adaptive_quadrature(history, sigma):
    """int l_j(t(s)) ds over the step, divided by its length; down to 0 the time bends at sigma = 8e-4."""
    from scipy.integrate import quad

    levels = [Level.variance_exploding(torch.tensor([each], dtype=torch.float64)) for each in history]
    weight = torch.cat(multistep.in_time_of(levels, Level.variance_exploding(torch.tensor([sigma], dtype=torch.float64)), rates=RATES))
    times = [edm_time(each).item() for each in history]

    def lagrange(s, j):
        return math.prod((edm_time(s).item() - other) / (times[j] - other) for other in times if other != times[j])

    for j in range(len(history)):
        integral = quad(lagrange, history[0], sigma, args=(j,), epsabs=1e-12, epsrel=1e-12, limit=500)[0]
        assert weight[j].item() == pytest.approx(integral / (sigma - history[0]), rel=1e-10)


def weights_at(history, sigma, **of):
    return torch.cat(multistep.exponential([levels_of([each], clean=False) for each in history], levels_of([sigma], clean=False), **of))


def test_the_halved_second_difference_is_no_polynomial_and_the_midpoint_no_line():
    """What DPM-Solver++ is released with; the whole one is."""
    parabola, line = (polynomial(each) for each in ([0.5, -1.0, 0.7], [0.5, -1.0]))
    for history, poly, of, fits in (
        ([5.0, 9.0, 17.0], parabola, {"second": "heun"}, True), ([5.0, 9.0, 17.0], parabola, {"second": "heun", "share": 0.5}, False),
        ([5.0, 9.0], line, {"second": "heun"}, True), ([5.0, 9.0], line, {"second": "midpoint"}, False),
    ):  # fmt: skip
        got = (weights_at(history, 2.2, sign=1, **of) * poly(log(history))).sum().item()
        assert (got == pytest.approx(integrated(poly, log, reciprocal), rel=1e-12)) == fits


def unified(history, sigma, **of):
    levels = [levels_of([each], clean=False) for each in history]
    return torch.cat(unipc.unified(levels, levels_of([sigma], clean=False), **of)[0])


def test_the_predictor_of_unipc_is_dpmpp():
    """UniP-2 bh2 is 2M midpoint, UniP-3 of either variant 3M."""
    for history, variants in (([5.0, 9.0], ["bh2"]), ([5.0, 9.0, 17.0], ["bh1", "bh2"])):
        for variant in variants:
            predictor = unified(history, 2.2, variant=variant, corrects=False)
            torch.testing.assert_close(predictor, weights_at(history, 2.2, sign=1, second="midpoint"), rtol=1e-13, atol=1e-14)
    assert not torch.allclose(*(unified([5.0, 9.0], 2.2, variant=variant, corrects=False) for variant in ("bh1", "bh2")), rtol=1e-3)


def test_the_corrector_of_order_3_is_exact_for_a_cubic_and_the_predictor_is_not():
    cubic, history = polynomial([0.5, -1.0, 0.7, 0.3]), [5.0, 9.0, 17.0]
    wanted = integrated(cubic, log, reciprocal)
    for variant in ("bh1", "bh2"):
        corrected = (unified(history, 2.2, variant=variant, corrects=True) * cubic(log([2.2, *history]))).sum().item()
        assert corrected == pytest.approx(wanted, rel=1e-11)
        predicted = (unified(history, 2.2, variant=variant, corrects=False) * cubic(log(history))).sum().item()
        assert predicted != pytest.approx(wanted, rel=1e-3)


def test_ipndm_is_lms_on_equal_steps_only():
    for count in (2, 3, 4):
        for sigma, equal in (([5.0, 4.0, 3.0, 2.0, 1.0], True), ([5.0, 4.0, 3.0, 2.0, 1.5], False)):
            levels, nxt = [levels_of([each], clean=False) for each in sigma[:-1][::-1][:count]], levels_of(sigma[-1:], clean=False)
            exact_weight, fixed = (torch.cat(weigh(levels, nxt)) for weigh in (multistep.in_sigma, multistep.as_if_even))
            assert torch.allclose(exact_weight, fixed, rtol=1e-12) == equal


def test_weights_of_lms_on_uneven_steps():
    """Nodes 17, 9 and 5 to 2.2. The released formula of variable-step iPNDM has -5.1038, 2.9657, -0.6619: a bracket slip."""
    weight = multistep.in_sigma([levels_of([each], clean=False) for each in (5.0, 9.0, 17.0)], levels_of([2.2], clean=False))
    assert (2.2 - 5) * torch.cat(weight).numpy() == pytest.approx([-4.2591, 1.6987, -0.2396], abs=1e-4)


ORDERS = {
    "dpmpp-1": 1, "dpmpp-2m": 2, "dpmpp-2m-heun": 2, "dpmpp-3m": 3, "dpmpp-3m-released": 2, "dpm-2m": 2, "dpm-3m": 3,
    "dpmpp-2s": 2, "dpmpp-3s": 3, "dpm2": 2, "dpm3": 3,
    "unipc-1-bh1": 2, "unipc-1-bh2": 2, "unipc-2-bh1": 3, "unipc-2-bh2": 3, "unipc-3-bh1": 4, "unipc-3-bh2": 4,
    "lms-2": 2, "lms-3": 3, "lms-4": 4, "deis-2": 2, "deis-3": 3, "ipndm-2": 2, "ipndm-3": 2, "ipndm-4": 2,
    "f-pndm": 2, "s-pndm": 2, "plms": 2,
}  # fmt: skip


def measured_orders(name, counts, monkeypatch, grid=even_in_log, exact_steps=3):
    """Binary orders that the error at the end falls by, from the exact values of the first levels."""
    errors = []
    for steps in counts:
        sigma = grid(steps)
        schedule = levels_of(sigma, clean=False)

        def snapped(transfer, last=sigma[exact_steps]):
            def transfer_from_exact(x, now, nxt, prediction):
                return exact(nxt) if nxt.sigma > last * (1 - 1e-9) else transfer(x, now, nxt, prediction)

            return transfer_from_exact

        with monkeypatch.context() as patch:
            for module in (multistep, unipc, singlestep, pndm) if exact_steps else ():
                if hasattr(module, "euler"):
                    patch.setattr(module, "euler", snapped(module.euler))
                if hasattr(module, "from_clean"):
                    patch.setattr(module, "from_clean", lambda corrupt, made=module.from_clean: snapped(made(corrupt)))
            kept = {} if FEW[name]["kind"] in ("singlestep", "pndm") else {"final_order": "kept"}
            end = run(solver_of(name, **kept), schedule, exact(schedule[0]), denoise=gaussian)
        errors.append((end - exact(schedule[-1])).norm().item())
    return [math.log2(before / after) for before, after in pairwise(errors)]


@pytest.mark.parametrize("name", ORDERS)
def test_the_order_of_convergence(name, monkeypatch):
    """On normal data, in steps even in log sigma, from exact start values."""
    one_step = FEW[name]["kind"] in ("singlestep", "pndm")
    found = measured_orders(name, (320, 640), monkeypatch, partial(even_in_log, end=0.3), exact_steps=0 if one_step else 3)
    assert found[0] == pytest.approx(ORDERS[name], abs=0.2)


@pytest.mark.parametrize(("name", "order"), [("f-pndm", 4), ("s-pndm", 2), ("ipndm-4", 4)])
def test_pndm_has_order_4_on_steps_even_in_sigma(name, order, monkeypatch):
    def even(steps):
        return torch.linspace(2.5, 0.6, steps + 1, dtype=torch.float64)

    found = measured_orders(name, (80, 160), monkeypatch, even, exact_steps=3 if name == "ipndm-4" else 0)
    assert found[-1] == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize("name", FEW)
def test_the_same_sigma_as_levels_of_ve_and_of_vp_give_the_same_samples(name):
    ends = []
    for process in ("ve", "vp"):
        schedule = levels_of(GRID, process, clean=False)

        def denoise(x, level):
            u, sigma = x / level.like(x).alpha, level.like(x).std / level.like(x).alpha
            return torch.tanh(u / sigma**2)

        x = run(solver_of(name), schedule, schedule[0].alpha[:, None] * 14 * ORIGINS, denoise=denoise)
        ends.append(x / schedule[-1].alpha)
    torch.testing.assert_close(*ends, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("final_order", ["lowered", "kept"])
@pytest.mark.parametrize("name", FEW)
def test_a_clean_end_is_finite_whatever_the_history(name, final_order):
    settings = {} if FEW[name]["kind"] in ("pndm", "singlestep") else {"final_order": final_order}
    for steps in range(1, 8):
        schedule = levels_of(even_in_log(steps)[:-1])
        seen = []

        def denoise(x, level, seen=seen):
            seen.append(curved(x, level))
            return seen[-1]

        end = run(solver_of(name, **settings), schedule, start_at(schedule), denoise)
        assert bool(end.isfinite().all())
        if FEW[name]["kind"] in ("dpmpp", "unipc", "singlestep"):
            torch.testing.assert_close(end, seen[-1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", FEW)
def test_the_plan_counts_the_calls_that_are_made(name):
    for first in ({}, {"first": "analytic"}):
        solver = solver_of(name, **first)
        for steps in range(1, 9):
            for sigma, clean in ((even_in_log(steps)[:-1], True), (even_in_log(steps), False)):
                counted, schedule = Counted(curved), levels_of(sigma, clean=clean)
                run(solver, schedule, start_at(schedule), counted)
                assert counted.calls == solver.calls(steps) + (0 if clean else solver.saved_at_clean(steps))


def test_calls_by_name():
    """N for one call a step, also with a corrector (not evaluated again); 2 N - 1; N + 1; N + 9."""
    calls = {name: solver_of(name).calls(10) for name in FEW}
    assert calls["unipc-3-bh2"] == calls["dpmpp-3m"] == calls["lms-4"] == calls["ipndm-4"] == 10
    assert calls["dpmpp-2s"] == calls["dpm2"] == 19 and calls["dpm3"] == 28
    assert calls["s-pndm"] == calls["plms"] == 11 and calls["f-pndm"] == 19


def test_seven_stamps_are_six_steps_and_heun_saves_a_call_only_where_it_ends_clean():
    heun = Sampling.model_validate({"solver": {"kind": "heun"}, "schedule": "even"}).solver
    for sigma, clean, calls in ((even_in_log(6), False, (6, 12)), (even_in_log(6)[:-1], True, (6, 11))):
        for solver, wanted in zip((solver_of("ipndm-3"), heun), calls, strict=True):
            counted, schedule = Counted(curved), levels_of(sigma, clean=clean)
            assert len(schedule) == 7
            run(solver, schedule, start_at(schedule), counted)
            assert counted.calls == wanted


@pytest.mark.parametrize("name", FEW)
def test_samples_of_several_levels_are_each_as_alone(name):
    factors = torch.tensor([1.0, 0.8, 1.5])
    one = levels_of(GRID)
    levels = [PROCESSES["vp"](one[i].sigma * factors) for i in range(len(GRID))] + [Level.clean(3)]
    x = start_at(one)
    together = run(solver_of(name), levels, x)
    for i in range(3):
        alone = run(solver_of(name), [level[i] for level in levels], x[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-12, atol=1e-12)


def scaled_by(factors):
    """An adjustment that multiplies the remaining noise levels of each sample."""
    return lambda mean, x, levels: [PROCESSES["vp"](level.sigma * factors) for level in levels]


@pytest.mark.parametrize("name", [name for name in FEW if name not in ("s-pndm", "plms", "f-pndm")])
def test_a_history_holds_the_levels_that_the_net_received(name):
    """An adjusted schedule and the same levels fixed differ only in where the steps between begin."""
    received = []

    def denoise(x, level):
        received.append(level.sigma.expand(3))
        return curved(x, level)

    factors = torch.tensor([0.7, 0.9, 1.0], dtype=torch.float64)
    end = run(solver_of(name), levels_of(GRID), start_at(levels_of(GRID)), denoise, adapt=scaled_by(factors))
    assert bool(end.isfinite().all())
    first_calls = [each for each in received if not torch.allclose(each, received[0])]
    assert torch.allclose(torch.stack(first_calls)[:, 2], torch.stack(first_calls)[:, 2].sort(descending=True).values)
    unscaled = run(solver_of(name), levels_of(GRID), start_at(levels_of(GRID)), curved)
    torch.testing.assert_close(end[2], unscaled[2])
    assert not torch.allclose(end[:2], unscaled[:2])


@pytest.mark.parametrize("name", FEW)
def test_a_level_that_does_not_fall_lowers_the_order_of_its_sample(name):
    """Sample 0 stands where it stood, sample 1 above; both stay finite, and sample 2 is as with none of them."""
    levels = levels_of(GRID)

    def stalling(mean, x, remaining):
        if len(remaining) != 4:
            return remaining
        sigma = remaining[0].sigma.repeat(3)
        sigma[0], sigma[1] = GRID[1], GRID[1] * 1.4
        return [PROCESSES["vp"](sigma), *(level.map(lambda values: values.repeat(3)) for level in remaining[1:])]

    x = start_at(levels)
    end = run(solver_of(name), levels, x, adapt=stalling)
    assert bool(end.isfinite().all()) and end.abs().max() < 50
    torch.testing.assert_close(end[2], run(solver_of(name), levels, x)[2], rtol=1e-12, atol=1e-12)


def test_dpm2_takes_the_noise_at_the_geometric_mean_of_its_levels():
    """sigma 4 to 1: eps at 2, x' = x - 3 eps."""
    schedule, x = levels_of([4.0, 1.0], "ve", clean=False), torch.tensor([[1.5]], dtype=torch.float64)

    def eps(x, level):
        return (x - gaussian(x, level)) / level.std

    middle = x + (2 - 4) * eps(x, schedule[0])
    wanted = x + (1 - 4) * eps(middle, levels_of([2.0], "ve", clean=False))
    torch.testing.assert_close(run(solver_of("dpm2"), schedule, x, gaussian), wanted, rtol=1e-12, atol=0)


def test_one_name_is_not_one_sampler():
    """PNDM with and without Runge-Kutta, 2M midpoint and heun, UniPC's variants, 3M whole and halved."""
    schedule = levels_of(GRID)
    ends = {name: run(solver_of(name), schedule, start_at(schedule)) for name in FEW}
    for one, other in (("f-pndm", "plms"), ("plms", "ipndm-4"), ("dpmpp-2m", "dpmpp-2m-heun"), ("dpmpp-3m", "dpmpp-3m-released"),
                       ("unipc-2-bh1", "unipc-2-bh2"), ("lms-3", "ipndm-3"), ("lms-3", "deis-3")):  # fmt: skip
        assert (ends[one] - ends[other]).abs().max() > 1e-6


def test_final_orders_change_only_the_last_steps():
    received = {}
    for final_order in ("lowered", "kept"):
        x = []
        run(solver_of("dpmpp-3m", final_order=final_order), levels_of(GRID, clean=False), start_at(levels_of(GRID)),
            lambda each, level, x=x: x.append(each) or curved(each, level))  # fmt: skip
        received[final_order] = x
    same = [torch.equal(*each) for each in zip(*received.values(), strict=True)]
    assert same == [True, True, True, True, False]


def test_dynamic_thresholding_divides_each_sample_by_its_bound():
    x = torch.tensor([[0.5, -0.9, 0.1, 0.2, 0.3], [4.0, -2.0, 1.0, 0.0, 8.0]])
    found = thresholded(lambda x, level: x, 0.75)(x, levels_of([1.0], clean=False))
    torch.testing.assert_close(found, torch.tensor([[0.5, -0.9, 0.1, 0.2, 0.3], [1.0, -0.5, 0.25, 0.0, 1.0]]))
    for name in ("dpmpp-2m", "ipndm-3"):
        schedule = levels_of(GRID)
        end = run(solver_of(name, threshold=0.995), schedule, start_at(schedule), lambda x, level: 7 * curved(x, level))
        assert name != "dpmpp-2m" or end.abs().max() <= 1


def test_an_analytic_first_step_takes_the_sample_for_noise():
    """eps = x / sqrt(alpha^2 + std^2), so that D = (x - std eps) / alpha; once only."""
    level, x = levels_of([3.0], clean=False), ORIGINS
    predict = analytic_first(curved)
    eps = x / (level.alpha**2 + level.std**2).sqrt()
    torch.testing.assert_close(predict(x, level), (x - level.std * eps) / level.alpha)
    torch.testing.assert_close(predict(x, level), curved(x, level))


def test_multistep_solvers_of_clean_predictions_go_through_an_operator():
    """Of the images that a blurred image may come from, D gives one: the last step is that estimate; the same map without an operator."""
    levels = [Level.variance_exploding(torch.tensor([std]), torch.tensor([s])) for std, s in ((2.0, 1.5), (1.0, 1.0), (0.4, 0.6))]
    levels.append(Level.clean())
    x = torch.linspace(-1, 1, 64, dtype=torch.float64).reshape(1, 1, 8, 8)
    for name in ("dpmpp-2m", "dpmpp-3m", "unipc-2-bh2"):
        solver = solver_of(name)
        assert solver.operators and not solver_of(name, first="analytic").operators
        torch.testing.assert_close(run(solver, levels, x, lambda x, level: x * 0 + 0.3, blur), torch.full_like(x, 0.3))
        plain = [Level.variance_exploding(level.std) for level in levels]
        assert torch.equal(*(run(solver, plain, x, corrupt=corrupt) for corrupt in (scale, blur))) or name
    assert not any(solver_of(name).operators for name in ("lms-2", "deis-2", "ipndm-2", "f-pndm", "dpm2", "dpm-2m"))


def test_levels_inside_a_step_are_of_its_process_and_of_none_refused():
    """Levels that were read from a file show their process by their values."""
    for process in PROCESSES:
        read = levels_of(GRID, process, clean=False)
        schedule = Level(read.alpha, read.std)
        counted = Counted(curved)
        run(solver_of("dpmpp-2s"), schedule, start_at(schedule), counted)
        middle = PROCESSES[process](torch.tensor([math.sqrt(14 * 5)], dtype=torch.float64))
        torch.testing.assert_close(counted.levels[1].alpha, middle.alpha)
        torch.testing.assert_close(counted.levels[1].std, middle.std)
    odd = Level(torch.tensor([0.5, 0.7]).double(), torch.tensor([0.7, 0.3]).double())
    with pytest.raises(ValueError, match="process") as error:
        run(solver_of("dpmpp-2s"), odd, ORIGINS)
    assert "\n" not in str(error.value)


def test_half_a_step_in_timesteps_is_a_level_of_training():
    schedule = TRAINING[torch.tensor([10, 30, 50, 70, 90, 100])]
    counted = Counted(curved)
    run(solver_of("f-pndm", half="timestep"), schedule, start_at(schedule), counted)
    assert counted.levels[1].sigma.item() == counted.levels[2].sigma.item() == TRAINING.sigma[20].item()


def test_settings_that_do_nothing_are_refused():
    with pytest.raises(ValueError, match="second_difference"):
        solver_of("dpmpp-2m", second_difference="halved")


SEARCHED = ["dpmpp-3m", "unipc-3-bh1", "lms-4", "deis-3", "ipndm-4", "dpmpp-2s", "dpm3", "f-pndm", "plms"]


@pytest.mark.parametrize("name", SEARCHED)
def test_a_search_and_a_sample_draw_the_same_numbers_from_the_same_noise(name):
    """A candidate among others, of other levels and as one batch; and the same schedule by itself."""
    keys, sampler, few = [("search", 0, i) for i in range(4)], sampling(FEW[name]), loaded()
    wanted = few.generate(keys, sampler, 5, part="search")[0].x
    schedule = few.first_schedule(sampler, 5, None)
    others = [fitted(0.3, 5, 1e-4), schedule, fitted(0.02, 5, 1e-3)]
    drawn = few.generate_by_schedule(joined(others, 4), keys, 3, sampler, None, part="search")
    torch.testing.assert_close(drawn[4:8], wanted, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(drawn[:4], wanted)


def ends_of_mixture(name, steps):
    """Ends of the flow of three modes of std 0.1, [400, 1], from 400 starts at sigma = 20 down to sigma = 0.01."""
    means, spread = torch.tensor([-1.0, -0.3, 0.9], dtype=torch.float64), 0.1

    def denoise(x, level):
        variance = spread**2 + (level.like(x).std / level.like(x).alpha) ** 2
        posterior = (-((x / level.like(x).alpha - means) ** 2) / (2 * variance)).softmax(dim=1)
        return (posterior * (means + spread**2 / variance * (x / level.like(x).alpha - means))).sum(dim=1, keepdim=True)

    x = 20 * torch.special.ndtri((torch.arange(400, dtype=torch.float64) + 0.5) / 400)[:, None]
    schedule = levels_of(even_in_log(steps, 20, 0.01), "ve", clean=False)
    return run(solver_of(name), schedule, x, denoise)


def test_the_right_third_order_is_not_better_at_few_steps():
    """Three modes: the second difference is worth its weight only from many steps on."""
    end = ends_of_mixture("unipc-3-bh2", 1280)
    errors = {
        (name, steps): (ends_of_mixture(name, steps) - end).square().mean().sqrt().item()
        for name in ("dpmpp-2m", "dpmpp-3m", "dpmpp-3m-released")
        for steps in (8, 20, 80)
    }
    assert errors["dpmpp-2m", 20] < errors["dpmpp-3m-released", 20] < errors["dpmpp-3m", 20]
    assert errors["dpmpp-3m-released", 8] < errors["dpmpp-3m", 8]
    assert errors["dpmpp-2m", 80] > errors["dpmpp-3m-released", 80] > errors["dpmpp-3m", 80]


@pytest.mark.parametrize("name", FEW)
def test_the_levels_of_a_schedule_have_a_gradient(name):
    """Of the sum of the samples with respect to log sigma of its levels, by central differences; after a sample without."""

    def total(log_sigma):
        schedule = levels_of(log_sigma.exp())
        return run(solver_of(name), schedule, ORIGINS).sum()

    middle = torch.tensor(GRID, dtype=torch.float64).log()
    with torch.inference_mode():
        total(middle)
    learned = middle.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(total(learned), learned)
    for i in (1, 3, 5):
        step = torch.zeros_like(middle)
        step[i] = 1e-5
        assert gradient[i].item() == pytest.approx((total(middle + step) - total(middle - step)).item() / 2e-5, rel=1e-5, abs=1e-7)
