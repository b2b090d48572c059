"""Solvers, with and without noise, on centred Gaussians: the distribution of their samples in closed form."""

from typing import Any

from difftables.metrics.catalogue import METRICS
from difftables.report.cells import Cell
from difftables.report.kinds.exact_distances import kept_digits
from difftables.report.printing import Grid
from difftables.report.sources import Rendered, Sources, new_cell

HEADS = {"variance-ratio": "variance", "kl": "KL", "w2": "W2"}


def exact_distributions(sources: Sources) -> Rendered:
    """Variance ratio, KL and W2 of each solver's samples at the table's network calls, a grid for each problem."""
    from difftables.studies import exact_errors as exact  # torch takes longer to import than most tables to make
    from difftables.studies.exact_problems import PROBLEMS, TITLES

    layout = sources.spec["layout"]
    span, cells, grids = exact.Range(**layout["levels"]), list[Cell](), list[Grid]()
    asked = [calls for calls in layout["calls"] if not sources.spec["steps"] or calls in sources.spec["steps"]]
    for problem in layout["problems"]:
        lines = list[tuple[str, list[Any], str]]()
        for row in sources.spec["rows"]:
            solver, mine = exact.read_solver(row["solver"]), list[Cell | None]()
            for calls in asked:
                steps = exact.steps_of(solver, calls, span.clean)
                result = None if steps is None else exact.closed(PROBLEMS[problem](), solver, span.even(steps))
                if result is None or result.calls != calls:
                    mine += [None] * len(HEADS)
                    continue
                for metric, value in zip(HEADS, (result.ratio, result.divergence, result.transport), strict=True):
                    cell = new_cell(sources, row, f"{problem}-{calls}", metric, f"{problem}, {calls}", dataset="", method=row["label"])
                    cell.value, cell.status, cell.better = kept_digits(value), "closed-form", METRICS[metric].better
                    cell.sampler, cell.steps, cell.nfe = row["id"], steps or "", calls
                    mine.append(cell)
            cells += [cell for cell in mine if cell is not None]
            lines.append((row["label"], ["-" if cell is None else f"{cell.value:.3g}" for cell in mine], "own"))
        heads = [f"{head}, {calls}" for calls in asked for head in HEADS.values()]
        grids.append(Grid(TITLES[problem], [TITLES[problem], *heads], lines, []))
    levels = layout["levels"]
    grids[-1].notes += [
        "Columns: a measure, and network calls. variance: that of the samples over the exact one, mean over dimensions. KL(samples, exact) "
        "in nats and W2, root mean square, each per dimension. All in closed form: with the exact denoiser of a Gaussian around 0 a solver "
        "is linear in its start and in its noise.",
        f"Levels: even steps in log σ from {levels['highest']:g} to {levels['lowest']:g}"
        f"{', the last step to the clean sample' if levels.get('clean') else ''}; started at the exact distribution of the first. `-`: the "
        "solver has no chain of so many calls.",
        *layout["foot"],
    ]
    grids[0].title = layout["title"]
    return Rendered(cells, grids[0], None, grids[1:])
