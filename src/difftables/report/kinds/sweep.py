"""The Frechet distance against a number that samplers differ in, or against their network calls."""

from functools import partial
from typing import Any

from difftables.common.errors import label as frechet_name
from difftables.report.cells import Cell
from difftables.report.figures import CYCLE, MARKS, plain_ticks, pyplot, with_direction
from difftables.report.kinds.summary import measured_cell, measured_notes
from difftables.report.printing import Grid
from difftables.report.sources import Rendered, Sources, net_notes, quoted_numbers
from difftables.report.statistics import mean_sd

Points = list[tuple[float, float, float]]  # where, mean, sd


def sweep(sources: Sources) -> Rendered:
    """A line for each sampler and net, a column for each number; rows of a line are its points."""
    spec, layout = sources.spec, sources.spec["layout"]
    found: dict[str, dict[float, Cell]] = {}
    for row in spec["rows"]:
        by_number = found.setdefault(row["line"], {})
        if row["run"] or "at" in row:
            by_number |= _points(sources, row | {"id": row["line"]})
    numbers = sorted({number for by_number in found.values() for number in by_number})
    labels = {row["line"]: row["label"] for row in spec["rows"]}
    cells, lines, curves = list[Cell](), list[tuple[str, list[Any], str]](), dict[str, Points]()
    for line, by_number in found.items():
        name = labels[line] if by_number else f"{labels[line]} (not run)"
        cells += [by_number[number] for number in sorted(by_number)]
        lines.append((name, [by_number.get(number) for number in numbers] or [None], "own"))
        points = [(number, cell.value, cell.sd or 0.0) for number, cell in sorted(by_number.items()) if cell.value is not None]
        curves |= {name: points} if points else {}
    more, quoted = quoted_numbers(sources)
    foot = [f"Columns: {layout['axis']}.", *measured_notes(sources), *net_notes(sources), *layout["foot"], *quoted]
    grid = Grid(layout["title"], ["", *([f"{number:g}" for number in numbers] or [layout["axis"]])], lines, foot)
    floor = mean_sd(sources.floor["values"])[0] if sources.floor else None
    draw = partial(draw_sweep, curves, layout["axis"], frechet_name(**spec["metric"]), floor) if curves else None
    return Rendered(cells + more, grid, draw)


def _points(sources: Sources, row: dict[str, Any]) -> dict[float, Cell]:
    """The cells of a row by their numbers: one at `at`, or one for each step count at its network calls."""
    if "at" in row:
        at = f"{row['at']:g}"
        return {row["at"]: measured_cell(sources, row, {"id": at, "head": at, "metric": "fd"})}
    found = dict[float, Cell]()
    for steps in row["steps"]:
        cell = measured_cell(sources, row | {"steps": [steps]}, {"id": "", "head": "", "metric": "fd"})
        calls = float(cell.nfe)
        cell.column_id = cell.column = f"{calls:g}"
        found[calls] = cell
    return found


def draw_sweep(curves: dict[str, Points], axis_name: str, metric: str, floor: float | None) -> Any:
    """Metric against the number, a line for each sampler and net with bars of one sd; real against real dashed."""
    plt = pyplot()
    crowded = len(curves) > 4  # too many names for the inside
    figure, axis = plt.subplots(figsize=(8.6 if crowded else 6.4, 3.9))
    for i, (label, points) in enumerate(curves.items()):
        x, means, errors = zip(*points, strict=True)
        look: dict[str, Any] = {"color": CYCLE[i % 8], "marker": MARKS[i % 8], "markersize": 5, "linewidth": 1.5, "capsize": 2.5}
        axis.errorbar(x, means, errors, label=label, **look)
    if floor:
        axis.axhline(floor, color="black", linestyle="--", linewidth=1, label="real against real")
    ticks = sorted({number for points in curves.values() for number, _, _ in points})
    axis.set(xlabel=axis_name, ylabel=with_direction(metric, "lower"), yscale="log")
    if 0 < 8 * ticks[0] < ticks[-1]:
        axis.set_xscale("log")
    axis.minorticks_off()
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    plain_ticks(axis)
    beside = {"loc": "center left", "bbox_to_anchor": (1.02, 0.5)} if crowded else {}
    axis.legend(fontsize=8, **beside)
    figure.tight_layout()
    return figure
