"""Jobs in this process, or the command lines that start them: each reads a file with spec, inputs and outputs, as the plan writes it."""

import importlib
import json
import tempfile
from pathlib import Path

from difftables.cli import job as jobs


# Of a net for images of 4 x 4 pixels that trains and draws in no time.
RUN = {
    "data": {"reader": "digits", "size": 4, "channels": 1, "held_out": 10},
    "net": {"kind": "unet", "width": 8, "mult": [1], "blocks": 1, "attention": [], "dropout": 0.0},
    "schedule": {"family": "exploding", "steps": 16, "lowest": 0.02, "highest": 50.0},
    "corruption": "scale", "prior": "noise_alone", "precondition": "direct", "conditioning": "quarter_log",
    "density": "index", "target": "clean", "weight": "eps", "penalty": "squared",
}  # fmt: skip


def changed(spec, changes):
    """A model with some values changed, read again as a job reads it.  Args: changes: nested; a net, solver or schedule by name replaces."""
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


def read_job(verb, spec, inputs, outputs, code="0"):
    """A job as its process reads it."""
    with tempfile.TemporaryDirectory() as folder:
        return jobs.parse(verb, [write_job(Path(folder) / "job.json", spec, inputs, outputs), "--code", code])


def run_job(verb, spec, inputs, outputs, code="0"):
    """Run a job, and leave no provenance: that needs the fingerprint of the whole code.  Returns: the job."""
    job = read_job(verb, spec, inputs, outputs, code)
    importlib.import_module(f"difftables.cli.{verb}").run(job)
    return job
