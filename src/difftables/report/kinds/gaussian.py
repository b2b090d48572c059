"""Samplers on the exact Gaussian problem: closed forms."""

from functools import partial
from typing import Any

from difftables.metrics.catalogue import METRICS
from difftables.report.cells import Cell
from difftables.report.figures import CYCLE, MARKS, pyplot
from difftables.report.printing import short, steps_grid
from difftables.report.sources import Rendered, Sources, new_cell

METRIC = METRICS["frechet"].short


def gaussian(sources: Sources) -> Rendered:
    """The error of each sampler against its steps, with a perfect denoiser: what is left is the sampler's own."""
    from difftables.studies.gaussian_problem import Problem, frechet, remainder  # torch takes longer to import than most tables to make

    spec, cells, curves = sources.spec, list[Cell](), dict[str, list[tuple[int, float]]]()
    problem = Problem(**spec["layout"]["problem"])
    floor = remainder(problem)
    for row in spec["rows"]:
        curves[row["label"]] = []
        for steps in spec["steps"]:
            value = frechet(problem, row["rule"], steps, row.get("noisy_end", False))
            cell = new_cell(
                sources, row, str(steps), "frechet", dataset="", method=row["label"], sampler=row["rule"], steps=steps, nfe=steps
            )
            cell.better, cell.value, cell.status = METRICS["frechet"].better, value, "closed-form"
            cells.append(cell)
            curves[row["label"]].append((steps, value))
    notes = [
        f"{METRIC[0].upper() + METRIC[1:]} to the data; columns: steps, which equal calls of the denoiser, which is the exact E[x0 | x]. "
        f"Data: Gaussian, independent at each frequency (i, j) of the DCT of {problem.size} x {problem.size} pixels, their variance "
        f"{problem.variance:g} divided by one plus the squares of i and j. Levels in even steps of t from 1 to 0: blur of "
        f"{problem.strongest:g} px falling linearly to {problem.weakest:g} px; noise of std {problem.highest:g} until t = "
        f"{problem.reached:g}, then falling geometrically to {problem.lowest:g}.",
        f"The level of t = 0 keeps a little blur and noise and is itself {short(floor)} from the data: what each sampler but the naive one "
        "tends to with more steps, and dotted in the plot. Below it a lack of variance makes up for the noise that is left.",
        *spec["layout"]["foot"],
    ]
    draw = partial(draw_errors, curves, METRIC, floor) if cells else None
    return Rendered(cells, steps_grid(spec["layout"]["title"], "frechet", spec["steps"], cells, notes), draw)


def draw_errors(curves: dict[str, list[tuple[int, float]]], metric: str, floor: float) -> Any:
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
