"""Restart: Heun's method that jumps back up, so that noise contracts the errors made below."""

import torch
from torch import Tensor

from difftables.config.stochastic_solvers import Jump
from difftables.diffusion.denoiser import Denoiser
from difftables.diffusion.level import Level, concatenate, shape
from difftables.sampling.correctors import Randn
from difftables.sampling.descent import Corrupt, Levels, descend
from difftables.sampling.transfers import heun_step, level_at


def jump_levels(levels: list[Level], jumps: list[Jump], rho: float) -> dict[int, list[tuple[Jump, Level]]]:
    """Jumps by the index of the level that they leave, each with its `stamps` levels from the top down to that level.

    Args: levels: N + 1 of a schedule, each the same for all samples.
    Raises: ValueError for a schedule without a noisy level after its first, and where the nearest level is not below the jump's end.
    Source: Xu et al. 2023 (Restart), Algorithm 1; the levels as EDM's grid, even in sigma^(1/rho).
    Two jumps at one level are both made.
    """
    inner = [i for i in range(1, len(levels)) if bool((levels[i].std > 0).all())]
    if not inner:
        raise ValueError("the schedule has no noisy level after its first, from which restart could jump; take more steps")
    placed: dict[int, list[tuple[Jump, Level]]] = {}
    for jump in jumps:
        i = min(inner, key=lambda i: abs(levels[i].sigma[0].item() - jump.lowest))
        bottom = levels[i][0]
        if not bottom.sigma.item() < jump.highest:
            raise ValueError(
                f"restart jumps from sigma = {jump.lowest:g} to {jump.highest:g}, but the nearest level of the schedule is at "
                f"{bottom.sigma.item():g}; take more steps, or set highest above it"
            )
        top, end = jump.highest ** (1 / rho), bottom.sigma.item() ** (1 / rho)
        sigma = torch.linspace(top, end, jump.stamps, dtype=torch.float64, device=bottom.sigma.device)[:-1] ** rho
        # The way down ends at the very level that it left, whatever rounding says.
        placed.setdefault(i, []).append((jump, concatenate([level_at(sigma, bottom), bottom])))
    return placed


def restart(
    x: Tensor, schedule: Levels, *, denoise: Denoiser, corrupt: Corrupt, randn: Randn, jumps: list[Jump], noise: float, rho: float,
) -> Tensor:  # fmt: skip
    """Heun's method; on reaching the level of a jump, `repeats` times noise up to its top and Heun's method down again, [B, ...].

    x / alpha <- x / alpha + S_noise sqrt(sigma_top^2 - sigma^2) n

    Args: jumps, noise (S_noise), rho: of config.stochastic_solvers.Restart.  Raises: as of `jump_levels`.
    Source: Xu et al. 2023 (Restart), Algorithm 1.
    """
    levels = [schedule[i] for i in range(len(schedule))]
    step, placed = heun_step(denoise, corrupt), jump_levels(levels, jumps, rho)
    for i in range(1, len(levels)):
        x = step(x, levels[i - 1], levels[i])[1]
        for jump, down in placed.get(i, []):
            top, bottom = down[0], down[-1]
            for _ in range(jump.repeats):
                added = noise * top.alpha * (top.sigma**2 - bottom.sigma**2).sqrt()
                x = shape(top.alpha / bottom.alpha, x) * x + shape(added, x) * randn(x)
                x = descend(x, down, step)
    return x
