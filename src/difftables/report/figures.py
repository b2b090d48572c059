"""Plots and sample grids, each saved as PNG and SVG with the same bytes every time."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

STYLE: dict[str, Any] = {
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25,
    "figure.dpi": 150, "svg.hashsalt": "difftables", "legend.frameon": False, "svg.fonttype": "none",
}  # fmt: skip


def pyplot() -> Any:
    """matplotlib's pyplot, without a screen and in our style."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    settings: Any = plt.rcParams
    settings.update(STYLE)
    return plt


def save(figure: Any, stem: Path) -> None:
    """Write stem.png and stem.svg whole and close the figure."""
    from difftables.common.files import replacing

    for suffix, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
        with replacing(stem.with_suffix(f".{suffix}")) as temporary:
            figure.savefig(temporary, format=suffix, metadata=metadata, bbox_inches="tight")
    pyplot().close(figure)


CYCLE = ("#2f6fb0", "#c8403c", "#4c9f70", "#d18f1f", "#8d62b3", "#555555", "#17a2b8", "#a05a2c")
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")


# Colour and dashes of rows that stand for one thing in all figures, by the `style` or else the `method` of a row.
STYLES = {
    "fixed": ("#7f7f7f", "-"), "fitted": ("#4c9f70", "-"), "searched": ("#d18f1f", "-"), "adjusted": ("#c8403c", "-"),
    "adjusted-before": ("#c8403c", "--"), "frozen": ("#8d62b3", "-"), "oracle": ("#2f6fb0", "-"),
    "ddim": ("#2f6fb0", "-"), "small": ("#4c9f70", "-"), "large": ("#d18f1f", "-"), "learned": ("#c8403c", "-"),
}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """A row of a table against steps.  Args: style: of STYLES; sds: zero where there is none."""

    label: str
    style: str
    steps: list[int]
    values: list[float]
    sds: list[float]


def colours_of(lines: list[Line]) -> list[str]:
    """The colour of each line of one panel: of its style; where styles do not tell them apart, colours in turn."""
    kinds = [STYLES[line.style][0] for line in lines]
    known = [line for line in lines if line.style != "fixed"]
    if len(set(kinds)) == len(kinds) or 2 * len(known) > len(kinds):
        return kinds
    return [CYCLE[place % len(CYCLE)] for place in range(len(lines))]


def against_steps(
    panels: dict[str, list[Line]], metric: str, floor: float | None, levels: dict[str, list[tuple[str, str, Any]]], shown: int,
    quoted: dict[str, list[Line]],
) -> Any:  # fmt: skip
    """Metric against steps with bands of one sd, a panel per sampler; below, the levels told to the net at `shown` steps.

    Args:
        panels: title to rows; floor: real against real, dotted.
        quoted: a paper's own curves, on an axis of their own.
        levels: title to (label, style, alpha_bar) of rows, alpha_bar [3, steps]: median, 5 and 95 %; a band where samples differ.
    """
    plt = pyplot()
    lines, columns = 1 + bool(levels), len(panels) + len(quoted)
    figure, axes = plt.subplots(lines, columns, figsize=(4.6 * columns, 3.5 * lines), sharey="none" if quoted else "row", squeeze=False)
    for axis, (title, rows) in zip(axes[0], {**panels, **quoted}.items(), strict=True):
        colours = colours_of(rows)
        for row, colour in zip(rows, colours, strict=True):
            dashes = STYLES[row.style][1]
            axis.plot(row.steps, row.values, dashes, marker="o", markersize=3, linewidth=1.4, color=colour, label=_tail(row.label))
            low, high = ([v + sign * s for v, s in zip(row.values, row.sds, strict=True)] for sign in (-1, 1))
            axis.fill_between(row.steps, low, high, color=colour, alpha=0.15, linewidth=0)
        for step in sorted({s for row in rows for s in row.steps} if title not in quoted else ()):
            least, _, colour = min(
                (row.values[row.steps.index(step)], row.label, colour)
                for row, colour in zip(rows, colours, strict=True) if step in row.steps
            )  # fmt: skip
            axis.plot([step], [least], marker="*", markersize=11, color=colour, markeredgecolor="black", markeredgewidth=0.5)
        if floor and title not in quoted:
            axis.axhline(floor, color="black", linestyle=":", linewidth=1, label="real against real")
        ticks = sorted({s for row in rows for s in row.steps})
        axis.set(title=title, xlabel="steps", xscale="log", yscale="log")
        axis.minorticks_off()
        axis.set_xticks(ticks, [str(s) if i == 0 or s > 1.15 * ticks[i - 1] else "" for i, s in enumerate(ticks)])
        plain_ticks(axis)
        beside = columns == 1 and len(rows) > 4  # too many for the inside of one panel
        if rows:
            axis.legend(fontsize=7, **({"loc": "center left", "bbox_to_anchor": (1.02, 0.5)} if beside else {}))
    axes[0][0].set_ylabel(metric)
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


