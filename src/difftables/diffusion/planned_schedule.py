"""A schedule that holds more than its levels: what the net is conditioned on at each, and the weights of each step."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from difftables.diffusion.denoiser import Denoiser
from difftables.diffusion.level import Level, shape


@dataclass(frozen=True)
class PlannedSchedule(Level):
    """A schedule with what a search chose for each step beside its levels. Its parts, such as an entry, are plain levels.

    Args: conditioned: the level that the net receives in place of each level that is left, [N] for N steps; None: the level itself;
        weights: of the predictions, newest first, in the step that leaves each level, [N, p]; None: the solver has its own.
    Raises: ValueError where their lengths do not fit the levels.
    """

    conditioned: Level | None = None
    weights: Tensor | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        steps = self.alpha.numel() - 1
        for name, count in (("conditioned", self.conditioned), ("weights", self.weights)):
            if count is not None and len(count) != steps:
                raise ValueError(f"{name} has {len(count)} rows for a schedule of {steps} steps; give one a step")

    @classmethod
    def of(cls, schedule: Level, conditioned: Level | None = None, weights: Tensor | None = None) -> "PlannedSchedule":
        """A schedule of levels with further columns."""
        return cls(schedule.alpha, schedule.std, schedule.strength, schedule.process, conditioned, weights)


def with_conditioned_levels(denoise: Denoiser, schedule: Level, replaced: Level) -> Denoiser:
    """D whose net receives another level than that of its sample: D(x alpha_c / alpha; level_c), so that x / alpha stays as it is.

    log(std_c / std) and log(alpha_c / alpha) are interpolated linearly in log sigma between the levels of the schedule, for solvers that
    evaluate between them; beyond its ends they are those of the end. Where both are 0 nothing changes, to the bit.

    Args: schedule: N + 1 levels; replaced: level_c at the first N of them, [N].
    Source: Tong et al. 2024 (LD3), decoupled times; there of a noise prediction in the frame of x, here of D in that of x / alpha.
    """
    nodes = schedule[: len(replaced)]
    place = -nodes.sigma.log()
    gains, shifts = (replaced.alpha / nodes.alpha).log(), (replaced.std / nodes.std).log()

    def denoise_conditioned(x: Tensor, level: Level, **cond: Tensor) -> Any:
        gain, shift = (between(place, values, -level.sigma.log()).exp() for values in (gains, shifts))
        other = Level(level.alpha * gain, level.std * shift, level.strength, level.process)
        return denoise(x * shape(gain, x), other, **cond)

    return denoise_conditioned


def between(place: Tensor, values: Tensor, at: Tensor) -> Tensor:
    """Linear interpolation of values, [N], at rising places, [N], in places `at`, [B]; constant beyond the ends; exact at the places."""
    place, values = place.to(at.device), values.to(at.device)
    if len(place) == 1:
        return values.expand(len(at))
    right = torch.searchsorted(place.detach().contiguous(), at.detach().contiguous()).clamp(1, len(place) - 1)
    share = ((at - place[right - 1]) / (place[right] - place[right - 1])).clamp(0, 1)
    return values[right - 1] * (1 - share) + values[right] * share
