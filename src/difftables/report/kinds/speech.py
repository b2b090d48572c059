"""Speech: rows by samplers, all metrics at one step count, and each metric against steps."""

from functools import partial
from typing import Any

from difftables.metrics.catalogue import fits, short_name
from difftables.report.cells import Cell
from difftables.report.figures import MARKS, STYLES, Line, pyplot, with_direction
from difftables.report.kinds.steps import style_of
from difftables.report.printing import Grid, steps_grid
from difftables.report.sources import Rendered, Sources, fill, literature_cells, new_cell, quote, sampler_name


def steps_of(row: dict[str, Any], files: list[Any], asked: list[int]) -> list[int]:
    """Step counts of a row: those measured, or what the table and the paper ask for."""
    return sorted({r["steps"] for file in files for r in file["records"]}) or asked


def cells_of(sources: Sources) -> list[Cell]:
    """A cell for each row, step count and metric; not-run ones for rows without records."""
    spec, cells = sources.spec, list[Cell]()
    measured = {r["id"]: r["metric"] for file in sources.records for r in file["records"]}
    planned = {metric_id: short_name(metric_id) for metric_id in spec["layout"]["metrics"]}
    for row in spec["rows"]:
        files = [f for f in sources.records if (f["shared"]["sampler"], f["shared"]["run"]) == (row["sampler"], row["run"])]
        for steps in steps_of(row, files, spec["steps"]):
            here = [r for file in files for r in file["records"] if r["steps"] == steps]
            found = sources.reported.find(row["paper"], steps) if "paper" in row else []
            for metric_id, name in ({r["id"]: r["metric"] for r in here} or measured or planned).items():
                cell = new_cell(sources, row, str(steps), metric_id, method=row["method"], sampler=sampler_name(sources, row), steps=steps)
                cell.metric = name
                theirs = [number for number in found if fits(metric_id, number.metric_id)]
                if theirs:
                    quote(cell, theirs[0])
                mine = [r for r in here if r["id"] == metric_id]
                if mine:
                    fill(cell, mine, files)
                cells.append(cell)
    return cells


def speech(sources: Sources) -> Rendered:
    """All metrics at one step count, and each of the paper's metrics against steps."""
    spec, layout = sources.spec, sources.spec["layout"]
    cells = cells_of(sources) + literature_cells(sources)
    names = {c.metric_id: c.metric for c in cells}
    metrics = {each: name for wanted in layout["metrics"] for each, name in names.items() if fits(each, wanted)}
    metrics = metrics or {each: short_name(each) for each in layout["metrics"]}
    lines: list[tuple[str, list[Any], str]] = []
    for row in spec["rows"]:
        mine = {(c.steps, c.metric_id): c for c in cells if c.row_id == row["id"]}
        has = dict.fromkeys(steps for steps, _ in mine)
        shown = layout["shown"] if layout["shown"] in has else next(iter(has), layout["shown"])
        here = [mine.get((shown, metric)) for metric in metrics]
        lines.append((f"{row['label']} ({shown})", here, "own"))
        known = next((c.paper_dataset for c in here if c is not None and c.paper_value), None)
        if known is not None:
            lines.append((f"paper: {known}", [c if c is not None and c.paper_value else None for c in here], "paper"))
    grid = Grid(layout["title"], ["", *metrics.values()], lines, [])
    if not sources.records:
        grid.notes = list(layout["foot"])
        return Rendered(cells, grid)
    grid.notes = [*how_measured(sources), *layout["foot"]]
    more = []
    for wanted in ("pesq", "stoi", "mcd"):
        for metric_id in (each for each in metrics if fits(each, wanted)):
            rows = [c for c in cells if not c.paper_value or c.status == "measured"]
            plain = steps_grid(f"{metrics[metric_id]} against steps", metric_id, spec["steps"], rows, [])
            plain.lines = [line for line in plain.lines if line[2] == "own" and any(line[1])]
            more.append(plain)
    return Rendered(cells, grid, partial(draw_metrics, _curves(sources, cells, metrics), _directions(cells, metrics)), more)


