"""PNDM: the multistep method of even steps, begun by a method that needs no history."""

from collections import deque
from typing import Literal

from torch import Tensor

from difftables.diffusion.denoiser import Denoiser
from difftables.diffusion.level import Level
from difftables.diffusion.subschedules import timestep
from difftables.sampling.correctors import Randn
from difftables.sampling.descent import Adapt, Corrupt, Levels, descend
from difftables.sampling.multistep import First, as_if_even, combined
from difftables.sampling.predictions import clean_prediction, noise_prediction
from difftables.sampling.transfers import euler, level_at

BEGUN = {"runge-kutta": 3, "improved-euler": 1}  # steps of each start


def pndm(
    x: Tensor, schedule: Levels, *, denoise: Denoiser, corrupt: Corrupt, randn: Randn, training: Level, order: int,
    start: Literal["runge-kutta", "improved-euler"], half: Literal["sigma", "timestep"], threshold: float | None, first: First,
    adapt: Adapt | None = None,
) -> Tensor:  # fmt: skip
    """Pseudo numerical methods: DDIM's transfer of combined noise, [B, ...].

    Runge-Kutta: e = (e_1 + 2 e_2 + 2 e_3 + e_4) / 6, e_2 and e_3 half a step on, e_4 a step on; improved Euler: e = (e_1 + e_2) / 2, e_2 a
    step on. Then Adams-Bashforth with the coefficients of even steps. The history keeps the e_1 of each step. A step to a clean level has
    no stages: it is Adams-Bashforth with the predictions that there are.

    Args: half: where half a step is, the mean of both sigma or of both timesteps of `training`, rounded down; others of
        config.ode_solvers.Pndm.
    Raises: ValueError for levels of no process where a stage goes to half a step in sigma.
    Source: Liu et al. 2022 (PNDM), Eqs. 11-13 and App.: F-PNDM begins with Runge-Kutta and goes on with order 4, S-PNDM with improved
        Euler and order 2; PLMS of latent diffusion with improved Euler and order 4.
    """
    predict = noise_prediction(clean_prediction(denoise, threshold, first), corrupt)
    levels: deque[Level] = deque(maxlen=order)
    noises: deque[Tensor] = deque(maxlen=order)
    taken = 0

    def middle(now: Level, nxt: Level) -> Level:
        if half == "sigma":
            return level_at((now.sigma + nxt.sigma) / 2, now)
        index = (timestep(now, training) + timestep(nxt, training)) // 2
        return training[len(training) - 2 - index]

    def stages(x: Tensor, now: Level, nxt: Level, noise: Tensor) -> Tensor:
        if start == "improved-euler":
            return (noise + predict(euler(x, now, nxt, noise), nxt)) / 2
        between = middle(now, nxt)
        second = predict(euler(x, now, between, noise), between)
        third = predict(euler(x, now, between, second), between)
        return (noise + 2 * second + 2 * third + predict(euler(x, now, nxt, third), nxt)) / 6

    def step(x: Tensor, now: Level, nxt: Level) -> tuple[Tensor, Tensor]:
        nonlocal taken
        noise = predict(x, now)
        levels.appendleft(now)
        noises.appendleft(noise)
        if taken < BEGUN[start] and bool((nxt.std > 0).all()):
            noise = stages(x, now, nxt, noise)
        else:
            noise = combined(as_if_even(list(levels), nxt), list(noises))
        taken += 1
        down = euler(x, now, nxt, noise)
        return down, down

    return descend(x, schedule, step, adapt=adapt)
