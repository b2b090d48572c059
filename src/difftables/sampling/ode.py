"""The probability-flow ODE in continuous time, by SciPy's adaptive Runge-Kutta.

SciPy, as in Song et al. 2021, and not torchode: its step sizes are each sample's, so that NFE and samples are other numbers than those
of the published sampler, whose samples share their steps.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from difftables.common.variants import Variants
from difftables.diffusion.denoiser import Denoiser, split_variance
from difftables.diffusion.level import PROCESSES, Level
from difftables.diffusion.linear_process import SONG, LinearRates


@dataclass(frozen=True)
class Path:
    """A diffusion as a function of time, t from 1 (noise) to `end`: sigma(t), its slope, and the slope of log alpha.

    Args: process: of level.PROCESSES, ties alpha to sigma.
    """

    process: str
    end: float
    sigma: Callable[[float], float]
    slope: Callable[[float], float]  # d sigma / dt
    fading: Callable[[float], float]  # d log alpha / dt

    def at(self, t: float) -> Level:
        """The level of time t, [1]."""
        return PROCESSES[self.process](torch.tensor([self.sigma(t)], dtype=torch.float64))


def exploding(training: Level, rates: LinearRates = SONG) -> Path:
    """sigma(t) = sigma_min (sigma_max / sigma_min)^t between the ends of a training schedule, alpha = 1, down to t = 1e-5.

    Source: Song et al. 2021 (score SDE), VE SDE.
    """
    low, high = training.sigma[-2].item(), training.sigma[0].item()

    def sigma(t: float) -> float:
        return low * (high / low) ** t

    def slope(t: float) -> float:
        return sigma(t) * math.log(high / low)

    def fading(t: float) -> float:
        return 0.0

    return Path("ve", 1e-5, sigma, slope, fading)


def preserving(training: Level, rates: LinearRates = SONG) -> Path:
    """sigma(t)^2 = exp(beta_d t^2 / 2 + beta_min t) - 1, alpha^2 = 1 / (1 + sigma^2), down to t = 1e-3.

    Source: Song et al. 2021 (score SDE), VP SDE, whose discrete form is the linear schedule of Ho et al. 2020.
    """
    beta_d, beta_min = rates.beta_d, rates.beta_min

    def sigma(t: float) -> float:
        return math.sqrt(math.expm1(0.5 * beta_d * t**2 + beta_min * t))

    def rate(t: float) -> float:
        return beta_d * t + beta_min

    def slope(t: float) -> float:
        return 0.5 * rate(t) * (1 + sigma(t) ** 2) / sigma(t)

    def fading(t: float) -> float:
        return -0.5 * rate(t)

    return Path("vp", 1e-3, sigma, slope, fading)


def rk45(x: Tensor, path: Path, denoise: Denoiser, tolerance: float = 1e-5, limit: int = 20000) -> Tensor:
    """x at t = 1 followed to t = end: dx / dt = (d log alpha / dt) x + alpha (d sigma / dt) eps, eps = (x - alpha D) / std.

    Args: x: [B, ...], one vector for the solver: all samples share its steps; tolerance: absolute and relative; limit: of network
        calls.
    Raises: ValueError where the limit is reached, or where SciPy stops early; it names the time.
    Source: Song et al. 2021 (score SDE), probability-flow sampler, with SciPy's RK45 and tolerance 1e-5.
    """
    from scipy.integrate import solve_ivp  # takes half a second to import

    calls = 0

    def velocity(t: float, flat: object) -> object:
        nonlocal calls
        calls += 1
        if calls > limit:
            raise ValueError(f"RK45 reached its limit of {limit} network calls at t = {t:.4g} of 1 .. {path.end:g}; raise the tolerance")
        state = torch.as_tensor(flat, dtype=torch.float64).reshape(x.shape)
        level = path.at(t).to(x.device)
        sample = state.to(x.device, x.dtype)
        eps = (sample - level.like(sample).alpha * split_variance(denoise(sample, level))[0]) / level.like(sample).std
        alpha = level.alpha.item()
        return (path.fading(t) * state + alpha * path.slope(t) * eps.double().cpu()).flatten().numpy()

    span, start = (1.0, path.end), x.double().cpu().flatten().numpy()
    # Only the last state is kept: thousands of others would fill the memory.
    solution = solve_ivp(velocity, span, start, method="RK45", rtol=tolerance, atol=tolerance, t_eval=[path.end])
    if not solution.success:
        raise ValueError(f"RK45 stopped at t = {solution.t[-1]:.4g} of 1 .. {path.end:g}: {solution.message}; raise the tolerance")
    return torch.as_tensor(solution.y[:, -1]).reshape(x.shape).to(x)


PATHS: Variants[Callable[..., Path]] = {"exploding": exploding, "linear": preserving}
# The process of each path; the plan compares it with that of the run's schedule.
PROCESS: Variants[str] = {"exploding": "ve", "linear": "vp"}
