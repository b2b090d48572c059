"""Sampling schedules: which levels a sampler visits, computed from the training schedule or read from a file."""

from collections.abc import Callable
from pathlib import Path

from difftables.common.variants import Variants
from difftables.config.run import Adjustment
from difftables.config.sampling import Sampling
from difftables.diffusion import schedules, timesteps
from difftables.diffusion.level import Level
from difftables.estimation.estimator import fitted


def strided(steps: int, training: Level, adjust: Adjustment | None) -> Level:
    """A sub-sequence of the training schedule."""
    return schedules.strided(training, steps)


def even(steps: int, training: Level, adjust: Adjustment | None) -> Level:
    """Evenly spaced timesteps with both ends, rounded: the stride of Improved DDPM."""
    return schedules.at_timesteps(training, timesteps.even(len(training) - 1, steps))


def whole_stride(steps: int, training: Level, adjust: Adjustment | None) -> Level:
    """One integer stride from timestep 0: `ddimN` of Improved DDPM's code."""
    return schedules.at_timesteps(training, timesteps.whole(len(training) - 1, steps))


def trailing(steps: int, training: Level, adjust: Adjustment | None) -> Level:
    """Evenly in time from the noisiest level down."""
    return schedules.at_timesteps(training, timesteps.trailing(len(training) - 1, steps))


def power_law(steps: int, training: Level, adjust: Adjustment | None) -> Level:
    """Evenly spaced in sigma^(1/7) between the ends of the training schedule: EDM's grid."""
    return schedules.power_law(training, steps)


def family(steps: int, training: Level, adjust: Adjustment) -> Level:
    """The schedule of the adjustment's family that ends where training does."""
    return fitted(training.alpha_bar[0].item(), steps, adjust.first_beta, adjust.family, "exact")


SCHEDULES: Variants[Callable[..., Level]] = {
    "strided": strided,
    "even": even,
    "whole-stride": whole_stride,
    "trailing": trailing,
    "power-law": power_law,
    "fitted": family,
}


def first_schedule(sampler: Sampling, steps: int, training: Level, adjust: Adjustment | None, file: Path | None) -> Level:
    """The schedule a sampler starts out with: computed, or read from a file."""
    if sampler.sections:
        return schedules.at_timesteps(training, timesteps.sections(len(training) - 1, sampler.sections))
    if sampler.schedule in SCHEDULES:
        return SCHEDULES[sampler.schedule](steps, training, adjust)
    path = file if file is not None else Path(sampler.schedule)
    found = schedules.read(path)
    if steps not in found:
        raise ValueError(f"{path} has schedules of {', '.join(map(str, found))} steps, not of {steps}")
    return found[steps]
