"""Rows by samplers, columns by step counts."""

from functools import partial
from typing import Any

from difftables.common.errors import label as frechet_name
from difftables.common.files import load_tensors
from difftables.report.cells import Cell
from difftables.report.figures import MARKS, STYLES, Line, colours_of, plain_ticks, pyplot, with_direction
from difftables.report.printing import steps_grid
from difftables.report.sources import Rendered, Sources, fill, literature_cells, net_notes, new_cell, quote, quoted_numbers, sampler_name
from difftables.report.statistics import mean_sd


def cells_of(sources: Sources, metric: str) -> list[Cell]:
    """A cell for each row, step count and metric that was measured; not-run ones for rows without records."""
    spec, cells = sources.spec, list[Cell]()
    for row in spec["rows"]:
        files = [f for f in sources.records if (f["shared"]["sampler"], f["shared"]["run"]) == (row["sampler"], row["run"])]
        metrics = {r["id"]: r["metric"] for file in files for r in file["records"]} or {"fd": metric}
        for steps in spec["steps"]:
            found = sources.reported.find(row["paper"], steps) if "paper" in row else []
            for metric_id, name in metrics.items():
                here = [r for file in files for r in file["records"] if r["id"] == metric_id and r["steps"] == steps]
                cell = new_cell(
                    sources, row, str(steps), metric_id, method=row.get("method", ""), sampler=sampler_name(sources, row), steps=steps
                )
                cell.metric, cell.part = name, row.get("part") or ""
                theirs = [number for number in found if number.metric_id == "fid"]
                if theirs and metric_id == "fd":
                    quote(cell, theirs[0])
                if here:
                    fill(cell, here, files)
                cells.append(cell)
    return cells


def steps(sources: Sources) -> Rendered:
    """A metric against sampling steps: the grid, a plot with bands, and the schedules behind it."""
    spec = sources.spec
    metric = frechet_name(**spec["metric"])
    extra, quoted_notes = quoted_numbers(sources)
    cells = cells_of(sources, metric) + literature_cells(sources) + extra
    notes, floor = list(spec["layout"]["foot"]), None
    if sources.records:
        floor, floor_sd = mean_sd(sources.floor["values"])
        notes = [
            f"{metric}, N = {spec['n']} samples a seed against {sources.floor['reference']['samples']} training samples, "
            "mean ± sd over seeds; columns: steps, which equal the measured NFE.",
            f"Real against real at the same N: {floor:.2f} ± {floor_sd or 0:.2f} ({len(sources.floor['values'])} splits). "
            f"Machine: {sources.machine}.",
            *net_notes(sources),
            *notes,
        ]
    notes += [*quoted_notes, *elsewhere(cells, spec["steps"])]
    shown = min(spec["steps"], key=lambda count: abs(count - 10))
    quoted = {spec["layout"]["paper_panel"]: list(curves(cells).values())} if "paper_panel" in spec["layout"] else {}
    grid = steps_grid(spec["layout"]["title"], "fd", spec["steps"], cells, notes)
    draw = partial(_draw, sources, cells, metric, floor, shown, quoted)
    return Rendered(cells, grid, draw if sources.records else None)


def _draw(sources: Sources, cells: list[Cell], metric: str, floor: float | None, shown: int, quoted: Any) -> Any:
    told = {(cell.row, int(cell.steps)) for cell in cells if cell.verdict == "best" and cell.metric_id == "fd"}  # marked by now
    return draw_against_steps(_panels(sources, cells), metric, floor, _levels(sources, shown), shown, quoted, told)


def style_of(row: dict[str, Any]) -> str:
    """How a row's line is drawn, of figures.STYLES."""
    return row.get("style") or row.get("method") or "fixed"


def _titles(sources: Sources) -> list[str]:
    """Titles of the figure's panels; one without a title unless the layout has some."""
    return sources.spec["layout"].get("panels", [""])


def _panels(sources: Sources, cells: list[Cell]) -> dict[str, list[Line]]:
    """The measured rows of each panel; a row that names none is in the first."""
    found: dict[str, list[Line]] = {title: [] for title in _titles(sources)}
    for row in sources.spec["rows"]:
        own = [c for c in cells if c.row_id == row["id"] and c.metric_id == "fd" and c.value is not None]
        values, sds = [c.value or 0.0 for c in own], [c.sd or 0.0 for c in own]
        if own:
            line = Line(row["label"], style_of(row), [int(c.steps) for c in own], values, sds)
            found[row.get("panel", _titles(sources)[0])].append(line)
    return found


def curves(cells: list[Cell]) -> dict[str, Line]:
    """A paper's numbers against steps, by row, for each row that is quoted."""
    rows: dict[str, Line] = {}
    for row, name in {c.row_id: c.row for c in cells if c.status == "literature"}.items():
        points = sorted((int(c.steps), float(c.paper_value)) for c in cells if c.row_id == row and c.status == "literature" and c.steps)
        if points:
            rows[row] = Line(name, "fixed", [count for count, _ in points], [value for _, value in points], [0.0] * len(points))
    return rows


def elsewhere(cells: list[Cell], steps: list[int]) -> list[str]:
    """Notes on the numbers of a paper at step counts without a column, one for each quoted row."""
    notes = []
    for line in curves(cells).values():
        if missing := [f"{value:g} at {count}" for count, value in zip(line.steps, line.values, strict=True) if count not in steps]:
            notes.append(f"{line.label}: {', '.join(missing)}.")
    return notes


