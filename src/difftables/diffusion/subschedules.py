"""Parts of a training schedule: the timestep of a level, and the shorter schedules that samplers visit."""

import torch
from torch import Tensor

from difftables.diffusion.level import Level, concatenate, corruption_order, same_process


def timestep(level: Level, schedule: Level) -> Tensor:
    """The timestep of a training schedule that stands for a level, for nets trained on integers.

    t = the smallest timestep whose level is as noisy, clipped to the last

    Args: level: [B]; schedule: the training schedule, noisiest first.  Returns: [B], int64.
    Source: San-Roman et al. 2021, interval lookup; 0-based, so 0.9999 is timestep 0 of the DDPM schedule.
    """
    rising = corruption_order(schedule[:-1]).flip(0).to(level.std.device)
    # A level of the schedule must get back its timestep after a round trip through square roots.
    index = torch.searchsorted(rising, corruption_order(level).double() * (1 - 1e-9), side="left")
    return index.clamp(max=len(rising) - 1)


def at_timesteps(schedule: Level, timesteps: list[int]) -> Level:
    """The levels of a training schedule at timesteps 0 .. T - 1, rising; noisiest first, the clean level last."""
    last = len(schedule) - 1
    return schedule[torch.tensor([last - 1 - t for t in reversed(timesteps)] + [last])]


def strided(schedule: Level, steps: int) -> Level:
    """The levels of a training schedule at timesteps floor(i T / steps), i = 0 .. steps - 1, and the clean level.

    Departs: the DDIM code takes range(0, T, T // steps), which is the same where `steps` divides T and has more
    than `steps` entries elsewhere (4 for steps = 3); this one always has `steps`.
    Raises: ValueError for more steps than the training schedule has.
    Source: Song et al. 2021 (DDIM), linear sub-sequence.
    """
    count = len(schedule) - 1
    if not 1 <= steps <= count:
        raise ValueError(f"steps = {steps} is not in 1 .. {count}, the length of the training schedule")
    index = torch.arange(steps - 1, -1, -1) * count // steps
    return schedule[torch.cat([count - 1 - index, torch.tensor([count])])]


def power_law(
    schedule: Level, steps: int, rho: float = 7.0, lowest: float | None = None, highest: float | None = None, clean: bool = True
) -> Level:
    """Noise levels evenly spaced in sigma^(1/rho) between the ends of a training schedule, and the clean level.

    sigma_i = (sigma_max^(1/rho) + i / (M - 1) (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho,  i = 0 .. M - 1

    Args:
        lowest, highest: of `ends`; clean: whether the clean level follows M = N levels; else sigma_min is the end, and M = N + 1.
    Raises: ValueError for fewer than two levels, or for bounds that leave no range.
    Source: Karras et al. 2022 (EDM), Eq. 5, and App. D.1 for the bounds, 0.002 and 80.
    """
    count = steps if clean else steps + 1
    if count < 2:
        raise ValueError(f"a power law visits both ends of the schedule and needs at least 2 steps, not {steps}")
    roots = ends(schedule, lowest, highest) ** (1 / rho)
    sigma = torch.lerp(roots[0], roots[1], torch.arange(count, dtype=torch.float64) / (count - 1)) ** rho
    return concatenate([same_process(schedule, sigma), *[Level.clean()] * clean])


def ends(schedule: Level, lowest: float | None = None, highest: float | None = None) -> Tensor:
    """sigma of the noisiest level of a training schedule and of its last noisy one, within bounds, [2].

    sigma_max = min(own, highest),  sigma_min = max(own, lowest), or `lowest` itself where the process preserves the variance: it goes on to
    the clean sample below its first level

    Raises: ValueError for bounds that leave no range.
    """
    found = schedule.sigma[[0, -2]]
    if highest is not None:
        found[0] = found[0].clamp(max=highest)
    if lowest is not None:
        found[1] = found[1].clamp(min=lowest) if schedule.process == "ve" else lowest
    if found[1] >= found[0]:
        raise ValueError(f"a schedule from sigma = {found[0].item():g} down to {found[1].item():g} has no range; change the sampler's grid")
    return found


def evenly_in_log_sigma(schedule: Level, count: int) -> list[int]:
    """Indices into a schedule, noisiest first, whose log sigma is as evenly spaced as possible; both ends are among them."""
    log_sigma = schedule.sigma[:-1].log()
    wanted = torch.linspace(log_sigma[0].item(), log_sigma[-1].item(), count, dtype=torch.float64)
    return list(dict.fromkeys((log_sigma[None] - wanted[:, None]).abs().argmin(dim=1).tolist()))
