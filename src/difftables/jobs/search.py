"""Rule search: schedules by a search method; one file for all step counts."""

from difftables.jobs.job import Job


def run(job: Job) -> None:
    """spec: SearchSpec.  In: net, maybe estimator, data, features, weights.  Out: schedules, record, both kept from run to run, made.

    A step count is searched again only where its spec, code or inputs changed; one that a killed run began goes on after the candidates
    that were scored.
    """
    import shutil

    from difftables.common.files import read_json, write_json
    from difftables.diffusion.schedule_file import read_schedules, write_schedules
    from difftables.metrics.scorers import SEARCH, ScorerInputs
    from difftables.sampling.loaded_run import load_run
    from difftables.search.methods import METHODS

    spec, method, columns = job.spec, METHODS[job.spec.method], job.previous["columns"]
    job.columns = {str(steps): job.column(steps) for steps in spec.steps}
    levels = read_schedules(job.output("schedules")) if columns else {}
    records = read_json(job.output("record"))["records"] if columns else {}
    wanted = [steps for steps in spec.steps if columns.get(str(steps)) != job.columns[str(steps)]]
    if wanted:
        loaded = load_run(spec.run, job.files, job.device, spec.batch)
        inputs = ScorerInputs(job.files, job.device, job.threads, spec.run.data, spec.features, segments=spec.search.samples)
        score = SEARCH[spec.run.data.medium](inputs) if method.scored else None
        numbers = {name: value for name, value in spec.search if name in method.reads}
    states = []
    for steps in spec.steps:
        if steps not in wanted:
            job.cost[str(steps)] = job.previous["cost"][str(steps)]
            continue
        loaded.state = state = job.kept_parts(job.columns[str(steps)])
        levels[steps], record = method.find(loaded, spec.sampler, steps, score, **numbers)
        job.cost[str(steps)] = {"seconds": record.pop("seconds")}
        records[str(steps)] = record
        states.append(state)
        print(f"{spec.method}, {steps} steps: {record}", flush=True)
    job.seeds = {"search": spec.search.seed}
    write_schedules(job.output("schedules"), {steps: levels[steps] for steps in spec.steps})
    write_json(job.output("record"), {"method": spec.method, "records": {str(steps): records[str(steps)] for steps in spec.steps}})
    for state in states:
        shutil.rmtree(state, ignore_errors=True)
