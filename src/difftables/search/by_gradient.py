"""Schedules learned by gradient through a solver: levels, levels that the net is conditioned on, and weights of predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from difftables.common.clock import Phase
from difftables.common.seeds import generator
from difftables.diffusion.planned_schedule import PlannedSchedule
from difftables.search.student import Loss, Pairs, Parameters, Student, gradient, levels_of, logits_of, mean_loss, window

PATIENCE, SLOWER = 5, 0.8  # checks without gain, and what the rates are multiplied by after them
LARGEST_GRADIENT = 1.0  # norm of the gradient of all parameters of an update
MOVE = 0.25  # of the radius: how far a start moves at once
STARTS = (3.0, 7.0, float("inf"))  # exponents of power laws, of which the best is where learning starts
Block = tuple[tuple[str, ...], int]  # names of the parameters that are updated, and how often


@dataclass(frozen=True)
class Budget:
    """Numbers of the learning: batch, check_every, radius, rate, conditioned_rate, of config.sampling.Learned; seed: of the batches."""

    batch: int
    check_every: int
    radius: float
    rate: float
    conditioned_rate: float
    seed: int


@dataclass(frozen=True)
class Result:
    """The best schedule on the pairs that are kept for checks, its loss, that of the start, and the updates that were made."""

    schedule: PlannedSchedule
    loss: float
    first_loss: float
    updates: int


def best_start(student: Student, steps: int, order: int | None, pairs: Pairs, loss: Loss) -> Parameters:
    """The power law of STARTS with the smallest loss, as parameters; order: of the weights, None for none.

    Raises: ValueError where all diverge.
    """
    candidates = []
    for rho in STARTS:
        weights = None if order is None else torch.zeros(steps, order, dtype=torch.float64)
        parameters = Parameters(logits_of(student.ends.power_law(steps, rho)), weights=weights)
        candidates.append((mean_loss(student, student.schedule(parameters), pairs, loss, len(pairs)), parameters))
    value, parameters = min(candidates, key=lambda each: each[0])
    if not value < float("inf"):
        raise ValueError(f"chains of {steps} steps diverge down every schedule that learning could start from; clip the prediction")
    return parameters


def learn(
    student: Student, parameters: Parameters, train: Pairs, check: Pairs, loss: Loss, blocks: Sequence[Block], budget: Budget
) -> Result:
    """The schedule with the smallest loss on `check`, of those that gradient descent on `train` passes through.

    RMSprop (momentum 0.9) moves logits and weights, plain gradient descent the shifts, with gradients of norm 1 at most and rates that fall
    by SLOWER after PATIENCE checks without gain. The loss counts in units of that of the start. A start of `train` moves inside a ball of
    unit noise where its loss falls; starts of `check` never move.

    Args: parameters: where it begins; blocks: of updates, one after another; budget: its numbers.
    Raises: ValueError where a gradient is not finite.
    Source: Tong et al. 2024 (LD3), Algorithm 1 and its released settings; weights: Frankel et al. 2025 (S4S), alternating.
    Departs: L2 or log-mel in place of LPIPS; it starts from the best of three power laws; the loss is scaled by that of the start.
    """
    learned = parameters.map(lambda each: each.clone().requires_grad_())
    tensors = learned.tensors()
    smooth = {name: torch.optim.RMSprop([value], lr=budget.rate, momentum=0.9) for name, value in tensors.items() if name != "shifts"}
    plain = {name: torch.optim.SGD([value], lr=budget.conditioned_rate) for name, value in tensors.items() if name == "shifts"}
    optimisers = smooth | plain
    first = best = mean_loss(student, _frozen(student, learned), check, loss, len(check))
    kept, updates, waited = learned.map(_copy), 0, 0
    moved, moving, unit = torch.zeros_like(train.start), budget.radius > 0, _unit(student)
    for names, count in blocks:
        for _ in range(count):
            which = batch_of(updates, len(train), budget)
            pairs, shift = train[which], moved[which].requires_grad_(moving)
            start = pairs.start + unit * shift
            losses = loss(student(start, student.schedule(learned), pairs.cond), pairs.end)
            inputs = [tensors[name] for name in names]
            slopes = gradient(losses.mean() / max(first, 1e-30), [*inputs, *[shift] * moving])
            _update(names, inputs, slopes[: len(inputs)], optimisers)
            if learned.shifts is not None:
                most = window(levels_of(learned.logits, student.ends))
                learned.shifts.data.clamp_(-most, most)
            if moving:
                moved[which] = _moved(student, learned, pairs, shift.detach(), slopes[-1], losses.detach(), loss, budget.radius)
            updates += 1
            if updates % budget.check_every == 0:
                value = mean_loss(student, _frozen(student, learned), check, loss, len(check))
                waited = 0 if value < best else waited + 1
                if value < best:
                    best, kept = value, learned.map(_copy)
                if waited == PATIENCE:
                    waited = 0
                    for optimiser in optimisers.values():
                        optimiser.param_groups[0]["lr"] *= SLOWER
    return Result(_frozen(student, kept), best, first, updates)


def batch_of(update: int, count: int, budget: Budget) -> Tensor:
    """The pairs of an update: a pass through all, in an order of its own, before any comes again."""
    size = min(budget.batch, count)
    a_pass = count // size
    order = torch.randperm(count, generator=generator("learned", budget.seed, "order", update // a_pass))
    return order[update % a_pass * size :][:size]


def _copy(value: Tensor) -> Tensor:
    return value.detach().clone()


def _frozen(student: Student, parameters: Parameters) -> PlannedSchedule:
    with torch.no_grad():
        return student.schedule(parameters.map(Tensor.detach))


def _unit(student: Student) -> float:
    """The std of the noise of a start."""
    return student.ends.schedule(torch.tensor([student.ends.highest, student.ends.lowest]).double()).std[0].item()


def _update(
    names: Sequence[str], inputs: Sequence[Tensor], slopes: Sequence[Tensor], optimisers: Mapping[str, torch.optim.Optimizer]
) -> None:
    """One step of each optimiser, with the gradients together no longer than LARGEST_GRADIENT."""
    with Phase("optimiser"):
        norm = torch.stack([slope.square().sum() for slope in slopes]).sum().sqrt()
        for name, value, slope in zip(names, inputs, slopes, strict=True):
            value.grad = slope * (LARGEST_GRADIENT / norm.clamp(min=LARGEST_GRADIENT))
            optimisers[name].step()


def _moved(
    student: Student, learned: Parameters, pairs: Pairs, shift: Tensor, slope: Tensor, losses: Tensor, loss: Loss, radius: float
) -> Tensor:  # fmt: skip
    """The shifts of the starts of a batch in unit noise, [B, ...], one step down their gradient inside a ball, where the loss falls so."""
    each = (-1, *[1] * (shift.dim() - 1))
    direction = slope / slope.flatten(1).norm(dim=1).clamp(min=1e-30).reshape(each)
    tried = shift - MOVE * radius * direction
    tried = tried * (radius / tried.flatten(1).norm(dim=1).clamp(min=radius)).reshape(each)
    with torch.no_grad():
        ends = student(pairs.start + _unit(student) * tried, _frozen(student, learned), pairs.cond)
        falls = loss(ends, pairs.end) < losses
    return torch.where(falls.reshape(each), tried, shift)
