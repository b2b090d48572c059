"""Samples of one step count in shards of whole batches: each is a file as soon as it is drawn, where a killed job goes on."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from difftables.common.arithmetic import sum_in_order
from difftables.common.files import load_tensors, save_tensors
from difftables.common.parallel import World
from difftables.estimation.adjustment import FollowEstimate
from difftables.sampling.generate import Generated

KIND = "shard"
QUANTILES = (0.5, 0.05, 0.95)
AT_ONCE = 2**24  # levels of samples whose quantiles are taken at once


@dataclass(frozen=True)
class Shard:
    """Samples that were drawn together, and what they cost.

    Args: samples: [K, ...]; levels: alpha_bar of each network call, [calls, K], or [calls, 1] where all samples share it; outside: shares
        of v outside [0, 1], [S], S = 0 for a net without variance channels; visited: log sigma at the start of each step, [steps, K] or
        [steps, 1]; costs: how many samples had so many calls, evaluations, seconds, and those of an adjustment.
    """

    samples: Tensor
    levels: Tensor
    outside: Tensor
    visited: Tensor
    costs: dict[str, Any]

    @classmethod
    def drawn(cls, generated: Generated, adjust: FollowEstimate | None) -> "Shard":
        """A shard from what was generated, adjusted or not."""
        levels = torch.stack(generated.levels)
        shared = bool((levels == levels[:, :1]).all())
        visited = torch.stack([level.sigma.log() for level in generated.visited])
        alike = bool((visited == visited[:, :1]).all())
        curve = getattr(adjust.estimate, "curve", None) if adjust else None
        costs = {
            "calls": {str(calls): count for calls, count in sorted(Counter(generated.calls).items())},
            "curve_evaluations": curve.evaluations if curve else 0,
            "network_evaluations": generated.evaluations, "seconds": generated.seconds,
            "estimator_evaluations": adjust.evaluations if adjust else 0, "clipped_rates": adjust.clips if adjust else 0,
        }  # fmt: skip
        outside = torch.stack(generated.outside) if generated.outside else torch.zeros(0)
        return cls(generated.x, levels[:, :1] if shared else levels, outside, visited[:, :1] if alike else visited, costs)


def spans(count: int, batch: int, shard: int) -> list[range]:
    """The keys of each shard: whole batches, as many as `shard` samples hold but at least one; all keys for a shard of 0."""
    size = max(1, shard // batch) * batch if shard else max(1, count)
    return [range(first, min(first + size, count)) for first in range(0, count, size)]


@dataclass(frozen=True)
class KeptShards:
    """The finished shards of a step count in a folder.  Args: fingerprint: of what they are made from, which each file repeats."""

    folder: Path
    fingerprint: str

    def file(self, span: range) -> Path:
        """The file of some keys."""
        return self.folder / f"{span.start}-{span.stop}.safetensors"

    def read(self, span: range) -> Shard | None:
        """A finished shard, whose samples stay on the disk until they are read; None where it is missing, damaged or another's."""
        if not self.file(span).is_file():
            return None
        try:
            tensors, meta = load_tensors(self.file(span), KIND)
        except ValueError:
            return None
        if (meta["fingerprint"], meta["span"]) != (self.fingerprint, [span.start, span.stop]):
            return None
        return Shard(costs=meta["costs"], **tensors)

    def write(self, span: range, shard: Shard) -> None:
        """Keep a finished shard."""
        meta = {"kind": KIND, "fingerprint": self.fingerprint, "span": [span.start, span.stop], "costs": shard.costs}
        tensors = {"samples": shard.samples, "levels": shard.levels, "outside": shard.outside, "visited": shard.visited}
        save_tensors(self.file(span), tensors, meta)


