"""Stochastic solvers of few steps: their drift, their noise, their ends and costs."""

import math
from itertools import pairwise

import pytest
import torch
from pydantic import ValidationError
from scipy.integrate import quad
from test_few_step_solvers import GRID, SPREAD, curved, even_in_log, gaussian, levels_of

from difftables.common.seeds import SampleNoise
from difftables.config.sampling import Sampling
from difftables.diffusion import training_schedules
from difftables.diffusion.corruptions import blur, scale
from difftables.diffusion.denoiser import Counted
from difftables.diffusion.level import PROCESSES, Level
from difftables.sampling import er_sde, rules, solvers, stochastic

TRAINING = training_schedules.TRAINING_SCHEDULES["linear"](100, first=1e-3, last=0.2)
JUMPS = [{"stamps": 3, "repeats": 2, "lowest": 0.4, "highest": 1.5}, {"stamps": 2, "repeats": 1, "lowest": 2.0, "highest": 6.0}]
NOISY = {
    "sde-dpmpp-1": {"kind": "sde-dpmpp", "order": 1},
    "sde-dpmpp-2m": {"kind": "sde-dpmpp", "order": 2},
    "sde-dpmpp-2m-heun": {"kind": "sde-dpmpp", "order": 2, "second": "heun"},
    "sde-dpmpp-3m": {"kind": "sde-dpmpp", "order": 3},
    "sde-dpmpp-3m-released": {"kind": "sde-dpmpp", "order": 3, "second_difference": "halved"},
    "seeds-2": {"kind": "seeds"},
    "er-sde-1": {"kind": "er-sde", "order": 1},
    "er-sde-2": {"kind": "er-sde", "order": 2},
    "er-sde-3": {"kind": "er-sde", "order": 3},
    "er-sde-3-released": {"kind": "er-sde", "order": 3, "differences": "taylor", "integrals": "left-sums"},
}  # fmt: skip
ALL = NOISY | {"restart": {"kind": "restart", "jumps": JUMPS}}
HISTORY = [name for name in NOISY if name != "seeds-2"]


def of(settings):
    return Sampling.model_validate({"solver": settings, "schedule": "even"}).solver


class Draws:
    """Standard normal noise of one generator that counts how often it is asked."""

    def __init__(self, seed=0):
        self.generator, self.count = torch.Generator().manual_seed(seed), 0

    def __call__(self, x):
        self.count += 1
        return torch.randn(x.shape, generator=self.generator, dtype=x.dtype)


def run(settings, schedule, x, denoise=curved, randn=None, corrupt=scale, **more):
    function = solvers.bind(of(settings), TRAINING)
    return function(x, schedule, denoise=denoise, corrupt=corrupt, randn=randn or Draws(), **more)


def points(count=4):
    return torch.linspace(-1.5, 2, 2 * count, dtype=torch.float64).reshape(count, 2)


DDIM, SMALL = ({"kind": "walk", "rule": rule} for rule in ("ddim", "ddpm-small"))
EQUAL = [
    ({"kind": "sde-dpmpp", "order": 1, "eta": 0.0}, DDIM),
    ({"kind": "sde-dpmpp", "order": 1}, SMALL),
    ({"kind": "er-sde", "order": 1, "noise_function": "ode"}, DDIM),
    ({"kind": "er-sde", "order": 1, "noise_function": "ddpm"}, SMALL),
    *[({"kind": "sde-dpmpp", "eta": 0.0} | more, {"kind": "dpmpp"} | more) for more in (
        {"order": 2}, {"order": 2, "second": "heun"}, {"order": 2, "final_order": "kept"},
    )],
    ({"kind": "sde-dpmpp", "eta": 0.0, "order": 3}, {"kind": "dpmpp", "order": 3, "second": "heun"}),
    ({"kind": "sde-dpmpp", "eta": 0.0, "order": 3, "second_difference": "halved"},
     {"kind": "dpmpp", "order": 3, "second": "heun", "second_difference": "halved"}),
    ({"kind": "seeds", "eta": 0.0}, {"kind": "singlestep", "order": 2, "prediction": "clean"}),
]  # fmt: skip


