"""Plots of the exact Gaussian problem."""

from typing import Any

from difftables.report.figures import CYCLE, MARKS, pyplot


def against_steps(curves: dict[str, list[tuple[int, float]]], metric: str, floor: float) -> Any:
    """Error against steps, both logarithmic, a line for each sampler.

    Args: curves: label to points (steps, error); floor: of a perfect sampler, dotted.
    """
    plt = pyplot()
    figure, axis = plt.subplots(figsize=(6.4, 4.0))
    for i, (label, points) in enumerate(curves.items()):
        steps, values = zip(*points, strict=True)
        axis.plot(steps, values, marker=MARKS[i % 8], markersize=5, linewidth=1.4, color=CYCLE[i % 8], label=label)
    axis.axhline(floor, color="black", linestyle=":", linewidth=1, label="the level of t = 0")
    ticks = sorted({steps for points in curves.values() for steps, _ in points})
    axis.set(xlabel="steps", ylabel=metric, xscale="log", yscale="log")
    axis.minorticks_off()
    axis.set_xticks(ticks, [str(tick) for tick in ticks])
    axis.legend(fontsize=7)
    figure.tight_layout()
    return figure
