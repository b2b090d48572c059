"""Rule search: schedules by a search method; one file for all step counts."""

from difftables.jobs.job import Job


def run(job: Job) -> None:
    """spec: SearchSpec.  In: net, maybe estimator, data, features, weights.  Out: schedules, record, both kept from run to run, made.

    A step count whose schedule lies there already, found with the same spec, code and inputs, is not searched again.
    """
    from difftables.common.files import read_json, write_json
    from difftables.diffusion.schedule_file import read_schedules, write_schedules
    from difftables.search.methods import METHODS

    found, counts = {}, {}
    old = read_schedules(job.output("schedules")) if job.before["columns"] else {}
    known = read_json(job.output("record"))["records"] if job.before["columns"] else {}
    for steps in job.spec.steps:
        column = job.columns[str(steps)] = job.column(steps)
        if job.before["columns"].get(str(steps)) == column:
            found[steps], counts[str(steps)], job.cost[str(steps)] = old[steps], known[str(steps)], job.before["cost"][str(steps)]
            continue
        found[steps], record = METHODS[job.spec.method].find(job, steps)
        job.cost[str(steps)] = {"seconds": record.pop("seconds")}
        counts[str(steps)] = record
        print(f"{job.spec.method}, {steps} steps: {record}", flush=True)
    job.seeds = {"search": job.spec.search.seed}
    write_schedules(job.output("schedules"), found)
    write_json(job.output("record"), {"method": job.spec.method, "records": counts})
