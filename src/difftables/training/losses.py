"""Losses: how the denoiser's error is penalised and weighted."""

from collections.abc import Callable

import torch
from torch import Tensor

from difftables.common.variants import Variants
from difftables.diffusion.denoiser import Condition, Denoiser, bind_condition, split_variance
from difftables.diffusion.level import Level


def inverse_sigma2(level: Level, sigma_data: float = 0.5) -> Tensor:
    """1 / sigma^2, [B]: turns a squared error of x0 into one of eps.  Source: Ho et al. 2020, Eq. 14 (L_simple)."""
    return level.sigma**-2


def inverse_sigma(level: Level, sigma_data: float = 0.5) -> Tensor:
    """1 / sigma, [B]: turns an absolute error of x0 into one of eps.  Source: WaveGrad (Chen et al. 2020), its L1 loss."""
    return 1 / level.sigma


def inverse_out(level: Level, sigma_data: float = 0.5) -> Tensor:
    """sqrt(1 / sigma^2 + 1 / sigma_data^2) = 1 / c_out, [B]: an absolute error of x0 into one of the net under `edm`.

    Source: Karras et al. 2022 (EDM), Table 1; theirs is the square of this, for a squared error.
    """
    return (level.sigma**-2 + sigma_data**-2).sqrt()


def inverse_out2(level: Level, sigma_data: float = 0.5) -> Tensor:
    """1 / sigma^2 + 1 / sigma_data^2 = 1 / c_out^2, [B]: a squared error of x0 into one of the net under `edm`.

    Source: Karras et al. 2022 (EDM), Table 1.
    """
    return inverse_out(level, sigma_data) ** 2


WEIGHTS: Variants[Callable[..., Tensor]] = {
    "eps": inverse_sigma2, "eps_absolute": inverse_sigma, "edm": inverse_out2, "edm_absolute": inverse_out,
}  # fmt: skip
Objective = Callable[[Tensor, Level, Tensor, Tensor, Tensor | None], Tensor]
PENALTIES: Variants[Callable[[Tensor], Tensor]] = {"squared": torch.square, "absolute": torch.abs}


def plain(error: Tensor, level: Level) -> Tensor:
    """The error itself, M = I."""
    return error


def denoising_loss(
    x0: Tensor, level: Level, noise: Tensor, *, denoise: Denoiser, corrupt: Callable[[Tensor, Level], Tensor],
    target: Callable[[Tensor, Level, Tensor], Tensor], weight: Callable[[Level], Tensor],
    residual: Callable[[Tensor, Level], Tensor] = plain, penalty: Callable[[Tensor], Tensor] = torch.square,
    objective: Objective | None = None, cond: Condition = None,
) -> Tensor:  # fmt: skip
    """weight(level) * mean over dimensions of penalty(M (D(x; level) - target)), or the objective of that loss.

    Args:
        x0: clean samples, [B, ...]; level: [B]; noise: standard normal, like x0.
        residual: M: `plain`, or the corruption where the loss sees the error through it.
        objective: of OBJECTIVES, from this loss, the level, x0 and the denoiser's (x0, v) to the loss to minimise; None: this loss.
        cond: the net's condition, [B, ...], or several.
    Returns: loss per sample, [B].
    """
    x = corrupt(x0, level) + level.like(x0).std * noise
    guess, v = split_variance(bind_condition(denoise, cond)(x, level))
    error = residual(guess - target(x, level, x0), level)
    loss = weight(level).to(x0.device, x0.dtype) * penalty(error).flatten(1).mean(dim=1)
    return loss if objective is None else objective(loss, level, x0, guess, v)
