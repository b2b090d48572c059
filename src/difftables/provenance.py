"""PLACEHOLDER until the walk of records is merged."""

import os
import platform
import subprocess
from pathlib import Path
from typing import Any


def record(rule, spec, fingerprint, code, packages, inputs, outputs, seeds, threads, seconds, cost, gpus) -> dict[str, Any]:
    return {
        "rule": rule,
        "spec": spec,
        "fingerprint": fingerprint,
        "code": code,
        "packages": packages,
        "inputs": inputs,
        "outputs": outputs,
        "seeds": seeds,
        "threads": threads,
        "seconds": seconds,
        "cost": cost,
        "commit": commit(),
        "machine": machine(),
    }


def commit() -> str:
    """The checked-out commit, with + where tracked source files differ from it; 'none' outside a repository."""
    try:
        head = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        paths = ["src", "workflow", "Snakefile", "params.yaml"]
        dirty = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", *paths], capture_output=True).returncode
        return head + "+" * bool(dirty)
    except (OSError, subprocess.CalledProcessError):
        return "none"


def machine() -> str:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} cores"
