"""The noise scale of gradients during training, by objective and density of levels."""

from functools import partial
from typing import Any

from difftables.metrics.catalogue import METRICS
from difftables.report.cells import Cell
from difftables.report.kinds.gradients import DENSITIES, OBJECTIVES, noise
from difftables.report.kinds.progress import Points, draw_progress
from difftables.report.printing import Grid
from difftables.report.sources import Rendered, Sources, net_notes, new_cell
from difftables.report.statistics import mean_sd


def gradient_course(sources: Sources) -> Rendered:
    """A line for each objective and density, a column for each step of training at which a net was kept."""
    spec = sources.spec
    found: dict[str, dict[int, Cell]] = {row["line"]: {} for row in spec["rows"]}
    labels = {row["line"]: row["label"] for row in spec["rows"]}
    for row in spec["rows"]:
        for file in (f for f in sources.records if f["shared"]["run"] == row["run"]):
            cell = _cell(sources, row, spec["about"][row["run"]]["steps"], file)
            found[row["line"]][int(cell.column)] = cell
    steps = sorted({step for by_step in found.values() for step in by_step})
    cells, lines, curves = list[Cell](), list[tuple[str, list[Any], str]](), dict[str, Points]()
    for line, by_step in found.items():
        name = labels[line] if by_step else f"{labels[line]} (not run)"
        cells += [by_step[step] for step in sorted(by_step)]
        shown = [by_step.get(step) for step in steps] or [None]
        lines.append((name, [cell if cell is None or cell.value is not None else "lost in the noise" for cell in shown], "own"))
        points = [(float(step), cell.value, 0.0) for step, cell in sorted(by_step.items()) if cell.value is not None]
        curves |= {name: points} if points else {}
    notes = []
    if sources.records:
        shared = sources.records[0]["shared"]
        notes.append(f"Columns: training steps. {shared['batches']} batches of {shared['batch']} samples at each net.")
    grid = Grid(
        spec["layout"]["title"],
        ["", *(map(str, steps) if steps else ["training steps"])],
        lines,
        [*notes, *net_notes(sources), *spec["layout"]["foot"]],
    )
    draw = partial(draw_progress, curves, METRICS["noise-scale"].short, None)
    return Rendered(cells, grid, draw if sources.records else None)


def _cell(sources: Sources, row: dict[str, Any], step: int, file: dict[str, Any]) -> Cell:
    """The noise scale of what a row studies, at one net; without a value where the mean gradient is lost in the noise."""
    shared = file["shared"]
    record = next(
        each for each in file["records"] if f"{OBJECTIVES[each['objective']]}-{DENSITIES[each['density']][0]}" == row["studied"]
    )  # fmt: skip
    trace, signal = noise(record, shared["batch"], shared["batches"])
    cell = new_cell(sources, row | {"id": row["line"]}, str(step), "noise-scale", method=record["objective"], sampler=record["density"])
    cell.value = mean_sd(trace)[0] / signal if signal > 0 else None
    cell.status, cell.better, cell.n = "measured", METRICS["noise-scale"].better, shared["batch"] * shared["batches"]
    cell.seeds, cell.run = "1x1", shared["fingerprint"]
    return cell
