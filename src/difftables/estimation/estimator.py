"""The noise-level estimator of Noise Estimation (San-Roman et al. 2021): what it predicts, its loss, and its estimate of alpha_bar."""

from collections.abc import Callable

import torch
from torch import Tensor

from difftables.diffusion.level import Level

NOISE_FLOOR = 1e-7  # of 1 - alpha_bar: a level drawn between the clean one and its neighbour may come arbitrarily near to 0


def log_noise(level: Level) -> Tensor:
    """u = log(1 - alpha_bar), the target of the estimator, in nats, [B]; at least log(NOISE_FLOOR)."""
    return (1 - level.alpha_bar).clamp(min=NOISE_FLOOR).log()


def estimator_loss(u: Tensor, level: Level, penalty: Callable[[Tensor], Tensor] = torch.square) -> Tensor:
    """penalty(u - log(1 - alpha_bar)) per sample, [B].

    Departs: the paper prints the 2-norm, |u - u*| for one number; its square is the smooth variant.
    Source: San-Roman et al. 2021, loss of P_theta.
    """
    return penalty(u - log_noise(level).to(u.device, u.dtype))


def alpha_bar_of(u: Tensor, lowest: float) -> Tensor:
    """alpha_bar = 1 - exp(u), [B], held in [lowest, 1 - NOISE_FLOOR]; lowest is that of the training schedule's noisiest level.

    Beyond it no net was trained, and a division by so small an alpha makes a sample diverge.
    """
    return (1 - u.double().exp()).clamp(lowest, 1 - NOISE_FLOOR)
