"""Error against network calls on exact problems, both logarithmic: a panel for each problem, labels at the lines, slopes as guides."""

import math
from dataclasses import dataclass
from typing import Any

from difftables.report.figures import MARKS, pyplot

# Okabe and Ito's colours, told apart by all kinds of colour vision; without yellow, which is too light for lines.
COLOURS = ("#000000", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7f7f7f")
GUIDES = (1, 2, 3, 4)
COLUMNS = 2
FAN = 0.34  # decades of network calls that a guide is long
LABEL_GAP = 0.048  # of the axis' height between two labels


@dataclass(frozen=True)
class Panel:
    """A problem.  Args: curves: label to points (network calls, error)."""

    title: str
    curves: dict[str, list[tuple[int, float]]]


def spread(places: list[float], gap: float, low: float, high: float) -> list[float]:
    """Places as near to those asked as a gap between any two allows, within bounds; in the order of the places asked.

    Neighbours that are too close share what is missing between them, again and again.
    """
    order = sorted(range(len(places)), key=lambda i: places[i])
    out = [min(max(places[i], low), high) for i in order]
    for _ in range(200):
        for k in range(1, len(out)):
            excess = gap - (out[k] - out[k - 1])
            if excess > 0:
                out[k - 1] -= excess / 2
                out[k] += excess / 2
        out[0], out[-1] = max(out[0], low), min(out[-1], high)
    found = [0.0] * len(places)
    for place, i in zip(out, order, strict=True):
        found[i] = place
    return found


def draw_panels(panels: list[Panel], measure: str) -> Any:
    """The figure.  Args: measure: of the vertical axis."""
    plt = pyplot()
    rows = math.ceil(len(panels) / COLUMNS)
    figure, axes = plt.subplots(rows, min(COLUMNS, len(panels)), figsize=(9.4, 3.9 * rows), squeeze=False, layout="constrained")
    names = list(dict.fromkeys(name for panel in panels for name in panel.curves))
    for axis, panel in zip(axes.flat, panels, strict=False):
        _draw(axis, panel, names)
    for axis in list(axes.flat)[len(panels) :]:
        axis.set_visible(False)
    for line in axes:
        line[0].set_ylabel(measure)
    for axis in axes[-1]:
        axis.set_xlabel("network calls")
    return figure


def _draw(axis: Any, panel: Panel, names: list[str]) -> None:
    """A panel.  Args: names: of all curves, whose places choose colours."""
    values = [value for points in panel.curves.values() for _, value in points if math.isfinite(value)]
    low, high = math.log10(min(values)) - 0.3, math.log10(max(values)) + 0.15
    calls = sorted({each for points in panel.curves.values() for each, _ in points})
    axis.set(xscale="log", yscale="log", xlim=(calls[0] * 0.93, calls[-1] * 1.06), ylim=(10**low, 10**high))
    axis.set_title(panel.title, loc="left", fontsize=9, fontweight="bold")
    axis.minorticks_off()
    axis.set_xticks(calls, [str(each) for each in calls])
    axis.grid(False)
    _draw_guides(axis, math.log10(calls[0]) + 0.02, (low, high))
    ends = list[float]()
    for name, points in panel.curves.items():
        x, y = zip(*points, strict=True)
        turn = names.index(name) % len(COLOURS)
        axis.plot(x, y, color=COLOURS[turn], marker=MARKS[turn], markersize=3.6, linewidth=1.5, zorder=3)
        ends.append((math.log10(y[-1]) - low) / (high - low))
    for (name, points), end, place in zip(panel.curves.items(), ends, spread(ends, LABEL_GAP, 0.0, 1.0), strict=True):
        colour = COLOURS[names.index(name) % len(COLOURS)]
        arrow = {"arrowstyle": "-", "color": colour, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3}
        axis.annotate(
            name, (points[-1][0], 10 ** (low + end * (high - low))), (1.075, place), textcoords="axes fraction", fontsize=7.5, color=colour,
            va="center", annotation_clip=False, arrowprops=arrow,
        )  # fmt: skip


def _draw_guides(axis: Any, first: float, up: tuple[float, float]) -> None:
    """A fan of thin lines of slope -1, -2, .. in the lower left corner, each with its order at its end."""
    top = up[0] + (len(GUIDES) + 0.4) * FAN
    for order in GUIDES:
        last = first + FAN
        axis.plot([10**first, 10**last], [10**top, 10 ** (top - order * FAN)], color="#999999", linewidth=0.7, zorder=1)
        axis.text(10 ** (last + 0.02), 10 ** (top - order * FAN), str(order), fontsize=7, color="#777777", ha="left", va="center")
    axis.text(10**first, 10 ** (top + 0.03 * (up[1] - up[0])), "order", fontsize=7, color="#777777", ha="left", va="bottom")
