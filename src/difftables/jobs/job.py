"""A job: its spec, files, threads, device and fingerprint, and the provenance that it writes."""

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

from difftables.common import clock, parallel
from difftables.common.arithmetic import sum_in_order
from difftables.common.files import read_json, sha256, write_json
from difftables.config.job_specs import complete
from difftables.provenance import equal_results, fingerprint
from difftables.provenance import record as provenance

if TYPE_CHECKING:
    import torch

STATES = Path(".cache/states")
MADE = "made"  # the output that holds provenance
Files = dict[str, list[Path]]


@dataclass
class Job:
    """One run of `difftables VERB`.

    Args: spec: of `job_specs.SPECS[verb]`; code: fingerprint of the code that the plan saw; inputs, outputs: by name.
    """

    verb: str
    spec: Any
    code: str
    threads: int = 1
    gpus: int = 0
    shard: int = 0  # samples that are held at once and kept from kill to kill; 0 for all of a step count
    part: tuple[int, int] | None = None  # (i, N): only every N-th shard from the i-th on, counted from 0, and no outputs
    inputs: Files = field(default_factory=dict)
    outputs: Files = field(default_factory=dict)
    seeds: dict[str, Any] = field(default_factory=dict)  # for provenance
    cost: dict[str, Any] = field(default_factory=dict)  # for provenance: seconds, which no result may hold
    columns: dict[str, str] = field(default_factory=dict)  # fingerprints of the parts that the next run may keep
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
        """The one input of a name, or None where the job has none."""
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

    def column(self, *parts: Any, without: tuple[str, ...] = ()) -> str:
        """Hash of what one step count is made from: `parts`, the code, the spec without its step counts, the inputs but for `without`."""
        spec = {key: value for key, value in self.written.items() if key != "steps"}
        inputs = {name: paths for name, paths in self.hashes.items() if name not in without}
        return fingerprint.job(self.verb, spec, self.code, _bytes(inputs), *parts)

    @cached_property
    def previous(self) -> dict[str, Any]:
        """`columns` and `cost` of the run that wrote the outputs; both empty where there was none or a file changed since."""
        empty: dict[str, Any] = {"columns": {}, "cost": {}}
        try:
            record = read_json(self.output(MADE))
            same = all(sha256(path) == digest for paths in record["outputs"].values() for path, digest in paths.items())
            return record if same and "columns" in record else empty
        except (OSError, ValueError, KeyError):
            return empty

    @cached_property
    def device(self) -> "torch.device":
        """The job's device, with torch set to the job's threads."""
        import torch

        from difftables.common.device import choose

        torch.set_num_threads(self.threads)
        assert torch.get_num_threads() == self.threads, "torch ignored the number of threads"
        return choose(self.gpus)

    def state(self, name: str) -> Path:
        """A file that a killed run resumes from; Snakemake does not know its folder."""
        return STATES / self.fingerprint / name

    @staticmethod
    def kept_parts(column: str) -> Path:
        """The folder of the finished parts of one step count, by its fingerprint: a killed run goes on after them."""
        return STATES / column


def dumped(spec: BaseModel) -> dict[str, Any]:
    """A spec as JSON values, without those that equal a default."""
    return spec.model_dump(mode="json", exclude_defaults=True)


def hashed(files: Files) -> dict[str, dict[str, str]]:
    """sha256 of files, and of all files in folders, by name and path."""
    hashes: dict[str, dict[str, str]] = {}
    for name, paths in files.items():
        every_file = [file for path in paths for file in (sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path])]
        hashes[name] = {str(path): sha256(path) for path in every_file}
    return hashes


def _bytes(hashes: dict[str, dict[str, str]]) -> dict[str, list[str]]:
    return {name: list(paths.values()) for name, paths in hashes.items()}


