"""Drawing samples in batches from per-sample streams: the same images whatever the batch, the device or the worker."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from difftables.common.parallel import World
from difftables.common.seeds import SampleNoise
from difftables.diffusion.denoiser import Counted, Denoiser, bind_condition
from difftables.diffusion.level import Level
from difftables.diffusion.priors import Randn
from difftables.sampling.solvers import Levels, Solve

ALONE = World()


@dataclass
class Drawn:
    """Samples and what they cost."""

    x: Tensor  # [K, ...], on the CPU, as `keep` made it
    nfe: float  # measured network calls of one chain
    evaluations: int  # network calls x samples
    seconds: float
    levels: list[Tensor] = field(default_factory=list)  # alpha_bar of each network call, [K]
    visited: list[Tensor] = field(default_factory=list)  # alpha_bar at the start of each step, [K]
    outside: float | None = None  # share of v outside [0, 1]; None where the net says nothing of the variance


class Visited:
    """An adjustment, or none, that remembers the level at the start of each step."""

    def __init__(self, adapt: Callable[..., list[Level]] | None, schedule: Levels) -> None:
        self.adapt, self.levels = adapt, [schedule[i] for i in range(len(schedule) - 1)]
        self.step = 0

    def __call__(self, mean: Tensor, x: Tensor, levels: list[Level], **cond: Tensor) -> list[Level]:
        assert self.adapt is not None
        self.step += 1
        found = self.adapt(mean, x, levels, **cond)
        self.levels[self.step] = found[0]
        return found


def together(
    randn: Randn, count: int, shape: tuple[int, ...], schedule: Levels, *, solve: Solve, denoise: Denoiser,
    corrupt: Callable[[Tensor, Level], Tensor], prior: Callable[[Randn, Tensor, Level], Tensor], adapt: Callable[..., list[Level]] | None,
    device: torch.device, cond: Tensor | None = None, start: Level | None = None,
) -> Tensor:  # fmt: skip
    """`count` samples as one batch, [count, *shape]: all that is drawn, for a table, a search or a study, is drawn here.

    Args: schedule, cond, solve, start: of `draw`; a schedule that is a list may have a level per sample.
    """
    x = prior(randn, torch.empty(count, *shape, device=device), schedule[0] if start is None else start)
    adapting = {} if adapt is None else {"adapt": bind_condition(adapt, cond)}
    return solve(x, schedule, denoise=bind_condition(denoise, cond), corrupt=corrupt, randn=randn, **adapting)


@torch.inference_mode()
def draw(
    keys: Sequence[tuple[int | str, ...]], shape: tuple[int, ...], schedule: Level, *, solve: Solve, denoise: Denoiser,
    corrupt: Callable[[Tensor, Level], Tensor], prior: Callable[[Randn, Tensor, Level], Tensor],
    adapt: Callable[..., list[Level]] | None, batch: int, device: torch.device, cond: Tensor | None = None, start: Level | None = None,
    world: World = ALONE, keep: Callable[[Tensor], Tensor] = Tensor.cpu,
) -> Drawn:  # fmt: skip
    """One sample of `shape` per key, `batch` at a time.

    Args: keys: what each sample's noise depends on, e.g. ("sample", seed, index); schedule: N + 1 levels; solve: of `solvers.bind`;
        cond: what the net and the adjustment are given besides, [K, ...]; start: the level that sampling starts at, if not the
        schedule's noisiest; world: processes that take batches in turn, whole ones, so that no bit depends on how many there are;
        each is given all samples; keep: what stays of a batch, on the CPU: all of them in float32 may be more than fits.
    Returns: nfe is the mean over batches, whose samples share their steps where a solver chooses its own.
    """
    began, mine = time.perf_counter(), []
    schedule, start = schedule.to(device), None if start is None else start.to(device)
    starts = range(0, len(keys), batch)
    for first in starts[world.rank :: world.size]:
        counted, visited = Counted(denoise), Visited(adapt, schedule)
        randn = SampleNoise(keys[first : first + batch])
        part = None if cond is None else cond[first : first + batch].to(device)
        count = len(randn.streams)
        x = together(
            randn, count, shape, schedule, solve=solve, denoise=counted, corrupt=corrupt, prior=prior,
            adapt=None if adapt is None else visited, device=device, cond=part, start=start,
        )  # fmt: skip
        used, levels = ([level.alpha_bar.expand(count).cpu() for level in each] for each in (counted.levels, visited.levels))
        try:
            kept = keep(x)
        except FloatingPointError as error:
            raise FloatingPointError(f"from {first} on, {error}") from None
        mine.append((kept, used, levels, counted.calls, counted.evaluations, [share.cpu() for share in counted.outside]))
    parts, used_levels, step_levels, calls, evaluations, outside = zip(*world.dealt(mine, len(starts)), strict=True)
    joined, steps = ([torch.cat(step) for step in zip(*each, strict=False)] for each in (used_levels, step_levels))
    mean = sum(calls) / len(calls)
    nfe = int(mean) if mean == int(mean) else mean
    shares = [share for shares in outside for share in shares]
    outlying = torch.stack(shares).mean().item() if shares else None
    return Drawn(torch.cat(parts), nfe, sum(evaluations), time.perf_counter() - began, joined, steps, outlying)
