"""Rows by nets, a column for each metric."""

from functools import partial
from typing import Any

from difftables.common.errors import label as frechet_name
from difftables.metrics.catalogue import OF_CHAIN, fits, metric, reported_name, short_name
from difftables.report.cells import Cell
from difftables.report.kinds import dot_plot, likelihood
from difftables.report.printing import Grid
from difftables.report.sources import Rendered, Sources, fill, net_notes, new_cell, quote, quoted_numbers, sampler_name
from difftables.report.statistics import mean_sd


def names_of(sources: Sources, column: dict[str, Any]) -> str:
    """The name of a column's metric before it is measured."""
    return frechet_name(**sources.spec["metric"]) if column["metric"] == "fd" else short_name(column["metric"])


def measured_cell(sources: Sources, row: dict[str, Any], column: dict[str, Any]) -> Cell:
    """One row's cell of a column: a metric of its samples, the best seed of one (`select: best`), or the bound of its net."""
    metric_id = column["metric"]
    cell = new_cell(sources, row, column["id"], metric_id, column["head"], sampler=sampler_name(sources, row), part=row.get("part") or "")
    cell.metric = names_of(sources, column)
    if row["run"] is None:
        return cell
    if metric_id == "nll":
        return likelihood.measured(cell, sources, row)
    files = [f for f in sources.records if (f["shared"]["sampler"], f["shared"]["run"]) == (row.get("sampler"), row["run"])]
    here = [r for f in files for r in f["records"] if r["steps"] in row["steps"]]
    if metric_id in OF_CHAIN:
        known, key = metric(metric_id), metric_id.replace("-", "_")
        here = [r | {"value": r[key], "unit": known.unit, "better": known.better} for r in here if r["id"] == here[0]["id"]]
    else:
        here = [r for r in here if fits(r["id"], metric_id)]
    if here:
        cell.metric, cell.metric_id = (cell.metric, metric_id) if metric_id in OF_CHAIN else (here[0]["metric"], here[0]["id"])
        fill(cell, here, files)
        cell.steps = here[0]["steps"]
    if here and metric_id in OF_CHAIN:
        cell.value, cell.sd = max(r["value"] for r in here), None
    if "select" in column:
        # A best one is no measurement of a method: it is in no comparison, and has no error bar.
        best = min if cell.better == "lower" else max
        cell.metric, cell.metric_id, cell.better, cell.sd = f"{cell.metric}, best seed", f"{cell.metric_id}:best", "", None
        cell.value, cell.values = (best(cell.values) if cell.values else None), []
    return cell


def reported(sources: Sources, row: dict[str, Any], column: dict[str, Any], cell: Cell) -> Cell | None:
    """The paper's number for a row and a column: written into the cell, which is returned, or None."""
    where = dict(row["paper"])
    if "dataset" in column:
        where["dataset"] = column["dataset"]
    if "select" in column:
        return None
    name = column["paper"] if "paper" in column else reported_name(column["metric"])
    found = [number for number in sources.reported.find(where) if number.metric == name] if "dataset" in where else []
    return quote(cell, found[0]) if found else None


def lines_of(sources: Sources) -> tuple[list[Cell], list[tuple[str, list[Any], str]]]:
    """Cells and lines of a summary: own rows, each with the paper's numbers below, then the literature."""
    spec, columns = sources.spec, sources.spec["layout"]["columns"]
    cells, lines = list[Cell](), list[tuple[str, list[Any], str]]()
    for row in spec["rows"]:
        mine = [None if "dataset" in column else measured_cell(sources, row, column) for column in columns]
        lines.append((row["label"], mine, "own"))
        cells += [cell for cell in mine if cell is not None]
        if "paper" in row:
            theirs = [_quote(sources, row, c, cell) for c, cell in zip(columns, mine, strict=True)]
            cells += [cell for cell, o in zip(theirs, mine, strict=True) if cell is not None and o is None]
            if any(theirs):
                lines.append((f"paper: {row['paper']['dataset']}" if "dataset" in row["paper"] else "paper", theirs, "paper"))
    for row in spec["layout"].get("literature", []):
        theirs = [_quote(sources, row, column, None) for column in columns]
        cells += [cell for cell in theirs if cell is not None]
        lines.append((row["label"], theirs, "literature"))
    return cells, lines


def _quote(sources: Sources, row: dict[str, Any], column: dict[str, Any], cell: Cell | None) -> Cell | None:
    if "metric" not in column:
        return None
    if cell is None:
        cell = new_cell(sources, row, column["id"], column["metric"], column["head"], dataset="", method="literature", status="literature")
        cell.metric = names_of(sources, column)
    found = reported(sources, row, column, cell)
    if found is not None and found.status == "literature":
        found.dataset = found.paper_dataset
    return found


def measured_notes(sources: Sources) -> list[str]:
    """Notes on what the metrics of samples were measured on."""
    if not sources.records or sources.floor is None:
        return []
    floor, sd = mean_sd(sources.floor["values"])
    name, spec = frechet_name(**sources.spec["metric"]), sources.spec
    outside = [r["v_outside"] for f in sources.records for r in f["records"] if r.get("v_outside") is not None]
    at = "the same N" if sources.floor["n"] == spec["n"] else f"N = {sources.floor['n']}"
    learned_note = [f"While sampling, the learned v lies outside [0, 1] {100 * max(outside):.2g} % of the time at most."] if outside else []
    return [
        f"{name} (FD), N = {spec['n']} samples a seed against {sources.floor['reference']['samples']} training samples, mean ± sd over "
        f"{spec['seeds']} sampling seeds. Real against real at {at}: {floor:.2f} ± {sd or 0:.2f}. "
        f"Machine: {sources.machine}.",
        *learned_note,
    ]


def summary(sources: Sources) -> Rendered:
    """Rows by nets, columns by metrics, the paper's numbers below each row."""
    layout = sources.spec["layout"]
    cells, lines = lines_of(sources)
    foot = [*measured_notes(sources), *likelihood.notes(sources), *net_notes(sources), *layout["foot"]]
    more, notes = quoted_numbers(sources)
    grid = Grid(layout["title"], ["", *(column["head"] for column in layout["columns"])], lines, [*foot, *notes])
    drawn = dot_plot.dots(cells, layout["dots"]) if layout.get("dots") else None
    return Rendered(cells + more, grid, partial(dot_plot.draw_dots, drawn) if drawn else likelihood.ratio(sources))
