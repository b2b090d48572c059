"""The figure of rule levels: how operator strengths were chosen."""

from itertools import pairwise
from typing import Any

from difftables.report.figures import CYCLE, pyplot


def draw_levels(distances: Any, grid: list[float], path: list[int], edges: list[float], longest: float) -> Any:
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
