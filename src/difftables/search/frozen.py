"""The mean of adjusted schedules as a search method. No torch until it runs."""

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
    """The mean of the levels that an adjusted sampler uses, as one schedule for all samples, N + 1 levels, and its cost.

    Args: score: not used; frozen_samples, seed: of config.sampling.Search.
    Raises: ValueError for a sampler that does not adjust its schedule.
    """
    from difftables.diffusion.level import Level
    from difftables.search import grids

    keys = [("frozen", seed, index) for index in range(frozen_samples)]
    generated, adjust = run.generate(keys, sampler, steps, part="frozen")
    if adjust is None:
        raise ValueError("method frozen takes the mean of adjusted schedules, and the sampler has no adapt; set it")
    levels = [Level.variance_preserving(alpha_bar) for alpha_bar in generated.visited]
    cost = {
        "network_evaluations": generated.evaluations,
        "estimator_evaluations": adjust.evaluations,
        "seconds": round(generated.seconds, 2),
    }
    return grids.mean_schedule(levels), cost


def adjusted(row: "Sampler") -> "Sampler":
    """The sampler of a row with its schedule adjusted by the estimator, from the fitted one on."""
    return row.model_copy(update={"schedule": "fitted", "adapt": "estimator"})


def samples_behind_mean(search: "Search", steps: int, calls: int) -> int:
    """Samples that `frozen` generates for a step count."""
    return search.frozen_samples
