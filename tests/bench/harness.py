"""Interleaved timing of several functions, and the rows of the bench's table."""

import math
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

Function = Callable[[], object]


@dataclass(frozen=True)
class Sizes:
    """How much each comparison computes.

    Args: rounds: repeats of a comparison; images, utterances: samples of a chain; steps: of a chain; training_steps: of a round;
        features: [N, M, d] of a Frechet distance; candidates: of a search, with one utterance each; utterances_each: of a candidate
        in the second search; matmul: side of the matrices; backend: of torch.compile.
    """

    rounds: int = 5
    images: int = 300
    utterances: int = 18
    steps: int = 10
    training_steps: int = 12
    features: tuple[int, int, int] = (200, 1437, 1280)
    pictures: int = 200
    candidates: int = 64
    utterances_each: int = 16
    matmul: int = 2048
    backend: str = "inductor"


LAPTOP = Sizes()
CUDA = Sizes(rounds=7, images=4096, utterances=64, training_steps=100, matmul=8192)
TINY = Sizes(1, 2, 2, 2, 1, (6, 9, 4), 2, 2, 2, 8, "eager")


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args: part: of the bench; what: is compared; ours, theirs: in `unit`; ratio: ours over theirs, the median of all rounds, with its range
        `lowest` to `highest`; how: measured.
    """

    part: str
    what: str
    unit: str
    how: str
    ours: float | None = None
    theirs: float | None = None
    ratio: float | None = None
    lowest: float | None = None
    highest: float | None = None
    rounds: int = 1
    device: str = "cpu"


@dataclass
class Timer:
    """Seconds of a function: of this process' CPU time, or of the wall where a GPU computes."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def now(self) -> float:
        """Seconds on the clock, once all kernels have ended."""
        if self.device.type != "cuda":
            return time.process_time()
        torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def seconds(self, function: Function) -> float:
        """Seconds of one call."""
        began = self.now()
        function()
        return self.now() - began


def interleaved(functions: Sequence[Function], rounds: int, timer: Timer) -> list[list[float]]:
    """Seconds of each function in each round, [functions][rounds], going round and round so that a busy machine hits all alike.

    Each is called once before, so that no round pays for what a first call sets up.
    """
    for function in functions:
        function()
    turns = [[timer.seconds(function) for function in functions] for _ in range(rounds)]
    return [list(column) for column in zip(*turns, strict=True)]


def compared(
    part: str, what: str, ours: Sequence[float], theirs: Sequence[float], how: str, *, timer: Timer, unit: str = "s", per: float = 1.0,
) -> Row:  # fmt: skip
    """A row from the seconds of two functions, round by round.  Args: per: what the seconds are divided by, e.g. steps of a round."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return Row(
        part, what, unit, how, statistics.median(ours) / per, statistics.median(theirs) / per, statistics.median(ratios), min(ratios),
        max(ratios), len(ratios), timer.device.type,
    )  # fmt: skip


def share(part: str, what: str, ours: Sequence[float], peak: Sequence[float], how: str, *, timer: Timer) -> Row:
    """A row of GFLOP/s reached over the measured peak."""
    return compared(part, what, ours, peak, how, timer=timer, unit="GFLOP/s")


def measured(part: str, what: str, values: Sequence[float], unit: str, how: str) -> Row:
    """A row of ours without a partner: the median, with its range in place of a ratio's."""
    return Row(part, what, unit, how, statistics.median(values), lowest=min(values), highest=max(values), rounds=len(values))


def missing(part: str, what: str, why: str) -> Row:
    """A row that says why nothing was measured."""
    return Row(part, what, "", why, rounds=0)


def child_seconds(function: Function) -> float:
    """CPU seconds of the processes that a function starts and waits for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    function()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def relative_error(ours: float, theirs: float) -> float:
    """|ours - theirs| / |theirs|; infinite where theirs is 0."""
    return abs(ours - theirs) / abs(theirs) if theirs else math.inf
