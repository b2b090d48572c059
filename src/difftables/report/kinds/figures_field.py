"""Plots of Stable Target Field: how much targets vary, where, and what becomes of a net while it trains."""

from collections.abc import Sequence
from typing import Any

from difftables.report.figures import CYCLE, MARKS, plain_ticks, pyplot

Points = list[tuple[float, float, float]]  # sigma or step, mean, its error
SHADES = ("#dbe7f3", "#f6e3cf", "#e2efe4")
SEEN = 1e-7  # of the largest value of a panel: what lies below is as good as nothing, and would flatten the rest
DECADES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)


def _noise_axis(axis: Any, sigmas: Sequence[float]) -> None:
    """sigma on a logarithmic axis, with plain numbers."""
    shown = [tick for tick in DECADES if min(sigmas) * 0.99 <= tick <= max(sigmas) * 1.01]
    axis.set(xscale="log", xlabel=r"$\sigma$")
    axis.minorticks_off()
    axis.set_xticks(shown, [f"{tick:g}" for tick in shown])


def variance(panels: dict[str, dict[str, Points]]) -> Any:
    """A panel for each quantity: its mean against sigma, both logarithmic, a line for each row with a band of one standard error."""
    plt = pyplot()
    figure, axes = plt.subplots(1, len(panels), figsize=(4.9 * len(panels), 3.7), squeeze=False, sharex=True)
    labels = list(dict.fromkeys(label for rows in panels.values() for label in rows))
    for axis, (title, rows) in zip(axes[0], panels.items(), strict=True):
        largest = max((mean for points in rows.values() for _, mean, _ in points), default=0.0)
        for label, points in rows.items():
            shown = [point for point in points if point[1] > SEEN * largest]
            if not shown:
                continue
            place = labels.index(label) % 8
            x, means, errors = (list(each) for each in zip(*shown, strict=True))
            look: dict[str, Any] = {"color": CYCLE[place], "marker": MARKS[place], "markersize": 4.5, "linewidth": 1.5}
            axis.plot(x, means, label=label, **look)
            low, high = ([max(m + sign * e, m / 20) for m, e in zip(means, errors, strict=True)] for sign in (-1, 1))
            axis.fill_between(x, low, high, color=CYCLE[place], alpha=0.18, linewidth=0)
        _noise_axis(axis, [point[0] for points in rows.values() for point in points] or [1.0])
        axis.set(title=title, yscale="log")
        axis.title.set_fontsize(10)
        low, high = axis.get_ylim()
        if high < 100 * low:
            plain_ticks(axis)
    handles, names = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=min(4, max(1, len(names))), fontsize=8)
    figure.tight_layout()
    return figure


def phases(curves: dict[str, list[tuple[float, float]]], edges: tuple[float | None, float | None]) -> Any:
    """Variance over its maximum against sigma, a line for each data set, and three phases shaded, which those of the last are.

    Args: curves: label to (sigma, share of the maximum); edges: of the middle phase; None where it has none within the plot.
    """
    plt = pyplot()
    figure, axis = plt.subplots(figsize=(6.8, 3.8))
    sigmas = [sigma for points in curves.values() for sigma, _ in points]
    left, right = (edge if edge is not None else end(sigmas) for edge, end in zip(edges, (min, max), strict=True))
    bounds = [min(sigmas), left, right, max(sigmas)]
    for i in range(3):
        if bounds[i] < bounds[i + 1]:
            axis.axvspan(bounds[i], bounds[i + 1], color=SHADES[i], linewidth=0, zorder=0)
            middle = (bounds[i] * bounds[i + 1]) ** 0.5
            axis.text(middle, 1.07, f"phase {i + 1}", ha="center", va="center", fontsize=8, color="#444444")
    for i, (label, points) in enumerate(curves.items()):
        x, shares = zip(*points, strict=True)
        axis.plot(x, shares, color=CYCLE[i % 8], linewidth=1.8, linestyle=("-", "--", "-.")[i % 3], label=label)
    _noise_axis(axis, sigmas)
    axis.set(ylabel="variance of the score target\nover its maximum", xlim=(min(sigmas), max(sigmas)), ylim=(0, 1.13))
    axis.legend(fontsize=8, loc="center right")
    figure.tight_layout()
    return figure


def progress(curves: dict[str, Points], metric: str, floor: float | None) -> Any:
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
    axis.set(xlabel="training step", ylabel=metric, yscale="log")
    if ticks[-1] > 8 * ticks[0]:
        axis.set_xscale("log")
        axis.xaxis.set_minor_formatter(NullFormatter())
    axis.minorticks_off()
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    plain_ticks(axis)
    axis.legend(fontsize=8)
    figure.tight_layout()
    return figure
