"""Which job makes which file of a scale, and what it was made from: the DAG that Snakemake sees, for the commands. No torch in here."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from difftables.io import canonical
from difftables.plan import Files, Plan
from difftables.search_methods import METHODS


@dataclass(frozen=True)
class Made:
    """A job: its rule and what tells it from others of that rule."""

    rule: str
    verb: str
    kind: str  # of Plan.<kind>_spec
    of: tuple[str, ...]  # arguments of that
    run: str  # whose numbers it reads; for what several runs share, one of them
    outputs: tuple[str, ...]  # without what tells of seconds, which no other run repeats
    inputs: Files
    record: str = ""  # JSON with its provenance, if it leaves one

    @property
    def sampler(self) -> str:
        """The row it searches for, draws or measures, if it does."""
        return self.of[-1] if self.kind in ("search", "sample", "measure") else ""

    def spec(self, plan: Plan) -> dict[str, Any]:
        """What the job is told, as it reads it."""
        return json.loads(canonical(getattr(plan, f"{self.kind}_spec")(*self.of)))


def jobs(plan: Plan) -> list[Made]:
    """All jobs whose output a cell may come from, inputs before what is made of them; each once."""
    found: dict[str, Made] = {}
    for kind in (_given, _trained, _drawn, _studied):
        for job in kind(plan):
            found.setdefault(job.outputs[0], job)
    return list(found.values())


def makers(plan: Plan) -> dict[str, Made]:
    """The job of each file, its record included."""
    return {path: job for job in jobs(plan) for path in (*job.outputs, job.record) if path}


def walk(known: dict[str, Made], files: list[str]) -> list[Made]:
    """The jobs on the way to some files, back from the last in the order of `known`; each once."""
    found: dict[str, Made] = {}
    todo = list(files)
    while todo:
        job = known.get(todo.pop(0))
        if job is not None and job.outputs[0] not in found:
            found[job.outputs[0]] = job
            todo += [path for paths in job.inputs.values() for path in paths]
    return [found[path] for path in reversed(known) if path in found]


def _runs(plan: Plan) -> list[tuple[str, str]]:
    """Run and training seed of every run that a table of the scale looks at, and of their ends."""
    used = {row["run"]: None for row in plan.all_rows()} | {t.run: None for group in plan.params.tables.values() for t in group.values()}
    used |= {plan.params.runs[run].ends: None for run in used if run}
    return [(run, str(seed)) for run in used if run for seed in plan.params.runs[run].seeds]


def _given(plan: Plan) -> Iterator[Made]:
    for run, _ in _runs(plan):
        name, data = plan.params.runs[run].data, plan.data_of(run)
        yield Made("data", "data", "data", (name,), run, (data,), plan.data_inputs(name))
        for path in plan.levels(run).get("levels", []):
            yield Made(
                "levels", "levels", "levels", (plan.levels_name(run),), run, (path,), {"data": [data]}, path.replace(".csv", ".json")
            )
        if plan.medium(run) == "images":
            inputs = {"data": [data], "weights": plan.weights()}
            yield Made("reference", "reference", "reference", (name,), run, (plan.data_of(run, ".features"),), inputs, plan.floor(run))


def _trained(plan: Plan) -> Iterator[Made]:
    for view, seed in _runs(plan):
        run = plan.trained(view)
        net, estimator = (plan.net(run, seed, kind) for kind in ("net", "estimator"))
        inputs = plan.train_inputs(run)
        yield Made("train", "train", "train", (run, seed), run, (net,), inputs, net.replace(".safetensors", ".json"))
        if plan.params.runs[run].estimator is not None:
            record = estimator.replace(".safetensors", ".json")
            yield Made("train_estimator", "train_estimator", "estimator", (run, seed), run, (estimator,), inputs, record)


def _drawn(plan: Plan) -> Iterator[Made]:
    for run, number, sampler in plan.rows_used():
        row = (run, str(number), sampler)
        samples, costs = plan.samples(*row), plan.samples(*row, suffix=".cost.json")
        if plan.params.samplers[sampler].schedule in METHODS:
            inputs, record = plan.search_inputs(*row), plan.searched(*row, suffix=".cost.json")
            yield Made("search_schedule", "search", "search", (run, sampler), run, (plan.searched(*row),), inputs, record)
        yield Made("sample", "sample", "sample", (run, sampler), run, (samples,), plan.sample_inputs(*row), costs)
        inputs = plan.judge_inputs(run) | {"samples": [samples], "cost": [costs]}
        yield Made("measure", "measure", "measure", row, run, (plan.record(*row),), inputs, plan.record(*row))


def _studied(plan: Plan) -> Iterator[Made]:
    for run, seed in _runs(plan):
        held, bound = plan.held_inputs(run, seed), plan.likelihood(run, seed)
        studies = {"gradients": held, "variance": held}
        if plan.params.runs[plan.trained(run)].estimator is not None:
            studies["errors"] = {"data": [plan.data_of(run)], "estimator": [plan.net(run, seed, "estimator")]}
            studies["robustness"] = plan.robustness_inputs(run, seed)
        yield Made("likelihood", "likelihood", "likelihood", (run, seed), run, (bound,), held, bound)
        for kind, inputs in studies.items():
            path = plan.study(run, seed, kind)
            yield Made(kind, kind, kind, (run, seed), run, (path,), inputs, path)
