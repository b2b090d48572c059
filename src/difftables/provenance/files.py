"""The provenance files of a store, read: from a file to the job that made it, and from that to its inputs.

Every job leaves one, at `STORE/provenance/RULE/WILDCARDS.json`. Its inputs and outputs are paths from the repository's root with their
sha256, so that following inputs to the jobs that made them gives the whole history of a number, without the plan.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from difftables.common.files import sha256
from difftables.provenance.record import Hashes

FOLDER = "provenance"  # in a store
# In paths of files that no second run repeats, and of the one by which Snakemake marks a finished folder.
OF_SECONDS = ("/store/provenance/", "/store/benchmarks/", "/cost.csv", "/.snakemake_timestamp")


class Provenance(BaseModel):
    """What one job read, wrote and was run with."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    rule: str
    spec: dict[str, Any]  # without defaults
    fingerprint: str
    code: str
    packages: dict[str, str]  # versions as installed
    inputs: Hashes
    outputs: Hashes
    seeds: dict[str, int | list[int]]
    commit: str
    machine: str
    threads: int
    seconds: float
    cost: dict[str, Any]
    core_seconds: dict[str, float] = Field(default_factory=dict)  # by kind, of clock.KINDS; empty in records of older versions
    peak_mb: float | None = None
    columns: dict[str, str] = Field(default_factory=dict)  # fingerprints of the parts that a further run may keep
    name: str = Field("", exclude=True)  # rule and wildcards, as its file is called

    def read(self) -> dict[str, str]:
        """sha256 of all inputs that another run repeats, by path."""
        return _flat(self.inputs)

    def written(self) -> dict[str, str]:
        """sha256 of all outputs that another run repeats, by path."""
        return _flat(self.outputs)


def _flat(hashes: Hashes) -> dict[str, str]:
    return {path: value for each in hashes.values() for path, value in each.items() if not any(part in path for part in OF_SECONDS)}


def load(store: Path | str) -> dict[str, Provenance]:
    """The job of each output of a store, by path; where two claim a file, that which finished last.

    Raises: ValueError naming a damaged file.
    """
    folder = Path(store) / FOLDER
    files = sorted(folder.rglob("*.json"), key=lambda path: (path.stat().st_mtime_ns, path))
    jobs = [parse(path, path.relative_to(folder).with_suffix("").as_posix()) for path in files]
    return {path: job for job in jobs for each in job.outputs.values() for path in each}


def parse(path: Path, name: str = "") -> Provenance:
    """One provenance file.  Raises: ValueError naming it where it is damaged."""
    try:
        return Provenance.model_validate_json(path.read_bytes()).model_copy(update={"name": name})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{path} is damaged ({f'{where}: ' * bool(where)}{first['msg']}); delete it and run snakemake") from None


def walk(jobs: Mapping[str, Provenance], files: Iterable[str]) -> list[Provenance]:
    """The jobs behind some files, each once, after the jobs that made its inputs.  Args: jobs: by output, as `load` returns them."""
    entered, order = set[int](), list[Provenance]()  # by identity; entered before the inputs are followed, so that no loop is endless

    def visit(path: str) -> None:
        job = jobs.get(path)
        if job is not None and id(job) not in entered:
            entered.add(id(job))
            for each in job.read():
                visit(each)
            order.append(job)

    for path in files:
        visit(path)
    return order


def matches(path: str, wanted: str) -> bool | None:
    """Whether a file has a sha256; None for a missing file."""
    return sha256(path) == wanted if Path(path).exists() else None
