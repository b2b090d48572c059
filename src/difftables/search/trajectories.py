"""Trajectories of a teacher down a fine grid of levels, and what a jump from one of its levels to another costs."""

from collections.abc import Callable

import torch
from torch import Tensor

from difftables.common.variants import Variants
from difftables.diffusion.denoiser import split_variance
from difftables.diffusion.level import Level, shape

# Weights of the last slopes, newest first, for equal steps.
ADAMS_BASHFORTH = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))
ORDERS = {"euler": 1, "ipndm": 4}  # of the teachers
Path = tuple[Tensor, Tensor]  # x / alpha, [K, B, D], and eps, [K - 1, B, D]


def trajectories(denoise: Callable[..., Tensor], x: Tensor, levels: Level, teacher: str = "ipndm") -> Path:
    """Where a solver of fixed weights passes, K - 1 network calls: d(x / alpha) / dsigma = eps.

    Args: x: at the first level, [B, ...]; levels: [K], all above clean; teacher: euler, or ipndm of order 4.
    Source: Chen et al. 2024 (GITS); weights of Zhang and Chen 2023 (iPNDM).
    """
    sigma, slopes = levels.sigma, list[Tensor]()
    point = x.double() / levels.alpha[0].item()
    points = [point]
    for i in range(len(levels) - 1):
        level = levels[i].to(x.device)
        predicted = split_variance(denoise((shape(level.alpha, point) * point).to(x.dtype), level))[0]
        slopes.append((point - predicted.double()) / sigma[i].item())
        weights = ADAMS_BASHFORTH[min(ORDERS[teacher], len(slopes)) - 1]
        step = torch.stack([weight * slope for weight, slope in zip(weights, reversed(slopes), strict=False)]).sum(dim=0)
        point = point + (sigma[i + 1] - sigma[i]).item() * step
        points.append(point)
    return tuple(torch.stack(each).flatten(2).cpu() for each in (points, slopes))  # type: ignore[return-value]


def by_absolute(jump: Tensor, points: Tensor) -> Tensor:
    """|jump - x_j|_1, [B], summed over dimensions."""
    return (jump - points).abs().sum(dim=-1)


def by_square(jump: Tensor, points: Tensor) -> Tensor:
    """|jump - x_j|_2, [B]."""
    return (jump - points).square().sum(dim=-1).sqrt()


COSTS: Variants[Callable[[Tensor, Tensor], Tensor] | None] = {"l1": by_absolute, "l2": by_square, "dev": None}  # None: of the chord


def jump_costs(path: Path, sigma: Tensor, cost: str = "dev") -> Tensor:
    """C_ij of an Euler jump from x_i along eps_i to sigma_j, for each start, [K, K, B]; 0 where j <= i.

    l1, l2: the distance to x_j. dev: distance(jump) - distance(x_j) from the chord x_0 .. x_{K-1}, which may be negative.

    Args: path: of `trajectories`; sigma: its levels, [K].
    Source: Chen et al. 2024 (GITS), Eqs. of the cost; dev is the default of its released code.
    """
    points, slopes = path
    count = len(points)
    found = torch.zeros(count, count, points.shape[1], dtype=torch.float64)
    function = COSTS[cost]
    first, chord = points[0], points[-1] - points[0]
    chord = chord / chord.square().sum(dim=-1, keepdim=True).sqrt()

    def from_chord(each: Tensor) -> Tensor:
        offset = each - first
        return (offset - (offset * chord).sum(dim=-1, keepdim=True) * chord).square().sum(dim=-1).sqrt()

    for i in range(count - 1):
        for j in range(i + 1, count):
            jump = points[i] + (sigma[j] - sigma[i]) * slopes[i]
            found[i, j] = from_chord(jump) - from_chord(points[j]) if function is None else function(jump, points[j])
    return found
