"""Samplers on random schedules, as these are and adjusted."""

import random
from collections.abc import Callable
from functools import partial
from typing import Any

from difftables.papers.tables import STATISTICS
from difftables.report.cells import Cell
from difftables.report.figures import STYLES, plain_ticks, pyplot
from difftables.report.printing import Grid
from difftables.report.sources import Rendered, Sources, new_cell
from difftables.report.statistics import mean_sd


def _quantile(q: float) -> Callable[[list[float]], float]:
    return lambda values: sorted(values)[min(len(values) - 1, int(q * len(values)))]


def spread(values: list[float]) -> float:
    """Standard deviation over schedules."""
    return mean_sd(values)[1] or 0.0


def statistics(better: str) -> dict[str, tuple[str, Callable[[list[float]], float]]]:
    """What is said of a metric's values over schedules, by column id: the best, the middle, one in ten that is as bad, their spread."""
    lower = better == "lower"
    tenth = ("90th percentile", _quantile(0.9)) if lower else ("10th percentile", _quantile(0.1))
    found = (("best", min if lower else max), ("median", _quantile(0.5)), tenth, ("spread", spread))
    return dict(zip(STATISTICS, found, strict=True))


def bootstrap(values: list[float], of: Callable[[list[float]], float], draws: int = 400) -> list[float]:
    """A statistic on resampled values; the same schedules are drawn for every row, so that draws pair up."""
    stream = random.Random(0)
    picks = [[stream.randrange(len(values)) for _ in values] for _ in range(draws)]
    return [of([values[i] for i in pick]) for pick in picks]


def robustness(sources: Sources) -> Rendered:
    """Median and spread of the metric over random schedules, as they are and adjusted."""
    spec, cells, lines = sources.spec, list[Cell](), []
    entries = [r for file in sources.records for r in file["records"]]
    if not entries:
        heads = [head for head, _ in statistics("lower").values()]
        return Rendered([], Grid(spec["layout"]["title"], ["", *heads], [], list(spec["layout"]["foot"])))
    shared, groups = sources.records[0]["shared"], dict[str, tuple[str, list[float]]]()
    heads = [head for head, _ in statistics(shared["better"]).values()]
    for line, method in ((line, method) for line in spec["rows"] for method in ("fixed", "adjusted")):
        values = [r["value"] for r in entries if (r["sampler"], r["method"]) == (line["adjusted"], method)]
        if not values:
            continue
        name, row = f"{line['label']}, {method}", list[Cell]()
        groups[name] = (method, values)
        for column, (head, of) in statistics(shared["better"]).items():
            where = {"id": f"{line['id']}-{method}", "label": name}
            cell = new_cell(sources, where, column, shared["id"], head, method=method, sampler=name, steps=shared["steps"])
            cell.nfe, cell.status, cell.better = shared["steps"], "measured", "lower" if column == "spread" else shared["better"]
            cell.metric, cell.n, cell.seeds = shared["metric"], shared["n"], f"{len(sources.records)}x1"
            cell.values, cell.draws = bootstrap(values, of), True
            cell.value, cell.sd = of(values), mean_sd(cell.values)[1]
            cell.run = " ".join(file["shared"]["fingerprint"] for file in sources.records)
            row.append(cell)
        cells += row
        lines.append((name, row, "own"))
    failed = sum(file["shared"]["failed"] for file in sources.records)
    notes = [
        *([f"{failed} samples could not be scored; they are in no mean."] if failed else []),
        f"{shared['metric']} at {shared['steps']} steps over {len(entries) // len(groups)} random schedules, N = {shared['n']} samples "
        "each; ± is the bootstrap standard error; spread is the standard deviation over schedules.",
        *spec["layout"]["foot"],
    ]
    grid = Grid(spec["layout"]["title"], ["", *heads], lines, notes)
    return Rendered(cells, grid, partial(draw_spread, groups, shared["metric"], shared["better"] == "lower"))


def draw_spread(groups: dict[str, tuple[str, list[float]]], metric: str, logarithmic: bool) -> Any:
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
