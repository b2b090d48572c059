"""Solvers on exact problems: distance to the exact end of the same start, and measured order."""

from collections.abc import Callable
from functools import partial
from typing import Any

from difftables.metrics.catalogue import METRICS
from difftables.provenance import fingerprint
from difftables.report.cells import Cell
from difftables.report.exact_figure import Panel, draw_panels
from difftables.report.printing import Grid
from difftables.report.sources import Rendered, Sources, new_cell

DISTANCE, ORDER = "end-distance", "order"
DIGITS = 3  # that are kept of a value: the others may differ between machines


def kept_digits(value: float) -> float:
    """A value to DIGITS significant digits."""
    return float(f"{value:.{DIGITS}g}")


def exact_distances(sources: Sources) -> Rendered:
    """RMS distance of each solver to the probability flow's end at the table's network calls, a grid for each problem, and its order.

    Step counts of params.yaml, where there are some, choose among the columns; the order is then left out.
    """
    from difftables.studies import exact_errors as exact  # torch takes longer to import than most tables to make
    from difftables.studies.exact_problems import TITLES

    layout, asked = sources.spec["layout"], sources.spec["steps"]
    columns = [*(str(calls) for calls in layout["calls"] if not asked or calls in asked), *["order"] * (not asked)]
    cells, grids, panels = list[Cell](), list[Grid](), list[Panel]()
    for problem in layout["problems"]:
        lines, curves = list[tuple[str, list[Any], str]](), dict[str, list[tuple[int, float]]]()
        for row in sources.spec["rows"]:
            mine = [
                _order(sources, row, problem) if column == "order" else _distance(sources, row, problem, int(column)) for column in columns
            ]
            cells += [cell for cell in mine if cell is not None]
            lines.append((row["label"], [shown(cell) for cell in mine], "own"))
            points = [
                (int(cell.nfe), cell.value) for cell in mine if cell is not None and cell.metric_id == DISTANCE and cell.value is not None
            ]
            if row.get("drawn") and points:
                curves[row["label"]] = points
        grids.append(Grid(TITLES[problem], [TITLES[problem], *columns], lines, []))
        panels.append(Panel(TITLES[problem], curves))
    grids[-1].notes += [*_notes(layout, exact.starts_used, exact.ORDER_STARTS, exact.FLOOR, exact.CUTS), *layout["foot"]]
    grids[0].title = layout["title"]
    draw = partial(draw_panels, panels, METRICS[DISTANCE].short) if any(row.get("drawn") for row in sources.spec["rows"]) else None
    return Rendered(cells, grids[0], draw, grids[1:])


def _distance(sources: Sources, row: dict[str, Any], problem: str, calls: int) -> Cell | None:
    """The cell of a row at so many network calls; None where its solver has no chain of so many."""
    from difftables.studies import exact_errors as exact

    solver, span = exact.read_solver(row["solver"]), exact.Range(**sources.spec["layout"]["levels"])
    steps = exact.steps_of(solver, calls, span.clean)
    if steps is None:
        return None
    value, made = exact.distance(problem, solver, span.even(steps), exact.starts_used(problem))
    if made != calls:  # a chain too short for its start-up
        return None
    cell = _cell(sources, row, problem, str(calls), DISTANCE)
    cell.value, cell.steps, cell.nfe = kept_digits(value), steps, calls
    return cell


def _order(sources: Sources, row: dict[str, Any], problem: str) -> Cell:
    """The cell of a row's measured order."""
    from difftables.studies import exact_errors as exact

    layout, cell = sources.spec["layout"], _cell(sources, row, problem, "order", ORDER)
    measured = exact.order(problem, exact.read_solver(row["solver"]), exact.Range(**layout["levels"]), layout["order_steps"])
    cell.value = None if measured is None else round(measured, 2)
    return cell


def _cell(sources: Sources, row: dict[str, Any], problem: str, column: str, metric: str) -> Cell:
    from difftables.studies.exact_errors import starts_used
    from difftables.studies.exact_problems import PROBLEMS

    cell = new_cell(sources, row, f"{problem}-{column}", metric, f"{problem}, {column}", dataset="", method=row["label"], sampler=row["id"])
    cell.status, cell.better = "closed-form", METRICS[metric].better
    if not PROBLEMS[problem]().centred:
        cell.status, cell.seeds, cell.n = "estimated", "1x1", starts_used(problem)
        cell.run = fingerprint.job("exact", problem, row["solver"], sources.spec["layout"]["levels"], cell.n)
    return cell


def shown(cell: Cell | None) -> str:
    """A cell as text with its own digits; a dash where a solver has no chain of so many calls."""
    return "-" if cell is None else "" if cell.value is None else f"{cell.value:.2f}" if cell.metric_id == ORDER else f"{cell.value:.3g}"


def _notes(layout: dict[str, Any], starts: Callable[[str], int], order_starts: int, floor: float, cuts: int) -> list[str]:
    levels, used = layout["levels"], " ".join(dict.fromkeys(f"{starts(each)}," for each in layout["problems"])).strip(",")
    ends = "then clean" if levels.get("clean") else "the exact end is that of the last level"
    return [
        "Columns: network calls. Values: root mean square, over starts and dimensions, of the distance between a solver's end and that of "
        "the probability flow from the same start, with the exact denoiser: nothing but the solver's own error. `-`: the solver has no "
        f"chain of so many calls. Distances below {floor:g} are rounding and stand as {floor:g}.",
        f"Levels: even steps in log σ from {levels['highest']:g} to {levels['lowest']:g}, {ends}. Starts are noised data. Gaussians: in "
        f"closed form. Mixtures: {used} starts, their ends by an adaptive Runge-Kutta method of order 8 at tolerance 1e-11.",
        f"Order: log2 of the error at {layout['order_steps']} steps over that at twice as many ({order_starts} starts). The first step is "
        f"cut in halves {cuts} times, and final orders are not lowered, so that start and end do not hide the order.",
        "Nothing is clipped, no first step is analytic. Final orders in the columns of calls are those of the solver's defaults.",
    ]
