"""Rule search_schedule: schedules by a search method; one file for all step counts."""

from difftables.cli.job import Job


def run(job: Job) -> None:
    """spec: run, sampler, method, steps, search, batch, maybe features.

    In: net, maybe estimator, data, features, weights.  Out: schedules, record.
    """
    from difftables import schedules
    from difftables.io import write_json
    from difftables.search_methods import METHODS

    found, costs = {}, {}
    for steps in job.spec.steps:
        found[steps], costs[str(steps)] = METHODS[job.spec.method].find(job, steps)
        print(f"{job.spec.method}, {steps} steps: {costs[str(steps)]}", flush=True)
    schedules.write(job.output("schedules"), found)
    write_json(job.output("record"), {"method": job.spec.method, "cost": costs, **job.provenance()})
