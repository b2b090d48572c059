"""What every job gets: its spec, files, threads, device and fingerprint; and the provenance that it leaves."""

import argparse
import os
import sys
import time
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from difftables.common import parallel
from difftables.common.files import read_json, sha256, write_json
from difftables.config.job_specs import complete
from difftables.provenance import fingerprint
from difftables.provenance import record as provenance

if TYPE_CHECKING:
    import torch

STATES = Path(".cache/states")
MADE = "made"  # the output that holds provenance
Files = dict[str, list[Path]]


@dataclass
class Job:
    """One run of `difftables VERB`.

    Args: spec: of `job_specs.SPECS[verb]`; code: fingerprint of the code that it was planned with; inputs, outputs: by name.
    """

    verb: str
    spec: Any
    code: str
    threads: int = 1
    gpus: int = 0
    inputs: Files = field(default_factory=dict)
    outputs: Files = field(default_factory=dict)
    seeds: dict[str, Any] = field(default_factory=dict)  # for provenance
    cost: dict[str, Any] = field(default_factory=dict)  # likewise: seconds, which no result may hold
    columns: dict[str, str] = field(default_factory=dict)  # fingerprints of the parts that a further run may keep
    began: float = field(default_factory=time.perf_counter)

    def input(self, name: str) -> Path:
        """The one input of a name."""
        return self.inputs[name][0]

    def output(self, name: str) -> Path:
        """The one output of a name."""
        return self.outputs[name][0]

    @property
    def files(self) -> dict[str, Path]:
        """The first input of each name."""
        return {name: paths[0] for name, paths in self.inputs.items() if paths}

    def maybe(self, name: str) -> Path | None:
        """The one input of a name, or None where the rule gives none."""
        return self.inputs[name][0] if self.inputs.get(name) else None

    @cached_property
    def written(self) -> dict[str, Any]:
        """The spec as it is hashed and recorded: without the values that equal a default."""
        return dumped(self.spec)

    @cached_property
    def hashes(self) -> dict[str, dict[str, str]]:
        """sha256 of each input, by name and path."""
        return hashed(self.inputs)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of spec, code and the bytes of all inputs: the same work, the same hash."""
        return fingerprint.job(self.verb, self.written, self.code, _bytes(self.hashes))

    def column(self, *parts: Any, apart: tuple[str, ...] = ()) -> str:
        """Hash of what one step count is made from: `parts`, the code, the spec but for its step counts, and the inputs but for `apart`."""
        spec = {key: value for key, value in self.written.items() if key != "steps"}
        inputs = {name: paths for name, paths in self.hashes.items() if name not in apart}
        return fingerprint.job(self.verb, spec, self.code, _bytes(inputs), *parts)

    @cached_property
    def before(self) -> dict[str, Any]:
        """`columns` and `cost` of the run whose outputs lie here; none where there was no such run or a file was touched since."""
        nothing: dict[str, Any] = {"columns": {}, "cost": {}}
        try:
            found = read_json(self.output(MADE))
            same = all(sha256(path) == digest for paths in found["outputs"].values() for path, digest in paths.items())
            return found if same and "columns" in found else nothing
        except (OSError, ValueError, KeyError):
            return nothing

    @cached_property
    def device(self) -> "torch.device":
        """The job's device, with torch set to the job's threads."""
        import torch

        from difftables.common.device import choose

        torch.set_num_threads(self.threads)
        assert torch.get_num_threads() == self.threads, "torch ignored the number of threads"
        return choose(self.gpus)

    def state(self, name: str) -> Path:
        """Where a long job keeps what a killed run resumes from; Snakemake does not know this folder."""
        return STATES / self.fingerprint / name


def dumped(spec: BaseModel) -> dict[str, Any]:
    """A spec as JSON values, without those that equal a default."""
    return spec.model_dump(mode="json", exclude_defaults=True)


def hashed(files: Files) -> dict[str, dict[str, str]]:
    """sha256 of files, and of all files in folders, by name and path."""
    found: dict[str, dict[str, str]] = {}
    for name, paths in files.items():
        each = [file for path in paths for file in (sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path])]
        found[name] = {str(path): sha256(path) for path in each}
    return found


def _bytes(hashes: dict[str, dict[str, str]]) -> dict[str, list[str]]:
    return {name: list(paths.values()) for name, paths in hashes.items()}


def parse(verb: str, arguments: list[str]) -> Job:
    """Read a command line; the job's file holds its spec, inputs and outputs.

    Raises: ValueError naming a file that is not there or does not fit.
    """
    parser = argparse.ArgumentParser(prog=f"difftables {verb}")
    parser.add_argument("job", type=Path, help="JSON file with spec, inputs and outputs, as the plan wrote it")
    parser.add_argument("--code", help="fingerprint of the code that the job was planned with")
    parser.add_argument("--threads", type=int, default=1, help="of all its processes together")
    parser.add_argument("--gpus", type=int, default=0)
    args = parser.parse_args(arguments)
    found = read_json(args.job)
    spec = complete(verb, found["spec"])
    code = args.code or fingerprint.code(verb, spec)
    inputs, outputs = ({name: [Path(path) for path in paths] for name, paths in found[key].items()} for key in ("inputs", "outputs"))
    return Job(verb, spec, code, max(1, args.threads // parallel.launched_world().size), args.gpus, inputs, outputs)


def finish(job: Job) -> None:
    """Write the provenance of a finished job, unless the code changed under it: its result would carry the wrong fingerprint.

    Raises: ValueError; Snakemake then drops the outputs.
    """
    fingerprint.forget()
    if fingerprint.code(job.verb, job.spec) != job.code:
        raise ValueError("the code or an installed package changed while this job ran; run snakemake again")
    if MADE not in job.outputs or parallel.launched_world().rank > 0:
        return
    outputs = hashed({name: paths for name, paths in job.outputs.items() if name != MADE})
    seconds = round(time.perf_counter() - job.began, 3)
    record = provenance.record(
        job.verb, job.written, job.fingerprint, job.code, fingerprint.packages(job.verb, job.spec), job.hashes, outputs, job.seeds,
        job.threads, seconds, job.cost, job.gpus,
    )  # fmt: skip
    write_json(job.output(MADE), record | ({"columns": job.columns} if job.columns else {}))


def fail(verb: str, error: BaseException) -> int:
    """Print the one line of an error a user can mend; of several processes, that which fails first does."""
    if _first_to_fail(parallel.launched_world()):
        print(f"difftables {verb}: {error}", file=sys.stderr)
    return 1


def _first_to_fail(world: parallel.World) -> bool:
    if world.size == 1:
        return True
    from torch.distributed import TCPStore

    try:
        place, wait = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])), timedelta(seconds=5)
        return TCPStore(*place, is_master=False, timeout=wait).add("difftables-failed", 1) == 1
    except (KeyError, RuntimeError):  # nobody counts before the processes have met, or after the first is gone
        return world.rank == 0
