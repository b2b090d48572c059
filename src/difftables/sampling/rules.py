"""Rules: the (a, b) of a step x' = A' D + a eps + b n from one level to the next. `solvers` take the steps."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from difftables.common.variants import Variants
from difftables.diffusion.level import Level, shape
from difftables.diffusion.transitions import step_variances

Rule = Callable[..., tuple[Tensor, Tensor]]  # (now, nxt) to (a, b); (now, nxt, v) for a rule that reads the variance that the net predicts


def ancestral(now: Level, nxt: Level, mix: float = 0.0) -> tuple[Tensor, Tensor]:
    """(a, b) of the DDPM step; mix moves b^2 from beta~ (0, "small") to beta (1, "large") geometrically.

    a = (alpha / alpha') std'^2 / std,  b^2 = beta^mix beta~^(1 - mix)

    Source: Ho et al. 2020, Eqs. 6-7 and Sec. 3.2.
    """
    beta, posterior = step_variances(now, nxt)
    return now.alpha / nxt.alpha * nxt.std**2 / now.std, (beta**mix * posterior ** (1 - mix)).sqrt()


def learned(now: Level, nxt: Level, v: Tensor | None) -> tuple[Tensor, Tensor]:
    """(a, b) of the DDPM step with the variance that the net predicts, for each dimension: b^2 = exp(v log beta + (1 - v) log beta~).

    Args: v: [B, ...], not clamped to [0, 1].  Returns: a, [B], and b, [B, ...].
    Raises: ValueError when the net has no variance channels.
    Source: Nichol and Dhariwal 2021 (Improved DDPM), learned variance; both bounds are those of the strided chain.
    """
    if v is None:
        raise ValueError("rule ddpm-learned needs a net with variance channels; set `variance: true` in the net's section and train it")
    beta, posterior = step_variances(now, nxt)
    low, high = (shape(each.clamp(min=1e-30).log(), v.double()) for each in (posterior, beta))
    return now.alpha / nxt.alpha * nxt.std**2 / now.std, (0.5 * torch.lerp(low, high, v.double())).exp()


def ddim(now: Level, nxt: Level, eta: float = 0.0) -> tuple[Tensor, Tensor]:
    """(a, b) of the DDIM step: b^2 = eta^2 beta~, a = sqrt(std'^2 - b^2).

    Source: Song et al. 2021 (DDIM), Eqs. 12 and 16.
    """
    if eta == 0:  # the same to the bit; the root of a square has no gradient at a clean level
        return nxt.std, torch.zeros_like(nxt.std)
    variance = eta**2 * step_variances(now, nxt)[1]
    return (nxt.std**2 - variance).clamp(min=0).sqrt(), variance.sqrt()


def naive(now: Level, nxt: Level) -> tuple[Tensor, Tensor]:
    """(a, b) of the naive sampler, which corrupts the estimate with new noise: a = 0, b = std'.

    Source: Daras et al. 2022 (Soft Diffusion).
    """
    return torch.zeros_like(nxt.std), nxt.std


def flow(now: Level, nxt: Level) -> tuple[Tensor, Tensor]:
    """(a, b) of an Euler step of the probability-flow ODE in std^2, for alpha = 1: a = (std^2 + std'^2) / (2 std), b = 0.

    Source: Song et al. 2021 (score SDE), probability flow of the variance-exploding process.
    """
    return (now.std**2 + nxt.std**2) / (2 * now.std), torch.zeros_like(nxt.std)


def euler_maruyama(now: Level, nxt: Level) -> tuple[Tensor, Tensor]:
    """(a, b) of an Euler-Maruyama step of the reverse SDE in x / alpha, with the diffusion of the step's start.

    a = alpha' (sigma - c / sigma),  b = alpha' sqrt(c),  or a = b = 0, the estimate, where the next level is clean

    c = sigma^2 log(sigma^2 / sigma'^2) where alpha is 1 (sigma exponential in time), else (1 + sigma^2) log((1 + sigma^2) / (1 + sigma'^2))

    Source: Song et al. 2021 (score SDE), VE and VP SDE.
    Departs: the VP SDE is stepped in x / alpha, with the integral of beta over the step in place of beta times its length.
    """
    shift = torch.where((now.alpha == 1) & (nxt.alpha == 1), 0.0, 1.0)
    before, after = shift + now.sigma**2, shift + nxt.sigma**2
    c = before * (before / after.clamp(min=1e-300)).log()
    noisy = nxt.std > 0
    a = nxt.alpha * (now.sigma - c / now.sigma)
    return torch.where(noisy, a, 0.0), torch.where(noisy, nxt.alpha * c.sqrt(), 0.0)


# The momentum sampler of Soft Diffusion is the ancestral step with the large variance, through an operator.
RULES: Variants[Rule] = {
    "ddim": ddim, "ddpm-small": ancestral, "ddpm-large": partial(ancestral, mix=1.0), "ddpm-learned": learned,
    "naive": naive, "momentum": partial(ancestral, mix=1.0), "flow": flow,
    "euler-maruyama": euler_maruyama,
}  # fmt: skip
