"""The levels that the samples of a batch step from, recorded; and which sample walks another one's."""

import hashlib
from collections.abc import Callable, Sequence
from itertools import groupby

import torch
from torch import Tensor

from difftables.diffusion.level import Level, concatenate
from difftables.sampling.descent import Levels


class RecordedAdapt:
    """An `adapt` that records the levels at the start of each step; without one, the schedule is the record."""

    def __init__(self, adapt: Callable[..., list[Level]] | None, schedule: Levels) -> None:
        self.adapt, self.levels = adapt, [schedule[i] for i in range(len(schedule) - 1)]
        self.step = 0

    @property
    def reads_prediction(self) -> bool:
        """Whether the adapt receives the denoiser."""
        return bool(getattr(self.adapt, "reads_prediction", False))

    def __call__(self, mean: Tensor, x: Tensor, levels: list[Level], **further: Tensor) -> list[Level]:
        assert self.adapt is not None
        self.step += 1
        adapted = self.adapt(mean, x, levels, **further)
        self.levels[self.step] = adapted[0]
        return adapted


class Trail:
    """The `record` of a solver whose samples choose their own steps.  Args: count: samples of the batch."""

    def __init__(self, count: int) -> None:
        self.paths: list[list[tuple[float, float]]] = [[] for _ in range(count)]
        self.process = ""

    def __call__(self, samples: Tensor, level: Level) -> None:
        """Record the levels, [B], that some samples step from.  Args: samples: their places in the batch, [B]."""
        self.process = level.process
        for place, *at in zip(samples.tolist(), level.alpha.tolist(), level.std.tolist(), strict=True):
            self.paths[place].append((at[0], at[1]))

    def levels(self) -> list[Level]:
        """The levels by step, each [K]; a sample with fewer steps than others repeats its last level."""
        longest = max(len(path) for path in self.paths)
        padded = torch.tensor([path + path[-1:] * (longest - len(path)) for path in self.paths], dtype=torch.float64)
        return [Level(alpha, std, process=self.process) for alpha, std in padded.permute(1, 2, 0)]


def join_visited(batches: Sequence[Sequence[Level]]) -> list[Level]:
    """The levels by step of several batches, one after another; a batch with fewer steps repeats its last level."""
    longest = max(len(levels) for levels in batches)
    return [concatenate([levels[min(i, len(levels) - 1)] for levels in batches]) for i in range(longest)]


def other_places(keys: Sequence[tuple[int | str, ...]]) -> list[int]:
    """For each sample the place of another one of the same seed, each once: whose levels it walks where they are shuffled.

    The samples of a seed, all but the last entry of their keys, stand in a circle in the order of a hash of their keys; each has the
    next one's. No batch, shard or process enters.
    Raises: ValueError for a seed with one sample.
    """

    def seed(place: int) -> list[str]:
        return [str(part) for part in keys[place][:-1]]

    def order(place: int) -> str:
        return hashlib.sha256("/".join(map(str, ("shuffled", *keys[place]))).encode()).hexdigest()

    others = [0] * len(keys)
    for _, group in groupby(sorted(range(len(keys)), key=seed), key=seed):
        circle = sorted(group, key=order)
        if len(circle) < 2:
            raise ValueError(f"sample {keys[circle[0]]} is the only one of its seed, so that no other has levels for it; draw two or more")
        for place, other in zip(circle, circle[1:] + circle[:1], strict=True):
            others[place] = other
    return others
