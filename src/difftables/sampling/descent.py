"""The loop of every solver that visits the levels of a schedule, and the types of its arguments."""

from collections.abc import Callable

from torch import Tensor

from difftables.diffusion.level import Level

Levels = Level | list[Level]  # N + 1, noisiest first; each entry of a list may hold one level per sample, [B]
Corrupt = Callable[[Tensor, Level], Tensor]
Adapt = Callable[[Tensor, Tensor, list[Level]], list[Level]]
Before = Callable[[Tensor, Level], tuple[Tensor, Level]]


def descend(
    x: Tensor, schedule: Levels, step: Callable[[Tensor, Level, Level], tuple[Tensor, Tensor]], *, before: Before | None = None,
    adapt: Adapt | None = None,
) -> Tensor:  # fmt: skip
    """x after one step per level of a schedule, at its last level, [B, ...].

    Args:
        step: (x, now, next) to the mean and the noised result of the step.
        before: a corrector: changes x and its level before each step.
        adapt: receives the mean, the noised result and the remaining levels, from that of the result on; returns as many levels in
            their place.
    """
    levels = [schedule[i] for i in range(len(schedule))]
    for i in range(1, len(levels)):
        now, nxt = levels[i - 1], levels[i]
        if before is not None:
            x, now = before(x, now)
        mean, x = step(x, now, nxt)
        if adapt is not None and i + 1 < len(levels):
            levels[i:] = adapt(mean, x, levels[i:])
    return x
