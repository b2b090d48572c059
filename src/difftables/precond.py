"""From a net F to a denoiser D(x, level), the estimate of x0; wrappers that clip and count."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from difftables.level import Level, shape
from difftables.schedules import timestep

Net = Callable[..., Tensor]  # F(x, c_noise) or F(x, c_noise, cond)
Denoiser = Callable[..., Tensor]  # D(x, level) or D(x, level, cond=...)


def eps(sigma: Tensor, sigma_data: float = 0.5) -> tuple[Tensor, Tensor, Tensor]:
    """(c_skip, c_out, c_in) of a net that predicts the noise: 1, -sigma, 1 / sqrt(1 + sigma^2).

    Source: Karras et al. 2022 (EDM), Table 1, column VP; the same as Ho et al. 2020, Eq. 15.
    """
    return torch.ones_like(sigma), -sigma, (1 + sigma**2).rsqrt()


def edm(sigma: Tensor, sigma_data: float = 0.5) -> tuple[Tensor, Tensor, Tensor]:
    """(c_skip, c_out, c_in) that give the net inputs and targets of unit variance, for data of std sigma_data.

    c_skip = sigma_data^2 / (sigma^2 + sigma_data^2),  c_out = sigma sigma_data c_in,  c_in = 1 / sqrt(sigma^2 + sigma_data^2)

    Source: Karras et al. 2022 (EDM), Table 1 and App. B.6.
    """
    inner = (sigma**2 + sigma_data**2).rsqrt()
    return (sigma_data * inner) ** 2, sigma * sigma_data * inner, inner


PRECONDITIONINGS: dict[str, Callable[..., tuple[Tensor, Tensor, Tensor]]] = {"eps": eps, "edm": edm}


def timestep_index(schedule: Level) -> Callable[[Level], Tensor]:
    """c_noise = the integer timestep of the training schedule that stands for the level, [B]."""
    return lambda level: timestep(level.alpha_bar, schedule)


def sqrt_alpha_bar(schedule: Level) -> Callable[[Level], Tensor]:
    """c_noise = sqrt(alpha_bar), [B], whatever the training schedule.  Source: WaveGrad (Chen et al. 2020)."""
    return lambda level: level.alpha


CONDITIONINGS = {"timestep": timestep_index, "sqrt_alpha_bar": sqrt_alpha_bar}


def precondition(net: Net, coefficients: Callable, c_noise: Callable[[Level], Tensor]) -> Denoiser:
    """D = c_skip u + c_out F(c_in u; c_noise), u = x / alpha.

    Args:
        net: F(x, c_noise, cond), [B, ...], [B] and what the net is given besides to [B, ...]; without cond where D gets none.
        coefficients: one of PRECONDITIONINGS, its sigma_data bound.
        c_noise: level, [B], to what the net is told of it, [B].
    Returns: D(x, level, cond), [B, ...].
    """

    def denoise(x: Tensor, level: Level, cond: Tensor | None = None) -> Tensor:
        skip, out, inner = coefficients(level.sigma)
        given = () if cond is None else (cond,)
        answer = net(shape(inner / level.alpha, x) * x, c_noise(level).expand(len(x)).to(x.device), *given)
        return shape(skip / level.alpha, x) * x + shape(out, x) * answer

    return denoise


def given(function: Callable, cond: Tensor | None) -> Callable:
    """A denoiser or an adjustment told what a batch is given besides; as it is where that is nothing."""
    return function if cond is None else partial(function, cond=cond)


def clipped(denoise: Denoiser, limit: float) -> Denoiser:
    """D with its estimate held in [-limit, limit]."""
    return lambda x, level, **cond: denoise(x, level, **cond).clamp(-limit, limit)


class Counted:
    """D that counts its network evaluations, calls times samples, and remembers the levels it was asked for.

    `calls` is the measured NFE of one chain; `levels` holds the levels used, one entry per call, each [B] or [1].
    """

    def __init__(self, denoise: Denoiser) -> None:
        self.denoise, self.calls, self.evaluations = denoise, 0, 0
        self.levels: list[Level] = []

    def __call__(self, x: Tensor, level: Level, **cond: Tensor) -> Tensor:
        self.calls += 1
        self.evaluations += len(x)
        self.levels.append(level)
        return self.denoise(x, level, **cond)
