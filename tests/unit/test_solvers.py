"""Solvers: each alone, in a search and in a sample; their order; a new one; the process of a schedule."""

import math
from itertools import pairwise

import pytest
import torch
from job_files import RUN

from difftables.common import registry
from difftables.config.run_spec import RunSpec
from difftables.config.sampling import Sampling
from difftables.config.solvers import MODELS, Solver
from difftables.diffusion import subschedules, training_schedules
from difftables.diffusion.beta_families import fitted
from difftables.diffusion.corruptions import scale
from difftables.diffusion.denoiser import Counted, eps_coefficients, precondition, split_variance, switched, timestep_index
from difftables.diffusion.level import PROCESSES, Level, concatenate, corruption_order, same_process
from difftables.sampling import clocks, ode, solvers
from difftables.sampling.loaded_run import LoadedRun
from difftables.sampling.rules import RULES
from difftables.training import level_densities

VP = training_schedules.TRAINING_SCHEDULES["linear"](100, first=1e-3, last=0.2)
CHURN = {"amount": 30.0, "lowest": 0.3, "highest": 2.0, "noise": 1.007}
DRAWN = {
    "walk": {"kind": "walk", "rule": "ddpm-small"},
    "noisy end": {"kind": "walk", "rule": "momentum", "noisy_end": True},
    "walk with churn": {"kind": "walk", "rule": "ddim", "churn": CHURN},
    "heun": {"kind": "heun"},
    "heun with churn": {"kind": "heun", "churn": CHURN},
    "euler in time": {"kind": "in-time", "clock": "linear", "order": 1},
    "heun in time": {"kind": "in-time", "clock": "linear", "order": 2},
    "predictor-corrector": {"kind": "predictor-corrector", "rule": "ddpm-large", "snr": 0.1},
}


def net(x, c_noise):
    return 0.3 * x + 0.1 * torch.sin(3 * x) + (c_noise.float() / 1000)[:, None, None, None]


class Shapes:
    """A medium of 4 px images without labels."""

    def shape_and_condition(self, part, count):
        return (1, 4, 4), None


def loaded(batch=3, **changes):
    """A loaded run whose net is a formula."""
    spec = RunSpec.model_validate(RUN | {"prior": "standard_normal"} | changes)
    return LoadedRun(spec, Shapes(), VP, None, precondition(net, eps_coefficients, timestep_index(VP)), torch.device("cpu"), batch)


def sampling(solver, **more):
    return Sampling.model_validate({"solver": solver, "schedule": "even", "clip": 1.0} | more)


def joined(chosen, count):
    """Several schedules as one list of levels, schedule by schedule."""
    return [concatenate([schedule[i].expand(count) for schedule in chosen]) for i in range(len(chosen[0]))]


@pytest.mark.parametrize("name", DRAWN)
def test_a_search_and_a_sample_draw_the_same_numbers_from_the_same_noise(name):
    """A candidate among others, of other levels, as one batch; and the same schedule, batch by batch."""
    keys, sampler, run = [("search", 0, i) for i in range(4)], sampling(DRAWN[name]), loaded()
    wanted = run.generate(keys, sampler, 5, part="search")[0].x
    schedule = run.first_schedule(sampler, 5, None)
    others = [fitted(0.3, 5, 1e-4), schedule, fitted(0.02, 5, 1e-3)]
    found = run.generate_by_schedule(joined(others, 4), keys, 3, sampler, None, part="search")
    assert torch.equal(found[4:8], wanted)
    assert not torch.equal(found[:4], wanted)


@pytest.mark.parametrize("name", ["walk", "heun", "heun in time", "predictor-corrector"])
def test_a_study_of_robustness_adjusts_as_a_sample_does(name, monkeypatch):
    from difftables.estimation import level_sources

    monkeypatch.setitem(level_sources.ESTIMATES, "estimator", lambda *_: lambda x: 1 / (1 + x.square().mean(dim=(1, 2, 3)).double()))
    run = loaded(batch=4, adjust={"first_beta": 1e-4})
    keys, sampler = [("search", 0, i) for i in range(4)], sampling(DRAWN[name], adapt="estimator")
    drawn, counted = run.generate(keys, sampler, 5, part="search")
    adapt = run.adjustment(sampler)
    schedule = run.first_schedule(sampler, 5, None)
    found = run.generate_by_schedule(joined([schedule], 4), keys, 1, sampler, adapt, part="search")
    assert torch.equal(found, drawn.x)
    assert adapt.evaluations == counted.evaluations == 4 * 4
    assert run.adjustment(sampler, "fibonacci").family == "fibonacci"
    assert run.spec.adjust.family == "linear"
    # What gets frozen is a level a step, however many calls a step takes.
    assert len(drawn.visited) == 5 < len(drawn.levels) or name == "walk"
    assert torch.equal(drawn.visited[0].alpha, schedule[0].alpha.expand(4))


