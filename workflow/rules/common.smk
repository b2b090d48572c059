# What all rules share: the plan of the chosen scale, and where its files lie.
import atexit
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

# The code that lies beside these rules, whatever is installed: a queued DVC experiment runs in a copy of the repository.
SOURCE = str(Path(str(workflow.current_basedir)).parents[1] / "src")
sys.path.insert(0, SOURCE)
os.environ.update(PYTHONPATH=os.pathsep.join([SOURCE, *filter(None, [os.environ.get("PYTHONPATH")])]))

from difftables.common import driver
from difftables.common import environment
from difftables.provenance import fingerprint
from difftables.planning import gpu_hours as hours
from difftables.planning import memory
from difftables.planning import plan as planning
from difftables.provenance import runs
from difftables.planning.hand_over import hand_over
from difftables.common.errors import ConfigError
from difftables.common.errors import nearest
from difftables.warm import benchmarks
from difftables.warm import start as warm

# Dry runs too, which Snakemake tells from others only after this file was read: they drop no lock but those of killed runs.
if workflow.is_main_process:
    driver.take()
unknown = [key for key in config if key != "scale"]
if unknown:
    raise WorkflowError(
        f"--config {unknown[0]} is no known key{nearest(unknown[0], ['scale'])}; all else is in params.yaml, scales and workflow/papers"
    )
try:
    plan = planning.read(config.get("scale"))
except ConfigError as error:
    raise WorkflowError(str(error))

# What lies there under another name is a result, too: jobs copy it.
if workflow.is_main_process:
    for line in hand_over(plan):
        print(line, file=sys.stderr)

ROOT, STORE, TABLES = plan.root, plan.store, plan.tables


def listed(files):
    """Inputs or outputs of a job by name, each a list of paths."""
    return {name: [str(paths)] if isinstance(paths, str) else [str(path) for path in paths] for name, paths in files.items()}


def job(verb, *wildcards):
    """The file that tells a job what to do: spec, inputs and outputs, whose hash is its name."""
    return lambda w, input, output: plan.job_file(
        verb, tuple(w[name] for name in wildcards), listed(input), listed(output), not workflow.dryrun
    )


def spec(verb, *wildcards):
    """Hash of what a job is told. Snakemake compares no param that looks at inputs or outputs, as the job's file does."""
    return lambda w: plan.spec_hash(verb, *(w[name] for name in wildcards))


def code(verb, *wildcards):
    """Fingerprint of the code behind a job, as a function of its wildcards."""
    return lambda w: plan.code(verb, *(w[name] for name in wildcards))


def made(verb, *wildcards):
    """Where a job leaves its provenance."""
    return plan.provenance_file(verb, *(f"{{{name}}}" for name in wildcards))


LOGS, BENCHMARKS = f"{ROOT}/logs", f"{STORE}/benchmarks"
ENVIRONMENT = "../envs/difftables.yaml"
limits = plan.params.resources
# What starts a job that several processes may share. A resource of its rule, since for those, unlike params, nothing is run again.
LAUNCH = "python" if limits.processes == 1 else f"python -m torch.distributed.run --standalone --nproc-per-node {limits.processes}"
# Jobs run in the environment that snakemake itself runs in, activated or not.
os.environ.update(PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
environment.apply()


def tell_hours():
    """After a dry run: the jobs that it would start, by table and by rule, with estimated GPU-hours."""
    if not workflow.dryrun or workflow.scheduler is None:  # which comes once all jobs are known
        return
    needed = list(workflow.dag.needrun_jobs(exclude_finished=False))
    known, tables = set(needed), {}
    for job in needed:
        if job.rule.name in ("table", "plain_table"):
            behind = [each for each in workflow.dag.bfs(workflow.dag.dependencies, job) if each in known]
            tables["{paper}/{table}".format_map(job.wildcards_dict)] = told(behind)
    if needed:
        print(f"\n{hours.table(plan, told(needed), tables=dict(sorted(tables.items())))}", file=sys.stderr)


def told(jobs):
    """Jobs as their hours are counted: rules and wildcards."""
    return [(job.rule.name, job.wildcards_dict) for job in jobs]


# One handler: of several, Snakemake keeps the last.
onstart:
    driver.start_jobs_when_others_end(workflow.scheduler)
    # Each job looks its walk up when it ends; what this process notes at its own end comes too late for the jobs of a first run.
    fingerprint.note()
    # Jobs on this machine start as forks of one process, which has imported torch.
    if workflow.is_main_process and warm.start(
        len(list(workflow.dag.needrun_jobs())), workflow.executor_plugin.common_settings.local_exec
    ):
        benchmarks.watch_jobs()


# On a cluster these run where snakemake does: seconds of work each, and what fetches wants the internet, which nodes may lack.
localrules:
    weights,
    download,
    extract,
    table,
    plain_table,
    report,


def record_run():
    """After a real run: leave what Snakemake and its shells cost beside the jobs, for `difftables costs`."""
    if workflow.dag is None or workflow.dryrun or workflow.touch:
        return
    finished = [
        job for job in workflow.dag.needrun_jobs(exclude_finished=False) if workflow.dag.finished(job) and "made" in job.output.keys()
    ]
    runs.append(STORE, [job.output.made for job in finished], [job.output.made for job in finished if workflow.is_local(job.rule)])


def tell_memory():
    """After a dry run: planned peak memory by rule."""
    if not workflow.dryrun or workflow.scheduler is None:
        return
    jobs = [(job.rule.name, job.wildcards_dict) for job in workflow.dag.needrun_jobs(exclude_finished=False)]
    if jobs:
        print(f"\n{memory.table(plan, jobs)}", file=sys.stderr)


# Snakemake has no handler for dry runs, and knows their jobs only after this file was read.
if workflow.is_main_process and limits.gpu:
    atexit.register(tell_memory)  # before the hours, so that it runs after them
    atexit.register(tell_hours)
if workflow.is_main_process:
    atexit.register(record_run)  # before all other hooks, so that it runs after them and counts what they end
    atexit.register(fingerprint.note)


wildcard_constraints:
    data="|".join(plan.params.data),
    run="|".join(plan.params.runs),
    checkpoint="|".join(plan.params.checkpoints) or "(?!)",
    sampler="|".join(plan.stems()),
    chosen="|".join(dict.fromkeys(map(plan.levels_name, plan.params.runs))),
    paper="|".join(plan.layouts),
    table="|".join(sorted({name for tables in plan.params.tables.values() for name in tables})),
    seed=r"\d+",
    file="[^/]+",
    archive="[^/]+",
    digest="[^/]+",
