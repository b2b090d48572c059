"""Rule errors: the errors of the noise-level estimators, level by level, on held-out samples."""

from difftables.jobs.job import Job


def run(job: Job) -> None:
    """spec: ErrorsSpec.  In: data, estimator, maybe levels.  Out: record."""
    from difftables.common.files import write_json
    from difftables.studies.estimator_errors import estimator_errors

    spec, e = job.spec, job.spec.evaluation
    records = estimator_errors(spec.run, spec.estimates, job.files, job.device, levels=e.error_levels, samples=e.error_n)
    job.seeds = {"training": spec.names.train_seed}
    write_json(job.output("record"), {"shared": spec.names.model_dump(), "records": records})
