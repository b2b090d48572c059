"""A cheap search of the grid of `searched` as a search method. No torch until it runs."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from difftables.config.sampling import Sampling, Search
    from difftables.diffusion.level import Level
    from difftables.sampling.loaded_run import LoadedRun


def refined(
    run: "LoadedRun", sampler: "Sampling", steps: int, score: "Callable[[Tensor], float] | None", *, grid: str, decades: "Sequence[float]",
    digits: int, groups: int, samples: int, draws: int, budget: int, refined_scores: int, curve_samples: int, seed: int,
) -> "tuple[Level, dict[str, Any]]":  # fmt: skip
    """The best candidate of a grid that `refined_grid.refine` comes to from what is best for Gaussian data, and the cost of the search.

    Args: score: as of `searched`, over the same samples; curve_samples: clean ones behind the Gaussian; others: of config.sampling.Search.
    Raises: ValueError for a grid without valid candidates, or samples that all diverge.
    """
    import time

    import torch

    from difftables.diffusion.betas import schedule_from_betas
    from difftables.search import grids, refined_grid
    from difftables.search.measured import CLEAN

    calls = sampler.solver.calls(steps)
    assert calls is not None and score is not None, "the plan gives such a search a solver that walks, and what scores its samples"
    whole = grids.GRIDS[grid](steps, (decades[0], decades[1]), digits, groups)
    if not len(whole):
        raise ValueError(f"the grid has no valid candidate of {steps} steps; raise search.*.digits or widen search.*.decades")
    count, adapt, began = samples * draws, run.adjustment(sampler), time.perf_counter()
    keys = [("search", seed, index) for index in range(count)]
    kept = grids.KeptScores(run.state / "scores.jsonl") if run.state else None
    earlier, before = kept.read() if kept else ([], 0.0)
    scored = list[float]()

    def score_of(index: int) -> float:
        # The walk is the same each time: a killed search takes the scores that it kept, in order.
        if len(scored) < len(earlier):
            scored.append(earlier[len(scored)])
            return scored[-1]
        schedule = schedule_from_betas(whole[index])
        levels = [schedule[i].expand(count) for i in range(steps + 1)]
        x = run.generate_by_schedule(levels, keys, 1, sampler, adapt, part="search", repeats=draws)
        scored.append(score(run.medium.stored(x)) if torch.isfinite(x).all() else float("inf"))
        if kept:
            kept.add(scored[-1:], before + time.perf_counter() - began)
        return scored[-1]

    variances, mean = refined_grid.principal_axes(CLEAN[run.spec.data.medium](run, curve_samples)[0])
    predicted = refined_grid.predicted_errors(whole, variances, mean)
    most = max(1, min(refined_scores, budget // (count * calls)))
    walked = refined_grid.refine(refined_grid.places_of(whole, (decades[0], decades[1])), predicted, score_of, most)
    finite = sorted(value for value in walked.scores if value < float("inf"))
    if not finite:
        raise ValueError(f"all {len(walked.scores)} candidates of {steps} steps diverge; lower search.*.decades")
    cost = {
        "grid": len(whole), "candidates": len(walked.scores), "network_evaluations": len(walked.scores) * count * calls,
        "best": finite[0], "median": finite[len(finite) // 2], "found_at": walked.indices.index(walked.best) + 1,
        "seconds": round(before + time.perf_counter() - began, 2),
    }  # fmt: skip
    return schedule_from_betas(whole[walked.best]), cost


def samples_of_walk(search: "Search", steps: int, calls: int) -> int:
    """Samples that `refined` generates for a step count, at most."""
    samples = search.samples * search.draws
    return min(search.digits ** min(steps, search.groups), search.refined_scores, max(1, search.budget // (samples * calls))) * samples
