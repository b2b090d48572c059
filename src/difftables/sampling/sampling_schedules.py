"""Sampling schedules: the levels that a sampler visits, computed from the training schedule or read from a file."""

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

from difftables.common.variants import Variants
from difftables.config.run import Adjustment
from difftables.config.sampling import PowerLaw, Sampling
from difftables.diffusion import closed_schedules, subschedules, timesteps
from difftables.diffusion.beta_families import fitted
from difftables.diffusion.level import Level, same_process
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


def log_snr(steps: int, training: Level, adjust: Adjustment | None) -> Level:
    """Even in log sigma between the ends of the training schedule."""
    return closed_schedules.log_snr(training, steps)


def time_even(steps: int, training: Level, adjust: Adjustment | None) -> Level:
    """Even in the time of the linear variance-preserving process between the ends of the training schedule, not rounded."""
    return closed_schedules.time_even(training, steps)


def arctan(steps: int, training: Level, adjust: Adjustment | None, sigma_data: float = 0.5) -> Level:
    """sigma = sigma_data tan(theta), theta even down to the clean level; sigma_data is that of the run."""
    return closed_schedules.arctan(training, steps, sigma_data)


def beta_sigma(steps: int, training: Level, adjust: Adjustment | None) -> Level:
    """Quantiles of Beta(.6, .6) between the ends of the training schedule, in sigma."""
    return closed_schedules.beta_sigma(training, steps)


def beta_timesteps(steps: int, training: Level, adjust: Adjustment | None) -> Level:
    """Quantiles of Beta(.6, .6) among the timesteps of the training schedule."""
    return subschedules.at_timesteps(training, closed_schedules.beta_timesteps(len(training) - 1, steps))


def ays_image(steps: int, training: Level, adjust: Adjustment | None) -> Level:
    """The table of Align Your Steps for Stable Diffusion 1.5: transfer from a latent model."""
    return closed_schedules.tabulated(training, steps, "sd")


def ays_large_image(steps: int, training: Level, adjust: Adjustment | None) -> Level:
    """The table of Align Your Steps for Stable Diffusion XL: transfer from a latent model."""
    return closed_schedules.tabulated(training, steps, "sdxl")


def ays_video(steps: int, training: Level, adjust: Adjustment | None) -> Level:
    """The table of Align Your Steps for Stable Video Diffusion: transfer from a latent model."""
    return closed_schedules.tabulated(training, steps, "video")


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
    "log-snr": log_snr,
    "time": time_even,
    "arctan": arctan,
    "beta-sigma": beta_sigma,
    "beta-timesteps": beta_timesteps,
    "ays-sd": ays_image,
    "ays-sdxl": ays_large_image,
    "ays-video": ays_video,
}


def first_schedule(
    sampler: Sampling, steps: int, training: Level, adjust: Adjustment | None, file: Path | None, sigma_data: float = 0.5
) -> Level:  # fmt: skip
    """The schedule that a sampler starts with, N + 1 levels: computed, or read from a file.

    Args: sigma_data: std of the data as the run's net assumes it, for schedules that read it.
    Raises: ValueError for a file without a schedule of so many steps.
    """
    if sampler.skip:
        training = training[len(training) - 1 - timesteps.kept(len(training) - 1, sampler.skip) :]
    if sampler.sections:
        return subschedules.at_timesteps(training, timesteps.sections(len(training) - 1, sampler.sections))
    if sampler.schedule in SCHEDULES:
        function = SCHEDULES[sampler.schedule]
        further: dict[str, Any] = {} if sampler.grid is None else {"grid": sampler.grid}
        if "sigma_data" in signature(function).parameters:
            further["sigma_data"] = sigma_data
        return function(steps, training, adjust, **further)
    path = file if file is not None else Path(sampler.schedule)
    by_steps = read_schedules(path)
    if steps not in by_steps:
        raise ValueError(f"{path} has schedules of {', '.join(map(str, by_steps))} steps, not of {steps}; add one, or ask for those steps")
    if sampler.schedule == "transferred":
        return of_other_net(by_steps[steps], training)
    return by_steps[steps]


def of_other_net(levels: Level, training: Level) -> Level:
    """A schedule found on another net as one for this: the same sigma, in the process of this one's training.

    Weights of steps and conditioned levels, which are of the other net, are left out.
    Raises: ValueError for a schedule that begins above the noisiest level of training.
    """
    highest = training.sigma[0].item()
    if levels.sigma[0].item() > highest * (1 + 1e-9):
        raise ValueError(
            f"the schedule of the other net begins at {levels.sigma[0].item():g}, above {highest:g}, the noisiest level of this one's "
            "training; take one that was found on a net with lower levels"
        )
    return same_process(training, levels.sigma)
