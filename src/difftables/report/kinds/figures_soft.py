"""Plots of Soft Diffusion: how its levels were chosen, and what corrupts a sample against time."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from difftables.report.figures import CYCLE, plain_ticks, pyplot

STYLES = ("-", (0, (5, 2)), (0, (1, 1.5)))


def scheduler(distances: Any, grid: list[float], path: list[int], edges: list[float], longest: float) -> Any:
    """Three panels: distances of all candidates, [K, K], with the path's edges; chosen strength against time; length of each edge.

    Args: grid: strengths of the candidates; path: the chosen ones, by place; edges: between them; longest: the longest allowed.
    """
    plt = pyplot()
    figure, (square, course, lengths) = plt.subplots(1, 3, figsize=(13, 3.6), width_ratios=(1.1, 1, 1))
    half, nodes = 0.5 * (grid[1] - grid[0]), [grid[node] for node in path]
    ends = (grid[0] - half, grid[-1] + half)
    shown = square.imshow(distances, origin="lower", extent=ends * 2, cmap="viridis", interpolation="nearest")
    bar = figure.colorbar(shown, ax=square, label="distance", pad=0.03)
    bar.outline.set_visible(False)
    # A step to the right is an edge, read off at its corner; the step up leads back to the diagonal.
    stairs = [(b, y) for a, b in pairwise(nodes) for y in (a, b)]
    square.plot([nodes[0], *(x for x, _ in stairs)], [nodes[0], *(y for _, y in stairs)], color="white", linewidth=1.0)
    square.set(xlabel="strength", ylabel="strength", title=f"{len(path)} of {len(grid)} candidates", xlim=ends, ylim=ends)
    square.grid(False)
    t = [k / (len(path) - 1) for k in range(len(path))]
    course.plot(t, nodes, marker="o", markersize=3.5, linewidth=1.4, color=CYCLE[0], label="chosen")
    course.plot([0, 1], [nodes[0], nodes[-1]], "--", linewidth=1.2, color=CYCLE[5], label="uniform")
    course.set(xlabel="t", ylabel="strength", title="Strength against time")
    course.legend(fontsize=8)
    lengths.bar(range(1, len(edges) + 1), edges, color=CYCLE[0], width=0.75)
    lengths.axhline(longest, color="black", linestyle=":", linewidth=1.2, label=rf"$\epsilon$ = {longest:.4g}")
    lengths.set(xlabel="edge", ylabel="distance", title="Edges of the path", ylim=(0, 1.25 * max(longest, *edges)))
    lengths.grid(False, axis="x")
    lengths.legend(fontsize=8, loc="upper right")
    figure.tight_layout()
    return figure


@dataclass
class Course:
    """What corrupts a sample against time, t in [0, 1]: a line of each panel, and images at some times."""

    t: list[float]
    std: list[float]
    strength: list[float]
    nodes: list[tuple[float, float]] = field(default_factory=list)  # t and strength, where they were chosen
    strip: Any = None  # uint8 [images, times, C, H, W]


def course(rows: dict[str, Course], times: list[str]) -> Any:
    """Noise and operator strength against time, a line a row; below, the same images and noise under each row's corruption.

    Args: times: of the images, as text.
    """
    plt = pyplot()
    strips = {label: row.strip for label, row in rows.items() if row.strip is not None}
    thumb, top = 7.6 / max(1, len(times)), 3.1
    tall = sum(thumb * len(strip) + 0.16 for strip in strips.values())
    figure = plt.figure(figsize=(9.6, top + 0.9 + tall))
    outer = figure.add_gridspec(2, 1, height_ratios=(top, max(tall, 0.01)), hspace=0.9 / (0.5 * (top + tall)))
    noise, operator = (figure.add_subplot(cell) for cell in outer[0].subgridspec(1, 2, wspace=0.24))
    for i, (label, row) in enumerate(rows.items()):
        # Thinner from row to row: schedules that share a part of their course stay visible under one another.
        look: dict[str, Any] = {"color": CYCLE[i % 8], "linestyle": STYLES[i % 3], "linewidth": max(1.2, 3.0 - 0.4 * i)}
        noise.plot(row.t, row.std, label=label, **look)
        if any(row.strength):
            operator.plot(row.t, row.strength, **look)
        if row.nodes:
            dots: dict[str, Any] = {"markersize": 5, "markeredgecolor": "white", "markeredgewidth": 0.7, "zorder": 3}
            operator.plot(*zip(*row.nodes, strict=True), "o", color=CYCLE[i % 8], label=f"{label}: {len(row.nodes)} nodes", **dots)
    noise.set(xlabel="t", ylabel="std of the noise", yscale="log")
    plain_ticks(noise)
    operator.set(xlabel="t", ylabel="strength of the operator")
    for axis in (noise, operator):
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=7.5, loc="best")
    if strips:
        below = outer[1].subgridspec(len(strips), 1, height_ratios=[len(strip) for strip in strips.values()], hspace=0.1)
        for i, (cell, (label, strip)) in enumerate(zip(below, strips.items(), strict=True)):
            _strip(figure.add_subplot(cell), label, strip, CYCLE[list(rows).index(label) % 8], times if i == 0 else [])
    return figure


def _strip(axis: Any, label: str, images: Any, colour: str, times: list[str]) -> None:
    """Images, [K, times, C, H, W], a row each, with the name in the colour of its line and, where given, times above."""
    tiles, width = tiled(images), images.shape[1]
    axis.imshow(tiles, interpolation="nearest", cmap="gray", vmin=0, vmax=255, extent=(0, width, len(images), 0))
    axis.set_ylabel(label.replace(", ", ",\n"), rotation=0, ha="right", va="center", fontsize=8, color=colour)
    axis.set(xticks=[], yticks=[])
    if times:
        axis.xaxis.tick_top()
        axis.set_xticks([i + 0.5 for i in range(width)], times, fontsize=8)
        axis.tick_params(length=0)
    axis.grid(False)
    axis.spines[:].set_visible(False)


def tiled(images: Any, least: int = 48) -> Any:
    """Images, uint8 [K, P, C, H, W], as one picture of K rows and P columns with white gaps, each at least `least` px wide."""
    from torch.nn.functional import pad

    times = max(1, least // images.shape[-1])
    big = images.repeat_interleave(times, -1).repeat_interleave(times, -2)
    gap = max(1, big.shape[-1] // 24)
    framed = pad(big, (gap, gap, gap, gap), value=255)
    rows, columns, channels, height, width = framed.shape
    return framed.permute(0, 3, 1, 4, 2).reshape(rows * height, columns * width, channels).squeeze(-1).numpy()
