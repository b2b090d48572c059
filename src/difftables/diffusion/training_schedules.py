"""Training schedules: each function gives N + 1 levels, noisiest first, the clean one last."""

from collections.abc import Callable
from pathlib import Path

import torch

from difftables.common.variants import Variants
from difftables.config.run import Schedule
from difftables.diffusion import operator_levels
from difftables.diffusion.betas import schedule_from_betas
from difftables.diffusion.level import Level, concatenate
from difftables.diffusion.schedule_file import read_nodes

Rate = float  # between 0 and 1, ends excluded
Positive = float  # above zero
Count = int  # above zero
COSINE_OFFSET = 0.008
LARGEST_COSINE_BETA = 0.999


def linear(steps: int, first: Rate, last: Rate) -> Level:
    """Variance preserving, beta_i = first + i (last - first) / (steps - 1), i = 0 .. steps - 1.

    Source: Ho et al. 2020 (1e-4 .. 0.02, T = 1000); WaveGrad (1e-6 .. 1e-2, T = 1000).
    """
    return schedule_from_betas(torch.linspace(first, last, steps, dtype=torch.float64))


def fibonacci(steps: int, first: Rate, second: Rate) -> Level:
    """Variance preserving, beta_{i+2} = beta_{i+1} + beta_i from beta_0 = first and beta_1 = second.

    Source: San-Roman et al. 2021; 25 steps from 1e-6, 2e-6 is a schedule shipped with WaveGrad ports.
    """
    betas = [first, second]
    while len(betas) < steps:
        betas.append(betas[-1] + betas[-2])
    return schedule_from_betas(torch.tensor(betas[:steps], dtype=torch.float64))


def scaled_linear(steps: int) -> Level:
    """`linear` from 0.1 / T to 20 / T: the shape of Ho et al.'s schedule for any T, and theirs at T = 1000.

    Source: Nichol and Dhariwal 2021 (Improved DDPM), released code.  Raises: ValueError below 21 steps, where beta reaches 1.
    """
    return linear(steps, 0.1 / steps, 20 / steps)


def cosine(steps: int) -> Level:
    """Variance preserving, beta_t = min(1 - alpha_bar_t / alpha_bar_{t-1}, 0.999).

    alpha_bar_t = f(t) / f(0),  f(t) = cos^2((t / T + s) / (1 + s) pi / 2),  s = 0.008

    Source: Nichol and Dhariwal 2021 (Improved DDPM), cosine schedule; only the last rate meets the bound.
    """
    angle = (torch.arange(steps + 1, dtype=torch.float64) / steps + COSINE_OFFSET) / (1 + COSINE_OFFSET) * torch.pi / 2
    alpha_bar = angle.cos() ** 2
    return schedule_from_betas((1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=LARGEST_COSINE_BETA))


def sub_linear(steps: int, first: Rate, last: Rate) -> Level:
    """Sub-variance-preserving: alpha of `linear`, std = 1 - alpha_bar.

    Source: Song et al. 2021 (score SDE), sub-VP SDE; with discrete rates in place of their integral.
    """
    return Level.sub_variance_preserving(linear(steps, first, last).alpha)


def exploding(steps: int, lowest: Positive, highest: Positive) -> Level:
    """Variance exploding: std_i = lowest (highest / lowest)^((i - 1) / (steps - 1)), i = steps .. 1.

    Source: Song et al. 2021 (score SDE), VE SDE, discrete form.
    """
    exponent = torch.arange(steps - 1, -1, -1, dtype=torch.float64) / (steps - 1)
    return concatenate([Level.variance_exploding(lowest * (highest / lowest) ** exponent), Level.clean()])


def soft_uniform(steps: int, lowest: Positive, highest: Positive, reached: Rate, weakest: Positive, strongest: Positive) -> Level:
    """Soft Diffusion with the operator's strength linear in time between its ends; noise of `operator_levels.geometric_noise`."""
    nodes = torch.tensor([weakest, strongest], dtype=torch.float64)
    return operator_levels.interpolated_schedule(nodes, steps, lowest, highest, reached)


def soft_scheduled(
    steps: int, lowest: Positive, highest: Positive, reached: Rate, weakest: Positive, strongest: Positive, candidates: Count,
    nodes: Count, images: Count, levels: Path, epsilon: Positive | None = None,
) -> Level:  # fmt: skip
    """Soft Diffusion with the strengths that rule levels chose on the data, linear in time between them.

    Args: levels: the file of that choice; weakest, strongest, candidates, nodes, images, epsilon: what the choice was made with.
    """
    return operator_levels.interpolated_schedule(read_nodes(levels), steps, lowest, highest, reached)


TRAINING_SCHEDULES: Variants[Callable[..., Level]] = {
    "linear": linear, "fibonacci": fibonacci, "scaled-linear": scaled_linear, "cosine": cosine, "sub-linear": sub_linear,
    "exploding": exploding, "soft": soft_uniform, "soft-scheduled": soft_scheduled,
}  # fmt: skip
# What ties alpha to the noise in each schedule, read by the plan: a key of level.PROCESSES.
PROCESS_OF_SCHEDULE: Variants[str] = {
    "linear": "vp", "fibonacci": "vp", "scaled-linear": "vp", "cosine": "vp", "sub-linear": "sub-vp",
    "exploding": "ve", "soft": "ve", "soft-scheduled": "ve",
}  # fmt: skip


def training_schedule(spec: Schedule, levels: Path | None = None) -> Level:
    """The schedule of a run's training, [N + 1], noisiest first, the clean level last.  Args: levels: the file it reads, if any."""
    return TRAINING_SCHEDULES[spec.family](steps=spec.steps, **(spec.model_extra or {}), **({} if levels is None else {"levels": levels}))