def how_measured(sources: Sources) -> list[str]:
    """What the values depend on, as the foot of the table."""
    spec, data = sources.spec, sources.spec["data"]
    source = {
        "voice": "The voice is synthetic: sentences written for this project, spoken by espeak-ng, a formant synthesiser. "
        "It is not human speech, and easier to model",
        "folder": "Recordings from a folder",
        "ljspeech": "LJSpeech",
    }.get(data["reader"], f"Data of the reader {data['reader']}")
    model = spec["model"]
    own = (
        ""
        if (model["precondition"], model["density"]) == ("eps", "between")
        else (
            f" Departs from WaveGrad, so that a small net learns in minutes: preconditioning {model['precondition']} in place of eps, "
            f"training levels {model['density']} in place of between neighbours of the schedule."
        )
    )
    length = f"{data['excerpt']:g} s from the middle of each" if data["excerpt"] else "whole utterances"
    return [
        f"N = {spec['n']} held-out utterances a seed, mean ± sd over sampling seeds (one seed where no sd is shown). "
        f"Machine: {sources.machine}.",
        f"{source}; {data['rate']} Hz, {length}, {data['bands']} mel bands from {data['lowest']:g} to {data['highest']:g} Hz, "
        f"hop {data['hop']}. In brackets: steps, which equal the measured NFE.",
        f"Backbone: {model['steps']} training steps with {model['batch']} segments of {data['segment'] * data['hop'] / data['rate']:.2g} s "
        f"each.{own}",
    ]


def _curves(sources: Sources, cells: list[Cell], metrics: dict[str, str]) -> dict[str, list[Line]]:
    """The measured rows of each metric against steps, by the metric's name."""
    found: dict[str, list[Line]] = {name: [] for name in metrics.values()}
    for metric_id, name in metrics.items():
        for row in sources.spec["rows"]:
            own = [c for c in cells if c.row_id == row["id"] and c.metric_id == metric_id and c.value is not None]
            values, sds = [c.value or 0.0 for c in own], [c.sd or 0.0 for c in own]
            if own:
                found[name].append(Line(row["label"], style_of(row), [int(c.steps) for c in own], values, sds))
    return found


def _directions(cells: list[Cell], metrics: dict[str, str]) -> dict[str, str]:
    """Which way each metric is better, by its name."""
    return {metrics[cell.metric_id]: cell.better for cell in cells if cell.metric_id in metrics and cell.better}


def draw_metrics(panels: dict[str, list[Line]], better: dict[str, str]) -> Any:
    """A panel for each metric: values against steps with bands of one sd, a line for each row."""
    plt = pyplot()
    columns = 3
    figure, axes = plt.subplots(-(-len(panels) // columns), columns, figsize=(13, 3.6 * -(-len(panels) // columns)), squeeze=False)
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    for axis, (metric, rows) in zip(axes.flat, panels.items(), strict=False):
        for i, row in enumerate(rows):
            dashes, colour = ("-", "--", ":")[i % 3], STYLES[row.style][0]
            axis.plot(row.steps, row.values, dashes, marker=MARKS[i % 8], markersize=4, linewidth=1.4, color=colour, label=row.label)
            low, high = ([v + sign * s for v, s in zip(row.values, row.sds, strict=True)] for sign in (-1, 1))
            axis.fill_between(row.steps, low, high, color=colour, alpha=0.12, linewidth=0)
        ticks = sorted({s for row in rows for s in row.steps})
        axis.set(ylabel=with_direction(metric, better.get(metric, "")), xlabel="steps", xscale="log")
        axis.minorticks_off()
        axis.set_xticks(ticks, [str(s) if i == 0 or s > 1.2 * ticks[i - 1] else "" for i, s in enumerate(ticks)], fontsize=7)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=4, fontsize=8, bbox_to_anchor=(0.5, -0.06))
    figure.tight_layout()
    return figure
