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


def power_law(schedule: Level, steps: int, rho: float = 7.0, lowest: float | None = None, highest: float | None = None) -> Level:
    """Noise levels evenly spaced in sigma^(1/rho) between the ends of a training schedule, and the clean level.

    sigma_i = (sigma_max^(1/rho) + i / (N - 1) (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho,  i = 0 .. N - 1

    Args:
        lowest, highest: bounds of the ends, sigma_min = max(own, lowest) and sigma_max = min(own, highest). A variance-preserving process
            goes on to the clean sample below its first level: there sigma_min is `lowest` itself.
    Raises: ValueError for fewer than two steps, or for bounds that leave no range.
    Source: Karras et al. 2022 (EDM), Eq. 5, and App. D.1 for the bounds, 0.002 and 80.
    """
    if steps < 2:
        raise ValueError(f"a power law visits both ends of the schedule and needs at least 2 steps, not {steps}")
    ends = schedule.sigma[[0, -2]]
    if highest is not None:
        ends[0] = ends[0].clamp(max=highest)
    if lowest is not None:
        ends[1] = ends[1].clamp(min=lowest) if schedule.process == "ve" else lowest
    if ends[1] >= ends[0]:
        raise ValueError(f"a power law from sigma = {ends[0].item():g} down to {ends[1].item():g} has no range; change the sampler's grid")
    ends = ends ** (1 / rho)
    sigma = torch.lerp(ends[0], ends[1], torch.arange(steps, dtype=torch.float64) / (steps - 1)) ** rho
    return concatenate([same_process(schedule, sigma), Level.clean()])


def evenly_in_log_sigma(schedule: Level, count: int) -> list[int]:
    """Indices into a schedule, noisiest first, whose log sigma is as evenly spaced as possible; both ends are among them."""
    log_sigma = schedule.sigma[:-1].log()
    wanted = torch.linspace(log_sigma[0].item(), log_sigma[-1].item(), count, dtype=torch.float64)
    return list(dict.fromkeys((log_sigma[None] - wanted[:, None]).abs().argmin(dim=1).tolist()))
