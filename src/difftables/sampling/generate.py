"""Samples in batches, from one stream of noise per sample: the same samples whatever the batch, the device or the process."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from difftables.common.arithmetic import sum_in_order
from difftables.common.parallel import World
from difftables.common.seeds import SampleNoise
from difftables.diffusion.denoiser import Counted, Denoiser, bind_condition
from difftables.diffusion.level import Level
from difftables.diffusion.priors import Randn
from difftables.sampling.solvers import Levels, Solve

ALONE = World()


@dataclass
class Generated:
    """Samples, their cost and the levels they passed through."""

    x: Tensor  # [K, ...], on the CPU, as `keep` made it
    calls: list[int]  # measured network calls of a chain, by batch
    evaluations: int  # network calls times samples
    seconds: float
    levels: list[Tensor] = field(default_factory=list)  # alpha_bar of each network call, [K]
    visited: list[Tensor] = field(default_factory=list)  # alpha_bar at the start of each step, [K]
    outside: list[Tensor] = field(default_factory=list)  # shares of v outside [0, 1]; none for a net without variance channels

    @property
    def nfe(self) -> float:
        """Measured network calls of one chain."""
        return mean_calls(self.calls)


class RecordedAdapt:
    """An `adapt` that records the levels at the start of each step; without one, the schedule is the record."""

    def __init__(self, adapt: Callable[..., list[Level]] | None, schedule: Levels) -> None:
        self.adapt, self.levels = adapt, [schedule[i] for i in range(len(schedule) - 1)]
        self.step = 0

    def __call__(self, mean: Tensor, x: Tensor, levels: list[Level], **cond: Tensor) -> list[Level]:
        assert self.adapt is not None
        self.step += 1
        adapted = self.adapt(mean, x, levels, **cond)
        self.levels[self.step] = adapted[0]
        return adapted


def generate_batch(
    randn: Randn, count: int, shape: tuple[int, ...], schedule: Levels, *, solve: Solve, denoise: Denoiser,
    corrupt: Callable[[Tensor, Level], Tensor], prior: Callable[[Randn, Tensor, Level], Tensor], adapt: Callable[..., list[Level]] | None,
    device: torch.device, cond: Tensor | None = None, start: Level | None = None,
) -> Tensor:  # fmt: skip
    """`count` samples as one batch, [count, *shape], for tables, searches and studies alike.

    Args: schedule, cond, solve, start: of `generate_samples`; a schedule that is a list may have a level per sample.
    """
    x = prior(randn, torch.empty(count, *shape, device=device), schedule[0] if start is None else start)
    adapting = {} if adapt is None else {"adapt": bind_condition(adapt, cond)}
    return solve(x, schedule, denoise=bind_condition(denoise, cond), corrupt=corrupt, randn=randn, **adapting)


@torch.inference_mode()
def generate_samples(
    keys: Sequence[tuple[int | str, ...]], shape: tuple[int, ...], schedule: Level, *, solve: Solve, denoise: Denoiser,
    corrupt: Callable[[Tensor, Level], Tensor], prior: Callable[[Randn, Tensor, Level], Tensor],
    adapt: Callable[..., list[Level]] | None, batch: int, device: torch.device, cond: Tensor | None = None, start: Level | None = None,
    world: World = ALONE, keep: Callable[[Tensor], Tensor] = Tensor.cpu, span: range | None = None,
    noise: Callable[[Sequence[tuple[int | str, ...]]], Randn] = SampleNoise,
) -> Generated:  # fmt: skip
    """One sample of `shape` per key, `batch` at a time.

    Args: keys: of the noise stream of each sample, e.g. ("sample", seed, index); schedule: N + 1 levels; solve: of `solvers.bind`;
        cond: condition of the net and of `adapt`, [K, ...]; start: the level that sampling starts at, if not the noisiest of the
        schedule; world: processes that take whole batches in turn, so that no bit depends on their number; each receives all samples;
        keep: what a batch is stored as, on the CPU: all samples in float32 may not fit; span: of the keys, where only some are drawn;
        it begins and ends between batches, so that no bit depends on it; noise: from the keys of a batch to the source of all its noise,
        the start among it; `GivenNoise(...)` injects noise that was drawn elsewhere.
    Raises: FloatingPointError where `keep` does, with the index of the batch's first sample.
    """
    began, batches = time.perf_counter(), []
    schedule, start = schedule.to(device), None if start is None else start.to(device)
    span = range(len(keys)) if span is None else span
    firsts = range(span.start, span.stop, batch)
    for first in firsts[world.rank :: world.size]:
        counted, recorded = Counted(denoise), RecordedAdapt(adapt, schedule)
        randn = noise(keys[first : first + batch])
        batch_cond = None if cond is None else cond[first : first + batch].to(device)
        count = len(keys[first : first + batch])
        x = generate_batch(
            randn, count, shape, schedule, solve=solve, denoise=counted, corrupt=corrupt, prior=prior,
            adapt=None if adapt is None else recorded, device=device, cond=batch_cond, start=start,
        )  # fmt: skip
        used, visited = ([level.alpha_bar.expand(count).cpu() for level in each] for each in (counted.levels, recorded.levels))
        try:
            kept = keep(x)
        except FloatingPointError as error:
            raise FloatingPointError(f"in the batch that begins with sample {first}: {error}") from None
        batches.append((kept, used, visited, counted.calls, counted.evaluations, [share.cpu() for share in counted.outside]))
    parts, used_levels, step_levels, calls, evaluations, outside = zip(*world.gather_in_order(batches, len(firsts)), strict=True)
    joined, steps = ([torch.cat(step) for step in zip(*each, strict=False)] for each in (used_levels, step_levels))
    shares = [share for shares in outside for share in shares]
    return Generated(torch.cat(parts), list(calls), sum(evaluations), time.perf_counter() - began, joined, steps, shares)


def mean_calls(calls: Sequence[int]) -> float:
    """NFE: the mean over batches, whose samples share their steps where a solver chooses its steps."""
    mean = sum_in_order(calls) / len(calls)
    return int(mean) if mean == int(mean) else mean
