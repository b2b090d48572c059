"""The bound of the training batches against the training step."""

import csv
from collections.abc import Sequence
from functools import partial
from math import exp, log
from typing import Any

from difftables.common.arithmetic import sum_in_order
from difftables.papers.tables import QUARTERS
from difftables.report.cells import Cell
from difftables.report.figures import CYCLE, pyplot
from difftables.report.printing import Grid
from difftables.report.sources import Rendered, Sources, net_notes, new_cell
from difftables.report.statistics import mean_sd

HEADS = ("first quarter", "second", "third", "last quarter")  # of QUARTERS
BINS = 5  # of a quarter


def learning(sources: Sources) -> Rendered:
    """The bound seen by the training batches, in quarters of the shortest training, and against the step."""
    spec, cells, lines = sources.spec, list[Cell](), []
    curves = {row["label"]: _bounds(sources.curves[row["run"]]) for row in spec["rows"] if row["run"] in sources.curves}
    shortest = min((points[-1][0] for points in curves.values()), default=0)
    for row in spec["rows"]:
        mine = []
        for i, (column, head) in enumerate(zip(QUARTERS, HEADS, strict=True)):
            cell = new_cell(sources, row, column, "bound", head, unit="bits/dim", better="lower")
            here = _bins(curves.get(row["label"], []), i * shortest / 4, shortest / 4)
            if here:
                cell.value, sd = mean_sd(here)
                cell.sd, cell.values, cell.status = (sd or 0.0) / len(here) ** 0.5, here, "measured"
                cell.seeds, cell.n, cell.run = "1x1", len(here), sources.curve_runs[row["run"]]
            mine.append(cell)
        cells += mine
        lines.append((row["label"], mine, "own"))
    grid = Grid(spec["layout"]["title"], ["", *HEADS], lines, [*net_notes(sources), *spec["layout"]["foot"]])
    return Rendered(cells, grid, partial(draw_learning, curves) if curves else None)


def _bins(points: list[tuple[int, float]], start: float, length: float) -> list[float]:
    """Means of BINS equal stretches of steps, so that trainings logged at different intervals pair up; [] where one is empty."""
    found = []
    for i in range(BINS):
        low, high = start + i * length / BINS, start + (i + 1) * length / BINS
        here = [bound for step, bound in points if low < step <= high]
        if not here:
            return []
        found.append(sum_in_order(here) / len(here))
    return found


def _bounds(path: Any) -> list[tuple[int, float]]:
    with open(path, newline="") as file:
        return [(int(row["step"]), float(row["bound"])) for row in csv.DictReader(file) if row["bound"]]


def smoothed(steps: Sequence[int], values: Sequence[float], window: float) -> list[float]:
    """Geometric means of the values within half a window of each step, fewer at the ends."""
    out = []
    for step in steps:
        near = [log(value) for other, value in zip(steps, values, strict=True) if abs(other - step) <= window / 2]
        out.append(exp(sum_in_order(near) / len(near)))
    return out


def draw_learning(curves: dict[str, list[tuple[int, float]]]) -> Any:
    """The bound of the training batches, thin, and its geometric mean over a window of steps, thick.

    All trainings end at the last step of the shortest, and have the same window around each step, a tenth of that.
    """
    plt = pyplot()
    figure, axis = plt.subplots(figsize=(6.8, 3.8))
    last = min(points[-1][0] for points in curves.values())
    for i, (label, points) in enumerate(curves.items()):
        steps, values = zip(*(point for point in points if point[0] <= last), strict=True)
        axis.plot(steps, values, linewidth=0.6, alpha=0.35, color=CYCLE[i % 8])
        axis.plot(steps, smoothed(steps, values, last / 10), linewidth=1.8, color=CYCLE[i % 8], label=label)
    axis.set(xlabel="step", ylabel="bound, bits/dim (lower is better)", yscale="log")
    axis.legend(fontsize=8)
    figure.tight_layout()
    return figure
