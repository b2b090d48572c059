"""What a table is made from, and what comes out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from difftables.tables import Cell, Grid, Reported, source_of


@dataclass
class Sources:
    """A table's spec, the paper's numbers and the files of its rows."""

    spec: dict[str, Any]  # of Plan.table_spec
    reported: Reported
    records: list[Any] = field(default_factory=list)
    samples: dict[tuple[str, str], Path] = field(default_factory=dict)  # by run and sampler, of the first training seed
    floor: Any = None
    data: Path | None = None
    audio: Path | None = None  # folder of WAV files
    likelihood: list[Any] = field(default_factory=list)
    curves: dict[str, Path] = field(default_factory=dict)  # by run, of the first training seed
    curve_runs: dict[str, str] = field(default_factory=dict)  # fingerprints of those trainings
    levels: dict[str, Path] = field(default_factory=dict)  # by run: strengths chosen on data, where they were
    machine: str = ""  # what kind of machine the records were measured on


@dataclass
class Rendered:
    """Cells, the grids that show them, and a figure where there is something to see."""

    cells: list[Cell]
    grid: Grid
    draw: Callable[[], Any] | None = None  # makes the figure; texts alone do not need it
    more: list[Grid] = field(default_factory=list)  # further tables below it


def machines(provenances: Iterable[dict[str, Any]]) -> str:
    """The kinds of machines that records were measured on, each once.  Args: provenances: each with its `machine`."""
    return "; ".join(dict.fromkeys(each["machine"] for each in provenances))


def quoted(row: dict[str, str]) -> tuple[str, str]:
    """paper_value and paper_source of a reported number; the source starts with [metric, data set]."""
    return row["value"], f"[{row['metric']}, {row['dataset']}] {source_of(row)}"


def quotes(sources: Sources) -> tuple[list[Cell], list[str]]:
    """Single numbers of the paper that belong to no row: cells, and a note for each."""
    cells, notes, spec = list[Cell](), list[str](), sources.spec
    for row in spec["layout"].get("quotes", []):
        for found in sources.reported.find(row["paper"]):
            cell = Cell(spec["paper"], spec["table"], row["label"], found["row"], found["dataset"], "literature", status="literature")
            cell.metric, cell.unit = found["metric"], found["unit"]
            cell.paper_value, cell.paper_source = quoted(found)
            cells.append(cell)
            notes.append(f"Paper, {row['label']}: {cell.paper_value} {cell.unit}".rstrip() + f" ({found['dataset']}).")
    return cells, notes


def about(sources: Sources) -> list[str]:
    """What trained the nets of a table: what all share in one note, and what differs from row to row."""
    found = sources.spec.get("about", {})
    if not found:
        return []
    names = {"chain": "T", "steps": "steps of training", "width": "channels"}
    shared = {key: value for key, value in next(iter(found.values())).items() if all(each[key] == value for each in found.values())}
    text = ["Nets: " + ", ".join(f"{names.get(key, key)} {value}" for key, value in shared.items() if value is not None) + "."]
    own = {run: {key: value for key, value in each.items() if key not in shared} for run, each in found.items()}
    differ = [
        f"`{run}`: " + ", ".join(f"{names.get(key, key)} {value}" for key, value in each.items()) for run, each in own.items() if each
    ]
    return text + (["; ".join(differ) + "."] if differ else [])


def literature(sources: Sources) -> list[Cell]:
    """Lines that quote a paper and have no row of ours."""
    cells, spec = [], sources.spec
    for row in spec["layout"].get("literature", []):
        for found in sources.reported.find(row["paper"]):
            steps: int | str = int(found["steps_or_nfe"]) if found["steps_or_nfe"].isdigit() else ""
            cell = Cell(spec["paper"], spec["table"], row["label"], str(steps), found["dataset"], "literature", found["sampler"], steps)
            cell.metric, cell.unit, cell.better, cell.status = found["metric"], found["unit"], found["better"], "literature"
            cell.paper_value, cell.paper_source = quoted(found)
            cells.append(cell)
    return cells