def plain_ticks(axis: Any) -> None:
    """1, 2, 5, 10, ... on a logarithmic value axis."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0)))
    axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())


def _tail(label: str) -> str:
    return label.split(", ", 1)[-1]


def metrics_against_steps(panels: dict[str, list[Line]]) -> Any:
    """A panel for each metric: values against steps with bands of one sd, a line for each row."""
    plt = pyplot()
    columns = 3
    figure, axes = plt.subplots(-(-len(panels) // columns), columns, figsize=(13, 3.6 * -(-len(panels) // columns)), squeeze=False)
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    for axis, (metric, rows) in zip(axes.flat, panels.items(), strict=False):
        for i, row in enumerate(rows):
            dashes, colour = ("-", "--", ":")[i % 3], STYLES[row.style][0]
            axis.plot(row.steps, row.values, dashes, marker="o", markersize=3, linewidth=1.4, color=colour, label=row.label)
            low, high = ([v + sign * s for v, s in zip(row.values, row.sds, strict=True)] for sign in (-1, 1))
            axis.fill_between(row.steps, low, high, color=colour, alpha=0.12, linewidth=0)
        ticks = sorted({s for row in rows for s in row.steps})
        axis.set(title=metric, xlabel="steps", xscale="log")
        axis.minorticks_off()
        axis.set_xticks(ticks, [str(s) for s in ticks], fontsize=7)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=4, fontsize=8, bbox_to_anchor=(0.5, -0.06))
    figure.tight_layout()
    return figure


def spectrograms(rows: dict[str, Any], seconds: float) -> Any:
    """log10 mel power, [bands, frames], of each row on one colour scale.  Args: seconds: between frames."""
    plt = pyplot()
    columns = 3
    lines = -(-len(rows) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(11, 1.7 * lines), sharex=True, sharey=True, squeeze=False)
    for axis in axes.flat[len(rows) :]:
        axis.set_axis_off()
    first = next(iter(rows.values()))
    for axis, (label, picture) in zip(axes.flat, rows.items(), strict=False):
        extent = (0, picture.shape[1] * seconds, 0, len(picture))
        axis.imshow(
            picture, origin="lower", aspect="auto", extent=extent, vmin=first.min(), vmax=first.max(), cmap="magma", interpolation="nearest"
        )
        axis.set_title(label, fontsize=9)
        axis.grid(False)
    for axis in axes[-1]:
        axis.set_xlabel("s")
    for axis in axes[:, 0]:
        axis.set_ylabel("mel band")
    figure.tight_layout()
    return figure


def errors(rows: dict[str, tuple[list[float], list[float], list[float]]]) -> Any:
    """Two panels over 1 - alpha_bar: MSE of alpha_bar and of log(1 - alpha_bar), a line per estimator."""
    plt = pyplot()
    figure, axes = plt.subplots(1, 2, figsize=(8.8, 3.4))
    for axis, which, name in zip(axes, (1, 2), (r"MSE of $\hat\alpha$", r"MSE of $\log(1-\hat\alpha)$"), strict=True):
        for label, row in rows.items():
            axis.plot(
                [1 - a for a in row[0]],
                row[which],
                marker="o",
                markersize=3,
                label=label,
                color=STYLES["adjusted" if label == "estimator" else "oracle"][0],
            )
        axis.set(xlabel=r"$1-\bar\alpha$ (true)", ylabel=name, xscale="log", yscale="log")
        axis.legend(fontsize=8)
    return figure


def spread(groups: dict[str, tuple[str, list[float]]], metric: str, logarithmic: bool) -> Any:
    """A strip of points per group with its median.  Args: groups: label to style, of STYLES, and values."""
    plt = pyplot()
    figure, axis = plt.subplots(figsize=(1.7 * len(groups) + 1, 3.4))
    for i, (style, values) in enumerate(groups.values()):
        shifts = [0.3 * (((j * 0.618034) % 1) - 0.5) for j in range(len(values))]
        axis.plot([i + s for s in shifts], values, "o", markersize=3, alpha=0.6, color=STYLES[style][0])
        axis.plot([i - 0.25, i + 0.25], [sorted(values)[len(values) // 2]] * 2, color="black", linewidth=1.5)
    axis.set_xticks(range(len(groups)), list(groups))
    axis.set(ylabel=metric)
    if logarithmic:
        axis.set(yscale="log")
        plain_ticks(axis)
    return figure


def images(rows: dict[str, Any], upscale: int = 6) -> Any:
    """Rows of images, uint8 [K, C, H, W], a label before each row."""
    from difftables.metrics.torchvision_stub import torchvision_operators

    torchvision_operators()
    from torchvision.utils import make_grid

    plt = pyplot()
    figure, axes = plt.subplots(len(rows), 1, figsize=(8.0, 0.62 * len(rows)), squeeze=False)
    for axis, (label, batch) in zip(axes[:, 0], rows.items(), strict=True):
        big = batch.repeat_interleave(upscale, 2).repeat_interleave(upscale, 3) if batch.shape[-1] < 32 else batch
        axis.imshow(make_grid(big, nrow=len(batch), padding=upscale // 2, pad_value=255).permute(1, 2, 0).numpy())
        axis.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8)
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
        axis.spines[:].set_visible(False)
    figure.subplots_adjust(hspace=0.05)
    return figure


def curves(rows: dict[str, tuple[list[float], list[float]]]) -> Any:
    """Training loss against step, a panel per net."""
    plt = pyplot()
    columns = min(4, len(rows))
    lines = -(-len(rows) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(3.4 * columns, 2.4 * lines), squeeze=False)
    for axis in axes.flat[len(rows) :]:
        axis.set_axis_off()
    for axis, (label, (steps, values)) in zip(axes.flat, rows.items(), strict=False):
        axis.plot(steps, values, linewidth=1.2, color="#2f6fb0")
        axis.set(xlabel="step", ylabel="loss", yscale="log")
        axis.set_title(label, fontsize=8)
    figure.tight_layout()
    return figure