def drawn_or_kept(
    spans: Sequence[range], generate: Callable[[range], Shard], kept: KeptShards | None, world: World, part: Sequence[range]
) -> list[Shard]:
    """The shards of a step count: those that are finished, and those of `part`, which are drawn.

    Args: generate: keys to a shard, by all processes together; kept: where shards are kept, None to hold all in memory; world: processes
        of the job, of which the first reads and writes; part: the spans that this job draws where they are missing.
    Returns: all shards for the first process and without `kept`; others receive none that is kept.
    """
    # The first process decides for all: another job may finish a shard meanwhile.
    flags = torch.tensor([[kept is not None and kept.read(span) is not None for span in spans]])
    finished = [span for span, there in zip(spans, world.all_gather(flags)[0].tolist(), strict=True) if there]
    if finished and world.rank == 0:
        print(f"resuming with {len(finished)} of {len(spans)} shards", flush=True)
    shards = []
    for span in spans:
        shard = generate(span) if span in part and span not in finished else None
        if kept is not None and world.rank == 0:
            if shard is not None:
                kept.write(span, shard)
            shard = kept.read(span)  # from its file: no other is held in memory
        if shard is not None and (kept is None or world.rank == 0):
            shards.append(shard)
    return shards


def counts(shards: Sequence[Shard]) -> dict[str, Any]:
    """What the samples of all shards cost: NFE of a chain, evaluations of net and estimator, clipped rates, share of v outside.

    NFE is a mean over samples, with its sd and its largest value; `level_sd` is the root mean square over steps, the first one left out, of
    the sd over samples of log sigma, `level_floor` the least sd 1 / sqrt(2 d) of an estimate of log sigma from d values.
    """
    outside = torch.cat([shard.outside for shard in shards])
    summed = ("network_evaluations", "estimator_evaluations", "clipped_rates")
    return {
        **calls_of_chain(shards),
        "level_sd": level_spread(shards),
        "level_floor": (2 * shards[0].samples[0].numel()) ** -0.5,
        "curve_evaluations": max(shard.costs["curve_evaluations"] for shard in shards),
        **{name: sum(shard.costs[name] for shard in shards) for name in summed},
        "v_outside": outside.mean().item() if len(outside) else None,
    }


def calls_of_chain(shards: Sequence[Shard]) -> dict[str, float]:
    """Mean, sd and maximum over samples of the measured network calls."""
    samples = Counter[int]()
    for shard in shards:
        samples.update({int(calls): count for calls, count in shard.costs["calls"].items()})
    count, total = sum(samples.values()), sum(calls * times for calls, times in samples.items())
    mean = total / count
    # Integers until the last division: no shard, batch or process is in the digits.
    squares = sum(calls**2 * times for calls, times in samples.items()) * count - total**2
    return {
        "nfe": int(mean) if mean == int(mean) else mean, "nfe_sd": math.sqrt(squares / (count * (count - 1))) if count > 1 else 0.0,
        "nfe_max": max(samples),
    }  # fmt: skip


def level_spread(shards: Sequence[Shard]) -> float:
    """Root mean square over steps, the first left out, of the sd over samples of log sigma; of steps that all samples take."""
    if all(shard.visited.shape[1] == 1 for shard in shards):
        return 0.0
    longest = max(len(shard.visited) for shard in shards)
    padded = [torch.cat([shard.visited, shard.visited[-1:].expand(longest - len(shard.visited), -1)]) for shard in shards]
    logs = torch.cat([each.expand(-1, len(shard.samples)) for each, shard in zip(padded, shards, strict=True)], dim=1)
    taken = int((logs == logs[-1]).int().argmax(dim=0).min()) + 1
    return logs[1:taken].var(dim=1).mean().sqrt().item() if taken > 1 and logs.shape[1] > 1 else 0.0


def seconds(shards: Sequence[Shard]) -> float:
    """Seconds of drawing all shards, whichever job drew them."""
    return sum_in_order(shard.costs["seconds"] for shard in shards)


def level_quantiles(shards: Sequence[Shard]) -> Tensor:
    """Median, 5 % and 95 % quantile over all samples of alpha_bar of each network call, [3, calls]; of calls that all samples take."""
    calls, count = min(len(shard.levels) for shard in shards), sum(len(shard.samples) for shard in shards)
    return torch.cat(list(_quantiles(shards, calls, max(1, AT_ONCE // count))), dim=1)


def _quantiles(shards: Sequence[Shard], calls: int, rows: int) -> Iterator[Tensor]:
    for first in range(0, calls, rows):
        parts = [shard.levels[first : min(first + rows, calls)].expand(-1, len(shard.samples)) for shard in shards]
        used = torch.cat(parts, dim=1)
        quantile = torch.nanquantile if bool(used.isnan().any()) else torch.quantile  # NaN: a sample that is not in a call
        yield quantile(used, torch.tensor(QUANTILES, dtype=used.dtype), dim=1)
