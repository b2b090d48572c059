"""The table of the bench as Markdown and CSV, with the machine, the versions and the commit that it was measured with."""

import datetime
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from bench.harness import Row
from bench.jobs import root
from difftables.common.files import write_csv, write_text

PACKAGES = ("torch", "numpy", "scipy", "diffusers", "denoising-diffusion-pytorch", "pytorch-fid", "torch-fidelity", "snakemake")
HEADER = ["part", "what", "device", "ours", "theirs", "unit", "ratio", "range of the ratio", "how measured"]
NOTES = """`make bench` measures all of this in one run. The partners of a comparison take turns, round by round, on one thread.
A value is the median of the rounds. Seconds are CPU seconds of the process; on a GPU they are those of the wall.
A ratio is ours over theirs, the median of the rounds' ratios: below 1, ours takes less time. For GFLOP/s it is the share of
the most that was measured. Its range is over the rounds. Where nothing is beside ours, the range is that of the value."""


def number(value: float | None) -> str:
    """Three digits, in plain notation."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) >= 1e-3 else f"{value:.2e}"


def interval(row: Row) -> str:
    """The range, or nothing where there was one round."""
    if row.lowest is None or row.rounds < 2:
        return ""
    return f"{number(row.lowest)} to {number(row.highest)}"


def cells(row: Row) -> list[str]:
    """A row of the Markdown table."""
    plain = [row.part, row.what, row.device, number(row.ours), number(row.theirs), row.unit, number(row.ratio), interval(row), row.how]
    return [cell.replace("|", "\\|") for cell in plain]


def markdown(rows: Sequence[Row], measured_with: Sequence[str]) -> str:
    """The page."""
    lines = ["# Bench", "", NOTES, "", *(f"- {line}" for line in measured_with), ""]
    table = [HEADER, ["---"] * len(HEADER), *(cells(row) for row in rows)]
    return "\n".join([*lines, *(f"| {' | '.join(line)} |" for line in table)]) + "\n"


def processor() -> str:
    """The processor's name."""
    path = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in path.read_text().splitlines() if line.startswith("model name")] if path.exists() else []
    return names[0] if names else platform.processor() or platform.machine()


def installed(name: str) -> str:
    """Name and version of a package."""
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"{name} not installed"


def commit() -> str:
    """The commit, and whether the tree differs from it."""
    found = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=root(), capture_output=True, text=True)
    return found.stdout.strip() or "not a git repository"


def circumstances(device: torch.device, load: float, seconds: float) -> list[str]:
    """Machine, versions, commit and date.  Args: load: of the machine before the bench; seconds: that the bench took."""
    card = [f"GPU: {torch.cuda.get_device_name(device)}"] if device.type == "cuda" else []
    return [
        f"Machine: {processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}; one thread",
        *card,
        f"Load average before: {load:.1f}; the bench took {seconds / 60:.1f} minutes",
        f"Versions: Python {platform.python_version()}, {', '.join(map(installed, PACKAGES))}",
        f"Commit: {commit()}",
        f"Date: {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
    ]


def write(folder: Path, rows: Sequence[Row], measured_with: Sequence[str]) -> None:
    """README.md and bench.csv, whose numbers are not rounded."""
    text = markdown(rows, measured_with)
    if (folder / "execution.csv").exists():
        text += "\n[What bfloat16 and channels-last do to the cells of a table](execution.csv), by `python -m bench.execution`.\n"
    write_text(folder / "README.md", text)
    names = [each.name for each in fields(Row)]
    write_csv(folder / "bench.csv", names, [["" if v is None else v for v in asdict(row).values()] for row in rows])
