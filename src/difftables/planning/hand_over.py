"""Results that lie in the store under another name, for jobs that are planned under a new one. No torch in here.

Two runs that were equal had one training. Once one of them is changed, the other needs files under its own name. So does a run that is
renamed.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from difftables.common.files import load_tensors, read_json, sha256
from difftables.common.tensor_files import Parts, save_parts
from difftables.planning.plan import Files, Workflow
from difftables.planning.shared_jobs import Kind
from difftables.provenance import equal_results, fingerprint
from difftables.provenance.files import FOLDER
from difftables.search.methods import METHODS

KINDS: dict[str, Kind] = {"train": "net", "train_estimator": "estimator"}


class Planned(NamedTuple):
    """A job whose spec holds no names.  Args: of: the run, and the training seed or the sampler; seed: of training."""

    verb: str
    of: tuple[str, str]
    seed: str


def hand_over(plan: Workflow) -> list[str]:
    """Lay what equal jobs left under other names where the planned ones look for it.  Returns: a line for each job that will copy it.

    Equal are spec, code and the bytes of all inputs; samples may have more step counts than the plan wants, which are left out. A job
    that has any of its files computes.
    """
    equal_results.forget()
    lines, known, coming = list[str](), dict[str, dict[str, list[Path]]](), dict[str, str]()
    for job in planned(plan):
        made = plan.provenance_file(job.verb, *wildcards(plan, job))
        if Path(made).exists() or any(Path(path).exists() for path in outputs(plan, job).values()):
            continue
        if job.verb not in known:
            known[job.verb] = by_content(Path(plan.store, FOLDER), job.verb)
        spec = plan.written_spec(job.verb, *job.of) if known[job.verb] else {}
        for path in known[job.verb].get(_content(spec), ()):
            record, code = read_json(path), plan.code(job.verb, *job.of)
            read = _digests(inputs(plan, job), coming)
            equal = record["code"] == code and read == {name: list(each.values()) for name, each in record["inputs"].items() if each}
            if equal and _has_steps(job, record["spec"], spec) and _whole(record):
                named = {name: read.get(name, []) for name in inputs(plan, job)}
                _keep(record, spec, fingerprint.job(job.verb, spec, code, named))
                digests = {name: digest for name, each in record["outputs"].items() for digest in each.values()}
                if record["spec"] == spec:
                    coming |= {ours: digests[name] for name, ours in outputs(plan, job).items()}
                lines.append(f"{made}: the result is that of an equal job, {path}; it is copied")
                break
    return lines


def planned(plan: Workflow) -> Iterator[Planned]:
    """The jobs that take long, each after those that make its inputs."""
    for verb, trainings in (("train", plan.trainings()), ("train_estimator", plan.estimator_trainings())):
        yield from (Planned(verb, (run, str(seed)), str(seed)) for run, seed in trainings)
    rows = plan.drawn_rows()
    searching = [row for row in rows if plan.params.samplers[row[2]].schedule in METHODS]
    for verb, jobs in (("search", searching), ("sample", rows)):
        yield from (Planned(verb, (run, sampler), str(seed)) for run, seed, sampler in jobs)


def wildcards(plan: Workflow, job: Planned) -> tuple[str, ...]:
    """The wildcards of a job's rule."""
    return job.of if job.verb in KINDS else plan.wildcards(job.of[0], job.seed, job.of[1])


def inputs(plan: Workflow, job: Planned) -> Files:
    """What a job reads."""
    if job.verb in KINDS:
        return plan.train_inputs(job.of[0], KINDS[job.verb])
    row = (job.of[0], job.seed, job.of[1])
    return plan.search_inputs(*row) if job.verb == "search" else plan.sample_inputs(*row)


def outputs(plan: Workflow, job: Planned) -> dict[str, str]:
    """What a job writes, but for its provenance."""
    run, other = job.of
    if job.verb in KINDS:
        kind = KINDS[job.verb]
        return {"net": plan.net_file(run, job.seed, kind), "curve": plan.curve_file(run, job.seed, kind)}
    if job.verb == "search":
        return {name: plan.schedules_file(run, job.seed, other, end) for name, end in (("schedules", ".csv"), ("record", ".json"))}
    return {"samples": plan.samples_file(run, job.seed, other)}


def by_content(folder: Path, verb: str) -> dict[str, list[Path]]:
    """The provenance files of a rule by what their specs hold but for step counts; without damaged ones."""
    found = dict[str, list[Path]]()
    for path in sorted((folder / verb).rglob("*.json")):
        try:
            found.setdefault(_content(read_json(path)["spec"]), []).append(path)
        except (ValueError, KeyError):
            continue
    return found


def _content(spec: dict[str, Any]) -> str:
    return fingerprint.job({key: value for key, value in spec.items() if key != "steps"})


def _has_steps(job: Planned, made: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether a job made the step counts that are wanted; only samples can be without the others."""
    return bool(made == wanted or (job.verb == "sample" and set(made["steps"]) > set(wanted["steps"])))


def _digests(files: Files, coming: dict[str, str]) -> dict[str, list[str]]:
    """sha256 of what a job reads, by name; a file that is missing has none.  Args: coming: of files that are to be copied."""
    return {
        name: [coming[path] if path in coming else sha256(path) if Path(path).is_file() else "" for path in paths]
        for name, paths in files.items() if paths
    }  # fmt: skip


def _whole(record: dict[str, Any]) -> bool:
    """Whether the outputs of a job lie there as it left them."""
    written = [each for hashes in record["outputs"].values() for each in hashes.items()]
    return all(Path(path).is_file() and sha256(path) == digest for path, digest in written)


def _keep(record: dict[str, Any], spec: dict[str, Any], name: str) -> None:
    """Lay the outputs of a job out for another, whose fingerprint is `name`, with the step counts of its spec."""
    files = {output: Path(path) for output, hashes in record["outputs"].items() for path in hashes}
    if record["spec"] == spec:
        equal_results.keep(name, record, files)
        return
    tensors, meta = load_tensors(files["samples"], "samples")
    kept = [str(count) for count in spec["steps"]]
    meta["counts"] = {count: meta["counts"][count] for count in kept}
    fewer = equal_results.folder_of(name) / "fewer"
    save_parts(fewer, {each: Parts.of(value) for each, value in tensors.items() if each.split("/")[1] in kept}, meta)
    parts = {key: {steps: value for steps, value in record[key].items() if steps in kept} for key in ("columns", "cost")}
    equal_results.keep(name, record | parts, {"samples": fewer})