def test_the_frozen_levels_are_those_of_the_net_where_a_step_is_a_call(monkeypatch):
    from difftables.estimation import level_sources

    monkeypatch.setitem(level_sources.ESTIMATES, "estimator", lambda *_: lambda x: 1 / (1 + x.square().mean(dim=(1, 2, 3)).double()))
    run = loaded(adjust={"first_beta": 1e-4})
    drawn = run.generate([("frozen", 0, i) for i in range(5)], sampling(DRAWN["walk"], adapt="estimator"), 6, part="frozen")[0]
    assert all(torch.equal(a.alpha_bar, b) for a, b in zip(drawn.visited, drawn.levels, strict=True))


def test_an_ensemble_that_takes_one_level_at_a_time_is_drawn_schedule_by_schedule():
    keys, sampler, run = [("search", 0, i) for i in range(4)], sampling(DRAWN["walk"]), loaded(edge_run=RUN)
    run.denoise = switched(lambda x, level: 0.5 * x, run.denoise, VP, 0.1)
    wanted = run.generate(keys, sampler, 5, part="search")[0].x
    schedule = run.first_schedule(sampler, 5, None)
    found = run.generate_by_schedule(joined([fitted(0.3, 5, 1e-4), schedule], 4), keys, 2, sampler, None, part="search")
    assert torch.equal(found[4:], wanted)


def test_a_solver_that_visits_no_schedule_cannot_be_searched():
    sampler = sampling({"kind": "rk45", "path": "linear"})
    with pytest.raises(ValueError, match="rk45"):
        loaded().generate_by_schedule(
            joined([fitted(0.3, 1, 1e-4)], 2), [("search", 0, 0), ("search", 0, 1)], 1, sampler, None, part="search"
        )


def test_rk45_starts_at_the_noisiest_level_of_its_path():
    """Whatever the schedule says: N(0, I) times the path's std at t = 1, where the prior asks for it."""
    sampler, run = sampling({"kind": "rk45", "path": "linear", "tolerance": 1e-2}), loaded(prior="noise_alone")
    begun = []
    run.prior = lambda randn, like, level: begun.append(level) or randn(like)
    run.generate([("sample", 0, 0)], sampler, 1, part="test")
    assert [level.sigma.item() for level in begun] == pytest.approx([ode.PATHS["linear"](VP).sigma(1.0)])


def test_every_solver_has_a_model_and_a_function():
    assert list(solvers.SOLVERS) == list(MODELS)
    for rule in RULES:
        assert registry.takes("sampling.rules.RULES", rule, "v") == (rule == "ddpm-learned")


@pytest.mark.parametrize("name", [name for name in DRAWN if "noisy" not in name])
def test_the_plan_counts_the_calls_that_are_made(name):
    solver, counted = sampling(DRAWN[name]).solver, Counted(precondition(net, eps_coefficients, timestep_index(VP)))
    x = torch.zeros(2, 1, 4, 4)
    solvers.bind(solver, VP)(x, subschedules.strided(VP, 7), denoise=counted, corrupt=scale, randn=torch.ones_like)
    assert counted.calls == solver.calls(7)


def test_a_solver_that_reads_the_schedule_of_training_says_so():
    with pytest.raises(ValueError, match="predictor-corrector"):
        solvers.bind(sampling(DRAWN["predictor-corrector"]).solver)


SPREAD, TOP, END = 0.5, 20.0, 0.05  # of the data; sigma where the flow starts and ends


