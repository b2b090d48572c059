"""The reverse SDE in continuous time by the improved Euler method: with steps of each sample's own, or down given levels."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from difftables.common.variants import Variants
from difftables.diffusion.denoiser import Denoiser, of_samples, split_variance, vp_time
from difftables.diffusion.level import PROCESSES, Level, shape
from difftables.diffusion.linear_process import SONG, LinearRates
from difftables.sampling.correctors import Randn
from difftables.sampling.descent import Adapt, Corrupt, Levels, descend

Record = Callable[[Tensor, Level], None]  # places of samples, [B], and the levels that they step from, [B]


@dataclass(frozen=True)
class Diffusion:
    """A diffusion as functions of time, [K] float64 to [K], t from 1 (noise) to `end`: dx = (d log alpha / dt) x dt + g dw.

    Args: process: of level.PROCESSES, ties alpha to sigma; time: of sigma; fading: d log alpha / dt; squared: g^2.
    """

    process: str
    end: float
    sigma: Callable[[Tensor], Tensor]
    time: Callable[[Tensor], Tensor]
    fading: Callable[[Tensor], Tensor]
    squared: Callable[[Tensor], Tensor]

    def at(self, t: Tensor) -> Level:
        """The levels of times t, [K]."""
        return PROCESSES[self.process](self.sigma(t))


def exploding(training: Level, rates: LinearRates = SONG) -> Diffusion:
    """sigma(t) = sigma_min (sigma_max / sigma_min)^t, g^2 = 2 sigma^2 log(sigma_max / sigma_min), alpha = 1, down to t = 1e-5.

    Source: Song et al. 2021 (score SDE), VE SDE; its ends are those of the training schedule, as of path `exploding` of `ode`.
    """
    low, high = training.sigma[-2].item(), training.sigma[0].item()
    span = math.log(high / low)

    def sigma(t: Tensor) -> Tensor:
        return low * (span * t).exp()

    return Diffusion("ve", 1e-5, sigma, lambda s: (s / low).log() / span, torch.zeros_like, lambda t: 2 * span * sigma(t) ** 2)


def preserving(training: Level, rates: LinearRates = SONG) -> Diffusion:
    """sigma(t)^2 = exp(beta_d t^2 / 2 + beta_min t) - 1, g^2 = beta(t) = beta_d t + beta_min, down to t = 1e-3.

    Source: Song et al. 2021 (score SDE), VP SDE.
    """
    beta_d, beta_min = rates.beta_d, rates.beta_min

    def rate(t: Tensor) -> Tensor:
        return beta_d * t + beta_min

    def sigma(t: Tensor) -> Tensor:
        return torch.expm1(0.5 * beta_d * t**2 + beta_min * t).sqrt()

    return Diffusion("vp", 1e-3, sigma, lambda s: vp_time(s, rates), lambda t: -0.5 * rate(t), rate)


# By the names of `ode.PATHS`, which have the same ends.
DIFFUSIONS: Variants[Callable[..., Diffusion]] = {"exploding": exploding, "linear": preserving}


class ImprovedEuler:
    """Steps of the improved Euler method for the reverse SDE, for some samples of a batch.

    K1 = -h f(x, t) + sqrt(h) g z,  K2 the same at (x + K1, t - h) with the same z,  x'' = x + (K1 + K2) / 2,
    f = (d log alpha / dt) x - g^2 (alpha D - x) / std^2

    Source: Jolicoeur-Martineau et al. 2021 (Gotta go fast), Algorithm 1.
    """

    def __init__(self, diffusion: Diffusion, denoise: Denoiser) -> None:
        self.diffusion, self.denoise = diffusion, denoise

    def change(self, x: Tensor, t: Tensor, h: Tensor, z: Tensor, level: Level, samples: Tensor) -> Tensor:
        """K, [B, ...], of a step of length h, [B], at time t, [B].  Args: samples: places in the batch, [B]."""
        squared, at = self.diffusion.squared(t), level.like(x)
        score = (at.alpha * split_variance(of_samples(self.denoise, x, level, samples))[0] - x) / at.std**2
        drift = shape(h * self.diffusion.fading(t), x) * x - shape(h * squared, x) * score
        return shape((h * squared).sqrt(), x) * z - drift

    def step(self, x: Tensor, t: Tensor, h: Tensor, z: Tensor, now: Level, nxt: Level, samples: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(x'', x + K1, (K2 - K1) / 2): the result, that of Euler's method, and how much they differ; two calls of the net."""
        first = self.change(x, t, h, z, now, samples)
        second = self.change(x + first, t - h, h, z, nxt, samples)
        return x + 0.5 * (first + second), x + first, 0.5 * (second - first)