def _levels(sources: Sources, shown: int) -> dict[str, list[tuple[str, str, Any]]]:
    """alpha_bar at the input of the net at one step count by panel: label, style and levels of the rows that are to show them."""
    panels: dict[str, list[tuple[str, str, Any]]] = {title: [] for title in _titles(sources)}
    for row in sources.spec["rows"]:
        if row["run"] and row.get("levels"):
            tensors, _ = load_tensors(sources.samples[row["run"], row["sampler"]], "samples")
            levels = tensors[f"levels/{shown}"].numpy()
            panels[row.get("panel", _titles(sources)[0])].append((row["label"], style_of(row), levels))
    return panels if any(panels.values()) else {}


def draw_against_steps(
    panels: dict[str, list[Line]], metric: str, floor: float | None, levels: dict[str, list[tuple[str, str, Any]]], shown: int,
    quoted: dict[str, list[Line]], told: set[tuple[str, int]],
) -> Any:  # fmt: skip
    """Metric against steps with bands of one sd, a panel per sampler; below, the levels that the net receives at `shown` steps.

    Args:
        panels: title to rows; floor: real against real, dotted.
        quoted: a paper's own curves, on an axis of their own; told: label and steps of rows that are told from all others, whose star is
            filled; two step counts are dots beside one another, more are a line.
        levels: title to (label, style, alpha_bar) of rows, alpha_bar [3, steps]: median, 5 and 95 %; a band where samples differ.
    """
    plt = pyplot()
    lines, columns = 1 + bool(levels), len(panels) + len(quoted)
    width = 7.0 if columns == 1 and len(next(iter(panels.values()))) > 3 else 4.6  # a legend beside takes its part
    figure, axes = plt.subplots(lines, columns, figsize=(width * columns, 3.5 * lines), sharey="none" if quoted else "row", squeeze=False)
    for axis, (title, rows) in zip(axes[0], {**panels, **quoted}.items(), strict=True):
        colours = colours_of(rows)
        few = len({s for row in rows for s in row.steps}) < 3
        shifts = [1.05 ** (i - (len(rows) - 1) / 2) if few else 1.0 for i in range(len(rows))]
        for i, (row, colour) in enumerate(zip(rows, colours, strict=True)):
            look: dict[str, Any] = {"color": colour, "label": _tail(row.label)}
            if few:
                places = [shifts[i] * s for s in row.steps]
                axis.errorbar(places, row.values, yerr=row.sds, fmt="none", ecolor=colour, capsize=2)
                axis.plot(places, row.values, marker=MARKS[i % 8], markersize=5, linestyle="", **look)
                continue
            axis.plot(row.steps, row.values, STYLES[row.style][1], marker="o", markersize=3, linewidth=1.4, **look)
            low, high = ([v + sign * s for v, s in zip(row.values, row.sds, strict=True)] for sign in (-1, 1))
            axis.fill_between(row.steps, low, high, color=colour, alpha=0.15, linewidth=0)
        for step in sorted({s for row in rows for s in row.steps} if title not in quoted else ()):
            least, label, colour, shift = min(
                (row.values[row.steps.index(step)], row.label, colour, shift)
                for row, colour, shift in zip(rows, colours, shifts, strict=True) if step in row.steps
            )  # fmt: skip
            face = colour if (label, step) in told else "white"
            star: dict[str, Any] = {"marker": "*", "markersize": 11, "markeredgecolor": "black", "markeredgewidth": 0.6}
            axis.plot([shift * step], [least], markerfacecolor=face, linestyle="", **star)
        if floor and title not in quoted:
            axis.axhline(floor, color="black", linestyle=":", linewidth=1, label="real against real")
        ticks = sorted({s for row in rows for s in row.steps})
        axis.set(title=title, xlabel="steps", xscale="log", yscale="log")
        axis.minorticks_off()
        axis.set_xticks(ticks, [str(s) if i == 0 or s > 1.15 * ticks[i - 1] else "" for i, s in enumerate(ticks)])
        plain_ticks(axis)
        beside = columns == 1 and len(rows) > 3  # too many for the inside of one panel
        if rows:
            axis.legend(fontsize=7, **({"loc": "center left", "bbox_to_anchor": (1.02, 0.5)} if beside else {}))
    axes[0][0].set_ylabel(with_direction(metric, "lower"))
    for axis, title in zip(axes[-1], levels, strict=False):
        for label, style, alpha_bar in levels[title]:
            median, high, low = (1 - alpha_bar[i] for i in (0, 1, 2))
            x = list(range(1, len(median) + 1))
            axis.plot(x, median, marker="o", markersize=3, linewidth=1.4, color=STYLES[style][0], label=_tail(label))
            axis.fill_between(x, low, high, color=STYLES[style][0], alpha=0.2, linewidth=0)
        axis.set(title=f"{title}, {shown} steps", xlabel="step", yscale="log")
        if levels[title]:
            axis.legend(fontsize=7)
    if levels:
        axes[-1][0].set_ylabel(r"$1-\bar\alpha$ told to the net")
    figure.tight_layout()
    return figure


def _tail(label: str) -> str:
    return label.split(", ", 1)[-1]
