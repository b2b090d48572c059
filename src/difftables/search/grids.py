"""Grids of candidate schedules, the search through them, and the mean of adjusted schedules."""

import itertools
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from difftables.common.seeds import generator
from difftables.common.variants import Variants
from difftables.diffusion.betas import schedule_from_betas
from difftables.diffusion.level import PROCESSES, Level, concatenate


def enumerate_grid(steps: int, decades: tuple[float, float], digits: int, groups: int) -> Tensor:
    """All valid candidates of the grid, [K, steps], least noisy rate first.

    beta_i = m_g(i) 10^(e_i),  m in {1 .. digits}^G,  e equally spaced between `decades`,  g(i) = floor(i G / steps)

    With steps <= groups every step has its own mantissa, as in WaveGrad; beyond, neighbours share one, or the grid
    would have digits^steps entries. Candidates with a rate outside (0, 1) or falling rates are left out.
    Source: Chen et al. 2020 (WaveGrad), App. on noise schedules: 9^6 candidates at 6 steps.
    """
    count = min(steps, groups)
    mantissas = torch.tensor(list(itertools.product(range(1, digits + 1), repeat=count)), dtype=torch.float64)
    ladder = torch.logspace(*decades, steps, dtype=torch.float64) if steps > 1 else torch.tensor([10.0 ** decades[1]]).double()
    betas = mantissas[:, torch.arange(steps) * count // steps] * ladder
    # 1e-9: two products that are equal on paper differ in the last bit.
    valid = (betas < 1).all(dim=1) & (betas[:, 1:] >= betas[:, :-1] * (1 - 1e-9)).all(dim=1)
    return betas[valid]


def counter_grid(steps: int, decades: tuple[float, float], digits: int, groups: int) -> Tensor:
    """The candidates that the search script of a WaveGrad port scores, [K, steps], least noisy rate first.

    beta_i = m_i 10^(e_i),  m = the decimal digits of 11..1 + k ceil(9^steps / 9^5), k = 0 .. 9^5 - 1, none of them 0

    Of the 531,441 candidates at 6 steps it scores 35,113, and the first digit never exceeds 6. Rates may fall. `groups`
    is not used.
    Raises: ValueError for fewer than 5 steps, where the counter would repeat itself.
    Source: WaveGrad port by Vovk, read from its search script.
    """
    if steps < 5:
        raise ValueError(f"grid counter needs at least 5 steps, not {steps}; set search.*.grid to ladder")
    first, stride = int("1" * steps), -(-(9**steps) // 9**5)
    counters = (str(first + k * stride) for k in range(9**5))
    kept = [[int(digit) for digit in counter] for counter in counters if "0" not in counter and int(max(counter)) <= digits]
    betas = torch.tensor(kept, dtype=torch.float64) * torch.logspace(*decades, steps, dtype=torch.float64)
    return betas[(betas < 1).all(dim=1)]


GRIDS: Variants[Callable[[int, tuple[float, float], int, int], Tensor]] = {"ladder": enumerate_grid, "counter": counter_grid}


def choose(candidates: Tensor, count: int, seed: int) -> Tensor:
    """`count` candidates drawn at random without replacement, in the grid's order; all candidates where there are fewer."""
    chosen = torch.randperm(len(candidates), generator=generator("search", seed, len(candidates)))[:count]
    return candidates[chosen.sort().values]


@dataclass(frozen=True)
class Best:
    """The candidate with the lowest score, and the cost of the search."""

    betas: Tensor
    score: float
    scores: list[float]
    evaluations: int  # of the network: candidates x samples x calls of a chain
    seconds: float


@dataclass(frozen=True)
class KeptScores:
    """The scores of a search so far, a line for the candidates of a batch.  Args: file: as JSON lines; a killed job leaves it."""

    file: Path

    def read(self) -> tuple[list[float], float]:
        """All whole lines, and the seconds behind them; what follows a torn line is cut off."""
        scores, seconds, whole = list[float](), 0.0, 0
        if not self.file.is_file():
            return scores, seconds
        for line in self.file.read_bytes().splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break
            found = json.loads(line)
            scores += found["scores"]
            seconds, whole = found["seconds"], whole + len(line)
        os.truncate(self.file, whole)
        return scores, seconds

    def add(self, scores: list[float], seconds: float) -> None:
        """Keep the scores of one batch.  Args: seconds: of the search so far."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with open(self.file, "a") as file:
            file.write(json.dumps({"scores": scores, "seconds": seconds}) + "\n")


def grid_search(
    candidates: Tensor,
    generate: Callable[[list[Level], int], Tensor],
    score: Callable[[Tensor], float],
    samples: int,
    batch: int,
    calls: int,
    kept: KeptScores | None = None,
) -> Best:
    """The candidate with the lowest score, each scored on the same noise.

    Args:
        candidates: rates, [K, steps], least noisy first.
        generate: levels (steps + 1 of [C samples]) and C to samples, [C samples, ...], candidate by candidate, with the same
            noise for each; several candidates are one batch, since each sample has its level.
        score: samples of one candidate to a number, lower is better.
        samples: of a candidate; batch: samples at once; calls: of the network in a chain; kept: the scores of a killed search, which
            goes on after them.
    """
    began = time.perf_counter()
    chunk = max(1, batch // samples)
    scores, before = kept.read() if kept else ([], 0.0)
    if scores:
        print(f"resuming with {len(scores)} of {len(candidates)} candidates", flush=True)
    for part in candidates[len(scores) :].split(chunk) if len(scores) < len(candidates) else ():
        schedules = [schedule_from_betas(betas) for betas in part]
        levels = [concatenate([schedule[i].expand(samples) for schedule in schedules]) for i in range(part.shape[1] + 1)]
        found = [score(x) for x in generate(levels, len(part)).split(samples)]
        scores += found
        if kept:
            kept.add(found, before + time.perf_counter() - began)
    best = min(range(len(scores)), key=scores.__getitem__)
    evaluations = len(candidates) * samples * calls
    return Best(candidates[best], scores[best], scores, evaluations, before + time.perf_counter() - began)


def of_steps(levels: list[Level], steps: int) -> list[Level]:
    """The levels of samples that take different numbers of steps, brought to `steps` levels each, [steps] of [K].

    Log std is linear in the share of a sample's own steps that it has taken; both ends stay. As many levels as are wanted stay as they are.

    Args: levels: per step the levels of all samples, noisiest step first; a sample with fewer steps repeats its last.
    """
    if len(levels) == steps:
        return levels
    logs = torch.stack([level.std.log() for level in levels])
    last = (logs == logs[-1]).int().argmax(dim=0)
    place = last * (torch.arange(steps) / max(1, steps - 1))[:, None].double()
    below = place.floor().long().minimum(last.clamp(min=1) - 1)
    above = (below + 1).minimum(last)
    log_sigma = torch.stack([level.sigma.log() for level in levels])
    found = torch.lerp(log_sigma.gather(0, below), log_sigma.gather(0, above), place - below).exp()
    process = levels[0].process or ("ve" if bool((levels[0].alpha == 1).all()) else "vp")
    return [PROCESSES[process](sigma) for sigma in found]


def mean_schedule(levels: list[Level]) -> Level:
    """One schedule for all samples: the mean of the levels that adaptive trajectories used, in log std.

    For a variance-preserving process that is the mean in log(1 - alpha_bar), where alpha is 1 the mean of log sigma.

    Args: levels: per step the levels of all samples, noisiest step first, without the clean level.
    Returns: N + 1 levels, strictly falling even where the means do not fall.
    """
    if all(bool((level.alpha == 1).all()) for level in levels):
        sigma = torch.stack([level.std.log().mean().exp() for level in levels]).cpu()
        falling = sigma.cummin(0).values * (1 - 1e-9) ** torch.arange(len(levels))
        return concatenate([Level.variance_exploding(falling), Level.clean()])
    alpha_bar = torch.stack([1 - (1 - level.alpha_bar).log().mean().exp() for level in levels]).cpu()
    # Equal neighbours would be a step of no length; 1e-9 apart, they cost nothing and stay a schedule.
    alpha_bar = alpha_bar.cummax(0).values + 1e-9 * torch.arange(len(levels))
    return concatenate([Level.variance_preserving(alpha_bar.clamp(max=1 - 1e-9)), Level.clean()])


def random_schedules(count: int, candidates: Tensor, seed: int) -> list[Level]:
    """`count` different valid grid candidates, drawn at random."""
    return [schedule_from_betas(betas) for betas in choose(candidates, count, seed)]
