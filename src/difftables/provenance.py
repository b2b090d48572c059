"""What made each file of a store: every job leaves one JSON file that says so.  No torch in here, until a job asks for its GPU's name.

A provenance file lies at `STORE/provenance/RULE/WILDCARDS.json`. Its inputs and outputs are paths from the repository's root with their
sha256, so that following inputs to the jobs that made them gives the whole history of a number, without the plan.
"""

import hashlib
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from difftables.io import sha256

if TYPE_CHECKING:
    import torch

FOLDER = "provenance"  # in a store
VARYING = ("benchmarks", "cost", "costs", "made")  # names of inputs and outputs that hold seconds, which no second run repeats
VERBS = {"search_schedule": "search"}  # rules that are not called as their verb
Hashes = dict[str, dict[str, str]]  # by name of the input or output: sha256 by path


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
    name: str = Field("", exclude=True)  # rule and wildcards, as its file is called

    @property
    def verb(self) -> str:
        """The verb of difftables that the rule runs."""
        return VERBS.get(self.rule, self.rule)

    def read(self) -> dict[str, str]:
        """sha256 of all inputs that another run repeats, by path."""
        return _flat(self.inputs)

    def written(self) -> dict[str, str]:
        """sha256 of all outputs that another run repeats, by path."""
        return _flat(self.outputs)


def _flat(hashes: Hashes) -> dict[str, str]:
    return {path: value for name, each in hashes.items() if name not in VARYING for path, value in each.items()}


# -- written by jobs ----------------------------------------------------------------------------------------------


def record(device: "torch.device | None" = None, **fields: Any) -> dict[str, Any]:
    """What a provenance file holds: all fields of Provenance, of which commit and machine are found here.

    Args: device: that the job computed on, None for a processor; fields: the others.  Raises: ValidationError for a wrong one.
    """
    return Provenance(commit=commit(), machine=machine(device), **fields).model_dump()


def hashes(files: Mapping[str, Iterable[Path | str]]) -> Hashes:
    """sha256 of inputs or outputs, by name and path."""
    return {name: {str(path): digest(path) for path in paths} for name, paths in files.items()}


def digest(path: Path | str) -> str:
    """sha256 of a file; of a folder, that of what sha256sum prints of its files, in the order of their names."""
    path = Path(path)
    if not path.is_dir():
        return sha256(path)
    inside = sorted(each.relative_to(path).as_posix() for each in path.rglob("*") if each.is_file())
    return hashlib.sha256("".join(f"{sha256(path / each)}  {each}\n" for each in inside).encode()).hexdigest()


def commit() -> str:
    """The checked-out commit, with + where tracked source files differ from it; 'none' outside a repository."""
    try:
        head = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        paths = ["src", "workflow", "Snakefile", "params.yaml"]
        dirty = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", *paths], capture_output=True).returncode
        return head + "+" * bool(dirty)
    except (OSError, subprocess.CalledProcessError):
        return "none"


def machine(device: "torch.device | None" = None) -> str:
    """Model of the GPU, or of the processor with the number of its cores."""
    if device is not None and device.type == "cuda":
        import torch

        return torch.cuda.get_device_name(device)
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} cores"


# -- read by commands ---------------------------------------------------------------------------------------------


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


def walk(known: Mapping[str, Provenance], files: Iterable[str]) -> list[Provenance]:
    """The jobs on the way to some files, in making order: each once, after all that made its inputs."""
    entered, order = set[int](), list[Provenance]()  # by identity; entered before the inputs are followed, so that no loop is endless

    def visit(path: str) -> None:
        job = known.get(path)
        if job is not None and id(job) not in entered:
            entered.add(id(job))
            for each in job.read():
                visit(each)
            order.append(job)

    for path in files:
        visit(path)
    return order


def matches(path: str, wanted: str) -> bool | None:
    """Whether a file or folder that lies here has a hash; None where nothing lies here."""
    return digest(path) == wanted if Path(path).exists() else None
