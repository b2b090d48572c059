"""Bits per dimension: whole chains, shorter ones, and the terms behind them."""

from collections.abc import Callable
from functools import partial
from typing import Any

from difftables.common.arithmetic import sum_in_order
from difftables.papers.tables import TERMS
from difftables.report.cells import Cell, Grid, mean_sd
from difftables.report.kinds import figures_bound
from difftables.report.sources import Rendered, Sources, about, cell_of

PARTS = dict(zip(TERMS, ("t = 1", "t = 2 .. T/10", "t > T/10", "prior", "NLL"), strict=True))


def measured(cell: Cell, sources: Sources, row: dict[str, Any], stride: str = "even", steps: int | None = None) -> Cell:
    """Fill a cell with the bound of a row's run: a value for each image, their mean, and its standard error as sd.

    The row says the variance, or the net decides; steps: None takes the whole chain.
    """
    files = [file for file in sources.likelihood if file["shared"]["run"] == row["run"]]
    found = []
    for file in files:
        shared = file["shared"]
        wanted = (stride, steps or shared["chain"], row.get("variance", shared["variance"]))
        if stride == "dense" and wanted[1] == shared["chain"]:
            wanted = ("even", *wanted[1:])
        found += [r for r in file["records"] if (r["stride"], r["steps"], r["variance"]) == wanted]
    if not found:
        return cell
    shared = files[0]["shared"]
    cell.values = [value for record in found for value in record["values"]]
    cell.value, sd = mean_sd(cell.values)
    cell.sd = (sd or 0.0) / len(cell.values) ** 0.5
    cell.status, cell.unit, cell.better = "measured", shared["unit"], "lower"
    cell.nfe, cell.n, cell.seeds, cell.steps = found[0]["nfe"], shared["n"], f"{len(files)}x1", found[0]["steps"]
    cell.run = " ".join(file["shared"]["fingerprint"] for file in files)
    return cell


def notes(sources: Sources) -> list[str]:
    """What the bits per dimension of a table were measured on."""
    if not sources.likelihood:
        return []
    shared = sources.likelihood[0]["shared"]
    text = (
        f"NLL: variational bound in bits/dim on {shared['n']} held-out images, one draw of noise, ± standard error over images; "
        "differences are judged image by image (95 % paired t interval), which says nothing of another training."
    )
    learned = [file["shared"] for file in sources.likelihood if file["shared"]["v"]]
    lowest, highest = (of([s["v"][key] for s in learned]) if learned else 0.0 for of, key in ((min, "lowest"), (max, "highest")))
    outside = max((s["v"]["outside"] for s in learned), default=0.0)
    said = (
        f"The learned v runs from {lowest:.2f} to {highest:.2f} on these, and is outside [0, 1] {100 * outside:.2g} % of the time at most."
    )
    return [text, *([said] if learned else [])]


def chains(sources: Sources) -> Rendered:
    """Bound of shorter chains: rows by variance and stride, columns by steps."""
    spec, cells, lines, curves = sources.spec, list[Cell](), [], dict[str, Any]()
    for row in spec["rows"]:
        mine = []
        for steps in spec["steps"]:
            cell = cell_of(sources, row, str(steps), "nll", method=row["stride"], sampler=row["variance"], steps=steps)
            mine.append(measured(cell, sources, row, row["stride"], steps))
        cells += mine
        lines.append((row["label"], mine, "own"))
        points = [(int(c.nfe), c.value, c.sd or 0.0) for c in mine if c.value is not None]
        curves |= {row["label"]: (row["stride"] == "even", points)} if points else {}
    grid = Grid(spec["layout"]["title"], ["", *map(str, spec["steps"])], lines, [*notes(sources), *about(sources), *spec["layout"]["foot"]])
    return Rendered(cells, grid, partial(figures_bound.against_calls, curves) if sources.likelihood else None)


def terms(sources: Sources) -> Rendered:
    """The bound, part by part, and every term against the timestep."""
    spec, cells, lines, curves = sources.spec, list[Cell](), [], dict[str, Any]()
    for row in spec["rows"]:
        file = next((file for file in sources.likelihood if file["shared"]["run"] == row["run"]), None)
        mine = [cell_of(sources, row, column, "nll", head, unit="bits/dim", better="lower") for column, head in PARTS.items()]
        if file is not None:
            shared, values = file["shared"], file["profile"]["terms"][row.get("variance", file["shared"]["variance"])]
            tenth = -(-len(values) // 10)
            split = [values[0], sum_in_order(values[1:tenth]), sum_in_order(values[tenth:]), shared["prior"]]
            for cell, value in zip(mine, [*split, sum_in_order(split)], strict=True):
                cell.value, cell.values, cell.status = value, [value], "measured"
                cell.n, cell.seeds, cell.run, cell.nfe = shared["n"], "1x1", shared["fingerprint"], shared["chain"]
            curves[row["label"]] = values
        cells += mine
        lines.append((row["label"], mine, "own"))
    grid = Grid(spec["layout"]["title"], ["", *PARTS.values()], lines, [*notes(sources), *about(sources), *spec["layout"]["foot"]])
    return Rendered(cells, grid, partial(figures_bound.terms, curves) if curves else None)


def ratio(sources: Sources) -> Callable[[], Any] | None:
    """What draws the ratio of two runs' terms at each timestep, where a layout asks for it, or None."""
    parts = sources.spec["layout"].get("ratio")
    rows = {row["id"]: row for row in sources.spec["rows"]}
    files = {file["shared"]["run"]: file for file in sources.likelihood}
    if not parts or any(rows[part]["run"] not in files for part in parts):
        return None
    over, under = (files[rows[part]["run"]]["profile"]["terms"]["learned"] for part in parts)
    names = [rows[part]["part"] for part in parts]
    return partial(figures_bound.ratio, [a / b for a, b in zip(over, under, strict=True)], *names)
