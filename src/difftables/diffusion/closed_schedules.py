"""Schedules from formulas and published tables, between the ends of a training schedule."""

import torch
from torch import Tensor

from difftables.diffusion.denoiser import vp_time
from difftables.diffusion.level import Level, concatenate, same_process
from difftables.diffusion.linear_process import SONG

BETA = 0.6  # both shapes of the Beta schedule

# Noise levels of 10 steps, without the clean one.  Source: Sabour et al. 2024 (Align Your Steps), released tables.
ALIGN_YOUR_STEPS = {
    "sd": (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152),
    "sdxl": (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113),
    "video": (700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034),
}


def _ended(schedule: Level, sigma: Tensor) -> Level:
    return concatenate([same_process(schedule, sigma), Level.clean()])


def _ends(schedule: Level, steps: int, name: str) -> tuple[Tensor, Tensor]:
    """sigma of the noisiest and of the least noisy level.  Raises: ValueError for a step count that cannot visit both."""
    if steps < 2:
        raise ValueError(f"schedule {name} visits both ends of the training schedule and needs at least 2 steps, not {steps}")
    return schedule.sigma[0], schedule.sigma[-2]


def _places(steps: int) -> Tensor:
    return torch.arange(steps, dtype=torch.float64) / (steps - 1)


def log_snr(schedule: Level, steps: int) -> Level:
    """Levels evenly spaced in log sigma, so in half the log signal-to-noise ratio, and the clean level.

    Source: Lu et al. 2022 (DPM-Solver), uniform lambda.  Raises: ValueError for fewer than two steps.
    """
    highest, lowest = _ends(schedule, steps, "log-snr")
    return _ended(schedule, torch.lerp(highest.log(), lowest.log(), _places(steps)).exp())


def time_even(schedule: Level, steps: int) -> Level:
    """Levels evenly spaced in the time of the linear variance-preserving process, and the clean level.

    sigma(t)^2 = exp(beta_d t^2 / 2 + beta_min t) - 1,  beta_d = 19.9, beta_min = 0.1, whatever the process of the schedule

    Source: Song et al. 2021 (score SDE); Zhang and Chen 2023 (DEIS) for nets of other processes.
    Raises: ValueError for fewer than two steps.
    """
    highest, lowest = _ends(schedule, steps, "time")
    time = torch.lerp(vp_time(highest), vp_time(lowest), _places(steps))
    return _ended(schedule, torch.expm1(SONG.beta_d * time**2 / 2 + SONG.beta_min * time).sqrt())


def arctan(schedule: Level, steps: int, sigma_data: float) -> Level:
    """sigma_i = c tan((1 - i / N) arctan(sigma_max / c)), i = 0 .. N: the last level is clean.

    No other levels keep more of the variance of Gaussian data of std c under N steps of DDIM.
    Args: sigma_data: c.
    Source: Sabour et al. 2024 (Align Your Steps), theorem on Gaussian data.
    """
    angle = torch.atan(schedule.sigma[0] / sigma_data) * (1 - torch.arange(steps, dtype=torch.float64) / steps)
    return _ended(schedule, sigma_data * torch.tan(angle))


def _quantiles(steps: int) -> Tensor:
    """Quantiles of Beta(.6, .6) at 1 .. 0, [N]."""
    from scipy.special import betaincinv

    return torch.from_numpy(betaincinv(BETA, BETA, (1 - _places(steps)).numpy()))


def beta_sigma(schedule: Level, steps: int) -> Level:
    """sigma_i = sigma_min + q_i (sigma_max - sigma_min), q quantiles of Beta(.6, .6) at 1 .. 0, and the clean level.

    Source: Beta sampling (arXiv 2407.12173), as one library carries it over to sigma; `beta_timesteps` is the original.
    Raises: ValueError for fewer than two steps.
    """
    highest, lowest = _ends(schedule, steps, "beta-sigma")
    return _ended(schedule, lowest + _quantiles(steps) * (highest - lowest))


def beta_timesteps(total: int, steps: int) -> list[int]:
    """Timesteps round(q_i (T - 1)), q quantiles of Beta(.6, .6), rising; those that fall together are moved apart.

    Source: Beta sampling (arXiv 2407.12173).
    Raises: ValueError for fewer than two steps, or more than T.
    """
    if not 2 <= steps <= total:
        raise ValueError(f"schedule beta-timesteps needs from 2 to {total} steps, the length of the training schedule, not {steps}")
    chosen = [round(q * (total - 1)) for q in _quantiles(steps).flip(0).tolist()]
    for i in range(1, steps):
        chosen[i] = max(chosen[i], chosen[i - 1] + 1)
    for i in range(steps - 1, -1, -1):
        chosen[i] = min(chosen[i], total - steps + i)
    return chosen


def tabulated(schedule: Level, steps: int, table: str) -> Level:
    """Levels of a published table of 10 steps, and the clean level; other step counts by straight lines in log sigma against the index.

    Of the table's curve only what lies between the ends of the training schedule is used, evenly in the index: a latent model's levels on
    another model are a transfer.
    Args: table: of ALIGN_YOUR_STEPS.  Raises: ValueError where nothing of the table lies between the ends.
    """
    logs = torch.tensor(ALIGN_YOUR_STEPS[table], dtype=torch.float64).log()
    highest, lowest = (schedule.sigma[i].log() for i in (0, -2))
    if highest <= logs[-1] or lowest >= logs[0]:
        low, high = ALIGN_YOUR_STEPS[table][-1], ALIGN_YOUR_STEPS[table][0]
        raise ValueError(f"schedule ays-{table} has levels from sigma = {high:g} to {low:g}, none of the training schedule; use another")
    first, last = (_index_of(logs, level) for level in (highest.clamp(max=logs[0]), lowest.clamp(min=logs[-1])))
    place = torch.lerp(first, last, _places(steps)) if steps > 1 else first[None]
    before = place.floor().clamp(max=len(logs) - 2).long()
    return _ended(schedule, torch.lerp(logs[before], logs[before + 1], place - before).exp())


def _index_of(logs: Tensor, level: Tensor) -> Tensor:
    """The index, a real number, at which straight lines through falling values pass a level."""
    before = int((logs[1:-1] >= level).sum())
    return before + (logs[before] - level) / (logs[before] - logs[before + 1])
