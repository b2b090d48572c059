"""Correctors: what is done to a sample before a step down, by adding noise (churn) or by Langevin dynamics."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from difftables.diffusion.denoiser import Denoiser, split_variance
from difftables.diffusion.level import Level, shape
from difftables.diffusion.subschedules import timestep

Randn = Callable[[Tensor], Tensor]


class AddNoise:
    """Churn, noise added before a step: sigma^ = (1 + gamma) sigma, gamma = min(amount / N, sqrt(2) - 1) inside [lowest, highest], else 0.

    x^ = x + alpha sqrt(sigma^^2 - sigma^2) noise n

    Args: steps: N; noise: S_noise, the std of n.
    Source: Karras et al. 2022 (EDM), Algorithm 2.
    """

    def __init__(
        self, randn: Randn, steps: int, amount: float, lowest: float = 0.0, highest: float = math.inf, noise: float = 1.0
    ) -> None:  # fmt: skip
        self.randn, self.lowest, self.highest, self.noise = randn, lowest, highest, noise
        self.gamma = min(amount / steps, 2**0.5 - 1)

    def __call__(self, x: Tensor, now: Level) -> tuple[Tensor, Level]:
        """x and its level after the noise."""
        inside = (now.sigma >= self.lowest) & (now.sigma <= self.highest)
        sigma = torch.where(inside, (1 + self.gamma) * now.sigma, now.sigma)
        if not bool(inside.any()) or self.gamma == 0:
            return x, now
        added = now.alpha * (sigma**2 - now.sigma**2).sqrt()
        return x + shape(self.noise * added, x) * self.randn(x), Level(now.alpha, now.alpha * sigma, now.strength)


class LangevinStep:
    """A step of Langevin dynamics at a level, before the step down: the corrector of a predictor-corrector sampler.

    x <- x + e s + sqrt(2 e) n,  s = (alpha D - x) / std^2,  e = 2 r (snr |n| / |s|)^2

    Args: snr: signal-to-noise ratio; rate: level to r, [B] or [1], as `langevin_rate`.
    Source: Song et al. 2021 (score SDE), Algorithms 2-5.
    Departs: the norms are of each sample, not the mean of the batch, so that a sample does not depend on its batch.
    """

    def __init__(self, randn: Randn, denoise: Denoiser, snr: float, rate: Callable[[Level], Tensor]) -> None:
        self.randn, self.denoise, self.snr, self.rate = randn, denoise, snr, rate

    def __call__(self, x: Tensor, now: Level) -> tuple[Tensor, Level]:
        """x after the step, at the same level."""
        level, noise = now.like(x), self.randn(x)
        score = (level.alpha * split_variance(self.denoise(x, now))[0] - x) / level.std**2
        ratio = noise.flatten(1).norm(dim=1) / score.flatten(1).norm(dim=1)
        size = shape(2 * self.rate(now).to(x) * (self.snr * ratio) ** 2, x)
        return x + size * score + (2 * size).sqrt() * noise, now


def langevin_rate(level: Level, schedule: Level) -> Tensor:
    """r of a Langevin step, [B]: 1 where the schedule is variance exploding, else 1 - beta of the level's step in it.

    Source: Song et al. 2021 (score SDE), correctors of the VE and the VP SDE.
    """
    if schedule.process == "ve":
        return torch.ones_like(level.std)
    index = len(schedule) - 2 - timestep(level, schedule)
    return (schedule.alpha_bar[index] / schedule.alpha_bar[index + 1]).to(level.std)
