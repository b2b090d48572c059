"""Training schedules by family: each function gives levels, noisiest first, the clean one last."""

from collections.abc import Callable
from pathlib import Path

import torch

from difftables.common.variants import Variants
from difftables.config.run import Schedule
from difftables.diffusion import operator_levels, schedules
from difftables.diffusion.level import Level, concatenate

Rate = float  # between 0 and 1, ends left out
Positive = float  # above zero
Count = int  # above zero


def linear(steps: int, first: Rate, last: Rate) -> Level:
    """Variance preserving, rates as in `schedules.linear`."""
    return schedules.from_betas(schedules.linear(steps, first, last))


def fibonacci(steps: int, first: Rate, second: Rate) -> Level:
    """Variance preserving, rates as in `schedules.fibonacci`."""
    return schedules.from_betas(schedules.fibonacci(steps, first, second))


def scaled_linear(steps: int) -> Level:
    """Variance preserving, rates as in `schedules.scaled_linear`."""
    return schedules.from_betas(schedules.scaled_linear(steps))


def cosine(steps: int) -> Level:
    """Variance preserving, rates as in `schedules.cosine`."""
    return schedules.from_betas(schedules.cosine(steps))


def sub_linear(steps: int, first: Rate, last: Rate) -> Level:
    """Sub-variance-preserving: alpha of the linear rates, std = 1 - alpha_bar.

    Source: Song et al. 2021 (score SDE), sub-VP SDE; with discrete rates in place of their integral.
    """
    return Level.sub_variance_preserving(linear(steps, first, last).alpha)


def exploding(steps: int, lowest: Positive, highest: Positive) -> Level:
    """Variance exploding: std_i = lowest (highest / lowest)^((i - 1) / (steps - 1)), i = steps .. 1.

    Source: Song et al. 2021 (score SDE), VE SDE, discrete form.
    """
    place = torch.arange(steps - 1, -1, -1, dtype=torch.float64) / (steps - 1)
    return concatenate([Level.variance_exploding(lowest * (highest / lowest) ** place), Level.clean()])


def soft_uniform(steps: int, lowest: Positive, highest: Positive, reached: Rate, weakest: Positive, strongest: Positive) -> Level:
    """Soft Diffusion with the operator's strength linear in time between its ends; noise as in `soft.geometric_noise`."""
    return operator_levels.along(torch.tensor([weakest, strongest], dtype=torch.float64), steps, lowest, highest, reached)


def soft_scheduled(
    steps: int, lowest: Positive, highest: Positive, reached: Rate, weakest: Positive, strongest: Positive, candidates: Count,
    nodes: Count, images: Count, levels: Path, epsilon: Positive | None = None,
) -> Level:  # fmt: skip
    """Soft Diffusion with the strengths that rule levels chose on the data, linear in time between them.

    Args: candidates, nodes, images: of that choice; levels: its file; epsilon: its longest edge, in place of the number of nodes.
    """
    chosen = schedules.read_nodes(levels)
    return operator_levels.along(chosen, steps, lowest, highest, reached)


FAMILIES: Variants[Callable[..., Level]] = {
    "linear": linear, "fibonacci": fibonacci, "scaled-linear": scaled_linear, "cosine": cosine, "sub-linear": sub_linear,
    "exploding": exploding, "soft": soft_uniform, "soft-scheduled": soft_scheduled,
}  # fmt: skip
# What ties alpha to the noise in each family, which the plan reads: a key of level.PROCESSES.
PROCESS: Variants[str] = {
    "linear": "vp", "fibonacci": "vp", "scaled-linear": "vp", "cosine": "vp", "sub-linear": "sub-vp",
    "exploding": "ve", "soft": "ve", "soft-scheduled": "ve",
}  # fmt: skip


def training_schedule(spec: Schedule, levels: Path | None = None) -> Level:
    """The schedule a run is trained on, noisiest first, the clean level last.  Args: levels: a file that its family reads, if any."""
    return FAMILIES[spec.family](steps=spec.steps, **(spec.model_extra or {}), **({} if levels is None else {"levels": levels}))
