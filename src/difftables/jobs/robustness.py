"""Rule robustness: many random schedules of one length, as they are and adjusted, on the same noise."""

from difftables.jobs.job import Job


def run(job: Job) -> None:
    """spec: RobustnessSpec.

    In: net, estimator, and what the medium's scorer reads: features and maybe weights, or data.  Out: record.
    """
    from difftables.common.files import write_json
    from difftables.metrics.scorers import ROBUSTNESS, ScorerInputs
    from difftables.sampling.loaded_run import load_run
    from difftables.search.grids import GRIDS
    from difftables.studies.robustness import random_schedules

    spec, s, e = job.spec, job.spec.search, job.spec.evaluation
    loaded = load_run(spec.run, job.files, job.device, spec.batch)
    score = ROBUSTNESS[spec.run.data.medium](ScorerInputs(job.files, job.device, job.threads, spec.run.data, spec.features))
    candidates = GRIDS[s.grid](e.robustness_steps, tuple(s.decades), s.digits, s.groups)
    record = random_schedules(
        loaded, spec.samplers, candidates, score, count=e.robustness_schedules, samples=e.robustness_n, seed=s.seed
    )  # fmt: skip
    job.seeds = {"training": spec.names.train_seed, "search": spec.search.seed}
    write_json(job.output("record"), {**record, "shared": {**spec.names.model_dump(), **record["shared"]}})
