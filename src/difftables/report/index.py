"""All tables of a scale as one: cells.csv, the index page with its claims, and what DVC compares and plots."""

from typing import Any

from difftables.common.files import csv_text, json_text
from difftables.config.job_specs import ReportSpec
from difftables.report.cells import Cell
from difftables.report.claims import VERDICTS, metric_of, places, verdict
from difftables.report.page import Page
from difftables.report.printing import cells_csv


def texts(spec: ReportSpec, pages: list[Page], plots: list[str]) -> dict[str, str]:
    """What the files of a scale hold, by their place in its folder of tables.

    Args: pages: all of the scale, in its order; plots: names of those with step counts, paper-table.
    """
    cells = [cell for page in pages for cell in page.cells]
    found = {"README.md": readme(spec, pages), "cells.csv": cells_csv(cells), "metrics.json": json_text(metrics(cells, spec.claims))}
    for name in plots:
        found[f"plots/{name}.csv"] = csv_text(*wide([cell for cell in cells if f"{cell.paper}-{cell.table}" == name]))
    return found


def readme(spec: ReportSpec, pages: list[Page]) -> str:
    """The index page: what became of each claim, and all tables."""
    cells = [cell for page in pages for cell in page.cells]
    shown = {(page.paper, page.table): page for page in pages}
    out = [
        f"# Tables at scale `{spec.scale}`\n",
        "Made by `snakemake`; do not edit. One line per cell: [cells.csv](cells.csv). "
        f"What each job cost is in `results/{spec.scale}/cost.csv`, which git does not keep.\n",
        f"{count(cells, 'measured')} cells measured, {count(cells, 'literature')} quoted, {count(cells, 'not-run')} not run.\n",
    ]
    for paper, tables in spec.tables:
        out.append(f"# {paper}\n\n## What the paper claims, and what we saw at this scale\n")
        out.append(
            "Columns of the table named, first value against second, in the metric named or the table's first, and the 95 % interval "
            "of their difference by paired seeds, column by column, not corrected for their number; closed forms as they are.\n"
        )
        out.append("| claim | source | table | what we saw |\n|---|---|---|---|")
        mine = [cell for cell in cells if cell.paper == paper]
        for claim in spec.claims[paper]:
            where = claim["table"] + (f", {metric_of(claim, mine)}" if "metric" in claim else "")
            out.append(f"| {claim['claim']} | {claim['source']} | {where} | {verdict(claim, mine)} |")
        out.append("")
        for table in tables:
            text = shown[paper, table].markdown()
            out.append(text.replace("](../", "](").replace("](" + table, f"]({paper}/{table}"))
            out.append(f"As LaTeX: [{table}.tex]({paper}/{table}.tex), as CSV: [{table}.csv]({paper}/{table}.csv).\n")
    out += ["# Training\n", "![curves](curves.png)\n"]
    return "\n".join(out)


def count(cells: list[Cell], status: str) -> int:
    """Cells of a status."""
    return sum(cell.status == status for cell in cells)


def metrics(cells: list[Cell], claims: dict[str, list[dict[str, str]]]) -> dict[str, Any]:
    """The numbers that `dvc metrics` and `dvc exp show` compare: each sampler's mean in the table's first metric, and how many claims hold.

    A value shown in two tables is listed once, under the first.
    """
    found: dict[str, Any] = {}
    first: dict[str, str] = {}
    seen: set[tuple[str, str, str]] = set()
    for cell in cells:
        key = (cell.run, cell.column_id, cell.metric_id)
        if cell.status != "measured" or cell.value is None or not cell.sampler or key in seen:
            continue
        if cell.metric_id == first.setdefault(f"{cell.paper}/{cell.table}", cell.metric_id):
            seen.add(key)
            row = found.setdefault(cell.paper, {}).setdefault(cell.table, {}).setdefault(_plain(cell.series), {})
            row[_plain(cell.column)] = float(f"{cell.value:.6g}")
    for paper, entries in claims.items():
        found_at = [places(entry, [cell for cell in cells if cell.paper == paper]) for entry in entries]
        found.setdefault(paper, {})["claims"] = {_plain(word): sum(len(place[word]) for place in found_at) for word in VERDICTS}
    return found


def wide(cells: list[Cell]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of steps against samplers: means of the first metric, empty where nothing was measured."""
    first = next((c.metric_id for c in cells if c.status == "measured"), "")
    mine = {(str(c.steps), c.series): c for c in cells if c.metric_id == first and c.status == "measured"}
    steps, samplers = (list(dict.fromkeys(key[i] for key in mine)) for i in (0, 1))
    steps.sort(key=int)
    value = {key: "" if cell.value is None else f"{cell.value:.6g}" for key, cell in mine.items()}
    return ["steps", *samplers], [[s, *(value.get((s, name), "") for name in samplers)] for s in steps]


def _plain(text: str) -> str:
    """A name without the characters that DVC's dotted keys trip over."""
    return "".join(c if c.isalnum() or c in "-_=@" else "_" for c in text.replace(", ", "-").replace(": ", "-").replace(" ", "_"))
