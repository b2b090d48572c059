"""The inputs of a table, and the cells, grids and figure made from them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from difftables.common.names import local
from difftables.metrics.catalogue import short_name
from difftables.papers.numbers import Number
from difftables.papers.reported import ReportedNumbers, source_of
from difftables.report.cells import Cell
from difftables.report.printing import Grid
from difftables.report.statistics import mean_sd


@dataclass
class Sources:
    """A table's spec, the paper's numbers and the files of its rows."""

    spec: dict[str, Any]  # of Workflow.table_spec
    reported: ReportedNumbers
    records: list[Any] = field(default_factory=list)
    samples: dict[tuple[str, str], Path] = field(default_factory=dict)  # by run and sampler, of the first training seed
    floor: Any = None
    data: Path | None = None
    audio: Path | None = None  # folder of WAV files
    likelihood: list[Any] = field(default_factory=list)
    curves: dict[str, Path] = field(default_factory=dict)  # by run, of the first training seed
    curve_runs: dict[str, str] = field(default_factory=dict)  # fingerprints of those trainings
    levels: dict[str, Path] = field(default_factory=dict)  # by run: strengths chosen on data, where they were
    searches: dict[tuple[str, str], Any] = field(default_factory=dict)  # records of schedule searches, by run and sampler
    machine: str = ""  # what kind of machine the records were measured on


@dataclass
class Rendered:
    """Cells, the grids that show them, and a figure where there is something to see."""

    cells: list[Cell]
    grid: Grid
    draw: Callable[[], Any] | None = None  # makes the figure; texts do not need it
    more: list[Grid] = field(default_factory=list)  # further tables below it


def machines(provenances: Iterable[dict[str, Any]]) -> str:
    """The kinds of machines that records were measured on, each once.  Args: provenances: each with its `machine`."""
    return "; ".join(dict.fromkeys(each["machine"] for each in provenances))


def sampler_name(sources: Sources, row: dict[str, Any]) -> str:
    """The sampler of a row as the paper's files name it; "" for a row without."""
    return local(row["sampler"], sources.spec["paper"]) if "sampler" in row else ""


def new_cell(sources: Sources, row: dict[str, Any], column: str, metric_id: str, head: str = "", **more: Any) -> Cell:
    """A cell that was not run, by the ids of its row, column and metric.  Args: head: the column's name, unless that is its id."""
    spec = sources.spec
    fields: dict[str, Any] = {"dataset": spec["dataset"] or "", "metric": short_name(metric_id), "status": "not-run"} | more
    ids = {"row_id": row["id"], "column_id": column, "metric_id": metric_id}
    return Cell(spec["paper"], spec["table"], row["label"], head or column, **fields, **ids)


def quote(cell: Cell, number: Number) -> Cell:
    """Write a reported number into a cell; its source starts with [metric, data set]."""
    cell.paper_value, cell.paper_metric, cell.paper_dataset = number.value, number.metric, number.dataset
    cell.paper_source, cell.paper_nfe = f"[{number.metric}, {number.dataset}] {source_of(number)}", number.steps_or_nfe or ""
    return cell


def fill(cell: Cell, records: list[Any], files: list[Any]) -> None:
    """Write the mean over all seeds into a cell.  Args: records: of one metric and step count; files: the records of all steps."""
    cell.status, cell.values = "measured", [r["value"] for r in records if r["value"] is not None]
    if cell.values:
        cell.value, cell.sd = mean_sd(cell.values)
    if records[0].get("failed") is not None:  # samples that could not be scored are counted, and are in no mean
        cell.failed = sum(r["failed"] for r in records)
    cell.nfe, cell.unit, cell.better, cell.n = (records[0][key] for key in ("nfe", "unit", "better", "n"))
    cell.seeds = f"{len(files)}x{len(records) // len(files)}"
    cell.run = " ".join(file["shared"]["fingerprint"] for file in files)


def quoted_numbers(sources: Sources) -> tuple[list[Cell], list[str]]:
    """Single numbers of the paper that belong to no row: cells, and a note for each."""
    cells, notes = list[Cell](), list[str]()
    for row in sources.spec["layout"].get("quotes", []):
        for found in sources.reported.find(row["paper"]):
            cells.append(_literature(sources, row, "quoted", found, found.row))
            notes.append(f"Paper, {row['label']}: {found.value} {found.unit}".rstrip() + f" ({found.dataset}).")
    return cells, notes


def net_notes(sources: Sources) -> list[str]:
    """Notes on the nets of a table: one with the numbers that all share, one with those that differ."""
    found = sources.spec.get("about", {})
    if not found:
        return []
    names = {"chain": "T", "steps": "steps of training", "width": "channels"}
    shared = {key: value for key, value in next(iter(found.values())).items() if all(each.get(key) == value for each in found.values())}
    text = ["Nets: " + ", ".join(f"{names.get(key, key)} {value}" for key, value in shared.items() if value is not None) + "."]
    own = {run: {key: value for key, value in each.items() if key not in shared and value is not None} for run, each in found.items()}
    differ = [
        f"`{local(run, sources.spec['paper'])}`: " + ", ".join(f"{names.get(key, key)} {value}" for key, value in each.items())
        for run, each in own.items()
        if each
    ]
    return text + (["; ".join(differ) + "."] if differ else [])


def literature_cells(sources: Sources) -> list[Cell]:
    """Lines that quote a paper and have no row of ours."""
    cells = list[Cell]()
    for row in sources.spec["layout"].get("literature", []):
        for found in sources.reported.find(row["paper"]):
            steps: int | str = found.steps_or_nfe or ""
            cell = _literature(sources, row, str(steps), found, str(steps))
            cell.sampler, cell.steps, cell.better = found.sampler, steps, found.better
            cells.append(cell)
    return cells


def _literature(sources: Sources, row: dict[str, Any], column: str, found: Number, head: str) -> Cell:
    cell = new_cell(sources, row, column, found.metric_id, dataset=found.dataset, method="literature", status="literature")
    cell.column, cell.metric, cell.unit = head, found.metric, found.unit
    return quote(cell, found)
