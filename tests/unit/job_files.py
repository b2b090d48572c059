"""Jobs in this process, or the command lines that start them: each reads a file with spec, inputs and outputs, as the plan writes it."""

import importlib
import json
import tempfile
from pathlib import Path

from difftables.jobs import job as jobs
from difftables.papers.kinds import STUDIES
from difftables.search.methods import METHODS

# Of a net for images of 4 x 4 pixels that trains and draws in no time.
RUN = {
    "data": {"reader": "folder", "root": "images", "size": 4, "channels": 1, "held_out": 10},
    "net": {"kind": "unet", "width": 8, "mult": [1], "blocks": 1, "attention": [], "dropout": 0.0},
    "schedule": {"family": "exploding", "steps": 16, "lowest": 0.02, "highest": 50.0},
    "corruption": "scale", "prior": "noise_alone", "precondition": "direct", "conditioning": "quarter_log",
    "density": "index", "target": "clean", "weight": "eps", "penalty": "squared",
}  # fmt: skip


def changed(spec, changes):
    """A model with some values changed, as a job reads it.  Args: changes: nested; what names a kind or family stands in place of all."""
    return type(spec).model_validate_json(json.dumps(_merged(jobs.dumped(spec), changes)))


def _merged(old, new):
    if not (isinstance(old, dict) and isinstance(new, dict)) or {"kind", "family"} & set(new):
        return new
    return old | {key: _merged(old.get(key), value) for key, value in new.items()}


def write_job(path, spec, inputs, outputs):
    """Write a job's file.  Args: spec: a model; inputs, outputs: a path or several, by name.  Returns: the path, as text."""
    files = [
        {name: [str(path) for path in (paths if isinstance(paths, list) else [paths])] for name, paths in found.items()}
        for found in (inputs, outputs)
    ]
    Path(path).write_text(json.dumps({"spec": jobs.dumped(spec), "inputs": files[0], "outputs": files[1]}))
    return str(path)


def read_job(verb, spec, inputs, outputs, code="0", *options):
    """A job as its process reads it.  Args: options: of its command line."""
    with tempfile.TemporaryDirectory() as folder:
        return jobs.parse(verb, [write_job(Path(folder) / "job.json", spec, inputs, outputs), "--code", code, *options])


def run_job(verb, spec, inputs, outputs, code="0"):
    """Run a job, and leave no provenance: that needs the fingerprint of the whole code.  Returns: the job."""
    job = read_job(verb, spec, inputs, outputs, code)
    importlib.import_module(f"difftables.jobs.{verb}").run(job)
    return job


def every_job(plan):
    """All jobs of a plan, by rule and wildcards: the arguments of the spec, and the files that the job reads."""
    rows = [(run, str(seed), sampler) for run, seed, sampler in plan.drawn_rows()]
    tables = {(paper, table): plan.table_inputs(paper, table) for paper, known in plan.params.tables.items() for table in known}
    read = {path for files in tables.values() for name, paths in files.items() if name != "made" for path in paths}
    trained = [(run, str(seed)) for run, seed in plan.trainings()]
    runs = sorted({run for run, _ in trained} | {run for run, _, _ in rows})
    sets = sorted({plan.params.runs[run].data for run in runs})
    found = {("data", data): ((data,), plan.data_inputs(data)) for data in sets}
    found |= {("reference", data): ((data,), {}) for data in sets if plan.params.data[data].medium == "images"}
    found |= {("levels", name): ((name,), {}) for name in {plan.levels_name(run) for run in runs if plan.level_inputs(run)}}
    found |= {("train", *of): (of, plan.train_inputs(of[0])) for of in trained}
    found |= {("checkpoint", name): ((name,), plan.checkpoint_inputs(name)) for name in plan.used_checkpoints()}
    found |= {
        ("train_estimator", *of): (of, plan.train_inputs(of[0], "estimator"))
        for of in [(run, str(seed)) for run, seed in plan.estimator_trainings()]
    }
    found |= {("search", *of): ((of[0], of[2]), plan.search_inputs(*of)) for of in rows if plan.params.samplers[of[2]].schedule in METHODS}
    found |= {("sample", *of): ((of[0], of[2]), plan.sample_inputs(*of)) for of in rows}
    found |= {("measure", *of): (of, plan.measure_inputs(*of) | {"samples": [plan.samples_file(*of)]}) for of in rows}
    studied = [(run, str(seed)) for run, known in plan.params.runs.items() for seed in known.seeds]
    own = [of for of in studied if plan.same_run(of[0]) == of[0]]
    found |= {
        (kind, *of): (of, {})
        for of in studied
        for kind in STUDIES
        if plan.study_file(*of, kind) in read and of[0] == plan.studied_run(of[0], kind)
    }
    found |= {("likelihood", *of): (of, plan.evaluation_inputs(of[0], of[1])) for of in own if plan.likelihood_file(*of) in read}
    found |= {("listen", run): ((run,), plan.listen_inputs(run)) for run in runs if f"{plan.tables}/audio/{run}" in read}
    found |= {("table", *of): (of, files) for of, files in tables.items()}
    archives = {plan.params.data[data].archive for data in sets} - {None}
    found |= {("extract", archive): ((archive,), plan.archive_inputs(archive)) for archive in archives}
    fetched = {Path(path).name for archive in archives for paths in plan.archive_inputs(archive).values() for path in paths}
    checkpoints = {name: plan.params.checkpoints[name] for name in plan.used_checkpoints()}
    fetched |= {Path(entry.path(name)).name for name, entry in checkpoints.items() if entry.url}
    found |= {("download", file): ((file,), {}) for file in fetched}
    found |= {("weights", Path(path).name): ((Path(path).name,), {}) for path in plan.weight_files()}
    return found | {("report",): ((), {"tables": plan.table_files(".json"), "curves": plan.curve_files()})}


def job_names(plan):
    """The names of the files of all jobs, which hold the hash of spec and inputs, by rule and wildcards."""
    return {key: plan.job_file(key[0], of, files, {}, False) for key, (of, files) in every_job(plan).items()}
