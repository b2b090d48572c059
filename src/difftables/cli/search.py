"""Rule search_schedule: schedules by grid search or by freezing what adjustment did; one file for all step counts."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from difftables.cli.job import Job
from difftables.variants import Variants

if TYPE_CHECKING:
    from difftables.level import Level


def run(job: Job) -> None:
    """spec: run, sampler, method, steps, search, batch, maybe features.

    In: net, maybe estimator, data, features, weights.  Out: schedules, record.
    """
    from difftables import schedules
    from difftables.io import write_json

    found, costs = {}, {}
    for steps in job.spec.steps:
        found[steps], costs[str(steps)] = METHODS[job.spec.method](job, steps)
        print(f"{job.spec.method}, {steps} steps: {costs[str(steps)]}", flush=True)
    schedules.write(job.output("schedules"), found)
    write_json(job.output("record"), {"method": job.spec.method, "cost": costs, **job.provenance()})


def searched(job: Job, steps: int) -> "tuple[Level, dict[str, Any]]":
    """The candidate of a grid whose samples lie nearest to the held-out ones."""
    import torch
    from torch import Tensor

    from difftables import search
    from difftables.cli.judges import SEARCH
    from difftables.cli.sample import Chain
    from difftables.schedules import from_betas

    spec, chain = job.spec.search, Chain(job)
    judge = SEARCH[job.spec.run.data.medium](job)
    grid = search.GRIDS[spec.grid](steps, tuple(spec.decades), spec.digits, spec.groups)
    samples = spec.samples * spec.draws
    candidates = search.choose(grid, max(1, spec.budget // (samples * steps)), spec.seed)
    if not len(candidates):
        raise ValueError(f"the grid has no valid candidate of {steps} steps; raise search.*.digits or widen search.*.decades")
    keys = [("search", spec.seed, index) for index in range(samples)]

    def samples_of(levels: "list[Level]", many: int) -> Tensor:
        return chain.together(levels, keys, many, job.spec.sampler, "search", spec.draws)

    def score(x: Tensor) -> float:
        if not torch.isfinite(x).all():
            return float("inf")  # a schedule that diverges loses; it does not stop the search
        value = judge(chain.medium.stored(x))[0].value
        return float("inf") if value is None else value

    found = search.grid_search(candidates, samples_of, score, samples, spec.batch)
    if not found.score < float("inf"):
        raise ValueError(f"all {len(candidates)} candidates of {steps} steps diverge; lower search.*.decades")
    finite = sorted(value for value in found.scores if value < float("inf"))
    cost = {
        "grid": len(grid), "candidates": len(candidates), "network_evaluations": found.evaluations,
        "best": finite[0], "median": finite[len(finite) // 2], "seconds": round(found.seconds, 2),
    }  # fmt: skip
    return from_betas(found.betas), cost


def frozen(job: Job, steps: int) -> "tuple[Level, dict[str, Any]]":
    """The mean of the levels that the adjusted sampler used, as one schedule for all samples."""
    from difftables import search
    from difftables.cli.sample import Chain
    from difftables.level import Level

    keys = [("frozen", job.spec.search.seed, index) for index in range(job.spec.search.frozen_samples)]
    drawn, adjust = Chain(job).draw(keys, job.spec.sampler, steps, part="frozen")
    levels = [Level.variance_preserving(alpha_bar) for alpha_bar in drawn.levels]
    cost = {
        "network_evaluations": drawn.evaluations,
        "estimator_evaluations": adjust.evaluations,
        "seconds": round(drawn.seconds, 2),
    }
    return search.mean_schedule(levels), cost


METHODS: Variants[Callable[[Job, int], tuple[Any, dict[str, Any]]]] = {"searched": searched, "frozen": frozen}