def error(solver, steps):
    """Of the flow of N(0, s^2), x = alpha sqrt(s^2 + sigma^2), from sigma = 20 to 0.05 in steps even in log sigma, through VP levels."""
    sigma = torch.logspace(math.log10(TOP), math.log10(END), steps + 1, dtype=torch.float64)
    schedule = PROCESSES["vp"](sigma)
    x = (schedule.alpha[0] * math.sqrt(SPREAD**2 + TOP**2)).reshape(1, 1)

    def denoise(x, level):
        return x / level.alpha * SPREAD**2 / (SPREAD**2 + level.sigma**2)

    found = solvers.bind(solver)(x, schedule, denoise=denoise, corrupt=lambda x, level: level.alpha * x, randn=torch.randn_like)
    return abs(found.item() - schedule.alpha[-1].item() * math.sqrt(SPREAD**2 + END**2))


def two_steps(x, schedule, *, denoise, corrupt, randn):
    """DPM-Solver++ (2M): the DDIM step with D~ = (1 + 1 / (2 r)) D - D_before / (2 r), r the last step over this one in log sigma."""
    history = []

    def step(x, now, nxt):
        x0 = split_variance(denoise(x, now))[0]
        history.append((now.sigma.log(), x0))
        replaced = x0
        if len(history) > 1 and bool((nxt.std > 0).all()):
            r = (history[-2][0] - history[-1][0]) / (history[-1][0] - nxt.sigma.log())
            replaced = (1 + 1 / (2 * r)) * x0 - history[-2][1] / (2 * r)
        noise = (x - corrupt(replaced, now)) / now.like(x).std
        found = corrupt(replaced, nxt) + RULES["ddim"](now, nxt)[0][:, None] * noise
        return found, found

    return solvers.descend(x, schedule, step)


class TwoSteps(Solver):
    """A multistep solver: a model, a function, an entry."""

    kind: str = "two-steps"


@pytest.mark.parametrize(
    ("solver", "order"),
    [
        (sampling({"kind": "walk", "rule": "ddim"}).solver, 1), (sampling({"kind": "heun"}).solver, 2), (TwoSteps(), 2),
        (sampling(DRAWN["euler in time"]).solver, 1), (sampling(DRAWN["heun in time"]).solver, 2),
    ],
    ids=["ddim", "heun", "two steps", "euler in time", "heun in time"],
)  # fmt: skip
def test_the_order_of_convergence(solver, order, monkeypatch):
    monkeypatch.setitem(solvers.SOLVERS, "two-steps", two_steps)
    errors = [error(solver, steps) for steps in (80, 160, 320)]
    assert [math.log2(a / b) for a, b in pairwise(errors)] == pytest.approx([order] * 2, abs=0.15)


def test_each_process_ties_alpha_to_std():
    sigma = torch.logspace(-4, 4, 33, dtype=torch.float64)
    for name, tied in (
        ("vp", lambda level: level.alpha**2 + level.std**2), ("sub-vp", lambda level: level.alpha**2 + level.std), ("ve", lambda x: x.alpha)
    ):  # fmt: skip
        level = PROCESSES[name](sigma)
        assert level.process == name
        torch.testing.assert_close(level.sigma, sigma, rtol=1e-7, atol=0)
        torch.testing.assert_close(tied(level), torch.ones_like(sigma), rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("family", "options"),
    [("linear", {"first": 1e-3, "last": 0.2}), ("cosine", {}), ("sub-linear", {"first": 1e-3, "last": 0.2}),
     ("exploding", {"lowest": 0.02, "highest": 20.0}),
     ("soft", {"lowest": 0.02, "highest": 0.2, "reached": 0.25, "weakest": 0.01, "strongest": 2.0})],
)  # fmt: skip
def test_a_schedule_knows_its_process_and_levels_between_its_own_follow_it(family, options):
    schedule = training_schedules.TRAINING_SCHEDULES[family](50, **options)
    assert (
        schedule.process
        == training_schedules.PROCESS_OF_SCHEDULE[family]
        == registry.text("diffusion.training_schedules.PROCESS_OF_SCHEDULE", family)
    )
    assert schedule[3:7].process == schedule.process == schedule.to("cpu").expand(51).process
    again = same_process(schedule, schedule.sigma[:-1])
    torch.testing.assert_close(again.alpha, schedule.alpha[:-1])
    torch.testing.assert_close(again.std, schedule.std[:-1])


