"""Core-seconds of a whole run, by rule and by kind, beside those of an earlier commit.

`python -m bench.ledger FILE` writes those of the finished run in this folder, for a later commit to be compared with.
"""

import csv
import sys
from pathlib import Path
from typing import Any

import torch

from bench.harness import Row, Sizes, missing
from bench.jobs import root
from bench.subjects import SCALE
from difftables.common.files import write_csv
from difftables.report.ledger import ledger

PART = "ledger"
BEFORE = Path("results/bench/ledger_before.csv")
HEADER = ["name", "seconds", "how"]


def seconds(found: dict[str, Any]) -> dict[str, float]:
    """Core-seconds by name, from the ledger of a store: those of each rule, of each kind over all rules, and the total."""
    rules = {f"rule {row['rule']}": row["total"] for row in found["rules"]}
    if found["scheduling"] is not None:
        rules["scheduling"] = found["scheduling"]["total"]
    return rules | {f"all jobs: {kind.replace('_', '-')}": value for kind, value in found["seconds"].items()} | {"total": found["total"]}


def of_store(store: Path) -> dict[str, float]:
    """Core-seconds by name of a store; none where no job has left its seconds."""
    if not store.exists():
        return {}
    found = ledger(store)
    return seconds(found) if found["rules"] else {}


def read(path: Path) -> tuple[dict[str, float], str]:
    """Core-seconds by name, and how they were counted, from a file; none where it is missing."""
    if not path.exists():
        return {}, ""
    with open(path, newline="") as file:
        lines = list(csv.DictReader(file))
    return {line["name"]: float(line["seconds"]) for line in lines}, "; ".join(dict.fromkeys(line["how"] for line in lines))


def rows(now: dict[str, float], before: dict[str, float], counted: str = "") -> list[Row]:
    """A row for each name of either.  Args: counted: how those before were."""
    how, found = f"scale {SCALE}" + ("; theirs: before" if before else ""), []
    for name in dict.fromkeys([*now, *before]):
        ours, theirs = now.get(name), before.get(name)
        ratio = ours / theirs if ours is not None and theirs else None
        # How all of them were counted stands with the total.
        note = f"by difftables costs; before: {counted}" if name == "total" and before else how
        found.append(Row(PART, name, "core-s", note, ours, theirs, ratio))
    return found


def of_finished_run(sizes: Sizes, folder: Path, device: torch.device) -> list[Row]:
    """The ledger of the run in this folder, if there is one."""
    found = of_store(root() / "results" / SCALE / "store")
    if not found:
        return [missing(PART, f"core-seconds of scale {SCALE}", "not measured: the scale was not run in this folder")]
    return rows(found, *read(root() / BEFORE))


COMPARISONS = [of_finished_run]


if __name__ == "__main__":
    values = of_store(root() / "results" / SCALE / "store")
    write_csv(Path(sys.argv[1]), HEADER, [[name, f"{value:.1f}", "by difftables costs"] for name, value in values.items()])
