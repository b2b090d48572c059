"""Frechet distance and bound against training compute."""

from functools import partial
from typing import Any

from difftables.common.errors import label as frechet_name
from difftables.metrics.catalogue import short_name
from difftables.report.cells import Cell
from difftables.report.figures import CYCLE, MARKS, plain_ticks, pyplot
from difftables.report.kinds import likelihood
from difftables.report.kinds.summary import measured_cell, measured_notes
from difftables.report.printing import Grid
from difftables.report.sources import Rendered, Sources, net_notes, quoted_numbers


def compute(sources: Sources) -> Rendered:
    """Frechet distance and bound against training compute, a line for each width."""
    spec, layout = sources.spec, sources.spec["layout"]
    cells, lines, curves = list[Cell](), [], dict[str, list[tuple[float, Cell, Cell]]]()
    labels = {row["line"]: row["label"] for row in spec["rows"]}
    for row in spec["rows"]:
        file = next((f for f in sources.likelihood if f["shared"]["run"] == row["run"]), None)
        if file is None:
            continue
        shared = file["shared"]
        trained = shared["trained"]
        total = 3 * shared["multiply_adds"] * trained["batch"] * trained["steps"]
        name = f"{row['label']}: {shared['parameters']:,} parameters, {trained['steps']} steps"
        renamed = row | {"label": name}
        frechet, bound = (measured_cell(sources, renamed, {"id": of, "head": short_name(of), "metric": of}) for of in ("fd", "nll"))
        cells += [frechet, bound]
        lines.append((name, [f"{total:.2e}", bound, frechet], "own"))
        curves.setdefault(labels[row["line"]], []).append((total, frechet, bound))
    foot = [*measured_notes(sources), *likelihood.notes(sources), *net_notes(sources), *layout["foot"]]
    more, notes = quoted_numbers(sources)
    grid = Grid(layout["title"], ["", "compute (multiply-adds)", "NLL", "FD"], lines, [*foot, *notes])
    return Rendered(cells + more, grid, partial(draw_compute, curves, frechet_name(**spec["metric"])) if curves else None)


def draw_compute(curves: dict[str, list[Any]], metric: str) -> Any:
    """Frechet distance and bound against multiply-adds of training, a line for each width.

    Args: curves: label to (compute, cell of the distance, cell of the bound).
    """
    from matplotlib.ticker import NullFormatter

    plt = pyplot()
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.6))
    for i, (label, points) in enumerate(curves.items()):
        for axis, which in zip(axes, (1, 2), strict=True):
            shown = [(p[0], p[which].value, p[which].sd or 0.0) for p in points if p[which].value is not None]
            if shown:
                x, y, error = zip(*shown, strict=True)
                axis.errorbar(x, y, error, marker=MARKS[i % 8], markersize=5, linewidth=1.3, capsize=2, color=CYCLE[i % 8], label=label)
    for axis, name in zip(axes, (metric, "NLL (bits/dim)"), strict=True):
        axis.set(xlabel="multiply-adds of training", ylabel=name, xscale="log")
        axis.xaxis.set_minor_formatter(NullFormatter())
    axes[0].set(yscale="log")
    plain_ticks(axes[0])
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    return figure