def adaptive_sde(
    x: Tensor, schedule: Levels, *, denoise: Denoiser, corrupt: Corrupt, randn: Randn, training: Level, rates: LinearRates, path: str,
    relative: float, absolute: float, first: float, record: Record | None = None, limit: int = 20000,
) -> Tensor:  # fmt: skip
    """The reverse SDE from t = 1 to its end in steps that each sample accepts for itself, then the prediction there, [B, ...].

    tol = max(absolute, relative max(|x'|, |x'_prev|)),  err = sqrt(mean ((K2 - K1) / 2 / tol)^2),  h <- min(t - end, .9 h err^-.9)

    A step is taken where err <= 1. Time, step and error are each sample's, so that none depends on its batch, and samples that have
    arrived are in no further call. NFE of a sample: two an attempt, rejected ones among them, and one for the prediction.

    Args: relative, absolute: tolerances, in the unit of x; first: length of the first attempt; record: receives the levels of the steps
        that are taken; limit: of attempts.
    Raises: ValueError where the limit is reached.
    Source: Jolicoeur-Martineau et al. 2021 (Gotta go fast), Algorithm 1; noise is drawn anew for each attempt, as there.
    Departs: the norm is of each sample, never of the batch.
    """
    diffusion = DIFFUSIONS[path](training, rates)
    stepper = ImprovedEuler(diffusion, denoise)
    t = torch.ones(len(x), dtype=torch.float64, device=x.device)
    h, before, x = torch.full_like(t, min(first, 1 - diffusion.end)), x, x.clone()
    going, attempts = torch.arange(len(x), device=x.device), 0
    while len(going):
        attempts += 1
        if attempts > limit:
            raise ValueError(f"adaptive-sde reached its limit of {limit} attempts at t = {t.max().item():.4g}; raise its tolerances")
        z = randn(x)[going]  # from the stream of every sample: those that have arrived need no more of it
        start, length, time = x[going], h[going], t[going]
        now, nxt = diffusion.at(time), diffusion.at(time - length)
        better, euler, error = stepper.step(start, time, length, z, now, nxt, going)
        tolerance = (relative * torch.maximum(euler.abs(), before[going].abs())).clamp(min=absolute)
        size = (error / tolerance).double().square().flatten(1).mean(dim=1).sqrt()
        accepted = size <= 1
        taken = going[accepted]
        if record is not None:
            record(taken, now[accepted])
        x[taken], before = better[accepted], before.index_copy(0, taken, euler[accepted])
        t[taken] = (time - length)[accepted]
        wanted = 0.9 * length * size.clamp(min=1e-12) ** -0.9
        left = t[going] - diffusion.end
        h[going] = torch.minimum(wanted, left)
        going = going[left > 1e-12]
    end = diffusion.at(torch.full_like(t, diffusion.end))
    if record is not None:
        record(torch.arange(len(x), device=x.device), end)
    return split_variance(denoise(x, end))[0]


def sde_heun(
    x: Tensor, schedule: Levels, *, denoise: Denoiser, corrupt: Corrupt, randn: Randn, training: Level, rates: LinearRates, path: str,
    adapt: Adapt | None = None,
) -> Tensor:  # fmt: skip
    """The steps of `adaptive_sde` down the levels of a schedule; the step to a clean level is the prediction, [B, ...].

    A sample whose level does not fall in a step stays as it is, and costs no call: a schedule may have fewer steps for some samples.
    """
    diffusion = DIFFUSIONS[path](training, rates)
    stepper = ImprovedEuler(diffusion, denoise)

    def step(x: Tensor, now: Level, nxt: Level) -> tuple[Tensor, Tensor]:
        if not bool((nxt.std > 0).any()):
            x0 = corrupt(split_variance(denoise(x, now))[0], nxt)
            return x0, x0
        now, nxt, z = now.expand(len(x)), nxt.expand(len(x)), randn(x)
        t, h = diffusion.time(now.sigma), diffusion.time(now.sigma) - diffusion.time(nxt.sigma)
        going = (h > 0).nonzero()[:, 0]
        if not len(going):
            return x, x
        better, _, _ = stepper.step(x[going], t[going], h[going], z[going], now[going], nxt[going], going)
        x = x.index_copy(0, going, better)
        return x, x

    return descend(x, schedule, step, adapt=adapt)