def test_what_is_spaced_or_drawn_between_the_levels_of_sub_vp_is_sub_vp():
    schedule, stream = training_schedules.TRAINING_SCHEDULES["sub-linear"](50, first=1e-3, last=0.2), torch.Generator().manual_seed(0)
    drawn = [level_densities.DENSITIES[name](schedule, 20, stream) for name in ("log_sigma", "log_normal", "between")]
    for level in (subschedules.power_law(schedule, 9), *drawn):
        assert level.process == "sub-vp"
        torch.testing.assert_close(level.std, 1 - level.alpha**2)
    assert bool((corruption_order(drawn[0]) <= schedule.sigma[0]).all())


def test_levels_of_unknown_process_have_none_between():
    read = Level(torch.tensor([0.5, 1.0]).double(), torch.tensor([0.5, 0.0]).double())
    assert read.process == concatenate([PROCESSES["vp"](torch.ones(1)), PROCESSES["ve"](torch.ones(1))]).process == ""
    with pytest.raises(ValueError, match="process"):
        same_process(read, torch.ones(1))


def test_paths_follow_their_process():
    for name, path in ode.PATHS.items():
        family, options = {"ve": ("exploding", {"lowest": 0.01, "highest": 50.0}), "vp": ("cosine", {})}[ode.PROCESS[name]]
        assert path(training_schedules.TRAINING_SCHEDULES[family](50, **options)).at(0.7).process == ode.PROCESS[name]


SIGMA = torch.logspace(math.log10(0.02), math.log10(80), 25, dtype=torch.float64)


@pytest.mark.parametrize("name", clocks.CLOCKS)
def test_a_clock_runs_as_its_rates_say(name):
    """d sigma / dt is 1 / (dt / d sigma), and d log alpha / dt that of the process."""
    clock, sigma = clocks.CLOCKS[name](), SIGMA.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(clock.time(sigma).sum(), sigma)
    torch.testing.assert_close(clock.slope(SIGMA), 1 / gradient)
    log_alpha = PROCESSES[clocks.PROCESS[name]](sigma).alpha.log()
    fading = torch.autograd.grad(log_alpha.sum(), sigma)[0] / gradient if log_alpha.requires_grad else torch.zeros_like(SIGMA)
    torch.testing.assert_close(clock.fading(SIGMA), fading)
    assert clock.time(torch.zeros(1, dtype=torch.float64)).item() == 0


def test_the_clock_of_vp_is_that_of_its_path():
    clock, path = clocks.CLOCKS["linear"](), ode.PATHS["linear"](VP)
    for t in (1e-3, 0.3, 1.0):
        sigma = torch.tensor([path.sigma(t)], dtype=torch.float64)
        assert (clock.time(sigma).item(), clock.slope(sigma).item(), clock.fading(sigma).item()) == pytest.approx(
            (t, path.slope(t), path.fading(t))
        )


def through(solver, schedule, x):
    """The samples of a solver for the denoiser x / 2."""
    return solvers.bind(solver)(x, schedule, denoise=lambda x, level: 0.5 * x, corrupt=scale, randn=torch.zeros_like)


def test_euler_in_sigma_squared_is_the_rule_of_the_probability_flow():
    schedule = training_schedules.TRAINING_SCHEDULES["exploding"](9, lowest=0.1, highest=5.0)
    x = torch.linspace(-3, 3, 7, dtype=torch.float64).reshape(-1, 1, 1, 1)
    euler = through(sampling({"kind": "in-time", "clock": "sigma-squared", "order": 1}).solver, schedule, x)
    torch.testing.assert_close(euler, through(sampling({"kind": "walk", "rule": "flow"}).solver, schedule, x), rtol=1e-12, atol=0)


def test_heun_in_sigma_squared_by_hand():
    """sigma 2 to 1 with D = x / 2: slopes x / (4 sigma^2); Euler x - 3 x / 16 = 13 x / 16; their mean (x / 16 + 13 x / 64) / 2."""
    schedule = PROCESSES["ve"](torch.tensor([2.0, 1.0]))
    x = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    found = through(sampling({"kind": "in-time", "clock": "sigma-squared", "order": 2}).solver, schedule, x)
    assert found.item() == pytest.approx(1 - 3 * (1 / 16 + 13 / 64) / 2)
