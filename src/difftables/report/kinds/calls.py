"""Several metrics against network calls, row by row, and which rows no other beats at as few calls or as cheap a search."""

from functools import partial
from typing import Any

from difftables.common.errors import label as frechet_name
from difftables.metrics.catalogue import metric, short_name
from difftables.report.cells import Cell
from difftables.report.figures import CYCLE, MARKS, plain_ticks, pyplot
from difftables.report.kinds.summary import measured_cell, measured_notes
from difftables.report.printing import Grid
from difftables.report.sources import Rendered, Sources, net_notes, new_cell, quote
from difftables.report.statistics import mean_sd

SEARCH = "search-evaluations"
Points = list[tuple[float, float]]


def calls(sources: Sources) -> Rendered:
    """A grid for each metric: a line for each row, a column for each number of network calls."""
    spec, layout = sources.spec, sources.spec["layout"]
    by_metric = {name: {row["id"]: cells_of(sources, row, name) for row in spec["rows"]} for name in layout["metrics"]}
    quoted = {each["id"]: reported(sources, each) for each in layout.get("literature", [])}
    columns = sorted({number for rows in by_metric.values() for cells in rows.values() for number in cells})
    columns = columns or sorted({number for cells in quoted.values() for number in cells} | set(map(float, spec["steps"])))
    labels = {row["id"]: row["label"] for row in spec["rows"]}
    grids, cells = list[Grid](), list[Cell]()
    for place, (name, rows) in enumerate(by_metric.items()):
        named = next((cell.metric for mine in rows.values() for cell in mine.values()), short_name(name))
        lines: list[tuple[str, list[Any], str]] = [
            (labels[row], [_shown(mine.get(number)) for number in columns], "own") for row, mine in rows.items() if mine
        ]
        if place == 0:
            lines += [(f"{labels[row]} (not run)", [None] * len(columns), "own") for row, mine in rows.items() if not mine]
            lines += [(each["label"], [quoted[each["id"]].get(n) for n in columns], "literature") for each in layout.get("literature", [])]
        title = layout["title"] if place == 0 else f"{layout['title']}: {named}"
        grids.append(Grid(title, [named, *(f"{number:g}" for number in columns)], lines, []))
        cells += [mine[number] for mine in rows.values() for number in sorted(mine)]
    cells += [cell for mine in quoted.values() for cell in mine.values()]
    first, *more = grids
    first.notes += ["Columns: network calls, as measured.", *measured_notes(sources), *net_notes(sources), *layout["foot"]]
    floor = mean_sd(sources.floor["values"])[0] if sources.floor else None
    measured = any(cell.value is not None for mine in by_metric[layout["metrics"][0]].values() for cell in mine.values())
    draw = partial(draw_calls, by_metric, labels, frechet_name(**spec["metric"]), floor) if measured else None
    return Rendered(cells, first, draw, more)


def cells_of(sources: Sources, row: dict[str, Any], name: str) -> dict[float, Cell]:
    """The cells of a row in one metric by network calls; none for a row that is not run, or that has no such metric."""
    found = dict[float, Cell]()
    for steps in row["steps"] if row["run"] else []:
        asked = "nfe" if name == SEARCH else name
        cell = measured_cell(sources, row | {"steps": [steps]}, {"id": "", "head": "", "metric": asked})
        if cell.value is None:
            continue
        calls_of_row = float(cell.nfe)
        cell.column_id = cell.column = f"{calls_of_row:g}"
        if name == SEARCH:
            known, cost = metric(SEARCH), search_cost(sources, row, steps)
            cell.metric, cell.metric_id, cell.unit, cell.better = known.short, SEARCH, known.unit, ""
            cell.value, cell.sd, cell.values = cost, None, []
        found[calls_of_row] = cell
    return found


def _shown(cell: Cell | None) -> Cell | str | None:
    """A cell as its grid has it: a count of evaluations as a whole number."""
    return f"{cell.value:.0f}" if cell is not None and cell.metric_id == SEARCH else cell


def search_cost(sources: Sources, row: dict[str, Any], steps: int) -> float:
    """Network evaluations of the search for a row's schedule of so many steps; 0 for a schedule in closed form.

    Forward ones, a teacher's among them, and backward passes, each pass as one.
    """
    record = sources.searches.get((row["run"], row["sampler"]))
    counted = record["records"][str(steps)] if record else {}
    return float(sum(counted.get(f"{of}_evaluations", 0) for of in ("network", "backward")))


