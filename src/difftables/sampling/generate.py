"""Samples in batches, from one stream of noise per sample: the same samples whatever the batch, the device or the process."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from inspect import signature

import torch
from torch import Tensor

from difftables.common.arithmetic import sum_in_order
from difftables.common.parallel import World
from difftables.common.seeds import SampleNoise
from difftables.diffusion.denoiser import Counted, Denoiser, KeptPrediction, OfBatch, bind_condition
from difftables.diffusion.level import Level
from difftables.diffusion.priors import Randn
from difftables.sampling.descent import Levels
from difftables.sampling.solvers import Solve
from difftables.sampling.visited import RecordedAdapt, Trail, join_visited

ALONE = World()


@dataclass
class Generated:
    """Samples, their cost and the levels they passed through."""

    x: Tensor  # [K, ...], on the CPU, as `keep` made it
    calls: list[int]  # measured network calls of each sample's chain, [K]
    evaluations: int  # network calls times samples, all that were made
    seconds: float
    levels: list[Tensor] = field(default_factory=list)  # alpha_bar of each network call, [K]; NaN of samples that are not in it
    visited: list[Level] = field(default_factory=list)  # at the start of each step, [K]; samples with fewer steps repeat their last
    outside: list[Tensor] = field(default_factory=list)  # shares of v outside [0, 1]; none for a net without variance channels

    @property
    def nfe(self) -> float:
        """Measured network calls of a chain, the mean over samples."""
        return mean_calls(self.calls)


def generate_batch(
    randn: Randn, count: int, shape: tuple[int, ...], schedule: Levels, *, solve: Solve, denoise: Denoiser,
    corrupt: Callable[[Tensor, Level], Tensor], prior: Callable[[Randn, Tensor, Level], Tensor], adapt: Callable[..., list[Level]] | None,
    device: torch.device, cond: Tensor | None = None, start: Level | None = None, record: Trail | None = None,
) -> Tensor:  # fmt: skip
    """`count` samples as one batch, [count, *shape], for tables, searches and studies alike.

    Args: schedule, cond, solve, start: of `generate_samples`; a schedule that is a list may have a level per sample; record: of a
        solver whose samples choose their own steps.
    """
    x = prior(randn, torch.empty(count, *shape, device=device), schedule[0] if start is None else start)
    of_batch: Denoiser = OfBatch(denoise, cond)
    further: dict[str, object] = {} if record is None else {"record": record}
    if adapt is not None:
        further["adapt"] = bind_condition(adapt, cond)
        if getattr(adapt, "reads_prediction", False):
            of_batch = KeptPrediction(of_batch)
            further["adapt"] = partial(adapt, denoise=of_batch)
    return solve(x, schedule, denoise=of_batch, corrupt=corrupt, randn=randn, **further)


@torch.inference_mode()
def generate_samples(
    keys: Sequence[tuple[int | str, ...]], shape: tuple[int, ...], schedule: Level, *, solve: Solve, denoise: Denoiser,
    corrupt: Callable[[Tensor, Level], Tensor], prior: Callable[[Randn, Tensor, Level], Tensor],
    adapt: Callable[..., list[Level]] | None, batch: int, device: torch.device, cond: Tensor | None = None, start: Level | None = None,
    world: World = ALONE, keep: Callable[[Tensor], Tensor] = Tensor.cpu, span: range | None = None,
    noise: Callable[[Sequence[tuple[int | str, ...]]], Randn] = SampleNoise, others: Sequence[int] | None = None,
    walk: Solve | None = None,
) -> Generated:  # fmt: skip
    """One sample of `shape` per key, `batch` at a time.

    Args: keys: of the noise stream of each sample, e.g. ("sample", seed, index); schedule: N + 1 levels; solve: of `solvers.bind`;
        cond: condition of the net and of `adapt`, [K, ...]; start: the level that sampling starts at, if not the noisiest of the
        schedule; world: processes that take whole batches in turn, so that no bit depends on their number; each receives all samples;
        keep: what a batch is stored as, on the CPU: all samples in float32 may not fit; span: of the keys, where only some are drawn;
        it begins and ends between batches, so that no bit depends on it; noise: from the keys of a batch to the source of all its noise,
        the start among it; `GivenNoise(...)` injects noise that was drawn elsewhere; others: for each key the place of the sample whose
        levels it walks, which are found first, by `solve`; walk: the solver that then walks them.
    Raises: FloatingPointError where `keep` does, with the index of the batch's first sample.
    """
    began, batches = time.perf_counter(), []
    schedule, start = schedule.to(device), None if start is None else start.to(device)
    span = range(len(keys)) if span is None else span
    firsts = range(span.start, span.stop, batch)

    def drawn(which: Sequence[int], levels: Levels, how: Solve, adapts: bool, counted: Counted) -> tuple[Tensor, list[Level]]:
        """Samples of some keys as one batch, and the levels that they step from."""
        trail = Trail(len(which)) if "record" in signature(how).parameters else None
        recorded = RecordedAdapt(adapt, levels)
        x = generate_batch(
            noise([keys[place] for place in which]), len(which), shape, levels, solve=how, denoise=counted, corrupt=corrupt, prior=prior,
            adapt=recorded if adapts and adapt is not None else None, device=device,
            cond=None if cond is None else cond[list(which)].to(device), start=start, record=trail,
        )  # fmt: skip
        return x, recorded.levels if trail is None else trail.levels()

    for first in firsts[world.rank :: world.size]:
        counted, places = Counted(denoise), range(first, min(first + batch, len(keys)))
        levels: Levels = schedule
        how, evaluations = solve, 0
        if others is not None:
            assert walk is not None, "shuffled levels need a solver that walks them"
            found = drawn([others[place] for place in places], schedule, solve, True, counted)[1]
            evaluations, counted = counted.evaluations, Counted(denoise)
            levels, how = [*(level.to(device) for level in found), schedule[-1]], walk
        x, stepped = drawn(places, levels, how, others is None, counted)
        count, evaluations = len(places), evaluations + counted.evaluations
        used = [_spread(level.alpha_bar, chosen, count) for level, chosen in zip(counted.levels, counted.chosen, strict=True)]
        visited = [level.expand(count).to("cpu") for level in stepped]
        try:
            kept = keep(x)
        except FloatingPointError as error:
            raise FloatingPointError(f"in the batch that begins with sample {first}: {error}") from None
        calls = counted.by_sample(count).tolist()
        batches.append((kept, used, visited, calls, evaluations, [share.cpu() for share in counted.outside]))
    parts, used_levels, step_levels, by_batch, made, outside = zip(*world.gather_in_order(batches, len(firsts)), strict=True)
    joined = [torch.cat(step) for step in zip(*used_levels, strict=False)]
    shares, by_sample = [share for shares in outside for share in shares], [calls for batch_calls in by_batch for calls in batch_calls]
    return Generated(torch.cat(parts), by_sample, sum(made), time.perf_counter() - began, joined, join_visited(step_levels), shares)


def _spread(alpha_bar: Tensor, chosen: Tensor | None, count: int) -> Tensor:
    """alpha_bar of one network call for all samples of a batch, [count], NaN of those that are not in it."""
    if chosen is None:
        return alpha_bar.expand(count).cpu()
    spread = torch.full((count,), torch.nan, dtype=alpha_bar.dtype)
    spread[chosen.cpu()] = alpha_bar.expand(len(chosen)).cpu()
    return spread


def mean_calls(calls: Sequence[int]) -> float:
    """NFE: the mean over samples."""
    mean = sum_in_order(calls) / len(calls)
    return int(mean) if mean == int(mean) else mean
