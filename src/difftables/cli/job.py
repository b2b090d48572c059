"""What every job gets from its command line: spec, files, threads, device, fingerprint, provenance."""

import argparse
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from difftables import fingerprint, parallel
from difftables.io import sha256

if TYPE_CHECKING:
    import torch

STATES = Path(".cache/states")


@dataclass
class Job:
    """One run of `difftables VERB`."""

    verb: str
    spec: SimpleNamespace
    raw: Any
    code: str
    threads: int
    gpus: int
    inputs: dict[str, list[Path]] = field(default_factory=dict)
    outputs: dict[str, list[Path]] = field(default_factory=dict)

    def input(self, name: str) -> Path:
        """The one input of a name."""
        return self.inputs[name][0]

    def output(self, name: str) -> Path:
        """The one output of a name."""
        return self.outputs[name][0]

    def maybe(self, name: str) -> Path | None:
        """The one input of a name, or None where the rule gives none."""
        return self.inputs[name][0] if self.inputs.get(name) else None

    @cached_property
    def fingerprint(self) -> str:
        """Hash of spec, code and the bytes of all inputs but `cost`, which holds seconds: the same work, the same hash."""
        hashes = {name: [sha256(path) for path in paths] for name, paths in sorted(self.inputs.items()) if name != "cost"}
        return fingerprint.job(self.verb, self.raw, self.code, hashes)

    @cached_property
    def device(self) -> "torch.device":
        """The job's device, with torch set to the job's threads."""
        import torch

        from difftables.device import choose

        torch.set_num_threads(self.threads)
        assert torch.get_num_threads() == self.threads, "torch ignored the number of threads"
        return choose(self.gpus)

    def state(self, name: str) -> Path:
        """Where a long job keeps what a killed run resumes from; Snakemake does not know this folder."""
        return STATES / self.fingerprint / name

    def provenance(self) -> dict[str, Any]:
        """What made a result: fingerprint, commit and machine."""
        return {"fingerprint": self.fingerprint, "code": self.code, "commit": commit(), "machine": machine(self.device)}


def commit() -> str:
    """The checked-out commit, with + where tracked source files differ from it; 'none' outside a repository."""
    try:
        head = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        paths = ["src", "workflow", "Snakefile", "params.yaml"]
        dirty = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", *paths], capture_output=True).returncode
        return head + "+" * bool(dirty)
    except (OSError, subprocess.CalledProcessError):
        return "none"


def machine(device: "torch.device") -> str:
    """Processor or GPU model and the number of cores, for the foot of a table."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} cores"


def parse(verb: str, arguments: list[str]) -> Job:
    """Read a command line: inputs as name=path, a name may repeat; outputs after --out."""
    parser = argparse.ArgumentParser(prog=f"difftables {verb}")
    parser.add_argument("inputs", nargs="*", metavar="name=path", help="files to read")
    parser.add_argument("--out", nargs="+", required=True, metavar="name=path", help="files to write")
    parser.add_argument("--spec", default="{}", help="the job's numbers as JSON")
    parser.add_argument("--code", help="fingerprint of the code that the job was planned with")
    parser.add_argument("--threads", type=int, default=1, help="of all its processes together")
    parser.add_argument("--gpus", type=int, default=0)
    args = parser.parse_args(arguments)
    raw = json.loads(args.spec)
    spec = json.loads(args.spec, object_hook=lambda entries: SimpleNamespace(**entries))
    threads = max(1, args.threads // parallel.here().size)
    job = Job(verb, spec, raw, args.code or fingerprint.code(verb, raw), threads, args.gpus)
    for item in args.inputs:
        name, _, path = item.partition("=")
        job.inputs.setdefault(name, []).append(Path(path))
    for item in args.out:
        name, _, path = item.partition("=")
        job.outputs.setdefault(name, []).append(Path(path))
    return job


def finish(job: Job) -> None:
    """Refuse to finish when the code changed under the job: its result would carry the wrong fingerprint.

    Raises: ValueError; Snakemake then drops the outputs.
    """
    fingerprint.forget()
    if fingerprint.code(job.verb, job.raw) != job.code:
        raise ValueError("the code was edited while this job ran; run snakemake again")


def fail(verb: str, error: BaseException) -> int:
    """Print the one line of an error a user can mend; of several processes, that which fails first does."""
    if _first_to_fail(parallel.here()):
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
