"""Densities of levels: which level each training sample receives."""

from collections.abc import Callable

import torch

from difftables.common.variants import Variants
from difftables.diffusion.level import Level, same_process
from difftables.training.loss_aware import LossAware

MEAN, SPREAD = -1.2, 1.2  # of log sigma in EDM


def index(schedule: Level, count: int, stream: torch.Generator) -> Level:
    """Uniform over the levels of the training schedule without the clean one, [count].  Source: Ho et al. 2020."""
    return schedule[torch.randint(len(schedule) - 1, (count,), generator=stream)]


def between(schedule: Level, count: int, stream: torch.Generator) -> Level:
    """Uniform in sqrt(alpha_bar) between neighbouring levels of the training schedule, [count].

    s ~ U{1..S}, sqrt(alpha_bar) ~ U(l_s, l_{s-1})

    Raises: ValueError for a schedule whose alpha does not determine its std.
    Source: WaveGrad (Chen et al. 2020), Sec. 3.2; used for the estimator of San-Roman et al. 2021.
    """
    if schedule.process not in ("vp", "sub-vp"):
        raise ValueError(f"density between needs a schedule of process vp or sub-vp, not {schedule.process or 'none'}; choose another")
    s = torch.randint(len(schedule) - 1, (count,), generator=stream)
    mix = torch.rand(count, generator=stream, dtype=torch.float64)
    alpha = torch.lerp(schedule.alpha[s], schedule.alpha[s + 1], mix)
    return Level.variance_preserving(alpha**2) if schedule.process == "vp" else Level.sub_variance_preserving(alpha)


def log_sigma(schedule: Level, count: int, stream: torch.Generator) -> Level:
    """Uniform in log sigma between the ends of the training schedule, [count].

    Source: ours, for short trainings: only 4 % of WaveGrad's draws fall below sigma = 0.1, where a vocoder's last steps are.
    """
    ends = schedule.sigma[[0, -2]].log()
    return same_process(schedule, torch.lerp(ends[0], ends[1], torch.rand(count, generator=stream, dtype=torch.float64)).exp())


def log_normal(schedule: Level, count: int, stream: torch.Generator) -> Level:
    """log sigma ~ N(MEAN, SPREAD^2), whatever the training schedule, [count].  Source: Karras et al. 2022 (EDM), Table 1."""
    return same_process(schedule, (MEAN + SPREAD * torch.randn(count, generator=stream, dtype=torch.float64)).exp())


# LossAware is a class: it remembers losses, and `make_density` makes one for a schedule.
DENSITIES: Variants[Callable[..., Level] | type[LossAware]] = {
    "index": index, "between": between, "log_sigma": log_sigma, "log_normal": log_normal, "loss_aware": LossAware,
}  # fmt: skip


def make_density(name: str, schedule: Level) -> Callable[[Level, int, torch.Generator], Level]:
    """A density of DENSITIES by its name: (schedule, count, stream) to levels, [count]."""
    density = DENSITIES[name]
    return density(schedule) if isinstance(density, type) else density
