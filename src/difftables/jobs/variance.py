"""Rule variance: how noisy and biased the target of a trained run is, and how far its net is from the exact score, level by level."""

from difftables.jobs.job import Job


def run(job: Job) -> None:
    """spec: VarianceSpec.  In: data, net, maybe edge_net, levels.  Out: record."""
    from difftables.common.files import write_json
    from difftables.sampling.loaded_run import load_run
    from difftables.studies.target_by_level import target_by_level

    spec, e = job.spec, job.spec.evaluation
    record = target_by_level(load_run(spec.run, job.files, job.device), levels=e.variance_levels, samples=e.variance_n)
    job.seeds = {"training": spec.names.train_seed}
    write_json(job.output("record"), {**record, "shared": {**spec.names.model_dump(), **record["shared"]}})
