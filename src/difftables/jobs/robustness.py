"""Rule robustness: many random schedules of one length, as they are and adjusted, on the same noise."""

from typing import Any

from difftables.jobs.job import Job


def run(job: Job) -> None:
    """spec: run, samplers (fixed, adjusted), search, evaluation, batch, scale, maybe features.

    In: net, estimator, and what the medium's judge reads: features and maybe weights, or data.  Out: record.
    """
    from difftables.common.files import write_json
    from difftables.diffusion.level import concatenate
    from difftables.jobs.sample import Chain
    from difftables.metrics.judges import ROBUSTNESS, Score
    from difftables.search import grids

    spec, chain, e = job.spec, Chain(job), job.spec.evaluation
    judge, steps = ROBUSTNESS[job.spec.run.data.medium](job), e.robustness_steps
    grid = grids.GRIDS[spec.search.grid](steps, tuple(spec.search.decades), spec.search.digits, spec.search.groups)
    schedules = grids.random_schedules(e.robustness_schedules, steps, grid, spec.search.seed + 1)
    keys = [("robustness", spec.search.seed, index) for index in range(e.robustness_n)]
    together = max(1, spec.batch // e.robustness_n)
    rows, scores, failed = list[dict[str, Any]](), list[Score](), 0
    for sampler in spec.samplers:
        adapt = chain.adapt(sampler, sampler.family)
        for start in range(0, len(schedules), together):
            part = schedules[start : start + together]
            levels = [concatenate([s[i].expand(e.robustness_n) for s in part]) for i in range(steps + 1)]
            x = chain.together(levels, keys, len(part), sampler, adapt, part="test")
            for i, samples in enumerate(chain.medium.stored(x).split(e.robustness_n)):
                score = judge(samples)[0]
                failed += score.failed or 0
                if score.value is None:
                    raise ValueError(f"{score.metric} could score no sample of random schedule {start + i}; raise the training steps")
                scores.append(score)
                rows.append(
                    {"sampler": sampler.name, "method": sampler.method, "solver": sampler.solver.kind, "schedule": start + i,
                     "value": score.value,
                     "first_alpha_bar": part[i].alpha_bar[0].item()}
                )  # fmt: skip
        print(f"{sampler.name}, {sampler.method}: {len(schedules)} schedules", flush=True)
    shared = {
        **spec.names.model_dump(), "id": scores[0].id, "metric": scores[0].metric, "better": scores[0].better, "failed": failed,
        "steps": steps, "n": e.robustness_n, "grid": len(grid),
    }  # fmt: skip
    job.seeds = {"training": spec.names.train_seed, "search": spec.search.seed}
    write_json(job.output("record"), {"shared": shared, "records": rows})
