"""Plots of chains: the bound's terms, its value against network calls, and schedules."""

from typing import Any

from difftables.report.figures import CYCLE, MARKS, pyplot


def terms(curves: dict[str, list[float]]) -> Any:
    """Each term of the bound against its timestep, and their running sum from t = 1 on."""
    plt = pyplot()
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.8))
    for i, (label, values) in enumerate(curves.items()):
        t, style, sums = range(1, len(values) + 1), ("-", "--", ":")[i % 3], list[float]()
        for value in values:
            sums.append(value + (sums[-1] if sums else 0.0))
        axes[0].plot(t, values, style, linewidth=1.4, color=CYCLE[i % 8], label=label)
        axes[1].plot(t, sums, style, linewidth=1.4, color=CYCLE[i % 8], label=label)
    axes[0].set(xlabel="t", ylabel="term (bits/dim)", xscale="log", yscale="log")
    axes[1].set(xlabel="t", ylabel="sum of the terms up to t (bits/dim)", xscale="log")
    axes[0].legend(fontsize=7)
    figure.tight_layout()
    return figure


def against_calls(curves: dict[str, tuple[bool, list[tuple[int, float, float]]]]) -> Any:
    """Bound against the number of network calls, with bands of one standard error; cut off at 2.2 times the lowest.

    Args: curves: label to whether the chain is an even stride, dashed, and points (calls, bound, error).
    """
    plt = pyplot()
    figure, axis = plt.subplots(figsize=(7.2, 4.0))
    for i, (label, (even, points)) in enumerate(curves.items()):
        calls, values, errors = zip(*points, strict=True)
        axis.plot(
            calls,
            values,
            "--" if even else "-",
            marker=MARKS[i % 8],
            markersize=4,
            linewidth=1.3,
            color=CYCLE[i % 8],
            label=label,
        )
        low, high = ([v + sign * e for v, e in zip(values, errors, strict=True)] for sign in (-1, 1))
        axis.fill_between(calls, low, high, color=CYCLE[i % 8], alpha=0.12, linewidth=0)
    axis.set(xlabel="network calls", ylabel="NLL (bits/dim)", xscale="log")
    least = min(value for _, points in curves.values() for _, value, _ in points)
    axis.set_ylim(0.95 * least, 2.2 * least)
    ticks = sorted({calls for _, points in curves.values() for calls, _, _ in points})
    spaced = [tick for i, tick in enumerate(ticks) if i == 0 or tick > 1.15 * ticks[i - 1]]
    axis.minorticks_off()
    axis.set_xticks(spaced, [str(tick) for tick in spaced])
    axis.legend(fontsize=7)
    figure.tight_layout()
    return figure


def ratio(values: list[float], over: str, under: str) -> Any:
    """The ratio of two nets' terms at each timestep; below one the first net is better."""
    plt = pyplot()
    figure, axis = plt.subplots(figsize=(6.4, 3.2))
    axis.plot(range(1, len(values) + 1), values, linewidth=1.4, color=CYCLE[0])
    axis.axhline(1.0, color="black", linestyle=":", linewidth=1)
    axis.set(xlabel="t", ylabel=f"term of {over}\nover that of {under}", yscale="log")
    figure.tight_layout()
    return figure


def schedules(alpha_bar: dict[str, list[float]], ratios: dict[str, list[float]]) -> Any:
    """alpha_bar against t / T, and the ratio of the posterior's variance to beta."""
    plt = pyplot()
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.4))
    for i, (label, values) in enumerate(alpha_bar.items()):
        total = len(values)
        place = [t / total for t in range(1, total + 1)]
        axes[0].plot(place, values, linewidth=1.6, color=CYCLE[i % 8], linestyle=("-", "--", ":")[i % 3], label=f"{label} (T = {total})")
        axes[1].plot(place[1:], ratios[label][1:], linewidth=1.6, color=CYCLE[i % 8], linestyle=("-", "--", ":")[i % 3], label=label)
    axes[0].set(xlabel="t / T", ylabel=r"$\bar\alpha_t$")
    axes[1].set(xlabel="t / T", ylabel=r"$\tilde\beta_t\,/\,\beta_t$", xscale="log")
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    return figure
