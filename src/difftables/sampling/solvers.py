"""Solvers: from noise down a schedule to a sample. All have one signature, and further arguments that their models in config name.

    (x, schedule, *, denoise, corrupt, randn, <further arguments>) -> x

A solver whose model has `per_sample` takes `adapt`; one that reads the training schedule takes `training`, one that reads the rates of
its process in continuous time `rates`; one whose samples choose their own steps takes `record`. The history of a multistep
solver is a list inside its function: `descend` calls its step once per level, in order.
"""

from collections.abc import Callable
from functools import partial
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from difftables.common.variants import Variants
from difftables.config.solvers import AnySolver, Churn, PathSolver
from difftables.diffusion.denoiser import Denoiser, split_variance
from difftables.diffusion.level import Level, shape
from difftables.diffusion.linear_process import SONG, LinearRates
from difftables.sampling import ode
from difftables.sampling.clocks import CLOCKS
from difftables.sampling.correctors import AddNoise, LangevinStep, Randn, langevin_rate
from difftables.sampling.descent import Adapt, Before, Corrupt, Levels, descend
from difftables.sampling.er_sde import er_sde
from difftables.sampling.multistep import deis, dpmpp, ipndm, lms
from difftables.sampling.pndm import pndm
from difftables.sampling.restart import restart
from difftables.sampling.reverse_sde import adaptive_sde, sde_heun
from difftables.sampling.rules import RULES
from difftables.sampling.singlestep import singlestep
from difftables.sampling.stochastic import sde_dpmpp, seeds
from difftables.sampling.transfers import heun_step
from difftables.sampling.unipc import unipc
from difftables.sampling.weighted import weighted

Solve = Callable[..., Tensor]


def step_of(
    rule: str, *, denoise: Denoiser, corrupt: Corrupt, randn: Randn, noisy_end: bool, eta: float | None = None
) -> Callable[..., tuple[Tensor, Tensor]]:  # fmt: skip
    """The step of a rule of RULES, A' D + a eps + b n: mean and noised result; the last adds no noise unless `noisy_end`."""
    function = RULES[rule] if eta is None else partial(RULES[rule], eta=eta)
    wants_v = "v" in signature(function).parameters

    def step(x: Tensor, now: Level, nxt: Level) -> tuple[Tensor, Tensor]:
        x0, v = split_variance(denoise(x, now))
        noise = (x - corrupt(x0, now)) / now.like(x).std
        # Variances are small differences: taken in float64, and only then cast to the dtype of x.
        a, b = function(now, nxt, v=v) if wants_v else function(now, nxt)
        b = b if noisy_end else torch.where(shape(nxt.std, b) > 0, b, 0.0)
        mean = corrupt(x0, nxt) + shape(a, x) * noise
        return mean, mean + shape(b, x) * randn(x) if bool((b > 0).any()) else mean

    return step


def add_noise(churn: Churn | None, randn: Randn, schedule: Levels) -> Before | None:
    """The corrector of a churn, if there is one."""
    return None if churn is None else AddNoise(randn, len(schedule) - 1, churn.amount, churn.lowest, churn.highest, churn.noise)


def walk(
    x: Tensor, schedule: Levels, *, denoise: Denoiser, corrupt: Corrupt, randn: Randn, rule: str, noisy_end: bool, churn: Churn | None,
    eta: float | None = None, adapt: Adapt | None = None,
) -> Tensor:  # fmt: skip
    """One step of a rule per level, [B, ...].  Args: rule, noisy_end, churn, eta: of config.solvers.Walk; adapt: of `descend`."""
    step = step_of(rule, denoise=denoise, corrupt=corrupt, randn=randn, noisy_end=noisy_end, eta=eta)
    return descend(x, schedule, step, before=add_noise(churn, randn, schedule), adapt=adapt)


def heun(
    x: Tensor, schedule: Levels, *, denoise: Denoiser, corrupt: Corrupt, randn: Randn, churn: Churn | None, adapt: Adapt | None = None,
) -> Tensor:  # fmt: skip
    """DDIM steps, corrected by the slope at their end unless that is clean, [B, ...].

    Source: Karras et al. 2022 (EDM), Algorithm 1, and with churn Algorithm 2.
    """
    step = heun_step(denoise, corrupt)
    return descend(x, schedule, step, before=add_noise(churn, randn, schedule), adapt=adapt)


