"""What searches measure of a run once for all step counts: its loss curve, the change of its score, its trajectories."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from difftables.common.seeds import SampleNoise
from difftables.common.variants import Variants
from difftables.config.sampling import Sampling
from difftables.diffusion.denoiser import Counted, bind_condition, clipped
from difftables.diffusion.level import Level, concatenate, same_process
from difftables.diffusion.subschedules import power_law
from difftables.sampling.loaded_run import LoadedRun
from difftables.search.loss_curve import LossCurve, score_steps, squared_errors
from difftables.search.trajectories import jump_costs, trajectories

Batch = tuple[Tensor, Tensor, Any]  # clean samples and noise, [B, ...], and their condition
Costs = dict[str, Any]


def clean_images(run: LoadedRun, count: int) -> tuple[Tensor, Tensor | None]:
    """The first held-out images, and their labels."""
    return run.medium.held_out(count)


def clean_speech(run: LoadedRun, count: int) -> tuple[Tensor, Tensor | None]:
    """The last held-out utterances, which no table measures, and their mel spectrograms."""
    x0 = run.medium.excerpts("search", count)[0]  # type: ignore[union-attr]
    return x0, run.medium.mel(x0)  # type: ignore[union-attr]


CLEAN: Variants[Callable[[LoadedRun, int], tuple[Tensor, Tensor | None]]] = {"images": clean_images, "speech": clean_speech}


def grid_of(run: LoadedRun, levels: int) -> Level:
    """Levels of the power law, rho = 7, between the ends of a run's training schedule, noisiest first, without the clean one."""
    return power_law(run.training, levels)[:levels]


def levels_of(run: LoadedRun, sigma: Tensor, find: Callable[[int], Tensor], steps: int, lowest_visited: bool) -> Level:
    """The schedule of so many steps, N + 1 levels of the run's process, from what finds levels between the first and the last of a grid.

    Args: sigma: the grid, [K]; find: jumps to jumps + 1 levels with both ends; lowest_visited: whether the lowest level is the last but
        one, as of the power law; else the clean level stands in its place.
    """
    jumps = steps - 1 if lowest_visited else steps
    noisy = sigma[:1] if jumps == 0 else find(jumps) if lowest_visited else find(jumps)[:-1]
    return concatenate([same_process(run.training, noisy), Level.clean()])


def once(run: LoadedRun, name: str, measure: Callable[[], tuple[Any, Costs]]) -> tuple[Any, Costs]:
    """What is measured for the first step count that asks, and a copy of its cost for each.  Args: name: with all that it depends on."""
    if name not in run.shared:
        began = time.perf_counter()
        result, cost = measure()
        run.shared[name] = result, cost | {"once_for_all_steps": True, "seconds": round(time.perf_counter() - began, 2)}
    result, cost = run.shared[name]
    return result, dict(cost)


def _denoiser(run: LoadedRun, sampler: Sampling) -> Counted:
    return Counted(clipped(run.denoise, sampler.clip) if sampler.clip else run.denoise)


def _clean_batches(run: LoadedRun, count: int, seed: int) -> Iterator[Batch]:
    clean, cond = CLEAN[run.spec.data.medium](run, count)
    for first in range(0, len(clean), run.batch):
        part = clean[first : first + run.batch]
        keys = [("curve", seed, first + i) for i in range(len(part))]
        yield part, SampleNoise(keys)(part), None if cond is None else cond[first : first + run.batch]


@torch.inference_mode()
def measured_curve(run: LoadedRun, sampler: Sampling, grid_levels: int, samples: int, seed: int) -> tuple[LossCurve, Costs]:
    """The loss curve of a run on held-out samples, made not to rise as the noise falls, and its cost."""

    def measure() -> tuple[LossCurve, Costs]:
        levels, denoise = grid_of(run, grid_levels), _denoiser(run, sampler)
        errors = [
            squared_errors(bind_condition(denoise, cond), x0, levels, noise) for x0, noise, cond in _clean_batches(run, samples, seed)
        ]
        curve, repaired = LossCurve(levels.sigma, torch.cat(errors, dim=1).mean(dim=1)).repaired()
        return curve, {"network_evaluations": denoise.evaluations, "repaired_levels": repaired}

    return once(run, f"curve {grid_levels} {samples} {seed} {sampler.clip}", measure)


@torch.inference_mode()
def measured_score_steps(run: LoadedRun, sampler: Sampling, grid_levels: int, samples: int, seed: int) -> tuple[Tensor, Tensor, Costs]:
    """Levels, [K], the mean square of the score's change between them, [K - 1], and its cost."""

    def measure() -> tuple[Tensor, Costs]:
        levels, denoise = grid_of(run, grid_levels), _denoiser(run, sampler)
        steps = [score_steps(bind_condition(denoise, cond), x0, levels, noise) for x0, noise, cond in _clean_batches(run, samples, seed)]
        return torch.cat(steps, dim=1).mean(dim=1), {"network_evaluations": denoise.evaluations}

    found, cost = once(run, f"score {grid_levels} {samples} {seed} {sampler.clip}", measure)
    return grid_of(run, grid_levels).sigma, found, cost


@torch.inference_mode()
def measured_jumps(
    run: LoadedRun, sampler: Sampling, grid_levels: int, starts: int, teacher: str, jump_cost: str, seed: int
) -> tuple[Tensor, Tensor, Costs]:
    """Levels, [K], the mean cost of a jump between any two of them, [K, K], and what it took to measure."""

    def measure() -> tuple[Tensor, Costs]:
        levels, denoise = grid_of(run, grid_levels), _denoiser(run, sampler)
        shape, cond = run.medium.shape_and_condition("search", starts)
        costs = []
        for first in range(0, starts, run.batch):
            count = min(run.batch, starts - first)
            randn = SampleNoise([("trajectory", seed, first + i) for i in range(count)])
            x = run.prior(randn, torch.empty(count, *shape, device=run.device), levels[0].to(run.device))
            own = None if cond is None else cond[first : first + count].to(run.device)
            costs.append(jump_costs(trajectories(bind_condition(denoise, own), x, levels, teacher), levels.sigma, jump_cost))
        return torch.cat(costs, dim=2).mean(dim=2), {"network_evaluations": denoise.evaluations}

    found, cost = once(run, f"jumps {grid_levels} {starts} {teacher} {jump_cost} {seed} {sampler.clip}", measure)
    return grid_of(run, grid_levels).sigma, found, cost
