"""Figures that are not a grid of samplers and steps: the estimator's error, and robustness to the schedule."""

import random
from collections.abc import Callable
from functools import partial

from difftables.papers.tables import STATISTICS
from difftables.report import figures
from difftables.report.cells import Cell, Grid, mean_sd
from difftables.report.sources import Rendered, Sources, cell_of, literature

TITLES = {"mse-alpha-bar": "MSE of alpha_bar", "mse-log-noise": "MSE of log(1 - alpha_bar)"}


def errors(sources: Sources) -> Rendered:
    """Mean squared error of the estimators against the true level, on held-out samples."""
    spec, cells, lines, curves = sources.spec, list[Cell](), [], {}
    entries = [r for file in sources.records for r in file["records"]]
    names, levels = (list(dict.fromkeys(r[key] for r in entries)) for key in ("estimator", "alpha_bar"))
    for name in names:
        means: dict[str, list[float]] = {key: [] for key in TITLES}
        for metric_id, values in means.items():
            for level in levels:
                here = [r for r in entries if r["estimator"] == name and r["alpha_bar"] == level]
                row = {"id": name.replace("_", "-"), "label": name}
                cell = cell_of(sources, row, f"{level:.6g}", metric_id, f"alpha_bar={level:.6g}", method=name, better="lower")
                cell.status = "measured"
                cell.values = [r[metric_id.replace("-", "_")] for r in here]
                cell.value, cell.sd = mean_sd(cell.values)
                cell.seeds, cell.n = f"{len(here)}x1", here[0]["n"]
                cell.run = " ".join(file["shared"]["fingerprint"] for file in sources.records)
                cells.append(cell)
                values.append(cell.value)
        curves[name] = (levels, means["mse-alpha-bar"], means["mse-log-noise"])
    shown = levels[:: max(1, len(levels) // 6)]
    for metric_id, title in TITLES.items():
        for name in names:
            mine = {c.column_id: c for c in cells if c.row_id == name.replace("_", "-") and c.metric_id == metric_id}
            lines.append((f"{title}, {name}", [mine[f"{level:.6g}"] for level in shown], "own"))
    quotes = literature(sources)
    notes = [
        "Columns: the true 1 - alpha_bar.",
        *(f"Paper, {c.row}: {c.paper_value} ({c.metric}). Source: {c.paper_source}" for c in quotes),
    ]
    grid = Grid(spec["layout"]["title"], ["", *(f"{1 - level:.2g}" for level in shown)], lines, [*notes, *spec["layout"]["foot"]])
    return Rendered(cells + quotes, grid, partial(figures.errors, curves) if curves else None)


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
            cell = cell_of(sources, where, column, shared["id"], head, method=method, sampler=name, steps=shared["steps"])
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
        "each; ± is the bootstrap standard error; spread is the standard deviation over schedules. Bold: best; †: not "
        "distinguishable from it (95 % paired bootstrap interval).",
        *spec["layout"]["foot"],
    ]
    grid = Grid(spec["layout"]["title"], ["", *heads], lines, notes)
    return Rendered(cells, grid, partial(figures.spread, groups, shared["metric"], shared["better"] == "lower"))