def reported(sources: Sources, row: dict[str, Any]) -> dict[float, Cell]:
    """Reported numbers of a quoted row by network calls."""
    found = dict[float, Cell]()
    for number in sources.reported.find(row["paper"]):
        if number.steps_or_nfe is not None:
            cell = new_cell(sources, row, f"{number.steps_or_nfe}", number.metric_id, dataset="", method="literature", status="literature")
            found[float(number.steps_or_nfe)] = quote(cell, number)
            cell.dataset = cell.paper_dataset
    return found


def frontier(points: Points) -> Points:
    """The points that no other beats in both coordinates, by the first: lower is better in both."""
    found = list[tuple[float, float]]()
    for x, y in sorted(points):
        if not found or y < found[-1][1]:
            found.append((x, y))
    return found


def draw_calls(by_metric: dict[str, dict[str, dict[float, Cell]]], labels: dict[str, str], fd: str, floor: float | None) -> Any:
    """A panel for each metric against network calls with the frontier of all rows; where searches have a cost, one of the first metric
    against that cost.
    """
    plt = pyplot()
    drawn = [name for name in by_metric if name != SEARCH]
    measured = [name for name in drawn if SEARCH not in by_metric or name != "kid"]
    panels = len(measured) + (SEARCH in by_metric)
    figure, axes = plt.subplots(1, panels, figsize=(4.4 * panels + 1.6, max(4.0, 0.14 * len(labels))), squeeze=False)
    looks = _looks(list(labels.values()))
    for axis, name in zip(axes[0], measured, strict=False):
        every = Points()
        for row, cells in by_metric[name].items():
            points = [(number, cell.value) for number, cell in sorted(cells.items()) if cell.value is not None]
            if points:
                axis.plot(*zip(*points, strict=True), label=labels[row], **looks[labels[row]])
            every += points
        _frontier(axis, every)
        if floor and name == "fd":
            axis.axhline(floor, color="black", linestyle="--", linewidth=1)
        signed = any(value <= 0 for _, value in every)
        axis.set(
            xlabel="network calls", ylabel=fd if name == "fd" else short_name(name), xscale="log", yscale="linear" if signed else "log"
        )
        axis.minorticks_off()
        ticks = sorted({number for number, _ in every})
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        plain_ticks(axis)
    if SEARCH in by_metric:
        axis, every = axes[0][-1], Points()
        for row, cells in by_metric[SEARCH].items():
            values = by_metric[measured[0]][row]
            points = [(cell.value or 0.0, values[number].value or 0.0) for number, cell in sorted(cells.items()) if number in values]
            if points:
                axis.plot(*zip(*points, strict=True), label=labels[row], **looks[labels[row]] | {"linestyle": ""})
            every += points
        _frontier(axis, every)
        axis.set(xlabel="network evaluations of the search", ylabel=fd, yscale="log")
        axis.set_xscale("symlog", linthresh=1000)
        axis.set_xlim(left=-100)
        axis.minorticks_off()
        plain_ticks(axis)
    handles, names = axes[0][0].get_legend_handles_labels()  # rows with noise have no distance, and are in the first panels only
    axes[0][-1].legend(handles, names, fontsize=6, loc="center left", bbox_to_anchor=(1.02, 0.5))
    figure.tight_layout()
    return figure


def _looks(labels: list[str]) -> dict[str, dict[str, Any]]:
    """How each row is drawn: where all labels are SCHEDULE: SOLVER, a colour for the schedule and a mark for the solver."""
    pairs = [label.rpartition(": ") for label in labels]
    if all(schedule for schedule, _, _ in pairs):
        schedules, solvers = (list(dict.fromkeys(pair[i] for pair in pairs)) for i in (0, 2))
        places = [(schedules.index(schedule), solvers.index(solver)) for schedule, _, solver in pairs]
    else:
        places = [(i, i + i // len(CYCLE)) for i in range(len(labels))]
    return {
        label: {
            "color": CYCLE[i % len(CYCLE)], "marker": MARKS[k % len(MARKS)], "markersize": 4, "linewidth": 1.1,
            "linestyle": ("-", "--", ":", "-.")[i // len(CYCLE) % 4],
        } for label, (i, k) in zip(labels, places, strict=True)
    }  # fmt: skip


def _frontier(axis: Any, points: Points) -> None:
    """A grey line through the points that no other beats."""
    best = frontier(points)
    if best:
        axis.step(*zip(*best, strict=True), where="post", color="#bbbbbb", linewidth=4, alpha=0.5, zorder=0)
