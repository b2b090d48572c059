"""Plots of training: learning curves, noise of the gradient, and quality against compute."""

from typing import Any

from difftables.common.arithmetic import sum_in_order
from difftables.report.figures import CYCLE, MARKS, plain_ticks, pyplot


def learning(curves: dict[str, list[tuple[int, float]]]) -> Any:
    """The bound of the training batches against the step, thin, and its running mean over a tenth of the training, thick."""
    plt = pyplot()
    figure, axis = plt.subplots(figsize=(6.8, 3.8))
    for i, (label, points) in enumerate(curves.items()):
        steps, values = zip(*points, strict=True)
        axis.plot(steps, values, linewidth=0.6, alpha=0.35, color=CYCLE[i % 8])
        width = max(1, len(values) // 10)
        smooth = [sum_in_order(values[max(0, j - width + 1) : j + 1]) / (j + 1 - max(0, j - width + 1)) for j in range(len(values))]
        axis.plot(steps, smooth, linewidth=1.8, color=CYCLE[i % 8], label=label)
    axis.set(xlabel="step", ylabel="bound (bits/dim)", yscale="log")
    axis.legend(fontsize=8)
    figure.tight_layout()
    return figure


def bars(values: dict[str, tuple[str, float]], name: str) -> Any:
    """One horizontal bar for each row, on a logarithmic axis, in the colour of its objective: label to objective and value."""
    plt = pyplot()
    figure, axis = plt.subplots(figsize=(7.0, 0.42 * len(values) + 1))
    colours = [CYCLE[1] if objective == "vlb" else CYCLE[0] for objective, _ in values.values()]
    axis.barh(range(len(values)), [value for _, value in values.values()], color=colours)
    axis.set_yticks(range(len(values)), list(values), fontsize=8)
    axis.invert_yaxis()
    axis.set(xlabel=name, xscale="log")
    figure.tight_layout()
    return figure


def compute(curves: dict[str, list[Any]], metric: str) -> Any:
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
