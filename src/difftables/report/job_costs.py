"""What jobs cost, in seconds and memory: in a file of its own, since no second run repeats it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from difftables.common.files import csv_text, read_json

HEADER = ["job", "seconds", "peak_mb", "detail"]


def text(costs: Iterable[Path]) -> str:
    """Seconds, peak memory and core-seconds of each job, and below them what the jobs counted step count by step count, as CSV.

    Args: costs: provenance, with an entry `cost`, and records of searches.
    """
    contents = {"/".join(path.with_suffix("").parts[3:]).removeprefix("provenance/"): read_json(path) for path in costs}
    jobs = {name: content for name, content in contents.items() if "cost" in content}
    parts = (line for name, content in contents.items() for line in counted(name, content))
    return csv_text(HEADER, [*(measured(name, record) for name, record in jobs.items()), *parts])


def measured(name: str, record: dict[str, Any]) -> list[Any]:
    """A line for one job.  Args: record: its provenance; that of an older version lacks peak memory and core-seconds."""
    spent = record.get("core_seconds")
    return [name, record["seconds"], record.get("peak_mb", ""), f"core_seconds={sum(spent.values()):.6g}" if spent else ""]


def counted(name: str, content: dict[str, Any]) -> list[list[Any]]:
    """A line for what a job counted as a whole, if it did, and one for each step count or part of it."""
    cost = content["cost"] if "cost" in content else content["records"]
    whole = {key: value for key, value in cost.items() if not isinstance(value, dict)}
    parts = {f"{name} {part}{' steps' * part.isdigit()}": entry for part, entry in cost.items() if isinstance(entry, dict)}
    return [_line(each, entry) for each, entry in ({name: whole} | parts).items() if entry]


def _line(name: str, entry: dict[str, Any]) -> list[Any]:
    shown = {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in entry.items()}
    seconds = shown.pop("seconds", "")
    return [name, seconds, "", " ".join(f"{key}={value}" for key, value in shown.items() if value not in (None, ""))]
