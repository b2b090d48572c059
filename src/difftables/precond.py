"""From a net F to a denoiser D(x, level), the estimate of x0; wrappers that clip and count."""

from collections.abc import Callable

import torch
from torch import Tensor

from difftables.level import Level, shape
from difftables.schedules import timestep

Net = Callable[[Tensor, Tensor], Tensor]
Denoiser = Callable[[Tensor, Level], Tensor]


def eps(sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(c_skip, c_out, c_in) of a net that predicts the noise: 1, -sigma, 1 / sqrt(1 + sigma^2).

    Source: Karras et al. 2022 (EDM), Table 1, column VP; the same as Ho et al. 2020, Eq. 15.
    """
    return torch.ones_like(sigma), -sigma, (1 + sigma**2).rsqrt()


PRECONDITIONINGS = {"eps": eps}


def timestep_index(schedule: Level) -> Callable[[Level], Tensor]:
    """c_noise = the integer timestep of the training schedule that stands for the level, [B]."""
    return lambda level: timestep(level.alpha_bar, schedule)


CONDITIONINGS = {"timestep": timestep_index}


def precondition(net: Net, coefficients: Callable, c_noise: Callable[[Level], Tensor]) -> Denoiser:
    """D = c_skip u + c_out F(c_in u; c_noise), u = x / alpha.

    Args:
        net: F(x, c_noise), [B, ...] and [B] to [B, ...].
        coefficients: one of PRECONDITIONINGS.
        c_noise: level, [B], to what the net is told of it, [B].
    Returns: D(x, level), [B, ...].
    """

    def denoise(x: Tensor, level: Level) -> Tensor:
        skip, out, inner = coefficients(level.sigma)
        answer = net(shape(inner / level.alpha, x) * x, c_noise(level).expand(len(x)).to(x.device))
        return shape(skip / level.alpha, x) * x + shape(out, x) * answer

    return denoise


def clipped(denoise: Denoiser, limit: float) -> Denoiser:
    """D with its estimate held in [-limit, limit]."""
    return lambda x, level: denoise(x, level).clamp(-limit, limit)


class Counted:
    """D that counts its network evaluations, calls times samples, and remembers the levels it was asked for.

    `calls` is the measured NFE of one chain; `levels` holds the levels used, one entry per call, each [B] or [1].
    """

    def __init__(self, denoise: Denoiser) -> None:
        self.denoise, self.calls, self.evaluations = denoise, 0, 0
        self.levels: list[Level] = []

    def __call__(self, x: Tensor, level: Level) -> Tensor:
        self.calls += 1
        self.evaluations += len(x)
        self.levels.append(level)
        return self.denoise(x, level)
