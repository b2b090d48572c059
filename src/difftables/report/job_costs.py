"""What jobs cost, in seconds and memory: in a file of its own, since no second run repeats it."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from difftables.common.files import csv_text, read_json

HEADER = ["job", "seconds", "peak_mb", "detail"]


def text(benchmarks: Iterable[Path], costs: Iterable[Path]) -> str:
    """Seconds and memory of each job as Snakemake measured them, and below them what the jobs themselves counted, as CSV.

    Args: benchmarks: written by Snakemake; costs: provenance, with an entry `cost`, and records of searches.
    """
    return csv_text(HEADER, [*(measured(path) for path in benchmarks), *(line for path in costs for line in counted(path))])


def measured(path: Path) -> list[Any]:
    """A line of cost.csv for one job."""
    with open(path, newline="") as file:
        line = next(csv.DictReader(file, delimiter="\t"), {})
    return ["/".join(path.with_suffix("").parts[4:]), line.get("s", ""), line.get("max_rss", ""), ""]


def counted(path: Path) -> list[list[Any]]:
    """A line for what a job counted as a whole, if it did, and one for each step count or part of it."""
    content, name = read_json(path), "/".join(path.with_suffix("").parts[3:]).removeprefix("provenance/")
    cost = content["cost"] if "cost" in content else content["records"]
    whole = {key: value for key, value in cost.items() if not isinstance(value, dict)}
    parts = {f"{name} {part}{' steps' * part.isdigit()}": entry for part, entry in cost.items() if isinstance(entry, dict)}
    return [_line(each, entry) for each, entry in ({name: whole} | parts).items() if entry]


def _line(name: str, entry: dict[str, Any]) -> list[Any]:
    shown = {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in entry.items()}
    seconds = shown.pop("seconds", "")
    return [name, seconds, "", " ".join(f"{key}={value}" for key, value in shown.items() if value not in (None, ""))]
