"""All tables of a scale as one: cells.csv, the index page with its claims, and what DVC compares and plots."""

from typing import Any

from difftables.common.files import csv_text, json_text
from difftables.config.job_specs import ReportSpec
from difftables.report.cells import Cell
from difftables.report.claims import OWN_SETTING, counts, judge, lines
from difftables.report.page import Page
from difftables.report.printing import cells_csv
from difftables.report.units import shape

READING = """How to read the claims. The effect is the first row's value over the second's, with its 95 % interval; both values follow. The
outcome is that of one primary column per claim, stated beforehand. Units are trainings where a net has several: a claim that compares
trainings is tested by nothing else. p is corrected after Holm within a paper for primary columns, after Benjamini and Hochberg for the
others. Equivalence is shown by two one-sided tests.
"""
ELSEWHERE = """`holds` and `contradicted` are kept for the papers' own data and nets, at scales `paper` and `released`; neither is
the paper's here.
"""


def texts(spec: ReportSpec, pages: list[Page], plots: list[str]) -> dict[str, str]:
    """What the files of a scale hold, by their place in its folder of tables.

    Args: pages: all of the scale, in its order; plots: names of those with step counts, paper-table.
    """
    cells = [cell for page in pages for cell in page.cells]
    numbers = metrics(cells, spec.claims, spec.scale, tuple(spec.lengths))
    found = {"README.md": readme(spec, pages), "cells.csv": cells_csv(cells), "metrics.json": json_text(numbers)}
    found["values.csv"] = csv_text(*values(cells))
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
    out.append(READING if spec.scale in OWN_SETTING else READING + ELSEWHERE)
    for paper, tables in spec.tables:
        mine, claims = [cell for cell in cells if cell.paper == paper], spec.claims[paper]
        judged = judge(claims, mine, spec.scale, tuple(spec.lengths))
        for ours, title in ((False, "What is claimed, and what we saw at this scale"), (True, "Our own questions")):
            if any((claim.get("asked_by") == "ours") == ours for claim in claims):
                known = ", ".join(f"{number} {word}" for word, number in counts(judged, claims, ours).items() if number)
                out.append(f"# {paper}\n\n## {title}\n\n{known}.\n" if not ours else f"## {title}\n\n{known}.\n")
                out += [*lines(judged, claims, mine, ours), ""]
        for table in tables:
            text = shown[paper, table].markdown()
            out.append(text.replace("](../", "](").replace("](" + table, f"]({paper}/{table}"))
            out.append(f"As LaTeX: [{table}.tex]({paper}/{table}.tex), as CSV: [{table}.csv]({paper}/{table}.csv).\n")
    out += ["# Training\n", "![curves](curves.png)\n"]
    return "\n".join(out)


def values(cells: list[Cell]) -> tuple[list[str], list[list[str]]]:
    """Header and lines of values.csv: the value of each training and sampling seed behind every cell that has several."""
    header = ["paper", "table", "row_id", "column_id", "metric_id", "training", "sampling", "value"]
    out = list[list[str]]()
    for cell in cells:
        trainings, samplings = shape(cell)
        if cell.draws or len(cell.values) < 2 or len(cell.values) != trainings * samplings:
            continue
        ids = [cell.paper, cell.table, cell.row_id, cell.column_id, cell.metric_id]
        out += [[*ids, str(i // samplings), str(i % samplings), f"{value:.6g}"] for i, value in enumerate(cell.values)]
    return header, out


def count(cells: list[Cell], status: str) -> int:
    """Cells of a status."""
    return sum(cell.status == status for cell in cells)


def metrics(cells: list[Cell], claims: dict[str, Any], scale: str = "", lengths: tuple[str, ...] = ()) -> dict[str, Any]:
    """The numbers that `dvc metrics` and `dvc exp show` compare: each sampler's mean in the table's first metric, and how claims came out.

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
        judged = judge(entries, [cell for cell in cells if cell.paper == paper], scale, lengths)
        found.setdefault(paper, {})["claims"] = {_plain(word): number for word, number in counts(judged, entries).items()}
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
