"""The grid search of WaveGrad as a search method. No torch until it runs."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from difftables.config.sampling import Sampling, Search
    from difftables.diffusion.level import Level
    from difftables.sampling.loaded_run import LoadedRun


def searched(
    run: "LoadedRun", sampler: "Sampling", steps: int, score: "Callable[[Tensor], float] | None", *, grid: str, decades: "Sequence[float]",
    digits: int, groups: int, samples: int, draws: int, budget: int, batch: int, seed: int,
) -> "tuple[Level, dict[str, Any]]":  # fmt: skip
    """The candidate of a grid whose samples have the lowest score, N + 1 levels, and the cost of the search.

    Args: score: samples of a candidate, as files hold them, to a number; the others: of config.sampling.Search.
    Raises: ValueError for a solver that visits no schedule, a grid without valid candidates, or samples that all diverge.
    Source: Chen et al. 2020 (WaveGrad), App. on noise schedules.
    """
    import torch

    from difftables.diffusion.betas import schedule_from_betas
    from difftables.search import grids

    calls = sampler.solver.calls(steps)
    if calls is None:
        raise ValueError(f"solver {sampler.solver.kind} visits no schedule, so that none can be searched; use another solver")
    assert score is not None, "the plan gives a search that scores its samples what scores them"
    whole = grids.GRIDS[grid](steps, (decades[0], decades[1]), digits, groups)
    count = samples * draws
    candidates = grids.choose(whole, max(1, budget // (count * calls)), seed)
    if not len(candidates):
        raise ValueError(f"the grid has no valid candidate of {steps} steps; raise search.*.digits or widen search.*.decades")
    keys = [("search", seed, index) for index in range(count)]
    adapt = run.adjustment(sampler)

    def generate(levels: "list[Level]", schedules: int) -> "Tensor":
        return run.generate_by_schedule(levels, keys, schedules, sampler, adapt, part="search", repeats=draws)

    def score_of(x: "Tensor") -> float:
        # A schedule that diverges loses; it does not stop the search.
        return score(run.medium.stored(x)) if torch.isfinite(x).all() else float("inf")

    kept = grids.KeptScores(run.state / "scores.jsonl") if run.state else None
    best = grids.grid_search(candidates, generate, score_of, count, batch, calls, kept)
    if not best.score < float("inf"):
        raise ValueError(f"all {len(candidates)} candidates of {steps} steps diverge; lower search.*.decades")
    finite = sorted(value for value in best.scores if value < float("inf"))
    cost = {
        "grid": len(whole), "candidates": len(candidates), "network_evaluations": best.evaluations,
        "best": finite[0], "median": finite[len(finite) // 2], "seconds": round(best.seconds, 2),
    }  # fmt: skip
    return schedule_from_betas(best.betas), cost


def samples_of_candidates(search: "Search", steps: int, calls: int) -> int:
    """Samples that `searched` generates for a step count: those of the whole ladder, or of as much of it as the budget allows."""
    samples = search.samples * search.draws
    return min(search.digits ** min(steps, search.groups), max(1, search.budget // (samples * calls))) * samples