def in_time(
    x: Tensor, schedule: Levels, *, denoise: Denoiser, corrupt: Corrupt, randn: Randn, clock: str, order: int,
    rates: LinearRates = SONG, adapt: Adapt | None = None,
) -> Tensor:  # fmt: skip
    """Euler's method (order 1) or Heun's (order 2) in the time of a clock, [B, ...]; the step to a clean level is Euler's.

    dx / dt = (d log alpha / dt) x + alpha (d sigma / dt) eps

    Source: Karras et al. 2022 (EDM), Eq. 4 and Algorithm 1; order 1 with alpha = 1 and t = sigma^2 is rule `flow`.
    """
    time = CLOCKS[clock](rates)

    def velocity(x: Tensor, level: Level) -> Tensor:
        noise = (x - corrupt(split_variance(denoise(x, level))[0], level)) / level.like(x).std
        return shape(time.fading(level.sigma), x) * x + shape(level.alpha * time.slope(level.sigma), x) * noise

    def step(x: Tensor, now: Level, nxt: Level) -> tuple[Tensor, Tensor]:
        length, start = shape(time.time(nxt.sigma) - time.time(now.sigma), x), velocity(x, now)
        down = x + length * start
        if order == 2 and bool((nxt.std > 0).all()):
            down = x + length * 0.5 * (start + velocity(down, nxt))
        return down, down

    return descend(x, schedule, step, adapt=adapt)


def predictor_corrector(
    x: Tensor, schedule: Levels, *, denoise: Denoiser, corrupt: Corrupt, randn: Randn, training: Level, rule: str, snr: float,
    adapt: Adapt | None = None,
) -> Tensor:  # fmt: skip
    """A Langevin step before each step of a rule, [B, ...].  Source: Song et al. 2021 (score SDE), Algorithms 2-5."""
    step = step_of(rule, denoise=denoise, corrupt=corrupt, randn=randn, noisy_end=False)
    corrector = LangevinStep(randn, denoise, snr, partial(langevin_rate, schedule=training))
    return descend(x, schedule, step, before=corrector, adapt=adapt)


def rk45(
    x: Tensor, schedule: Levels, *, denoise: Denoiser, corrupt: Corrupt, randn: Randn, training: Level, rates: LinearRates, path: str,
    tolerance: float,
) -> Tensor:  # fmt: skip
    """`ode.rk45` down a path in continuous time, [B, ...]; it visits no level of the schedule."""
    return ode.rk45(x, ode.PATHS[path](training, rates), denoise, tolerance)


SOLVERS: Variants[Solve] = {
    "walk": walk, "heun": heun, "in-time": in_time, "predictor-corrector": predictor_corrector, "rk45": rk45,
    "adaptive-sde": adaptive_sde, "sde-heun": sde_heun,
    "dpmpp": dpmpp, "unipc": unipc, "lms": lms, "deis": deis, "ipndm": ipndm, "pndm": pndm, "singlestep": singlestep,
    "sde-dpmpp": sde_dpmpp, "seeds": seeds, "er-sde": er_sde, "restart": restart,
    "weighted": weighted,
}  # fmt: skip


def bind(solver: AnySolver, training: Level | None = None, rates: LinearRates = SONG, weights: Tensor | None = None) -> Solve:
    """A solver with its further arguments bound: (x, schedule, *, denoise, corrupt, randn, maybe adapt) to x.

    Args: training: the training schedule, rates: of its process in continuous time, for the solvers that read them; weights: of the
        steps, [N, p], where the schedule holds some, for the solvers that read them.
    Raises: ValueError for a solver that lacks what it reads, or for weights that the solver does not read.
    """
    function = SOLVERS[solver.kind]
    further: dict[str, Any] = {name: value for name, value in solver if name != "kind"}
    if "training" in signature(function).parameters:
        if training is None:
            raise ValueError(f"solver {solver.kind} reads the training schedule, and none was passed; pass `training` to bind")
        further["training"] = training
    if "rates" in signature(function).parameters:
        further["rates"] = rates
    if solver.planned != (weights is not None):
        raise ValueError(
            f"solver {solver.kind} reads weights, and the schedule has none; use schedule s4s, or a file with columns weight_0, weight_1"
            if solver.planned else f"the schedule has weights of its steps, which solver {solver.kind} does not read; use solver weighted"
        )  # fmt: skip
    if weights is not None:
        further["weights"] = weights
    return partial(function, **further)


def first_level(solver: AnySolver, schedule: Levels, training: Level, rates: LinearRates = SONG) -> Level:
    """The level that sampling starts at: the noisiest of the schedule, or t = 1 of a solver that follows a path in its place."""
    if isinstance(solver, PathSolver):
        return ode.PATHS[solver.path](training, rates).at(1.0)
    return schedule[0]
