"""The provenance of a job: what made its outputs. `provenance.files` reads it: apart, since a change of this module re-runs jobs."""

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

Hashes = dict[str, dict[str, str]]  # by name of the input or output: sha256 by path


def record(
    rule: str,
    spec: dict[str, Any],
    fingerprint: str,
    code: str,
    packages: dict[str, str],
    inputs: Hashes,
    outputs: Hashes,
    seeds: dict[str, Any],
    threads: int,
    seconds: float,
    cost: dict[str, Any],
    gpus: int = 0,
) -> dict[str, Any]:
    """The content of a provenance file: all arguments but the number of GPUs, with commit and machine."""
    return {
        "rule": rule, "spec": spec, "fingerprint": fingerprint, "code": code, "packages": packages, "inputs": inputs, "outputs": outputs,
        "seeds": seeds, "commit": commit(), "machine": machine(gpus), "threads": threads, "seconds": seconds, "cost": cost,
    }  # fmt: skip


def commit() -> str:
    """The checked-out commit, with + where tracked source files differ from it; 'none' outside a repository."""
    try:
        head = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        paths = ["src", "workflow", "scales", "Snakefile", "params.yaml"]
        dirty = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", *paths], capture_output=True).returncode
        return head + "+" * bool(dirty)
    except (OSError, subprocess.CalledProcessError):
        return "none"


def machine(gpus: int = 0) -> str:
    """Model of the GPU where a job got one, else of the processor with the number of its cores."""
    if gpus:
        import torch

        if torch.cuda.is_available():
            return torch.cuda.get_device_name()
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} cores"
