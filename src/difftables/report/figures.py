"""What figures share: style, colours of rows, axes; images in rows; each saved as PNG and SVG with the same bytes every time."""

from collections.abc import Sequence
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


def with_direction(name: str, better: str) -> str:
    """The name of a metric with the direction that is better."""
    return f"{name} ({better} is better)" if better else name


def plain_ticks(axis: Any) -> None:
    """1, 2, 5, 10, ... on a logarithmic value axis."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0)))
    axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())


DECADES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)


def noise_axis(axis: Any, sigmas: Sequence[float]) -> None:
    """sigma on a logarithmic axis, with plain numbers."""
    shown = [tick for tick in DECADES if min(sigmas) * 0.99 <= tick <= max(sigmas) * 1.01]
    axis.set(xscale="log", xlabel=r"$\sigma$")
    axis.minorticks_off()
    axis.set_xticks(shown, [f"{tick:g}" for tick in shown])


def image_rows(rows: dict[str, Any], upscale: int = 6) -> Any:
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


def loss_curves(rows: dict[str, tuple[list[float], list[float]]]) -> Any:
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
