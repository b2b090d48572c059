"""Rule report: all cells in one file, the claims, the index page, what DVC compares and plots, and what everything cost."""

import csv
import re
from pathlib import Path

from difftables.jobs.job import Job
from difftables.report import index, job_costs


def run(job: Job) -> None:
    """spec: of Workflow.report_spec.  In: tables, curves, costs.

    Out: readme, cells, values, metrics, pages, forests, plots, png, svg, cost.
    """
    from difftables.common.files import write_text
    from difftables.report import figures, forest
    from difftables.report.page import read_page

    plots = {f"plots/{path.name}": path for path in job.outputs.get("plots", [])}
    files = {"README.md": job.output("readme"), "cells.csv": job.output("cells"), "metrics.json": job.output("metrics"), **plots}
    files["values.csv"] = job.output("values")
    files |= {_below(path, job.output("readme").parent): path for path in job.outputs["pages"]}
    pages = [read_page(path) for path in job.inputs["tables"]]
    texts = index.texts(job.spec, pages, [path.stem for path in plots.values()])
    for name, text in texts.items():
        write_text(files[name], text)
    curves = {_named(path): _curve(path) for path in _first(job.inputs["curves"], job.spec.lengths)}
    figures.save(figures.loss_curves(curves), job.output("png").with_suffix(""))
    cells = [cell for page in pages for cell in page.cells]
    judged = index.judged_claims(job.spec, cells)
    for path in (path for path in job.outputs.get("forests", []) if path.suffix == ".png"):
        paper = path.parent.name
        mine = [cell for cell in cells if cell.paper == paper]
        figures.save(forest.forest(judged[paper], job.spec.claims[paper], mine), path.with_suffix(""))
    write_text(job.output("cost"), job_costs.text(job.inputs.get("costs", [])))


def _below(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder))


def _first(curves: list[Path], lengths: list[str]) -> list[Path]:
    """Curves of whole trainings, of each net's first seed: five of each are a carpet."""
    whole = [path for path in curves if not any(f"-at-{length}-" in path.name for length in lengths)]
    found: dict[str, Path] = {}
    for path in whole:
        found.setdefault(f"{path.parent.name}/{re.sub(r'-s[0-9]+-', '-', path.name)}", path)
    return list(found.values())


def _named(path: Path) -> str:
    """The name of a curve: the paper, and the stem of the file."""
    return f"{path.parent.name}/{path.stem}"


def _curve(path: Path) -> tuple[list[float], list[float]]:
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return [float(r["step"]) for r in rows], [float(r["loss"]) for r in rows]