def parse(verb: str, arguments: list[str]) -> Job:
    """The job of a command line, whose file holds spec, inputs and outputs.

    Raises: ValueError naming a file that does not exist or does not fit.
    """
    parser = argparse.ArgumentParser(prog=f"difftables {verb}")
    parser.add_argument("job", type=Path, help="JSON file with spec, inputs and outputs, as the plan wrote it")
    parser.add_argument("--code", help="fingerprint of the code that the plan saw")
    parser.add_argument("--threads", type=int, default=1, help="of all its processes together")
    parser.add_argument("--gpus", type=int, default=0)
    parser.add_argument("--shard", type=int, default=0, help="samples held at once, each shard kept from kill to kill; 0 holds all")
    parser.add_argument("--part", type=_part, help="I/N: make only every N-th shard from the I-th on; the job without --part joins them")
    args = parser.parse_args(arguments)
    if args.part and not (verb == "sample" and args.shard):
        parser.error("only samples are made in parts, and only with a --shard")
    written = read_json(args.job)
    spec = complete(verb, written["spec"])
    code = args.code or fingerprint.code(verb, spec)
    inputs, outputs = ({name: [Path(path) for path in paths] for name, paths in written[key].items()} for key in ("inputs", "outputs"))
    threads = max(1, args.threads // parallel.launched_world().size)
    return Job(verb, spec, code, threads, args.gpus, args.shard, args.part, inputs, outputs)


def _part(text: str) -> tuple[int, int]:
    """(I - 1, N) of I/N."""
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f"{text!r} is no I/N with I from 1 to N, such as 2/8")
    return int(number) - 1, int(count)


def take_over(job: Job) -> bool:
    """Copy the outputs of an equal job that ran under another name, where the plan found one.  Returns: whether it did."""
    found = equal_results.kept(job.fingerprint) if equal_results.FOLDER.is_dir() and job.part is None else None
    if found is None:
        return False
    if parallel.launched_world().rank == 0:
        job.seeds, job.cost, job.columns = (found[key] for key in ("seeds", "cost", "columns"))
        for name in job.outputs.keys() - {MADE}:
            equal_results.copy(equal_results.folder_of(job.fingerprint) / name, job.output(name))
        print("copied the result of an equal job that ran under another name", flush=True)
    return True


def finish(job: Job) -> None:
    """Write the provenance of a finished job, unless the code changed while it ran: the fingerprint would be wrong.

    Raises: ValueError; Snakemake then drops the outputs.
    """
    fingerprint.forget()
    if fingerprint.code(job.verb, job.spec) != job.code:
        raise ValueError("the code or an installed package changed while this job ran; run snakemake again")
    if MADE not in job.outputs or job.part is not None:
        return
    world = parallel.launched_world()
    others = parallel.join(job.device.type).gather_in_order([clock.core_seconds()], world.size)[1:] if world.size > 1 else []
    if world.rank > 0:
        return
    outputs = hashed({name: paths for name, paths in job.outputs.items() if name != MADE})
    seconds = round(time.perf_counter() - job.began, 3)
    record = provenance.record(
        job.verb, job.written, job.fingerprint, job.code, fingerprint.packages(job.verb, job.spec), job.hashes, outputs, job.seeds,
        job.threads, seconds, job.cost, job.gpus,
    )  # fmt: skip
    record |= {"columns": job.columns} if job.columns else {}
    spent = [clock.core_seconds(), *others]  # last, with what writing the record took so far
    total = {kind: round(sum_in_order(each[kind] for each in spent), 4) for kind in clock.KINDS}
    write_json(job.output(MADE), record | {"core_seconds": total, "peak_mb": clock.peak_mb()})


def fail(verb: str, error: BaseException) -> int:
    """Print an error as one line; of several processes, the first that fails prints.  Returns: the exit status, 1."""
    if _first_to_fail(parallel.launched_world()):
        print(f"difftables {verb}: {error}", file=sys.stderr)
    return 1


def _first_to_fail(world: parallel.World) -> bool:
    if world.size == 1:
        return True
    from torch.distributed import TCPStore

    try:
        address, wait = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])), timedelta(seconds=5)
        return TCPStore(*address, is_master=False, timeout=wait).add("difftables-failed", 1) == 1
    except (KeyError, RuntimeError):  # the store does not exist before the processes have met, or after the first has ended
        return world.rank == 0
