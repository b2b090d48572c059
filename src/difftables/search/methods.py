"""Search methods: functions that find a schedule for a row, and what each needs. No torch here until a function runs.

A method is a function and an entry of METHODS; a sampler asks for it by `schedule: NAME`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from difftables.common.variants import Variants

if TYPE_CHECKING:
    from torch import Tensor

    from difftables.config.sampling import Sampler, Search
    from difftables.diffusion.level import Level
    from difftables.jobs.job import Job


@dataclass(frozen=True)
class Method:
    """A search method: what finds a schedule, and what the plan asks of it.

    Args:
        find: (job, steps) to the schedule, N + 1 levels, and its cost.
        reads: the numbers of Search that the method reads; samples: the one of them that counts the samples of a chain.
        chains: samples drawn for one step count, of Search, the steps and the network calls of a chain.
        drawn_by: the sampler that draws, of the row that asks; it has that row's solver.
        judged: whether the samples are judged, so that the job reads what the medium's judge reads.
        whole: whether utterances are drawn whole, or as long as a training segment.
    """

    find: "Callable[[Job, int], tuple[Level, dict[str, Any]]]"
    reads: tuple[str, ...]
    samples: str
    chains: "Callable[[Search, int, int], int]"
    drawn_by: "Callable[[Sampler], Sampler]"
    judged: bool
    whole: bool


def searched(job: "Job", steps: int) -> "tuple[Level, dict[str, Any]]":
    """The candidate of a grid whose samples lie nearest to the held-out ones."""
    import torch

    from difftables.diffusion.betas import schedule_from_betas
    from difftables.jobs.sample import Chain
    from difftables.metrics.judges import SEARCH
    from difftables.search import grids

    spec, chain, calls = job.spec.search, Chain(job), job.spec.sampler.solver.calls(steps)
    if calls is None:
        raise ValueError(f"solver {job.spec.sampler.solver.kind} visits no schedule that could be searched; use another solver")
    judge = SEARCH[job.spec.run.data.medium](job)
    grid = grids.GRIDS[spec.grid](steps, tuple(spec.decades), spec.digits, spec.groups)
    samples = spec.samples * spec.draws
    candidates = grids.choose(grid, max(1, spec.budget // (samples * calls)), spec.seed)
    if not len(candidates):
        raise ValueError(f"the grid has no valid candidate of {steps} steps; raise search.*.digits or widen search.*.decades")
    keys = [("search", spec.seed, index) for index in range(samples)]
    adapt = chain.adapt(job.spec.sampler)

    def samples_of(levels: "list[Level]", many: int) -> "Tensor":
        return chain.together(levels, keys, many, job.spec.sampler, adapt, part="search", repeats=spec.draws)

    def score(x: "Tensor") -> float:
        if not torch.isfinite(x).all():
            return float("inf")  # a schedule that diverges loses; it does not stop the search
        value = judge(chain.medium.stored(x))[0].value
        return float("inf") if value is None else value

    found = grids.grid_search(candidates, samples_of, score, samples, spec.batch, calls)
    if not found.score < float("inf"):
        raise ValueError(f"all {len(candidates)} candidates of {steps} steps diverge; lower search.*.decades")
    finite = sorted(value for value in found.scores if value < float("inf"))
    cost = {
        "grid": len(grid), "candidates": len(candidates), "network_evaluations": found.evaluations,
        "best": finite[0], "median": finite[len(finite) // 2], "seconds": round(found.seconds, 2),
    }  # fmt: skip
    return schedule_from_betas(found.betas), cost


def frozen(job: "Job", steps: int) -> "tuple[Level, dict[str, Any]]":
    """The mean of the levels that the adjusted sampler used, as one schedule for all samples."""
    from difftables.diffusion.level import Level
    from difftables.jobs.sample import Chain
    from difftables.search import grids

    keys = [("frozen", job.spec.search.seed, index) for index in range(job.spec.search.frozen_samples)]
    drawn, adjust = Chain(job).draw(keys, job.spec.sampler, steps, part="frozen")
    if adjust is None:
        raise ValueError("what gets frozen is an adjusted schedule, and the sampler has no adapt; set it")
    levels = [Level.variance_preserving(alpha_bar) for alpha_bar in drawn.visited]
    cost = {
        "network_evaluations": drawn.evaluations,
        "estimator_evaluations": adjust.evaluations,
        "seconds": round(drawn.seconds, 2),
    }
    return grids.mean_schedule(levels), cost


def itself(row: "Sampler") -> "Sampler":
    """A search draws with the row whose schedule it searches."""
    return row


def adjusted(row: "Sampler") -> "Sampler":
    """What gets frozen is the row with its schedule adjusted by the estimator, from the fitted one."""
    return row.model_copy(update={"schedule": "fitted", "adapt": "estimator"})


def candidates_drawn(search: "Search", steps: int, calls: int) -> int:
    """The whole ladder, or as much of it as the budget allows, times the samples of a candidate."""
    samples = search.samples * search.draws
    return min(search.digits ** min(steps, search.groups), max(1, search.budget // (samples * calls))) * samples


METHODS: Variants[Method] = {
    "searched": Method(
        find=searched, reads=("grid", "decades", "digits", "groups", "samples", "draws", "budget", "batch", "seed"), samples="samples",
        chains=candidates_drawn, drawn_by=itself, judged=True, whole=False,
    ),
    "frozen": Method(
        find=frozen, reads=("frozen_samples", "seed"), samples="frozen_samples",
        chains=lambda search, steps, calls: search.frozen_samples, drawn_by=adjusted, judged=False, whole=True,
    ),
}  # fmt: skip
