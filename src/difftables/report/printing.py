"""Cells as CSV, and grids of cells as Markdown."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from difftables.report.cells import HEADER, Cell


def cells_csv(cells: Iterable[Cell]) -> str:
    """Cells as CSV with HEADER."""
    from difftables.common.files import csv_text

    return csv_text(HEADER, (cell.line() for cell in cells))


def short(value: float | None, sd: float | None = None) -> str:
    """A value to three digits, its sd to the same place: 1.27 ± 0.05."""
    if value is None:
        return ""
    if isinstance(value, int):
        return str(value)
    if abs(value) >= 1e5:
        return f"{value:.1e}" + (f" ± {sd:.1e}" if sd is not None else "")
    digits = 3 if abs(value) < 1 else 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    if value and abs(value) < 0.01:
        return f"{value:.1e}" + (f" ± {sd:.1e}" if sd is not None else "")
    return f"{value:.{digits}f}" + (f" ± {sd:.{digits}f}" if sd is not None else "")


@dataclass
class Grid:
    """A table as text: column heads, then lines of (label, cells, kind); kind is own, paper, literature or rule."""

    title: str
    head: list[str]
    lines: list[tuple[str, list[Any], str]]
    notes: list[str]  # N, seeds, what the spread is
    details: list[str] = field(default_factory=list)  # what rows are, and what differs from the paper


def steps_grid(title: str, metric_id: str, steps: list[int], cells: list[Cell], notes: list[str]) -> Grid:
    """Rows by samplers, columns by step counts; under a row with reported numbers a line with those."""
    lines: list[tuple[str, list[Any], str]] = []
    for status in ("own", "literature"):
        rows = {c.row_id: c.row for c in cells if (c.status == "literature") == (status == "literature")}
        for row, name in rows.items():
            mine = {c.steps: c for c in cells if c.row_id == row and c.metric_id in (metric_id, "fid") and c.steps in steps}
            if status == "own":
                lines.append((name, [mine.get(s) for s in steps], "own"))
            reported = [mine[s] if s in mine and mine[s].paper_value else None for s in steps]
            first = next((cell for cell in reported if cell is not None), None)
            if first is not None and status == "own":
                lines.append((f"paper: {first.paper_metric}, {first.paper_dataset}", reported, "paper"))
            elif first is not None:
                lines.append((name, reported, "literature"))
    return Grid(title, ["", *map(str, steps)], lines, notes)


def markdown(grid: Grid) -> str:
    """A grid as a Markdown table with its notes; the best of a column is bold, † is equivalent to it."""
    out = [f"| {' | '.join(grid.head)} |", f"|{'---|' * len(grid.head)}"]
    for label, cells, kind in grid.lines:
        texts = []
        for cell in cells:
            text = shown(cell, kind)
            if kind in ("paper", "literature") and text:
                text = f"*{text}*"
            elif named(cell, "verdict") == "best":
                text = f"**{text}**"
            elif named(cell, "verdict") == "same":
                text += " †"
            texts.append(text)
        name = {"own": label, "literature": f"*{label}*"}.get(kind, f"&nbsp;&nbsp;*{label}*")
        out.append(f"| {name} | {' | '.join(texts)} |")
    out += ["", *(f"- {note}" for note in grid.notes)]
    if grid.details:
        out += ["", "<details><summary>Rows, and what differs from the paper</summary>", "", *(f"- {each}" for each in grid.details), ""]
        out += ["</details>"]
    return "\n".join(out) + "\n"


def named(cell: Any, name: str) -> str:
    """A text that cells have; text in a cell's place has none."""
    return str(vars(cell)[name]) if isinstance(cell, Cell) else ""


def shown(cell: Any, kind: str) -> str:
    if cell is None:
        return ""
    if kind in ("paper", "literature"):
        return cell.paper_value + (" (unverified)" if "unverified" in cell.paper_source else "")
    if isinstance(cell, str):
        return cell
    lost = f"{cell.failed}/{failures_of(cell)} failed" if cell.failed else ""
    measured = f"{short(cell.value, cell.sd)} ({lost})" if lost and cell.value is not None else lost or short(cell.value, cell.sd)
    return "not run" if cell.status == "not-run" else measured


def failures_of(cell: Cell) -> int:
    """How many samples a cell was to be measured on: training seeds x sampling seeds x n."""
    train, sampling = cell.seeds.split("x")
    return int(train) * int(sampling) * int(cell.n)
