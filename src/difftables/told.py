"""A job in words: its record, its inputs with their hashes, its numbers under their keys in params.yaml. No torch in here."""

from pathlib import Path
from typing import Any

import yaml

from difftables import fingerprint
from difftables.io import read_json, sha256
from difftables.lineage import Made
from difftables.plan import Plan

Text = tuple[str, str]  # a label and what it says


def aligned(texts: list[Text], indent: str = "") -> list[str]:
    """Labels and what they say, in two columns."""
    width = max((len(label) for label, _ in texts), default=0)
    return [f"{indent}{label:<{width}}  {said}".rstrip() for label, said in texts]


def provenance(path: str) -> dict[str, Any]:
    """What a record says of where it comes from; nothing where it is not there.  Raises: ValueError for a damaged one."""
    found = read_json(path) if path and Path(path).exists() else {}
    return found.get("shared") or found


def described(plan: Plan, jobs: list[Made]) -> list[str]:
    """All that is known of some jobs; those that left nothing here are left out, and numbers told once are not told again."""
    out, seen = list[str](), dict[str, str]()
    for job in jobs:
        if not any(Path(path).exists() for path in (job.outputs[0], job.record) if path):
            continue
        spec = job.spec(plan)
        numbers = aligned(keyed(spec, places(plan, job.run, job.sampler)), "  ")
        before = seen.setdefault(f"{job.rule} {numbers}", job.outputs[0])
        out += ["", f"{job.rule}: {job.outputs[0]}", *aligned(made(job, spec), "  "), *hashed(job)]
        out += numbers if before == job.outputs[0] else [f"  numbers as of {before}"]
    return out


def made(job: Made, spec: dict[str, Any]) -> list[Text]:
    """Who made a job's output, where, and whether that was done with the numbers and inputs that lie here."""
    found = provenance(job.record)
    if not found:
        return [("record", "it keeps none" if not job.record else f"{job.record} is missing")]
    own = read_json(job.record)
    sampled = (
        sorted({record["seed"] for record in own.get("records", []) if "seed" in record}) if isinstance(own.get("records"), list) else []
    )
    trained = found.get("train_seed", found.get("seed", spec.get("seed")))
    seeds = [f"training {trained}"] * (trained is not None) + [f"sampling {' '.join(map(str, sampled))}"] * bool(sampled)
    code = fingerprint.code(job.verb, spec)
    texts = [
        ("record", job.record), ("seeds", ", ".join(seeds)), ("commit", found["commit"]), ("machine", found["machine"]),
        ("code", found["code"] + (f", here it is {code}" if code != found["code"] else ", as it lies here")),
        ("fingerprint", f"{found['fingerprint']}, {checked(job, spec, found)}"),
    ]  # fmt: skip
    return [(label, said) for label, said in texts if said]


def checked(job: Made, spec: dict[str, Any], found: dict[str, Any]) -> str:
    """Whether a recorded fingerprint is that of a spec, the recorded code and the inputs that lie here."""
    used = {name: paths for name, paths in job.inputs.items() if paths and name != "cost"}
    if not all(Path(path).exists() for paths in used.values() for path in paths):
        return "not checked: an input is missing"
    hashes = {name: [sha256(path) for path in paths] for name, paths in sorted(used.items())}  # as cli.job.Job.fingerprint has it
    same = fingerprint.job(job.verb, spec, found["code"], hashes) == found["fingerprint"]
    return "that of the numbers and inputs below" if same else "NOT that of the numbers and inputs below: they changed since"


def hashed(job: Made) -> list[str]:
    """A job's inputs as sha256sum prints them, so that it can check them."""
    paths = [path for name, each in job.inputs.items() if name != "cost" for path in each]
    return [f"  {sha256(path) if Path(path).exists() else 'missing':<64}  {path}" for path in paths]


def places(plan: Plan, run: str, sampler: str, spot: str = "run") -> dict[str, str]:
    """Where in params.yaml the parts of a spec stand."""
    found, medium = plan.params.runs[run], plan.medium(run)
    here = {spot: f"runs.{run}", f"{spot}.data": f"data.{found.data}", f"{spot}.net": f"nets.{found.net}"}
    here |= {f"{spot}.schedule": f"schedules.{found.schedule}"}
    own = {
        "data": f"data.{found.data}", "schedule": f"schedules.{found.schedule}", "sampler": f"samplers.{sampler}",
        "search": f"search.{medium}", "evaluation": f"evaluation.{medium}",
        "features": f"features.{plan.params.evaluation.images.features}",
    }  # fmt: skip
    ends = places(plan, found.ends, sampler, f"{spot}.ends") if found.ends else {}
    return here | ends | (own if spot == "run" else {})


def keyed(spec: dict[str, Any], known: dict[str, str], spot: str = "", name: str = "the job") -> list[Text]:
    """A spec's numbers, one line for each mapping of params.yaml; what is null, and what only names things, is left out.

    Args: known: names in params.yaml by place in the spec; spot, name: place and name of this part of it.
    """
    own = {key: value for key, value in spec.items() if value is not None and not isinstance(value, dict)}
    texts = [(name, yaml.dump(own, default_flow_style=True, width=10**6, sort_keys=False).strip())] if own else []
    for key, value in spec.items():
        if isinstance(value, dict) and value and (spot or key != "names"):
            inner = f"{spot}.{key}" if spot else key
            texts += keyed(value, known, inner, known.get(inner, f"{name}.{key}" if spot else key))
    return texts
