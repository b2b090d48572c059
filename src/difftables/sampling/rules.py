"""Steps of the (a, b) family, x' = A' D + a eps + b n, and what is done to a sample before a step. `solvers` walks them."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from difftables.common.variants import Variants
from difftables.diffusion.denoiser import Denoiser, split_variance
from difftables.diffusion.level import Level, shape
from difftables.diffusion.subschedules import timestep
from difftables.diffusion.transitions import step_variances

Rule = Callable[..., tuple[Tensor, Tensor]]  # (now, nxt) to (a, b), or (now, nxt, v) where it wants what the net says of the variance


def ancestral(now: Level, nxt: Level, mix: float = 0.0) -> tuple[Tensor, Tensor]:
    """(a, b) of the DDPM step; mix moves b^2 from beta~ (0, "small") to beta (1, "large") geometrically.

    a = (alpha / alpha') std'^2 / std,  b^2 = beta^mix beta~^(1 - mix)

    Source: Ho et al. 2020, Eqs. 6-7 and Sec. 3.2.
    """
    beta, posterior = step_variances(now, nxt)
    return now.alpha / nxt.alpha * nxt.std**2 / now.std, (beta**mix * posterior ** (1 - mix)).sqrt()


def learned(now: Level, nxt: Level, v: Tensor | None) -> tuple[Tensor, Tensor]:
    """(a, b) of the DDPM step with the net's own variance, for each dimension: b^2 = exp(v log beta + (1 - v) log beta~).

    Args: v: [B, ...], not held inside [0, 1].  Returns: a, [B], and b, [B, ...].
    Raises: ValueError when the net has no variance channels.
    Source: Nichol and Dhariwal 2021 (Improved DDPM), learned variance; both bounds are those of the strided chain.
    """
    if v is None:
        raise ValueError("rule ddpm-learned needs a net with variance channels; give it `variance: true` and train it")
    beta, posterior = step_variances(now, nxt)
    low, high = (shape(each.clamp(min=1e-30).log(), v.double()) for each in (posterior, beta))
    return now.alpha / nxt.alpha * nxt.std**2 / now.std, (0.5 * torch.lerp(low, high, v.double())).exp()


def ddim(now: Level, nxt: Level, eta: float = 0.0) -> tuple[Tensor, Tensor]:
    """(a, b) of the DDIM step: b^2 = eta^2 beta~, a = sqrt(std'^2 - b^2).

    Source: Song et al. 2021 (DDIM), Eqs. 12 and 16.
    """
    variance = eta**2 * step_variances(now, nxt)[1]
    return (nxt.std**2 - variance).clamp(min=0).sqrt(), variance.sqrt()


def naive(now: Level, nxt: Level) -> tuple[Tensor, Tensor]:
    """(a, b) of the naive sampler, which corrupts the estimate anew: a = 0, b = std'.  Source: Soft Diffusion (Daras et al. 2022)."""
    return torch.zeros_like(nxt.std), nxt.std


def flow(now: Level, nxt: Level) -> tuple[Tensor, Tensor]:
    """(a, b) of an Euler step of the probability-flow ODE in std^2, for alpha = 1: a = (std^2 + std'^2) / (2 std), b = 0.

    Source: Song et al. 2021 (score SDE), probability flow of the variance-exploding process.
    """
    return (now.std**2 + nxt.std**2) / (2 * now.std), torch.zeros_like(nxt.std)


def euler_maruyama(now: Level, nxt: Level) -> tuple[Tensor, Tensor]:
    """(a, b) of an Euler-Maruyama step of the reverse SDE in x / alpha, its diffusion frozen at the step's start.

    a = alpha' (sigma - c / sigma),  b = alpha' sqrt(c),  and the estimate itself where the next level is clean

    c = sigma^2 log(sigma^2 / sigma'^2) where alpha is 1 (sigma exponential in time), else (1 + sigma^2) log((1 + sigma^2) / (1 + sigma'^2))

    Source: Song et al. 2021 (score SDE), VE and VP SDE.
    Departs: the VP SDE is stepped in x / alpha, with the integral of beta over the step in place of beta times its length.
    """
    shift = torch.where((now.alpha == 1) & (nxt.alpha == 1), 0.0, 1.0)
    here, there = shift + now.sigma**2, shift + nxt.sigma**2
    c = here * (here / there.clamp(min=1e-300)).log()
    stays = nxt.std > 0
    a = nxt.alpha * (now.sigma - c / now.sigma)
    return torch.where(stays, a, 0.0), torch.where(stays, nxt.alpha * c.sqrt(), 0.0)


def euler(x: Tensor, now: Level, nxt: Level, noise: Tensor) -> Tensor:
    """Where a straight line of slope `noise` leads: x' / alpha' = x / alpha + (sigma' - sigma) eps.

    With eps the mean of a step's two ends it is Heun's method for dx / dsigma = eps, x here and there divided by alpha.
    Source: Karras et al. 2022 (EDM), Algorithm 1, whose d is eps.
    """
    return shape(nxt.alpha / now.alpha, x) * x + shape(nxt.alpha * (nxt.sigma - now.sigma), x) * noise


class Churn:
    """Noise added before a step: sigma^ = (1 + gamma) sigma, gamma = min(amount / N, sqrt(2) - 1) inside [lowest, highest], else 0.

    x^ = x + alpha sqrt(sigma^^2 - sigma^2) noise n

    Args: steps: N; noise: S_noise, the std of what is added.
    Source: Karras et al. 2022 (EDM), Algorithm 2.
    """

    def __init__(
        self,
        randn: Callable[[Tensor], Tensor],
        steps: int,
        amount: float,
        lowest: float = 0.0,
        highest: float = math.inf,
        noise: float = 1.0,
    ) -> None:
        self.randn, self.lowest, self.highest, self.noise = randn, lowest, highest, noise
        self.gamma = min(amount / steps, 2**0.5 - 1)

    def __call__(self, x: Tensor, now: Level) -> tuple[Tensor, Level]:
        """x and its level, noisier."""
        inside = (now.sigma >= self.lowest) & (now.sigma <= self.highest)
        sigma = torch.where(inside, (1 + self.gamma) * now.sigma, now.sigma)
        if not bool(inside.any()) or self.gamma == 0:
            return x, now
        added = now.alpha * (sigma**2 - now.sigma**2).sqrt()
        return x + shape(self.noise * added, x) * self.randn(x), Level(now.alpha, now.alpha * sigma, now.strength)


class Langevin:
    """A step of Langevin dynamics at a level, before the step down: the corrector of a predictor-corrector sampler.

    x <- x + e s + sqrt(2 e) n,  s = (alpha D - x) / std^2,  e = 2 r (snr |n| / |s|)^2

    Args: snr: signal-to-noise ratio; rate: r of a level, [B] or [1]: 1 where alpha is, else 1 - beta.
    Source: Song et al. 2021 (score SDE), Algorithms 2-5.
    Departs: norms are each sample's own, not the batch's mean, so that a sample does not depend on its batch.
    """

    def __init__(self, randn: Callable[[Tensor], Tensor], denoise: Denoiser, snr: float, rate: Callable[[Level], Tensor]) -> None:
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
    place = len(schedule) - 2 - timestep(level, schedule)
    return (schedule.alpha_bar[place] / schedule.alpha_bar[place + 1]).to(level.std)


# momentum (Soft Diffusion) is the ancestral step with the large variance, seen through an operator.
RULES: Variants[Rule] = {
    "ddim": ddim, "ddpm-small": ancestral, "ddpm-large": partial(ancestral, mix=1.0), "ddpm-learned": learned,
    "naive": naive, "momentum": partial(ancestral, mix=1.0), "flow": flow,
    "euler-maruyama": euler_maruyama,
}  # fmt: skip
