"""Results that lie in the store under another name: a job that is planned under a new name takes them over. No torch in here.

Two runs that were equal had one training. Once one of them is changed, the other needs its files under its own name. A run that is
renamed does so, too.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from difftables.common.files import load_tensors, read_json, replacing, save_tensors, sha256, write_json
from difftables.planning.plan import Files, Workflow
from difftables.planning.shared_jobs import Kind
from difftables.provenance import fingerprint
from difftables.provenance.files import FOLDER
from difftables.search.methods import METHODS

KINDS: dict[str, Kind] = {"train": "net", "train_estimator": "estimator"}


class Planned(NamedTuple):
    """A job whose spec holds no names.  Args: of: the run, and the training seed or the sampler; seed: of training."""

    verb: str
    of: tuple[str, str]
    seed: str


def hand_over(plan: Workflow) -> list[str]:
    """Copy what equal jobs left under other names to where the plan expects it.  Returns: a line for each job that need not run.

    Equal are spec, code and the bytes of all inputs; samples may have more step counts than the plan wants, which are left out. A job
    that has any of its files is left as it is.
    """
    lines, known = list[str](), dict[str, dict[str, list[Path]]]()
    for job in planned(plan):
        made = plan.provenance_file(job.verb, *wildcards(plan, job))
        if Path(made).exists() or any(Path(path).exists() for path in outputs(plan, job).values()):
            continue
        if job.verb not in known:
            known[job.verb] = by_spec(Path(plan.store, FOLDER), job.verb)
        for path in known[job.verb].get(_content(plan.written_spec(job.verb, *job.of)), ()) if known[job.verb] else ():
            record = read_json(path)
            same = record["code"] == plan.code(job.verb, *job.of) and _has_steps(plan, record, job)
            if same and _same_inputs(record, inputs(plan, job)) and _whole(record):
                _copy(plan, record, path, job)
                lines.append(f"{made} is the result of an equal job, {path}; copied")
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


def by_spec(folder: Path, verb: str) -> dict[str, list[Path]]:
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


def _has_steps(plan: Workflow, record: dict[str, Any], job: Planned) -> bool:
    """Whether a job made the step counts that are wanted; only samples can be without the others."""
    wanted, made = (spec.get("steps", []) for spec in (plan.written_spec(job.verb, *job.of), record["spec"]))
    return bool(made == wanted or (job.verb == "sample" and set(made) > set(wanted)))


def _same_inputs(record: dict[str, Any], paths: Files) -> bool:
    """Whether files are, byte for byte, what a job has read."""
    read = {name: list(hashes.values()) for name, hashes in record["inputs"].items() if hashes}
    paths = {name: files for name, files in paths.items() if files}
    if read.keys() != paths.keys() or not all(Path(path).is_file() for files in paths.values() for path in files):
        return False
    return all([sha256(path) for path in files] == read[name] for name, files in paths.items())


def _whole(record: dict[str, Any]) -> bool:
    """Whether the outputs of a job lie there as it left them."""
    written = [each for hashes in record["outputs"].values() for each in hashes.items()]
    return all(Path(path).is_file() and sha256(path) == digest for path, digest in written)


def _copy(plan: Workflow, record: dict[str, Any], source: Path, job: Planned) -> None:
    """Copy the outputs of a job, its benchmark, and at last its provenance, with the paths of the new name."""
    ours, theirs, written = wildcards(plan, job), _wildcards_of(source, plan, job.verb), outputs(plan, job)
    spec, digests = plan.written_spec(job.verb, *job.of), dict[str, dict[str, str]]()
    fewer = record["spec"] != spec
    for name, hashes in record["outputs"].items():
        for path in hashes:
            if fewer:
                _copy_steps(path, written[name], spec["steps"])
            else:
                _copy_file(path, written[name])
        digests[name] = {written[name]: sha256(written[name])}
    _copy_file(plan.benchmark_file(job.verb, *theirs), plan.benchmark_file(job.verb, *ours))
    read = inputs(plan, job)
    renamed: dict[str, Any] = {
        "spec": spec,
        "inputs": {name: dict(zip(read.get(name, []), hashes.values(), strict=True)) for name, hashes in record["inputs"].items()},
        "outputs": digests,
    }
    read_bytes = {name: list(hashes.values()) for name, hashes in record["inputs"].items()}
    renamed["fingerprint"] = fingerprint.job(job.verb, spec, record["code"], read_bytes)
    if fewer:
        kept = set(map(str, spec["steps"]))
        renamed |= {key: {steps: value for steps, value in record[key].items() if steps in kept} for key in ("columns", "cost")}
    write_json(plan.provenance_file(job.verb, *ours), record | renamed)


def _copy_steps(path: str, other: str, steps: list[int]) -> None:
    """A copy of samples with some of their step counts."""
    tensors, meta = load_tensors(path, "samples")
    kept = [str(count) for count in steps]
    meta["counts"] = {count: meta["counts"][count] for count in kept}
    save_tensors(other, {name: value for name, value in tensors.items() if name.split("/")[1] in kept}, meta)


def _wildcards_of(path: Path, plan: Workflow, verb: str) -> tuple[str, ...]:
    """The wildcards in the name of a provenance file: run and seed, and maybe what the files of its sampler are called."""
    parts = path.relative_to(Path(plan.store, FOLDER, verb)).with_suffix("").parts
    return ("/".join(parts[:2]), parts[2], *(["/".join(parts[3:])] if parts[3:] else []))


def _copy_file(path: str, other: str) -> None:
    """A copy with the time of today: newer than what it was made from.  A benchmark may be missing."""
    if Path(path).is_file():
        with replacing(other) as temporary:
            shutil.copyfile(path, temporary)
