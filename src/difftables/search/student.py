"""A chain whose schedule is learned: its parameters, the schedule that they make, and its loss against a teacher's ends.

Nothing in here knows of runs: a denoiser D(x, level), a bound solver and pairs of starts and ends are all that it takes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from difftables.common.clock import Phase
from difftables.diffusion.denoiser import Denoiser, clipped, split_variance
from difftables.diffusion.level import PROCESSES, Level, concatenate
from difftables.diffusion.planned_schedule import PlannedSchedule, with_conditioned_levels
from difftables.sampling.descent import Corrupt
from difftables.sampling.generate import generate_batch
from difftables.sampling.solvers import Solve
from difftables.sampling.weighted import base_weights

LEAST_GAP = 1e-6  # of the whole range: what a softmax that underflows leaves between two levels
Loss = Callable[[Tensor, Tensor], Tensor]  # ends of a student and of its teacher, [B, ...], to one number per sample, [B]


@dataclass(frozen=True)
class Ends:
    """What is fixed of a learned schedule: its ends in sigma, its process, a key of PROCESSES, and whether it ends clean.

    A schedule that ends clean has the clean level where its last noisy one, at `lowest`, would be.
    """

    highest: float
    lowest: float
    process: str
    clean: bool = True

    def schedule(self, sigma: Tensor) -> Level:
        """N + 1 levels of falling sigma, [N + 1], whose last stands for the end."""
        level = PROCESSES[self.process]
        return concatenate([level(sigma[:-1]), Level.clean()]) if self.clean else level(sigma)

    def power_law(self, steps: int, rho: float) -> Tensor:
        """Evenly spaced in sigma^(1/rho), or in log sigma for rho = inf, [N + 1]."""
        share = torch.arange(steps + 1, dtype=torch.float64) / steps
        if rho == float("inf"):
            return self.highest * (self.lowest / self.highest) ** share
        return torch.lerp(torch.tensor(self.highest ** (1 / rho)).double(), torch.tensor(self.lowest ** (1 / rho)).double(), share) ** rho


@dataclass(frozen=True)
class Parameters:
    """What is learned of a schedule of N steps.

    Args: logits: of the gaps between levels, [N]; shifts: of conditioned levels, in lambda = -log sigma, [N], None for none; weights: what
        is added to the base's weights, [N, p], None for a solver without.
    """

    logits: Tensor
    shifts: Tensor | None = None
    weights: Tensor | None = None

    def tensors(self) -> dict[str, Tensor]:
        """Those that are there, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def map(self, change: Callable[[Tensor], Tensor]) -> "Parameters":
        """The same with each tensor changed."""
        return replace(self, **{name: change(value) for name, value in self.tensors().items()})


def logits_of(sigma: Tensor) -> Tensor:
    """The logits whose gaps in lambda are those of a schedule of noise levels, [N + 1] to [N]."""
    gaps = -sigma.log().diff()
    return (gaps / gaps.sum()).clamp(min=LEAST_GAP).log()


def levels_of(logits: Tensor, ends: Ends) -> Tensor:
    """sigma of N + 1 levels, falling for whatever logits, with fixed ends.

    lambda_i = lambda_0 + (lambda_N - lambda_0) sum_{j < i} softmax(logits)_j

    Source: Tong et al. 2024 (LD3), parametrisation of the time steps.
    """
    gaps = (1 - len(logits) * LEAST_GAP) * logits.softmax(0) + LEAST_GAP
    span = torch.tensor([ends.highest, ends.lowest], dtype=torch.float64)
    high, low = -span.log()
    inner = torch.exp(-(high + (low - high) * gaps.cumsum(0)[:-1]))
    return torch.cat([span[:1], inner, span[1:]])


def window(sigma: Tensor) -> Tensor:
    """Half of the smallest gap between levels in lambda: how far a conditioned level may lie from its own.

    Departs: the released code of LD3 takes the gaps of the logits, which are all 1 at first, so that its window is zero there.
    """
    return 0.5 * sigma.detach().log().diff().abs().min()


