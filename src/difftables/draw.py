"""Drawing samples in batches from per-sample streams: the same images whatever the batch, the device or the worker."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from difftables.level import Level
from difftables.precond import Counted, Denoiser, given
from difftables.priors import Randn
from difftables.rng import SampleNoise
from difftables.steps import Adapt, Rule, sample


@dataclass
class Drawn:
    """Samples and what they cost."""

    x: Tensor  # [K, ...], on the CPU
    nfe: int  # measured network calls of one chain
    evaluations: int  # network calls x samples
    seconds: float
    levels: list[Tensor] = field(default_factory=list)  # alpha_bar used at each step, [K] or [1]
    outside: float | None = None  # share of v outside [0, 1]; None where the net says nothing of the variance


@torch.inference_mode()
def draw(
    keys: Sequence[tuple[int | str, ...]], shape: tuple[int, ...], schedule: Level, *, denoise: Denoiser,
    corrupt: Callable[[Tensor, Level], Tensor], prior: Callable[[Randn, Tensor, Level], Tensor], rule: Rule,
    adapt: Adapt | None, batch: int, device: torch.device, cond: Tensor | None = None, noisy_end: bool = False,
) -> Drawn:  # fmt: skip
    """One sample of `shape` per key, `batch` at a time.

    Args: keys: what each sample's noise depends on, e.g. ("sample", seed, index); schedule: N + 1 levels; cond: what the net and
        the adjustment are given besides, [K, ...].
    """
    began, counted = time.perf_counter(), Counted(denoise)
    schedule = schedule.to(device)
    parts, levels, nfe = [], list[list[Tensor]](), 0
    for start in range(0, len(keys), batch):
        randn = SampleNoise(keys[start : start + batch])
        part = None if cond is None else cond[start : start + batch].to(device)
        x_t = prior(randn, torch.empty(len(randn.streams), *shape, device=device), schedule[0])
        counted.calls, counted.levels = 0, []
        x = sample(
            x_t, schedule, denoise=given(counted, part), corrupt=corrupt, rule=rule, randn=randn,
            adapt=adapt and given(adapt, part), noisy_end=noisy_end,
        )  # fmt: skip
        parts.append(x.cpu())
        levels.append([level.alpha_bar.expand(len(x)).cpu() for level in counted.levels])
        nfe = max(nfe, counted.calls)
    joined = [torch.cat(step) for step in zip(*levels, strict=True)]
    outside = torch.stack(counted.outside).mean().item() if counted.outside else None
    return Drawn(torch.cat(parts), nfe, counted.evaluations, time.perf_counter() - began, joined, outside)
