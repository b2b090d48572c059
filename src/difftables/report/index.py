"""All tables of a scale as one: cells.csv, the index and the pages of papers, and what DVC compares and plots."""

from typing import Any

from difftables.common.files import csv_text, json_text
from difftables.config.job_specs import ReportSpec
from difftables.evidence.outcomes import CONTRADICTED, HOLDS, OUTCOMES
from difftables.report.cells import Cell
from difftables.report.claims import Place, counts, judge
from difftables.report.how_made import how_it_is_made
from difftables.report.latex import document
from difftables.report.page import Page
from difftables.report.paper_page import paper_page, said
from difftables.report.printing import cells_csv
from difftables.report.setting import OWN_SETTING
from difftables.report.units import shape


def texts(spec: ReportSpec, pages: list[Page], plots: list[str]) -> dict[str, str]:
    """What the files of a scale hold, by their place in its folder of tables.

    Args: pages: all of the scale, in its order; plots: names of those with step counts, paper-table.
    """
    cells = [cell for page in pages for cell in page.cells]
    judged = judged_claims(spec, cells)
    found = {"README.md": readme(spec, pages, judged), "cells.csv": cells_csv(cells)}
    found["metrics.json"] = json_text(metrics(cells, spec.claims, judged))
    for paper, _ in spec.tables:
        mine = [page for page in pages if page.paper == paper]
        found[f"{paper}/README.md"] = paper_page(paper, spec.scale, mine, judged[paper], spec.claims[paper], spec.lengths)
    found["how-it-is-made.md"] = how_it_is_made(spec.scale, spec.lengths)
    found["paper.tex"] = document([(f"{page.paper}/{page.table}", f"{page.paper}-{page.table}", page.title) for page in pages])
    found["values.csv"] = csv_text(*values(cells))
    for name in plots:
        found[f"plots/{name}.csv"] = csv_text(*wide([cell for cell in cells if f"{cell.paper}-{cell.table}" == name]))
    return found


def judged_claims(spec: ReportSpec, cells: list[Cell]) -> dict[str, list[Place]]:
    """What judge() says of each paper's claims."""
    mine = {paper: [cell for cell in cells if cell.paper == paper] for paper in spec.claims}
    return {paper: judge(claims, mine[paper], spec.scale, tuple(spec.lengths)) for paper, claims in spec.claims.items()}


def readme(spec: ReportSpec, pages: list[Page], judged: dict[str, list[Place]]) -> str:
    """The index page: counts of claims and cells by paper, with links."""
    words = (*OUTCOMES, *([HOLDS, CONTRADICTED] if spec.scale in OWN_SETTING else []))
    head = ["| | tables | cells measured |" + "".join(f" {word} |" for word in words), "|---" * (3 + len(words)) + "|"]
    out = [f"# Results at scale `{spec.scale}`", "", f"Made by `snakemake`; do not edit. {_size(pages)}", "", *head]
    for paper, tables in spec.tables:
        found = counts(judged[paper], spec.claims[paper])
        mine = [cell for page in pages if page.paper == paper for cell in page.cells]
        numbers = [len(tables), distinct(mine), *(found.get(word, 0) for word in words)]
        out.append(f"| [{paper}]({paper}/README.md) |" + "".join(f" {number} |" for number in numbers))
    out += ["", "Claims are sentences of the papers, each at one column that was chosen beforehand. Our own questions, counted apart:", ""]
    for paper, _ in spec.tables:
        if asked := said(counts(judged[paper], spec.claims[paper], ours=True)):
            out.append(f"- {paper}: {asked}")
    out += ["", "- [How it is made](how-it-is-made.md): what a number, a mark, an outcome and a p mean",
            "- [cells.csv](cells.csv): a line a cell; [values.csv](values.csv): the value of each seed; [metrics.json](metrics.json)",
            "- [paper.tex](paper.tex): all tables in a LaTeX document",
            f"- `results/{spec.scale}/cost.csv`: what each job cost; git does not keep it",
            "", "## Training", "", "![loss curves of all nets](curves.png)"]  # fmt: skip
    return "\n".join(out) + "\n"


def _size(pages: list[Page]) -> str:
    cells = [cell for page in pages for cell in page.cells]
    return f"{distinct(cells)} cells measured, {count(cells, 'literature')} quoted, {count(cells, 'not-run')} not run."


def distinct(cells: list[Cell]) -> int:
    """Measured cells, each measurement once, though several tables may show it."""
    measured = [cell for cell in cells if cell.status == "measured"]
    return len({(cell.run, cell.sampler, cell.column_id, cell.metric_id, cell.value) if cell.run else id(cell) for cell in measured})


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


def metrics(cells: list[Cell], claims: dict[str, Any], judged: dict[str, list[Place]]) -> dict[str, Any]:
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
        found.setdefault(paper, {})["claims"] = {_plain(word): number for word, number in counts(judged[paper], entries).items()}
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
