"""The mean of the schedules that an adaptive sampler takes, as a search method. No torch until it runs."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from difftables.config.sampling import Sampler, Sampling, Search
    from difftables.diffusion.level import Level
    from difftables.sampling.loaded_run import LoadedRun


def frozen(
    run: "LoadedRun", sampler: "Sampling", steps: int, score: "Callable[[Tensor], float] | None" = None, *, frozen_samples: int, seed: int
) -> "tuple[Level, dict[str, Any]]":
    """The mean of the levels that an adaptive sampler uses, as one schedule for all samples, N + 1 levels, and its cost.

    Args: steps: N, also where the samples choose how many steps they take; score: not used; frozen_samples, seed: of
        config.sampling.Search.
    Raises: ValueError for a sampler whose samples all take the levels of its schedule.
    """
    from difftables.diffusion.level import Level
    from difftables.search import grids

    keys = [("frozen", seed, index) for index in range(frozen_samples)]
    if sampler.adapt is None and not sampler.solver.chooses:
        raise ValueError("method frozen takes the mean of adjusted schedules, and the sampler has no adapt; set it")
    generated, adjust = run.generate(keys, sampler, steps if sampler.solver.walks else 1, part="frozen")
    curve = getattr(adjust.estimate, "curve", None) if adjust else None
    cost = {
        "network_evaluations": generated.evaluations + (curve.evaluations if curve else 0),
        "estimator_evaluations": adjust.evaluations if adjust else 0,
        "seconds": round(generated.seconds, 2),
    }
    levels = grids.of_steps(generated.visited, steps)
    if not all(bool((level.alpha == 1).all()) for level in levels):
        levels = [Level.variance_preserving(level.alpha_bar) for level in levels]
    return grids.mean_schedule(levels), cost


def adjusted(row: "Sampler") -> "Sampler":
    """The adaptive sampler of a row: as its `mean_of` says, or with its schedule adjusted by the estimator, from the fitted one on."""
    if row.mean_of is None:
        return row.model_copy(update={"schedule": "fitted", "adapt": "estimator"})
    changes = dict(row.mean_of) | {"solver": row.mean_of.solver or row.solver, "mean_of": None}
    return row.model_copy(update=changes)


def samples_behind_mean(search: "Search", steps: int, calls: int) -> int:
    """Samples that `frozen` generates for a step count."""
    return search.frozen_samples