@pytest.mark.parametrize("process", ["ve", "vp", "sub-vp"])
@pytest.mark.parametrize(("one", "other"), EQUAL, ids=[str(each) for each, _ in EQUAL])
def test_without_noise_it_is_the_ode_solver_and_with_one_prediction_ddpm(one, other, process):
    """The same draws in both; levels that all samples share, and one a sample."""
    shared = levels_of(GRID, process)
    own = [PROCESSES[process](shared[i].sigma * torch.tensor([1.0, 0.9, 1.3, 0.7])) for i in range(len(GRID))] + [Level.clean(4)]
    for schedule in (shared, own):
        torch.testing.assert_close(run(one, schedule, points()), run(other, schedule, points()), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("process", ["ve", "vp"])
def test_the_eta_of_ddim_is_that_of_the_exponential_at_0_and_1_only(process):
    """DDIM: up = eta sigma' sqrt(1 - (sigma'/sigma)^2), down^2 = sigma'^2 - up^2; exponential: down = (sigma'/sigma)^eta sigma'."""
    now, nxt = (PROCESSES[process](torch.tensor([sigma], dtype=torch.float64)) for sigma in (3.0, 1.2))
    for eta in (0.0, 0.3, 0.5, 1.0):
        up = eta * 1.2 * math.sqrt(1 - 0.4**2)
        a, b = (each.item() / nxt.alpha.item() for each in rules.ddim(now, nxt, eta))
        assert (a, b) == pytest.approx((math.sqrt(1.2**2 - up**2), up), abs=1e-12)
        a, b = (each.item() / nxt.alpha.item() for each in stochastic.exponential_noise(now, nxt, eta))
        assert (a, b) == pytest.approx((1.2 * 0.4**eta, 1.2 * math.sqrt(1 - 0.4 ** (2 * eta))), abs=1e-12)
        assert (b == pytest.approx(up, abs=1e-12)) == (eta in (0.0, 1.0))


# -- the drift ---------------------------------------------------------------------------------------------------


def faded(settings, top, end):
    """Mean of x / alpha at sigma = end over that at the top, for N(0, s^2): d log m / d sigma = (phi' / phi) sigma^2 / (s^2 + sigma^2).

    phi = sigma^(1 + eta) gives ((s^2 + end^2) / (s^2 + top^2))^((1 + eta) / 2).
    """
    if settings["kind"] != "er-sde":
        return ((SPREAD**2 + end**2) / (SPREAD**2 + top**2)) ** ((1 + settings["eta"]) / 2)

    def slope(v):
        sigma, power = math.exp(v), math.exp(v) ** 0.3
        return (1 + 0.3 * power * math.exp(power) / (math.exp(power) + 10)) * sigma**2 / (SPREAD**2 + sigma**2)

    return math.exp(-quad(slope, math.log(end), math.log(top), epsabs=1e-13, epsrel=1e-13)[0])


def drift_orders(settings, monkeypatch, exact_steps=2, counts=(80, 160, 320)):
    """Binary orders that the error of the mean falls by, from the exact values of the first levels."""
    errors = []
    for steps in counts:
        sigma = even_in_log(steps, 5.0, 0.05)
        schedule, x = levels_of(sigma, clean=False), torch.ones(1, 1, dtype=torch.float64)

        last = sigma[exact_steps].item() * (1 - 1e-9)

        def begun(x, now, nxt, x0, a, b, last=last, step=stochastic.noised_step, **more):
            if nxt.sigma.item() < last:
                return step(x, now, nxt, x0, a, b, **more)
            return (torch.full_like(x, nxt.alpha.item() * faded(settings, 5.0, nxt.sigma.item())),) * 2

        with monkeypatch.context() as patch:
            if settings["kind"] != "seeds":
                patch.setattr(stochastic, "noised_step", begun)
            end = run(settings, schedule, x * schedule.alpha[0], gaussian, torch.zeros_like)
        errors.append(abs(end.item() / schedule.alpha[-1].item() - faded(settings, 5.0, 0.05)))
    return [math.log2(before / after) for before, after in pairwise(errors)]


@pytest.mark.parametrize("eta", [0.0, 0.5, 2.0])
@pytest.mark.parametrize(
    ("name", "order"),
    [("sde-dpmpp-1", 1), ("sde-dpmpp-2m", 2), ("sde-dpmpp-2m-heun", 2), ("sde-dpmpp-3m", 3), ("sde-dpmpp-3m-released", 2), ("seeds-2", 2)],
)
def test_the_order_of_the_drift_at_a_temperature(name, order, eta, monkeypatch):
    kept = {} if name == "seeds-2" else {"final_order": "kept"}
    assert drift_orders(NOISY[name] | kept | {"eta": eta}, monkeypatch)[-1] == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize(("order", "differences", "wanted"), [(1, "newton", 1), (2, "newton", 2), (3, "newton", 3), (3, "taylor", 2)])
def test_the_order_of_the_drift_of_er_sde(order, differences, wanted, monkeypatch):
    settings = {"kind": "er-sde", "order": order, "differences": differences, "final_order": "kept"}
    assert drift_orders(settings, monkeypatch)[-1] == pytest.approx(wanted, abs=0.25)


def test_the_released_sums_leave_order_1(monkeypatch):
    """A left sum of 100 points is off by a share of the step that no smaller step makes smaller: seen once the rest is below it."""
    settings = {"kind": "er-sde", "order": 3, "differences": "taylor", "integrals": "left-sums", "final_order": "kept"}
    assert drift_orders(settings, monkeypatch, counts=(640, 1280, 2560))[-1] == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("settings", [{"kind": "sde-dpmpp", "order": 1}, {"kind": "er-sde", "order": 1, "noise_function": "ddpm"}], ids=str)
def test_on_normal_data_one_step_of_ddpm_has_the_exact_mean(settings):
    """D is a martingale of the reverse process of temperature 1, and linear: E x' = x (s^2 + sigma'^2) / (s^2 + sigma^2), any step."""
    schedule = levels_of([5.0, 0.05], "ve", clean=False)
    end = run(settings, schedule, torch.ones(1, 1, dtype=torch.float64), gaussian, torch.zeros_like)
    assert end.item() == pytest.approx((SPREAD**2 + 0.05**2) / (SPREAD**2 + 5.0**2), rel=1e-12)


def test_the_integrals_of_a_noise_function():
    """phi = s^2: S = 1/low - 1/high, S1 = log(high/low) - high S; phi = s: S = log(high/low), S1 = high - low - high S."""
    low, high = torch.tensor([0.002, 0.5, 1.0], dtype=torch.float64), torch.tensor([80.0, 0.7, 1.001], dtype=torch.float64)
    whole, first = er_sde.quadrature(er_sde.ddpm, low, high)
    torch.testing.assert_close(whole, 1 / low - 1 / high, rtol=1e-9, atol=0)
    torch.testing.assert_close(first, (high / low).log() - high * (1 / low - 1 / high), rtol=1e-9, atol=1e-15)
    whole, first = er_sde.quadrature(er_sde.ode, low, high)
    torch.testing.assert_close(whole, (high / low).log(), rtol=1e-12, atol=0)
    torch.testing.assert_close(first, (high - low) - high * (high / low).log(), rtol=1e-9, atol=1e-15)
    for exact, summed in zip(
        er_sde.quadrature(er_sde.recommended, low, high), er_sde.left_sums(er_sde.recommended, low, high), strict=True
    ):
        assert ((summed / exact - 1).abs()[1:] < 0.02).all() and abs(summed[0] / exact[0] - 1) > 0.02


# -- the noise ---------------------------------------------------------------------------------------------------


def coefficients(settings, schedule, denoise):
    """What each draw adds to the end, with 0 at the start: run once with each draw 1 and all others 0."""
    counted = Draws()
    run(settings, schedule, torch.zeros(1, 1, dtype=torch.float64), denoise, counted)
    asked = -1

    def impulse(x):
        nonlocal asked
        asked += 1
        return torch.eye(counted.count, dtype=torch.float64)[:, asked : asked + 1]

    return run(settings, schedule, torch.zeros(counted.count, 1, dtype=torch.float64), denoise, impulse).flatten()


@pytest.mark.parametrize("process", ["ve", "vp"])
@pytest.mark.parametrize("name", NOISY)
def test_of_one_clean_sample_the_noise_keeps_the_variance_of_the_level(name, process):
    """x = alpha y + std n stays so: the end has mean alpha' y and variance std'^2."""
    schedule = levels_of(GRID, process, clean=False)

    def denoise(x, level):
        return torch.full_like(x, 0.7)

    carried = run(NOISY[name], schedule, schedule[0].std[None], lambda x, level: 0 * x, torch.zeros_like)
    drawn = coefficients(NOISY[name], schedule, lambda x, level: 0 * x)
    assert (carried.square() + drawn.square().sum()).item() == pytest.approx(schedule.std[-1].item() ** 2, rel=1e-12)
    mean = run(NOISY[name], schedule, 0.7 * schedule[0].alpha[None], denoise, torch.zeros_like)
    assert mean.item() == pytest.approx(0.7 * schedule.alpha[-1].item(), rel=1e-12)


def moved(settings, sigma):
    """(k, share) of each step in x / alpha: k = what stays of x - D, share = the std of its noise, by the formulas of the papers."""
    for now, nxt in pairwise(sigma):
        if settings["kind"] == "er-sde":
            phi = [each * (math.exp(each**0.3) + 10) for each in (now, nxt)]
            k = phi[1] / phi[0]
            yield k, math.sqrt(nxt**2 - k**2 * now**2)
        else:
            eta = settings.get("eta", 1.0)
            yield (nxt / now) ** (1 + eta), nxt * math.sqrt(1 - (nxt / now) ** (2 * eta))


RECURRED = [
    {"kind": "sde-dpmpp", "order": 1, "eta": 0.5}, {"kind": "sde-dpmpp", "order": 2, "eta": 1.0}, {"kind": "er-sde", "order": 1},
]  # fmt: skip


@pytest.mark.parametrize("settings", RECURRED, ids=str)
def test_the_variance_of_drawn_samples_is_that_of_its_recursion(settings):
    """v' = (k + (1 - k) r)^2 v + noise^2, r = s^2 / (s^2 + sigma^2); of (x, D_before) with two predictions. 4 standard errors."""
    sigma, count = [6.0, 2.5, 1.2, 0.5, 0.2], 100_000
    covariance = torch.diag(torch.tensor([SPREAD**2 + sigma[0] ** 2, 0.0], dtype=torch.float64))
    for i, (k, share) in enumerate(moved(settings, sigma)):
        ratio, ahead = SPREAD**2 / (SPREAD**2 + sigma[i] ** 2), 0.0
        if settings["order"] == 2 and 0 < i < len(sigma) - 2:
            ahead = math.log(sigma[i] / sigma[i + 1]) / math.log(sigma[i - 1] / sigma[i]) / 2
        step = torch.tensor([[k + (1 - k) * (1 + ahead) * ratio, -(1 - k) * ahead], [ratio, 0.0]], dtype=torch.float64)
        covariance = step @ covariance @ step.T
        covariance[0, 0] += share**2
    draws = Draws(3)
    x = math.sqrt(SPREAD**2 + sigma[0] ** 2) * draws(torch.zeros(count, 1, dtype=torch.float64))
    end = run(settings, levels_of(sigma, "ve", clean=False), x, gaussian, draws)
    assert end.var().item() == pytest.approx(covariance[0, 0].item(), rel=4 * math.sqrt(2 / count))


def variance_error(settings, steps):
    schedule = levels_of(even_in_log(steps, 5.0, 0.05), "ve", clean=False)
    carried = run(settings, schedule, torch.ones(1, 1, dtype=torch.float64), gaussian, torch.zeros_like).item()
    drawn = coefficients(settings, schedule, gaussian).square().sum().item()
    return abs(carried**2 * (SPREAD**2 + 5.0**2) + drawn - SPREAD**2 - 0.05**2)


def test_seeds_2_has_order_2_in_the_variance_and_one_prediction_order_1():
    for settings, order in (({"kind": "seeds"}, 2), ({"kind": "sde-dpmpp", "order": 1}, 1)):
        assert math.log2(variance_error(settings, 40) / variance_error(settings, 80)) == pytest.approx(order, abs=0.15)


# -- levels, ends, costs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_the_same_sigma_as_levels_of_ve_and_of_vp_give_the_same_samples(name):
    ends = []
    for process in ("ve", "vp"):
        schedule = levels_of(GRID, process, clean=False)
        end = run(ALL[name], schedule, points() * 10 * schedule[0].alpha, gaussian)
        ends.append(end / schedule[-1].alpha)
    torch.testing.assert_close(*ends, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", NOISY)
def test_a_clean_end_is_the_estimate_and_draws_no_noise(name):
    per_step = 2 if name == "seeds-2" else 1
    for final_order in ({}, {"final_order": "kept"}) if name in HISTORY else ({},):
        for steps in range(1, 7):
            estimates, draws = [], Draws()

            def denoise(x, level, estimates=estimates):
                estimates.append(curved(x, level))
                return estimates[-1]

            end = run(NOISY[name] | final_order, levels_of(GRID[:steps]), points(), denoise, draws)
            assert torch.equal(end, estimates[-1]) and draws.count == per_step * (steps - 1)


@pytest.mark.parametrize("name", HISTORY)
def test_euler_at_final_is_a_last_step_of_ddim(name):
    schedule, draws, calls = levels_of(GRID, clean=False), Draws(), []

    def denoise(x, level):
        calls.append((x, level))
        return curved(x, level)

    end = run(NOISY[name] | {"euler_at_final": True, "final_order": "kept"}, schedule, points(), denoise, draws)
    x, last = calls[-1]
    x0 = curved(x, last)
    wanted = scale(x0, schedule[-1]) + schedule[-1].std / last.std * (x - scale(x0, last))
    torch.testing.assert_close(end, wanted, rtol=1e-12, atol=1e-12)
    assert draws.count == len(schedule) - 2


@pytest.mark.parametrize("name", ALL)
def test_the_plan_counts_the_calls_that_are_made(name):
    for steps in range(3, 9):
        solver, counted = of(ALL[name]), Counted(curved)
        run(ALL[name], levels_of(even_in_log(steps - 1)), points(), counted)
        assert counted.calls == solver.calls(steps)
    if name in NOISY:
        counted = Counted(curved)
        run(NOISY[name] | {"first": "analytic"}, levels_of(GRID), points(), counted)
        assert counted.calls == of(NOISY[name] | {"first": "analytic"}).calls(len(GRID))


@pytest.mark.parametrize("name", NOISY)
def test_a_sample_does_not_depend_on_the_levels_of_its_batch(name):
    shared = levels_of(GRID)
    levels = [PROCESSES["vp"](shared[i].sigma * torch.tensor([1.0, 0.8, 1.5])) for i in range(len(GRID))] + [Level.clean(3)]
    together = run(NOISY[name], levels, points(3), randn=SampleNoise([("sample", 0, i) for i in range(3)]))
    for i in range(3):
        alone = run(NOISY[name], [level[i] for level in levels], points(3)[i : i + 1], randn=SampleNoise([("sample", 0, i)]))
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", HISTORY)
def test_an_adjusted_level_that_does_not_fall_leaves_the_history_out(name):
    """The second level is raised to the first one's: its step uses one prediction, as of order 1."""
    schedule = levels_of(GRID[:3], clean=False)
    first = {key: value for key, value in NOISY[name].items() if key not in ("second", "second_difference", "differences")} | {"order": 1}
    ends = [
        run(settings, schedule, points(), adapt=lambda mean, x, levels: [schedule[0], *levels[1:]])
        for settings in (NOISY[name] | {"final_order": "kept"}, first)
    ]
    torch.testing.assert_close(*ends, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NOISY)
def test_histories_go_through_an_operator_and_inner_stages_do_not(name):
    assert of(NOISY[name]).operators == (name in HISTORY)
    assert not of(ALL["restart"]).operators
    if name in HISTORY:
        levels = Level.variance_exploding(torch.tensor([0.3, 0.2, 0.1, 0.05, 0.0]), torch.tensor([2.0, 1.5, 1.0, 0.5, 0.0]))
        x = torch.linspace(-1, 1, 32, dtype=torch.float64).reshape(2, 1, 4, 4)
        assert run(NOISY[name], levels, x, lambda x, level: 0.5 * x, corrupt=blur).isfinite().all()


# -- restart -----------------------------------------------------------------------------------------------------


def test_calls_of_restart_as_its_authors_print_them():
    def calls(steps, *jumps):
        entries = [dict(zip(("stamps", "repeats", "lowest", "highest"), jump, strict=True)) for jump in jumps]
        solver, counted = of({"kind": "restart", "jumps": entries}), Counted(curved)
        sigma = torch.linspace(80 ** (1 / 7), 0.002 ** (1 / 7), steps, dtype=torch.float64) ** 7
        run({"kind": "restart", "jumps": entries}, levels_of(sigma, "ve"), points(), counted)
        assert counted.calls == solver.calls(steps)
        return counted.calls

    jumps = [(4, 1, 19.35, 40.79), (4, 1, 1.09, 1.92), (4, 5, 0.59, 1.09), (4, 5, 0.30, 0.59), (6, 6, 0.06, 0.30)]
    assert calls(36, *jumps) == 203
    assert calls(18, (3, 2, 0.06, 0.30)) == 43


def test_a_jump_by_hand():
    """D = 0, so that every step down scales x by sigma' / sigma: 4 to 1, up to 2 by 1.1 sqrt(2^2 - 1^2), down to 1, to 0.25."""
    settings = {"kind": "restart", "jumps": [{"stamps": 3, "repeats": 1, "lowest": 0.9, "highest": 2.0}], "noise": 1.1}
    for process in ("ve", "vp"):
        schedule = levels_of([4.0, 1.0, 0.25], process, clean=False)
        end = run(settings, schedule, 4 * schedule[0].alpha[None], lambda x, level: 0 * x, torch.ones_like)
        assert end.item() / schedule.alpha[-1].item() == pytest.approx(0.25 * (1 + 1.1 * math.sqrt(3)) / 2, rel=1e-12)


def test_jumps_at_one_level_are_all_made():
    jump = {"stamps": 2, "repeats": 1, "lowest": 0.9, "highest": 2.0}
    draws = Draws()
    run({"kind": "restart", "jumps": [jump, jump | {"lowest": 1.1}]}, levels_of([4.0, 1.0, 0.25]), points(), randn=draws)
    assert draws.count == 2


def test_a_jump_that_does_not_rise_is_refused():
    jump = {"stamps": 2, "repeats": 1, "lowest": 0.06, "highest": 0.3}
    with pytest.raises(ValueError, match="highest"):
        run({"kind": "restart", "jumps": [jump]}, levels_of([4.0, 1.0]), points())
    with pytest.raises(ValueError, match="more steps"):
        run({"kind": "restart", "jumps": [jump]}, levels_of([4.0]), points())
    with pytest.raises(ValidationError, match="highest"):
        of({"kind": "restart", "jumps": [jump | {"highest": 0.05}]})


@pytest.mark.parametrize(
    "settings",
    [{"kind": "sde-dpmpp", "order": 3, "second": "heun"}, {"kind": "sde-dpmpp", "order": 2, "second_difference": "halved"},
     {"kind": "er-sde", "order": 2, "differences": "taylor"}, {"kind": "er-sde", "order": 2, "noise_function": "other"},
     {"kind": "restart", "jumps": []}],
    ids=str,
)  # fmt: skip
def test_settings_that_do_nothing_or_are_unknown_are_refused(settings):
    with pytest.raises(ValidationError):
        of(settings)
