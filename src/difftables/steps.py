"""Samplers of the (a, b) family, x' = A' D + a eps + b n, and the one loop that walks a schedule."""

from collections.abc import Callable
from functools import partial
from inspect import signature

import torch
from torch import Tensor

from difftables.level import Level, shape
from difftables.precond import Denoiser, parts

Rule = Callable[..., tuple[Tensor, Tensor]]  # (now, nxt) to (a, b), or (now, nxt, v) where it wants what the net says of the variance
Adapt = Callable[[Tensor, Tensor, list[Level]], list[Level]]


def transition(now: Level, nxt: Level) -> tuple[Tensor, Tensor]:
    """Variances of the step from `now` down to `nxt`, [B]: (beta of the transition, beta~ of the posterior).

    beta = std^2 - (alpha / alpha' std')^2,  beta~ = beta (std' / std)^2

    Source: Ho et al. 2020, Eq. 7, from pairs of levels, so that a strided chain needs nothing else.
    """
    beta = now.std**2 - (now.alpha / nxt.alpha * nxt.std) ** 2
    return beta.clamp(min=0), beta.clamp(min=0) * (nxt.std / now.std) ** 2


def ancestral(now: Level, nxt: Level, mix: float = 0.0) -> tuple[Tensor, Tensor]:
    """(a, b) of the DDPM step; mix moves b^2 from beta~ (0, "small") to beta (1, "large") geometrically.

    a = (alpha / alpha') std'^2 / std,  b^2 = beta^mix beta~^(1 - mix)

    Source: Ho et al. 2020, Eqs. 6-7 and Sec. 3.2.
    """
    beta, posterior = transition(now, nxt)
    return now.alpha / nxt.alpha * nxt.std**2 / now.std, (beta**mix * posterior ** (1 - mix)).sqrt()


def learned(now: Level, nxt: Level, v: Tensor | None) -> tuple[Tensor, Tensor]:
    """(a, b) of the DDPM step with the net's own variance, for each dimension: b^2 = exp(v log beta + (1 - v) log beta~).

    Args: v: [B, ...], not held inside [0, 1].  Returns: a, [B], and b, [B, ...].
    Raises: ValueError when the net has no variance channels.
    Source: Nichol and Dhariwal 2021 (Improved DDPM), learned variance; both bounds are those of the strided chain.
    """
    if v is None:
        raise ValueError("rule ddpm-learned needs a net with variance channels; give it `variance: true` and train it")
    beta, posterior = transition(now, nxt)
    low, high = (shape(each.clamp(min=1e-30).log(), v.double()) for each in (posterior, beta))
    return now.alpha / nxt.alpha * nxt.std**2 / now.std, (0.5 * torch.lerp(low, high, v.double())).exp()


def ddim(now: Level, nxt: Level, eta: float = 0.0) -> tuple[Tensor, Tensor]:
    """(a, b) of the DDIM step: b^2 = eta^2 beta~, a = sqrt(std'^2 - b^2).

    Source: Song et al. 2021 (DDIM), Eqs. 12 and 16.
    """
    variance = eta**2 * transition(now, nxt)[1]
    return (nxt.std**2 - variance).clamp(min=0).sqrt(), variance.sqrt()


def naive(now: Level, nxt: Level) -> tuple[Tensor, Tensor]:
    """(a, b) of the naive sampler, which corrupts the estimate anew: a = 0, b = std'.  Source: Soft Diffusion (Daras et al. 2022)."""
    return torch.zeros_like(nxt.std), nxt.std


def flow(now: Level, nxt: Level) -> tuple[Tensor, Tensor]:
    """(a, b) of an Euler step of the probability-flow ODE in std^2, for alpha = 1: a = (std^2 + std'^2) / (2 std), b = 0.

    Source: Song et al. 2021 (score SDE), probability flow of the variance-exploding process.
    """
    return (now.std**2 + nxt.std**2) / (2 * now.std), torch.zeros_like(nxt.std)


# momentum (Soft Diffusion) is the ancestral step with the large variance, seen through an operator.
RULES: dict[str, Rule] = {
    "ddim": ddim, "ddpm-small": ancestral, "ddpm-large": partial(ancestral, mix=1.0), "ddpm-learned": learned,
    "naive": naive, "momentum": partial(ancestral, mix=1.0), "flow": flow,
}  # fmt: skip


def sample(
    x: Tensor, schedule: Level | list[Level], *, denoise: Denoiser, corrupt: Callable[[Tensor, Level], Tensor],
    rule: Rule, randn: Callable[[Tensor], Tensor], adapt: Adapt | None = None, noisy_end: bool = False,
) -> Tensor:  # fmt: skip
    """Walk x down a schedule of N + 1 levels with N calls of the denoiser; the last step adds no noise, unless `noisy_end`.

    Args:
        x: the start, [B, ...].
        schedule: N + 1 levels, noisiest first; each entry of a list may hold one level per sample, [B].
        adapt: shown the step's mean, its noised result and the levels still to come (the first of which the
            result is said to have); returns as many levels in their place.
    Returns: samples at the last level, [B, ...].
    """
    levels, wants_v = [schedule[i] for i in range(len(schedule))], "v" in signature(rule).parameters
    for i in range(1, len(levels)):
        now, nxt = levels[i - 1], levels[i]
        x0, v = parts(denoise(x, now))
        noise = (x - corrupt(x0, now)) / now.like(x).std
        # Variances are small differences: taken in float64, and only then cast to the dtype of x.
        a, b = rule(now, nxt, v=v) if wants_v else rule(now, nxt)
        b = b if noisy_end else torch.where(shape(nxt.std, b) > 0, b, 0.0)
        mean = corrupt(x0, nxt) + shape(a, x) * noise
        x = mean + shape(b, x) * randn(x) if bool((b > 0).any()) else mean
        if adapt is not None and i + 1 < len(levels):
            levels[i:] = adapt(mean, x, levels[i:])
    return x
