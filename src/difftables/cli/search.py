"""Rule search_schedule: schedules by grid search or by freezing what adjustment did; one file for all step counts."""

from typing import TYPE_CHECKING, Any

from difftables.cli.job import Job

if TYPE_CHECKING:
    from difftables.level import Level


def run(job: Job) -> None:
    """spec: run, sampler, method, steps, search, features, batch.

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
    """The candidate of the WaveGrad grid whose samples lie nearest to the held-out ones."""
    import torch
    from torch import Tensor

    from difftables import search
    from difftables.assemble import PRIORS
    from difftables.cli.sample import Chain
    from difftables.data.images import to_uint8
    from difftables.io import load_tensors
    from difftables.metrics import frechet
    from difftables.metrics.features import extract, load
    from difftables.rng import SampleNoise
    from difftables.schedules import from_betas
    from difftables.steps import sample

    spec, device, chain = job.spec.search, job.device, Chain(job)
    features = job.spec.features
    net = load(features.net, features.pixels, job.maybe("weights"), features.sha256, device)
    held_out = frechet.moments(load_tensors(job.input("features"), "features")[0]["held_out"])
    grid = search.enumerate_grid(steps, tuple(spec.decades), spec.digits, spec.groups)
    count = max(1, spec.budget // (spec.samples * steps))
    candidates = search.choose(grid, count, spec.seed)
    if not len(candidates):
        raise ValueError(f"the grid has no valid candidate of {steps} steps; raise search.digits or widen search.decades")
    keys = [("search", spec.seed, index) for index in range(spec.samples)]

    @torch.inference_mode()
    def samples_of(levels: "list[Level]", many: int) -> Tensor:
        randn = SampleNoise(keys)  # anew for every batch: each candidate sees the same noise
        levels = [level.to(device) for level in levels]
        noise = randn(torch.empty(many * spec.samples, *chain.shape, device=device))
        x = PRIORS[chain.run.prior](noise, levels[0])
        return sample(x, levels, randn=randn, **chain.common(job.spec.sampler))

    def score(x: Tensor) -> float:
        if not torch.isfinite(x).all():
            return float("inf")  # a schedule that diverges loses; it does not stop the search
        return frechet.distance(frechet.moments(extract(net, to_uint8(x.cpu()), features.batch, device)[0]), held_out)

    found = search.grid_search(candidates, samples_of, score, spec.samples, spec.batch)
    if not found.score < float("inf"):
        raise ValueError(f"all {len(candidates)} candidates of {steps} steps diverge; lower search.decades")
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
    drawn, adjust = Chain(job).draw(keys, job.spec.sampler, steps)
    levels = [Level.variance_preserving(alpha_bar) for alpha_bar in drawn.levels]
    cost = {
        "network_evaluations": drawn.evaluations,
        "estimator_evaluations": adjust.evaluations,
        "seconds": round(drawn.seconds, 2),
    }
    return search.mean_schedule(levels), cost


METHODS = {"searched": searched, "frozen": frozen}
