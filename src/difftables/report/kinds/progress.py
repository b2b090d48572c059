"""The Frechet distance during training, and at the best checkpoint."""

from dataclasses import replace
from functools import partial
from typing import Any

from difftables.common.errors import label as frechet_name
from difftables.report.cells import Cell
from difftables.report.figures import CYCLE, MARKS, plain_ticks, pyplot
from difftables.report.kinds.summary import measured_cell, measured_notes
from difftables.report.printing import Grid
from difftables.report.sources import Rendered, Sources, net_notes, quoted_numbers
from difftables.report.statistics import mean_sd

LAST, SELECTED = "last, mean", "best checkpoint and seed (as authors select)"


def progress(sources: Sources) -> Rendered:
    """The Frechet distance at checkpoints of each training, at the last, and at the best checkpoint and sampling seed."""
    spec, named = sources.spec, frechet_name(**sources.spec["metric"])
    found: dict[str, dict[int, Cell]] = {}
    labels = {row["line"]: row["label"] for row in spec["rows"]}
    for row in spec["rows"]:
        step = spec["about"][row["run"]]["steps"] if row["run"] else row.get("at", 0)
        # Of several numbers of sampling steps, the largest: one line is one way to sample.
        column = {"id": str(step or "last"), "head": str(step or LAST), "metric": "fd"}
        cell = measured_cell(sources, row | {"id": row["line"], "steps": row["steps"][-1:]}, column)
        found.setdefault(row["line"], {})[step] = cell
    steps = sorted({step for by_step in found.values() for step in by_step if step})
    cells, lines, picks, curves = list[Cell](), list[tuple[str, list[Any], str]](), [], dict[str, Points]()
    for line, by_step in found.items():
        name, last = labels[line], replace(by_step[max(by_step)], column=LAST, column_id="last")
        best, pick = _selected(list(by_step.values()), named)
        cells += [*(cell for step, cell in by_step.items() if step), last, best]
        lines.append((name, [*(by_step.get(step) for step in steps), last, best], "own"))
        picks += [f"{name}, {pick}"] if pick else []
        points = [(float(step), cell.value, cell.sd or 0.0) for step, cell in sorted(by_step.items()) if cell.value is not None]
        curves |= {name: points} if points else {}
    more, quoted = quoted_numbers(sources)
    remarks = [
        f"Columns: training steps. {LAST[0].upper() + LAST[1:]}: over all seeds at the last checkpoint. Best: the smallest single value "
        "over checkpoints and seeds, as papers that report the best checkpoint select it; a minimum of noisy numbers, so too low, and "
        f"never compared: {'; '.join(picks)}."
    ] if picks else []  # fmt: skip
    firsts = {row["line"]: row["run"] for row in reversed(spec["rows"]) if row["run"]}
    by_run = {run: {key: value for key, value in spec["about"][run].items() if key != "steps"} for run in reversed(firsts.values())}
    nets = net_notes(replace(sources, spec=spec | {"about": by_run}))
    foot = [*remarks, *measured_notes(sources), *nets, *spec["layout"]["foot"], *quoted]
    grid = Grid(spec["layout"]["title"], ["", *map(str, steps), LAST, SELECTED], lines, foot)
    floor = mean_sd(sources.floor["values"])[0] if sources.floor else None
    return Rendered(cells + more, grid, partial(draw_progress, curves, named, floor) if curves else None)


def _selected(cells: list[Cell], named: str) -> tuple[Cell, str]:
    """The smallest value of any seed in any cell, as a cell of its own metric, which none is compared with; and where it was found."""
    fields: dict[str, Any] = {"column": SELECTED, "column_id": "selected", "metric": f"{named}, selected", "metric_id": "fd:selected"}
    fields["better"] = ""
    seen = [(value, seed, cell) for cell in cells for seed, value in enumerate(cell.values)]
    if not seen:
        return replace(cells[-1], **fields, value=None, sd=None, values=[]), ""
    value, seed, cell = min(seen, key=lambda each: each[0])
    best = replace(cell, **fields, value=value, sd=None, values=[], seeds="1x1")
    return best, f"step {cell.column}, value {seed + 1} of {len(cell.values)}"


Points = list[tuple[float, float, float]]  # sigma or step, mean, its error


def draw_progress(curves: dict[str, Points], metric: str, floor: float | None) -> Any:
    """Metric against the training step, a line for each training with bars of one sd; real against real dashed."""
    from matplotlib.ticker import NullFormatter

    plt = pyplot()
    figure, axis = plt.subplots(figsize=(6.4, 3.9))
    for i, (label, points) in enumerate(curves.items()):
        x, means, errors = zip(*points, strict=True)
        look: dict[str, Any] = {"color": CYCLE[i % 8], "marker": MARKS[i % 8], "markersize": 5, "linewidth": 1.5, "capsize": 2.5}
        axis.errorbar(x, means, errors, label=label, **look)
    if floor:
        axis.axhline(floor, color="black", linestyle="--", linewidth=1, label="real against real")
    ticks = sorted({step for points in curves.values() for step, _, _ in points})
    axis.set(xlabel="training step", ylabel=f"{metric} (lower is better)", yscale="log")
    if ticks[-1] > 8 * ticks[0]:
        axis.set_xscale("log")
        axis.xaxis.set_minor_formatter(NullFormatter())
    axis.minorticks_off()
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    plain_ticks(axis)
    axis.legend(fontsize=8)
    figure.tight_layout()
    return figure
