"""Figures that are not a grid of samplers and steps: the estimator's error, and robustness to the schedule."""

import random
from collections.abc import Callable
from functools import partial

from difftables import figures
from difftables.render.sources import Rendered, Sources, literature
from difftables.tables import Cell, Grid, mean_sd


def errors(sources: Sources) -> Rendered:
    """Mean squared error of the estimators against the true level, on held-out samples."""
    spec, cells, lines, curves = sources.spec, list[Cell](), [], {}
    entries = [r for file in sources.records for r in file["records"]]
    names, levels = (list(dict.fromkeys(r[key] for r in entries)) for key in ("estimator", "alpha_bar"))
    for name in names:
        means: dict[str, list[float]] = {"mse_alpha_bar": [], "mse_log_noise": []}
        for metric, values in means.items():
            for level in levels:
                here = [r for r in entries if r["estimator"] == name and r["alpha_bar"] == level]
                cell = Cell(
                    spec["paper"], spec["table"], name, f"alpha_bar={level:.6g}", spec["dataset"], name, metric=metric, better="lower"
                )
                cell.values = [r[metric] for r in here]
                cell.value, cell.sd = mean_sd(cell.values)
                cell.seeds, cell.n = f"{len(here)}x1", here[0]["n"]
                cell.run = " ".join(file["shared"]["fingerprint"] for file in sources.records)
                cells.append(cell)
                values.append(cell.value)
        curves[name] = (levels, means["mse_alpha_bar"], means["mse_log_noise"])
    shown = levels[:: max(1, len(levels) // 6)]
    for metric, title in (("mse_alpha_bar", "MSE of alpha_bar"), ("mse_log_noise", "MSE of log(1 - alpha_bar)")):
        for name in names:
            mine = {c.column: c for c in cells if c.row == name and c.metric == metric}
            lines.append((f"{title}, {name}", [mine[f"alpha_bar={level:.6g}"] for level in shown], "own"))
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


def statistics(better: str) -> dict[str, Callable[[list[float]], float]]:
    """What is said of a metric's values over schedules: the best, the middle, one in ten that is as bad, and their spread."""
    lower = better == "lower"
    return {
        "best": min if lower else max, "median": _quantile(0.5),
        "90th percentile" if lower else "10th percentile": _quantile(0.9 if lower else 0.1), "spread": spread,
    }  # fmt: skip


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
        return Rendered([], Grid(spec["layout"]["title"], ["", *statistics("lower")], [], list(spec["layout"]["foot"])))
    shared, groups = sources.records[0]["shared"], dict[str, list[float]]()
    for name in dict.fromkeys(r["sampler"] for r in entries):
        values = groups[name] = [r["value"] for r in entries if r["sampler"] == name]
        row = []
        for column, of in statistics(shared["better"]).items():
            cell = Cell(
                spec["paper"], spec["table"], name, column, spec["dataset"], name.split(", ")[1], name, shared["steps"], shared["steps"]
            )
            cell.better = "lower" if column == "spread" else shared["better"]
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
    grid = Grid(spec["layout"]["title"], ["", *statistics(shared["better"])], lines, notes)
    return Rendered(cells, grid, partial(figures.spread, groups, shared["metric"], shared["better"] == "lower"))
