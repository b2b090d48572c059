"""Rule report: all cells in one file, the claims, what everything cost, and the index page."""

import csv
from pathlib import Path
from typing import Any

from difftables.claims import VERDICTS, metric_of, places, verdict
from difftables.cli.job import Job
from difftables.tables import Cell


def run(job: Job) -> None:
    """spec: of Plan.report_spec.  In: tables (json), curves, costs, benchmarks.  Out: readme, cells, metrics, cost, png, svg, plots."""
    from difftables import figures
    from difftables.io import read_json, write_csv, write_json, write_text
    from difftables.tables import write_cells

    spec = job.spec.model_dump()
    cells = [Cell(**cell) for path in job.inputs["tables"] for cell in read_json(path)]
    write_cells(job.output("cells"), cells)
    write_json(job.output("metrics"), metrics(cells, spec["claims"]))
    for path in job.outputs["plots"]:
        paper, table = path.stem.split("-", 1)
        write_csv(path, *wide([cell for cell in cells if (cell.paper, cell.table) == (paper, table)]))
    folder = job.output("readme").parent
    figures.save(figures.curves({path.stem: _curve(path) for path in job.inputs["curves"]}), job.output("png").with_suffix(""))
    costs = cost_rows(job.inputs.get("benchmarks", []), {p: read_json(p) for p in job.inputs.get("costs", [])})
    write_csv(job.output("cost"), ["job", "seconds", "peak_mb", "detail"], costs)
    out = [
        f"# Tables at scale `{spec['scale']}`\n",
        "Made by `snakemake`; do not edit. One line per cell: [cells.csv](cells.csv). What each job cost: [cost.csv](cost.csv).\n",
        f"{count(cells, 'measured')} cells measured, {count(cells, 'literature')} quoted, {count(cells, 'not-run')} not run.\n",
    ]
    for paper, tables in spec["tables"]:
        out.append(f"# {paper}\n\n## What the paper claims, and what we saw at this scale\n")
        out.append(
            "Columns of the table named, first value against second, in the metric named or the table's first, and the 95 % interval "
            "of their difference by paired seeds, column by column, not corrected for their number; closed forms as they are.\n"
        )
        out.append("| claim | source | table | what we saw |\n|---|---|---|---|")
        mine = [cell for cell in cells if cell.paper == paper]
        for claim in spec["claims"][paper]:
            where = claim["table"] + (f", {metric_of(claim, mine)}" if "metric" in claim else "")
            out.append(f"| {claim['claim']} | {claim['source']} | {where} | {verdict(claim, mine)} |")
        out.append("")
        for table in tables:
            text = (folder / paper / f"{table}.md").read_text()
            out.append(text.replace("](../", "](").replace("](" + table, f"]({paper}/{table}"))
            out.append(f"As LaTeX: [{table}.tex]({paper}/{table}.tex), as CSV: [{table}.csv]({paper}/{table}.csv).\n")
    out += ["# Training\n", "![curves](curves.png)\n"]
    write_text(job.output("readme"), "\n".join(out))


def count(cells: list[Cell], status: str) -> int:
    """Cells of a status."""
    return sum(cell.status == status for cell in cells)


def metrics(cells: list[Cell], claims: dict[str, list[dict[str, str]]]) -> dict[str, Any]:
    """What `dvc metrics` and `dvc exp show` compare: each sampler's mean in the table's first metric, and how many claims hold.

    A value shown in two tables is listed once, under the first.
    """
    found: dict[str, Any] = {}
    first: dict[str, str] = {}
    seen: set[tuple[str, str, str]] = set()
    for cell in cells:
        key = (cell.run, cell.column, cell.metric)
        if cell.status != "measured" or cell.value is None or not cell.sampler or key in seen:
            continue
        if cell.metric == first.setdefault(f"{cell.paper}/{cell.table}", cell.metric):
            seen.add(key)
            row = found.setdefault(cell.paper, {}).setdefault(cell.table, {}).setdefault(_plain(cell.series), {})
            row[_plain(cell.column)] = float(f"{cell.value:.6g}")
    for paper, entries in claims.items():
        found_at = [places(entry, [cell for cell in cells if cell.paper == paper]) for entry in entries]
        found.setdefault(paper, {})["claims"] = {_plain(word): sum(len(place[word]) for place in found_at) for word in VERDICTS}
    return found


def wide(cells: list[Cell]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of steps against samplers: means of the first metric, empty where nothing was measured."""
    first = next((c.metric for c in cells if c.status == "measured"), "")
    mine = {(str(c.steps), c.series): c for c in cells if c.metric == first and c.status == "measured"}
    steps, samplers = (list(dict.fromkeys(key[i] for key in mine)) for i in (0, 1))
    steps.sort(key=int)
    value = {key: "" if cell.value is None else f"{cell.value:.6g}" for key, cell in mine.items()}
    return ["steps", *samplers], [[s, *(value.get((s, name), "") for name in samplers)] for s in steps]


def _plain(text: str) -> str:
    """A name without the characters that DVC's dotted keys trip over."""
    return "".join(c if c.isalnum() or c in "-_=@" else "_" for c in text.replace(", ", "-").replace(": ", "-").replace(" ", "_"))


def cost_rows(benchmarks: list[Path], searches: dict[Path, Any]) -> list[list[Any]]:
    """Seconds and memory of each job as Snakemake measured them, and what each search spent."""
    rows: list[list[Any]] = []
    for path in benchmarks:
        with open(path, newline="") as file:
            line = next(csv.DictReader(file, delimiter="\t"), {})
        rows.append(["/".join(path.with_suffix("").parts[4:]), line.get("s", ""), line.get("max_rss", ""), ""])
    for path, record in searches.items():
        for steps, cost in record["records"].items():
            shown = {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in cost.items() if key != "seconds"}
            detail = " ".join(f"{key}={value}" for key, value in shown.items())
            rows.append([f"{path.name.removesuffix('.cost.json')} {steps} steps", "", "", detail])
    return rows


def _curve(path: Path) -> tuple[list[float], list[float]]:
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return [float(r["step"]) for r in rows], [float(r["loss"]) for r in rows]
