"""The bound of the training batches against the training step."""

import csv
from functools import partial
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


def draw_learning(curves: dict[str, list[tuple[int, float]]]) -> Any:
    """The bound of the training batches against the step, thin, and its running mean over a tenth of the training, thick."""
    plt = pyplot()
    figure, axis = plt.subplots(figsize=(6.8, 3.8))
    for i, (label, points) in enumerate(curves.items()):
        steps, values = zip(*points, strict=True)
        axis.plot(steps, values, linewidth=0.6, alpha=0.35, color=CYCLE[i % 8])
        width = max(1, len(values) // 10)
        smooth = [sum_in_order(values[max(0, j - width + 1) : j + 1]) / (j + 1 - max(0, j - width + 1)) for j in range(len(values))]
        axis.plot(steps, smooth, linewidth=1.8, color=CYCLE[i % 8], label=label)
    axis.set(xlabel="step", ylabel="bound (bits/dim)", yscale="log")
    axis.legend(fontsize=8)
    figure.tight_layout()
    return figure