@dataclass
class Counter:
    """A denoiser that counts its evaluations, samples times calls: those of forward passes and those of backward passes."""

    denoise: Denoiser
    forward: int = 0
    backward: int = 0

    def __call__(self, x: Tensor, level: Level, **cond: Tensor) -> Any:
        self.forward += len(x)
        output = self.denoise(x, level, **cond)
        x0 = split_variance(output)[0]
        if x0.requires_grad:
            x0.register_hook(self._count_backward)
        return output

    def _count_backward(self, gradient: Tensor) -> None:
        self.backward += len(gradient)


@dataclass(frozen=True)
class Pairs:
    """Starts of a chain and the ends that a teacher reaches from them, [P, ...] each, and conditions of the net, [P, ...], or None."""

    start: Tensor
    end: Tensor
    cond: Tensor | None = None

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, which: slice | Tensor) -> "Pairs":
        return Pairs(self.start[which], self.end[which], None if self.cond is None else self.cond[which])


@dataclass(frozen=True)
class Student:
    """A chain as a differentiable function of the parameters of its schedule.

    Args: solve: a solver, (x, schedule, *, denoise, corrupt, randn, ...) to x, which takes `weights` where there are some; denoise: D(x,
        level); ends: what is fixed; clip: bound on D, or None; prediction: what the weights sum, clean or noise.
    """

    solve: Solve
    denoise: Denoiser
    corrupt: Corrupt
    ends: Ends
    clip: float | None = None
    prediction: str = "clean"

    def schedule(self, parameters: Parameters) -> PlannedSchedule:
        """The schedule that parameters make, differentiable in them."""
        sigma = levels_of(parameters.logits, self.ends)
        levels = self.ends.schedule(sigma)
        replaced = weights = None
        if parameters.shifts is not None:
            most = window(sigma)
            shift = parameters.shifts.clamp(-most, most)
            # No net was trained beyond the ends.
            replaced = PROCESSES[self.ends.process]((sigma[:-1] * torch.exp(-shift)).clamp(self.ends.lowest, self.ends.highest))
        if parameters.weights is not None:
            weights = base_weights(levels, parameters.weights.shape[1], self.prediction) + parameters.weights
        return PlannedSchedule.of(levels, replaced, weights)

    def __call__(self, start: Tensor, schedule: Level, cond: Tensor | None = None) -> Tensor:
        """The chain's ends from starts, [B, ...], down a schedule.  Raises: ValueError for a solver that draws noise."""
        denoise, solve = self.denoise, self.solve
        if isinstance(schedule, PlannedSchedule):
            denoise = denoise if schedule.conditioned is None else with_conditioned_levels(denoise, schedule, schedule.conditioned)
            solve = solve if schedule.weights is None else partial(solve, weights=schedule.weights)
        return generate_batch(
            no_noise, len(start), tuple(start.shape[1:]), schedule, solve=solve,
            denoise=clipped(denoise, self.clip) if self.clip else denoise, corrupt=self.corrupt, prior=lambda *_: start, adapt=None,
            device=start.device, cond=cond,
        )  # fmt: skip


def no_noise(x: Tensor) -> Tensor:
    """Raise ValueError: a solver asked for noise, so that its end is no function of its start."""
    raise ValueError("the solver adds noise, and a learned schedule compares the ends of one start; use a solver without")


def mean_loss(student: Student, schedule: Level, pairs: Pairs, loss: Loss, batch: int) -> float:
    """The mean loss of a schedule over pairs, without gradients; infinite where a chain diverges.  Args: batch: pairs at once."""
    with torch.no_grad():
        parts = [pairs[first : first + batch] for first in range(0, len(pairs), batch)]
        values = torch.cat([loss(student(part.start, schedule, part.cond), part.end).double() for part in parts])
    return values.mean().item() if bool(torch.isfinite(values).all()) else float("inf")


def gradient(value: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    """The gradient of a number, one tensor for each input, 0 where it does not depend on one.

    Raises: ValueError where it is not finite.
    """
    with Phase("backward"):
        found = torch.autograd.grad(value, inputs, allow_unused=True)
    whole = [torch.zeros_like(each) if slope is None else slope for each, slope in zip(inputs, found, strict=True)]
    if not all(bool(torch.isfinite(slope).all()) for slope in whole):
        raise ValueError("the gradient of a chain through its schedule is not finite; use another solver, or clip the prediction")
    return whole
