"""Search methods that measure a net once, on a fine grid of levels, and call it no more. No torch until they run."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from difftables.config.sampling import Sampling, Search
    from difftables.diffusion.level import Level
    from difftables.sampling.loaded_run import LoadedRun

    Found = tuple[Level, dict[str, Any]]
    Score = Callable[[Tensor], float] | None


def entropic(
    run: "LoadedRun", sampler: "Sampling", steps: int, score: "Score", *, grid_levels: int, curve_samples: int, lowest_visited: bool,
    seed: int,
) -> "Found":  # fmt: skip
    """The schedule of `curve_levels.entropic` on the net's loss curve.  Args: of config.sampling.Search."""
    from difftables.search import curve_levels
    from difftables.search.measured import levels_of, measured_curve

    curve, cost = measured_curve(run, sampler, grid_levels, curve_samples, seed)
    return levels_of(run, curve.sigma, lambda jumps: curve_levels.entropic(curve, jumps), steps, lowest_visited), cost


def rescaled_entropic(
    run: "LoadedRun", sampler: "Sampling", steps: int, score: "Score", *, grid_levels: int, curve_samples: int, lowest_visited: bool,
    seed: int,
) -> "Found":  # fmt: skip
    """The schedule of `curve_levels.rescaled_entropic` on the net's loss curve.  Args: of config.sampling.Search."""
    from difftables.search import curve_levels
    from difftables.search.measured import levels_of, measured_curve

    curve, cost = measured_curve(run, sampler, grid_levels, curve_samples, seed)
    return levels_of(run, curve.sigma, lambda jumps: curve_levels.rescaled_entropic(curve, jumps), steps, lowest_visited), cost


def least_bound(
    run: "LoadedRun", sampler: "Sampling", steps: int, score: "Score", *, grid_levels: int, curve_samples: int, lowest_visited: bool,
    seed: int,
) -> "Found":  # fmt: skip
    """The schedule of `curve_levels.least_path_bound` on the net's loss curve: KLUB and VLB.  Args: of config.sampling.Search."""
    from difftables.search import curve_levels
    from difftables.search.measured import levels_of, measured_curve

    curve, cost = measured_curve(run, sampler, grid_levels, curve_samples, seed)

    def bounded(jumps: int) -> "Tensor":
        levels = curve_levels.least_path_bound(curve, jumps)
        cost["bound_nats"] = curve_levels.path_bound(curve, levels)
        return levels

    return levels_of(run, curve.sigma, bounded, steps, lowest_visited), cost


def score_optimal(
    run: "LoadedRun", sampler: "Sampling", steps: int, score: "Score", *, grid_levels: int, curve_samples: int, lowest_visited: bool,
    seed: int,
) -> "Found":  # fmt: skip
    """The schedule of `curve_levels.score_optimal` on the change of the net's score.  Args: of config.sampling.Search."""
    from difftables.search import curve_levels
    from difftables.search.measured import levels_of, measured_score_steps

    sigma, mean, cost = measured_score_steps(run, sampler, grid_levels, curve_samples, seed)
    return levels_of(run, sigma, lambda jumps: curve_levels.score_optimal(sigma, mean, jumps), steps, lowest_visited), cost


def along_trajectories(
    run: "LoadedRun", sampler: "Sampling", steps: int, score: "Score", *, grid_levels: int, starts: int, teacher: str, jump_cost: str,
    gamma: float, lowest_visited: bool, seed: int,
) -> "Found":  # fmt: skip
    """The cheapest way down a grid, where a jump costs what an Euler step of a teacher's trajectory errs by.

    Args: of config.sampling.Search.
    Source: Chen et al. 2024 (GITS), Algorithm 1.
    """
    from difftables.search.dynamic_program import cheapest_ways
    from difftables.search.measured import levels_of, measured_jumps

    sigma, costs, cost = measured_jumps(run, sampler, grid_levels, starts, teacher, jump_cost, seed)
    return levels_of(run, sigma, lambda jumps: sigma[cheapest_ways(costs, jumps, gamma).way(jumps)], steps, lowest_visited), cost


def curve_evaluations(search: "Search") -> int:
    """Network evaluations of a loss curve."""
    return search.curve_samples * search.grid_levels


def score_evaluations(search: "Search") -> int:
    """Network evaluations of the change of the score between neighbouring levels."""
    return 2 * search.curve_samples * (search.grid_levels - 1)


def trajectory_evaluations(search: "Search") -> int:
    """Network evaluations of trajectories."""
    return search.starts * (search.grid_levels - 1)


def none_a_step_count(search: "Search", steps: int, calls: int) -> int:
    """Samples generated for a step count, where everything is measured once for all."""
    return 0
