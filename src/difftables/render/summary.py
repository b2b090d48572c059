"""Rows by nets, a column for each metric; and the same metrics against training compute."""

from functools import partial
from typing import Any

from difftables import figures_training
from difftables.names import label
from difftables.render import likelihood
from difftables.render.sources import Rendered, Sources, about, quoted, quotes
from difftables.tables import Cell, Grid, fill, mean_sd

FRECHET = "FD"  # in layouts: the Frechet distance under its full name


def own(sources: Sources, row: dict[str, Any], column: dict[str, str], name: str) -> Cell:
    """One row's cell of a column: a metric of its samples, the best seed of one (`select: best`), or the bound of its net."""
    spec = sources.spec
    cell = Cell(spec["paper"], spec["table"], row["label"], column["head"], spec["dataset"] or "", "", row.get("sampler", ""))
    cell.metric, cell.status, cell.part = name, "not-run", row.get("part") or ""
    if row["run"] is None:
        return cell
    if name == "NLL":
        return likelihood.measured(cell, sources, row)
    files = [f for f in sources.records if (f["shared"]["sampler"], f["shared"]["run"]) == (row.get("sampler"), row["run"])]
    here = [r for f in files for r in f["records"] if r["steps"] in row["steps"]]
    if name == "NFE":
        here = [r | {"value": r["nfe"], "unit": "calls", "better": ""} for r in here if r["metric"] == here[0]["metric"]]
    else:
        here = [r for r in here if r["metric"] == name or r["metric"].startswith(f"{name} (")]
    if here:
        cell.metric = name if name == "NFE" else here[0]["metric"]
        fill(cell, here, files)
        cell.steps = here[0]["steps"]
    if here and name == "NFE":
        cell.value, cell.sd = max(r["value"] for r in here), None
    if "select" in column:
        # A best one is no measurement of a method: it is in no comparison, and has no error bar.
        best = min if cell.better == "lower" else max
        cell.metric, cell.better, cell.sd = f"{cell.metric}, best seed", "", None
        cell.value, cell.values = (best(cell.values) if cell.values else None), []
    return cell


def reported(sources: Sources, row: dict[str, Any], column: dict[str, str], cell: Cell) -> Cell | None:
    """The paper's number for a row and a column: written into the cell, which is returned, or None."""
    where = dict(row["paper"])
    if "dataset" in column:
        where["dataset"] = column["dataset"]
    if "select" in column:
        return None
    metric = column.get("paper", "FID" if column["metric"] == FRECHET else column["metric"])
    found = [q for q in sources.reported.find(where) if q["metric"] == metric] if "dataset" in where else []
    if not found:
        return None
    cell.paper_value, cell.paper_source = quoted(found[0])
    return cell


def lines_of(sources: Sources) -> tuple[list[Cell], list[tuple[str, list[Any], str]]]:
    """Cells and lines of a summary: own rows, each with the paper's numbers below, then the literature."""
    spec, layout = sources.spec, sources.spec["layout"]
    names = {c["head"]: label(**spec["metric"]) if c.get("metric") == FRECHET else c.get("metric", "") for c in layout["columns"]}
    cells, lines = list[Cell](), list[tuple[str, list[Any], str]]()
    for row in spec["rows"]:
        mine = [None if "dataset" in c else own(sources, row, c, names[c["head"]]) for c in layout["columns"]]
        lines.append((row["label"], mine, "own"))
        cells += [cell for cell in mine if cell is not None]
        if "paper" in row:
            theirs = [_quote(sources, row, c, cell, names[c["head"]]) for c, cell in zip(layout["columns"], mine, strict=True)]
            cells += [cell for cell, o in zip(theirs, mine, strict=True) if cell is not None and o is None]
            if any(theirs):
                lines.append((f"paper: {row['paper']['dataset']}" if "dataset" in row["paper"] else "paper", theirs, "paper"))
    for row in layout.get("literature", []):
        theirs = [_quote(sources, row, c, None, names[c["head"]]) for c in layout["columns"]]
        cells += [cell for cell in theirs if cell is not None]
        lines.append((row["label"], theirs, "literature"))
    return cells, lines


def _quote(sources: Sources, row: dict[str, Any], column: dict[str, str], cell: Cell | None, name: str) -> Cell | None:
    spec = sources.spec
    if cell is None:
        cell = Cell(spec["paper"], spec["table"], row["label"], column["head"], method="literature", metric=name, status="literature")
    found = reported(sources, row, column, cell)
    if found is not None and found.status == "literature":
        found.dataset = found.paper_source.split("] ")[0].split(", ", 1)[1]
    return found


def measured_notes(sources: Sources) -> list[str]:
    """What the metrics of samples were measured on."""
    if not sources.records or sources.floor is None:
        return []
    floor, sd = mean_sd(sources.floor["values"])
    metric, spec = label(**sources.spec["metric"]), sources.spec
    outside = [r["v_outside"] for f in sources.records for r in f["records"] if r.get("v_outside") is not None]
    at = "the same N" if sources.floor["n"] == spec["n"] else f"N = {sources.floor['n']}"
    said = [f"While sampling, the learned v lies outside [0, 1] {100 * max(outside):.2g} % of the time at most."] if outside else []
    return [
        f"{metric} (FD), N = {spec['n']} samples a seed against {sources.floor['reference']['samples']} training samples, mean ± sd over "
        f"{spec['seeds']} sampling seeds. Real against real at {at}: {floor:.2f} ± {sd or 0:.2f}. Bold: best of a column; †: not "
        "distinguishable from it (95 % paired t interval, each pair by itself, not corrected for the number of pairs). "
        f"Machine: {sources.machine}.",
        *said,
    ]


def summary(sources: Sources) -> Rendered:
    """Rows by nets, columns by metrics, the paper's numbers below each row."""
    layout = sources.spec["layout"]
    cells, lines = lines_of(sources)
    foot = [*measured_notes(sources), *likelihood.notes(sources), *about(sources), *layout["foot"]]
    more, notes = quotes(sources)
    grid = Grid(layout["title"], ["", *(column["head"] for column in layout["columns"])], lines, [*foot, *notes])
    return Rendered(cells + more, grid, likelihood.ratio(sources))


def compute(sources: Sources) -> Rendered:
    """Frechet distance and bound against training compute, a line for each width."""
    spec, layout = sources.spec, sources.spec["layout"]
    metric = label(**spec["metric"])
    cells, lines, curves = list[Cell](), [], dict[str, list[tuple[float, Cell, Cell]]]()
    for row in spec["rows"]:
        file = next((f for f in sources.likelihood if f["shared"]["run"] == row["run"]), None)
        if file is None:
            continue
        shared = file["shared"]
        trained = shared["trained"]
        total = 3 * shared["multiply_adds"] * trained["batch"] * trained["steps"]
        name = f"{row['label']}: {shared['parameters']:,} parameters, {trained['steps']} steps"
        renamed = row | {"label": name}
        frechet, bound = (own(sources, renamed, {"head": head}, of) for head, of in (("FD", metric), ("NLL", "NLL")))
        cells += [frechet, bound]
        lines.append((name, [f"{total:.2e}", bound, frechet], "own"))
        curves.setdefault(row["label"], []).append((total, frechet, bound))
    foot = [*measured_notes(sources), *likelihood.notes(sources), *about(sources), *layout["foot"]]
    more, notes = quotes(sources)
    grid = Grid(layout["title"], ["", "compute (multiply-adds)", "NLL", "FD"], lines, [*foot, *notes])
    return Rendered(cells + more, grid, partial(figures_training.compute, curves, metric) if curves else None)
