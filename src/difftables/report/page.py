"""A table as a page: cells and grids, which hold all that its Markdown, LaTeX, CSV and JSON are printed from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from difftables.common.files import json_text, read_json
from difftables.report import latex
from difftables.report.cells import Cell
from difftables.report.printing import Grid, cells_csv, markdown

PLACES = {"md": "{}.md", "tex": "{}.tex", "notes": "notes/{}.tex", "csv": "{}.csv", "json": "{}.json"}  # files of a table, by output


@dataclass
class Page:
    """One table of a paper."""

    paper: str
    table: str
    title: str
    banner: str  # where the numbers come from, as Markdown
    figure: bool  # whether a picture lies beside it
    cells: list[Cell]
    grids: list[Grid]  # they show the cells of `cells`, or text

    def texts(self) -> dict[str, str]:
        """What the files of the table hold, by output of rule table; PLACES says where each lies."""
        plain, title = json_text(self.plain()), f"{self.paper} {self.table}: {self.title}"
        written = {"md": self.markdown(), "tex": latex.tabulars(title, self.grids), "notes": latex.notes(title, self.banner, self.grids)}
        return written | {"csv": cells_csv(self.cells), "json": plain}

    def files(self, folder: str | Path) -> dict[Path, str]:
        """What the files of the table hold, by path.  Args: folder: that of all tables."""
        return {Path(folder, self.paper, PLACES[output].format(self.table)): text for output, text in self.texts().items()}

    def markdown(self) -> str:
        """The page in Markdown, with its picture."""
        first, *more = self.grids
        below = "".join(f"\n### {grid.title}\n\n{markdown(grid)}" for grid in more)
        picture = f"\n![{self.table}]({self.table}.png)\n" if self.figure else ""
        links = f"[{self.paper}](README.md) · [how it is made](../how-it-is-made.md) · [CSV]({self.table}.csv) · [LaTeX]({self.table}.tex)"
        return f"# {self.paper} {self.table}: {self.title}\n\n{links}\n\n{self.banner}\n\n{markdown(first)}{below}{picture}"

    def plain(self) -> dict[str, Any]:
        """The page as JSON, which `from_plain` reads; a cell in a grid is its index in `cells`."""
        places = {id(cell): place for place, cell in enumerate(self.cells)}
        return {
            "paper": self.paper, "table": self.table, "title": self.title, "banner": self.banner, "figure": self.figure,
            "cells": [vars(cell) for cell in self.cells],
            "grids": [
                {
                    "title": grid.title, "head": grid.head, "notes": grid.notes, "details": grid.details,
                    "lines": [[name, [places[id(each)] if isinstance(each, Cell) else each for each in line], kind]
                              for name, line, kind in grid.lines],
                }
                for grid in self.grids
            ],
        }  # fmt: skip


def from_plain(plain: dict[str, Any]) -> Page:
    """A page of its JSON."""
    cells = [Cell(**cell) for cell in plain["cells"]]
    grids = [
        Grid(
            grid["title"], grid["head"],
            [(name, [cells[each] if isinstance(each, int) else each for each in line], kind) for name, line, kind in grid["lines"]],
            grid["notes"], grid["details"],
        )
        for grid in plain["grids"]
    ]  # fmt: skip
    return Page(plain["paper"], plain["table"], plain["title"], plain["banner"], plain["figure"], cells, grids)


def read_page(path: Path) -> Page:
    """The page in a table's JSON file.  Raises: ValueError naming a file that is cut, or holds no page."""
    try:
        return from_plain(read_json(path))
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"{path} holds no table ({error}); delete it and run snakemake") from None
