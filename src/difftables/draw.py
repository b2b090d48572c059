"""Drawing samples in batches from per-sample streams: the same images whatever the batch, the device or the worker."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from difftables.level import Level
from difftables.ode import Path, rk45
from difftables.parallel import World
from difftables.precond import Counted, Denoiser, given
from difftables.priors import Randn
from difftables.rng import SampleNoise
from difftables.steps import Adapt, Rule, sample

ALONE = World()
Before = Callable[[Randn, Denoiser, int], Callable[[Tensor, Level], tuple[Tensor, Level]]]  # made for a batch and a number of steps


@dataclass
class Drawn:
    """Samples and what they cost."""

    x: Tensor  # [K, ...], on the CPU, as `keep` made it
    nfe: float  # measured network calls of one chain
    evaluations: int  # network calls x samples
    seconds: float
    levels: list[Tensor] = field(default_factory=list)  # alpha_bar used at each step, [K] or [1]
    outside: float | None = None  # share of v outside [0, 1]; None where the net says nothing of the variance


@torch.inference_mode()
def draw(
    keys: Sequence[tuple[int | str, ...]], shape: tuple[int, ...], schedule: Level, *, denoise: Denoiser,
    corrupt: Callable[[Tensor, Level], Tensor], prior: Callable[[Randn, Tensor, Level], Tensor], rule: Rule,
    adapt: Adapt | None, batch: int, device: torch.device, cond: Tensor | None = None, noisy_end: bool = False,
    second: bool = False, before: Before | None = None, path: Path | None = None,
    tolerance: float = 1e-5, world: World = ALONE, keep: Callable[[Tensor], Tensor] = Tensor.cpu,
) -> Drawn:  # fmt: skip
    """One sample of `shape` per key, `batch` at a time.

    Args: keys: what each sample's noise depends on, e.g. ("sample", seed, index); schedule: N + 1 levels; cond: what the net and
        the adjustment are given besides, [K, ...]; second, before: of `steps.sample`, the latter made for each batch; path: an ODE
        that RK45 follows at a `tolerance` in place of the schedule, from the noisiest level down. Samples of one batch then share
        their steps, and nfe is the mean over batches; world: processes that take batches in turn, whole ones, so that no bit depends
        on how many there are; each is given all samples; keep: what stays of a batch, on the CPU: all of them in float32 may be
        more than fits.
    """
    began, mine = time.perf_counter(), []
    schedule = schedule.to(device)
    starts = range(0, len(keys), batch)
    for start in starts[world.rank :: world.size]:
        counted = Counted(denoise)
        randn = SampleNoise(keys[start : start + batch])
        part = None if cond is None else cond[start : start + batch].to(device)
        top = path.at(1.0).to(device) if path else schedule[0]
        x_t = prior(randn, torch.empty(len(randn.streams), *shape, device=device), top)
        told = given(counted, part)
        if path is None:
            x = sample(
                x_t, schedule, denoise=told, corrupt=corrupt, rule=rule, randn=randn, adapt=adapt and given(adapt, part),
                noisy_end=noisy_end, second=second, before=before and before(randn, told, len(schedule) - 1),
            )  # fmt: skip
        else:
            x = rk45(x_t, path, told, tolerance)
        used = [level.alpha_bar.expand(len(x)).cpu() for level in counted.levels]
        try:
            kept = keep(x)
        except FloatingPointError as error:
            raise FloatingPointError(f"from {start} on, {error}") from None
        mine.append((kept, used, counted.calls, counted.evaluations, [share.cpu() for share in counted.outside]))
    parts, levels, calls, evaluations, outside = zip(*world.dealt(mine, len(starts)), strict=True)
    joined = [torch.cat(step) for step in zip(*levels, strict=False)]
    mean = sum(calls) / len(calls)
    nfe = int(mean) if mean == int(mean) else mean
    shares = [share for shares in outside for share in shares]
    outlying = torch.stack(shares).mean().item() if shares else None
    return Drawn(torch.cat(parts), nfe, sum(evaluations), time.perf_counter() - began, joined, outlying)
