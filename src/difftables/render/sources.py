"""What a table is made from, and what comes out."""

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
    samples: dict[str, Path] = field(default_factory=dict)  # by sampler, of the first training seed
    floor: Any = None
    data: Path | None = None
    audio: Path | None = None  # folder of WAV files


@dataclass
class Rendered:
    """Cells, the grids that show them, and a figure where there is something to see."""

    cells: list[Cell]
    grid: Grid
    figure: Any = None
    more: list[Grid] = field(default_factory=list)  # further tables below it


def quoted(row: dict[str, str]) -> tuple[str, str]:
    """paper_value and paper_source of a reported number; the source starts with [metric, data set]."""
    return row["value"], f"[{row['metric']}, {row['dataset']}] {source_of(row)}"


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
