"""Sampling schedules: the levels that a sampler visits, computed from the training schedule or read from a file."""

from collections.abc import Callable
from pathlib import Path

from difftables.common.variants import Variants
from difftables.config.run import Adjustment
from difftables.config.sampling import PowerLaw, Sampling
from difftables.diffusion import subschedules, timesteps
from difftables.diffusion.beta_families import fitted
from difftables.diffusion.level import Level
from difftables.diffusion.schedule_file import read_schedules


def strided(steps: int, training: Level, adjust: Adjustment | None) -> Level:
    """A sub-sequence of the training schedule."""
    return subschedules.strided(training, steps)


def even(steps: int, training: Level, adjust: Adjustment | None) -> Level:
    """Evenly spaced timesteps with both ends, rounded: the stride of Improved DDPM."""
    return subschedules.at_timesteps(training, timesteps.even(len(training) - 1, steps))


def whole_stride(steps: int, training: Level, adjust: Adjustment | None) -> Level:
    """One integer stride from timestep 0: `ddimN` of Improved DDPM's code."""
    return subschedules.at_timesteps(training, timesteps.whole(len(training) - 1, steps))


def trailing(steps: int, training: Level, adjust: Adjustment | None) -> Level:
    """Timesteps evenly spaced from the noisiest level down, without timestep 0."""
    return subschedules.at_timesteps(training, timesteps.trailing(len(training) - 1, steps))


def power_law(steps: int, training: Level, adjust: Adjustment | None, grid: PowerLaw | None = None) -> Level:
    """Evenly spaced in sigma^(1/rho) between the ends of the training schedule, or those of `grid`: EDM's grid, rho = 7."""
    return subschedules.power_law(training, steps, **({} if grid is None else dict(grid)))


def of_family(steps: int, training: Level, adjust: Adjustment) -> Level:
    """The schedule of the adjustment's family whose noisiest level is that of training."""
    return fitted(training.alpha_bar[0].item(), steps, adjust.first_beta, adjust.family, "exact")


SCHEDULES: Variants[Callable[..., Level]] = {
    "strided": strided,
    "even": even,
    "whole-stride": whole_stride,
    "trailing": trailing,
    "power-law": power_law,
    "fitted": of_family,
}


def first_schedule(sampler: Sampling, steps: int, training: Level, adjust: Adjustment | None, file: Path | None) -> Level:
    """The schedule that a sampler starts with, N + 1 levels: computed, or read from a file.

    Raises: ValueError for a file without a schedule of so many steps.
    """
    if sampler.skip:
        training = training[len(training) - 1 - timesteps.kept(len(training) - 1, sampler.skip) :]
    if sampler.sections:
        return subschedules.at_timesteps(training, timesteps.sections(len(training) - 1, sampler.sections))
    if sampler.schedule in SCHEDULES:
        further = {} if sampler.grid is None else {"grid": sampler.grid}
        return SCHEDULES[sampler.schedule](steps, training, adjust, **further)
    path = file if file is not None else Path(sampler.schedule)
    by_steps = read_schedules(path)
    if steps not in by_steps:
        raise ValueError(f"{path} has schedules of {', '.join(map(str, by_steps))} steps, not of {steps}; add one, or ask for those steps")
    return by_steps[steps]
