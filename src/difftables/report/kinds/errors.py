"""The errors of noise-level estimators, level by level."""

from functools import partial
from typing import Any

from difftables.report.cells import Cell
from difftables.report.figures import STYLES, pyplot
from difftables.report.printing import Grid
from difftables.report.sources import Rendered, Sources, literature_cells, new_cell
from difftables.report.statistics import mean_sd

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
                cell = new_cell(sources, row, f"{level:.6g}", metric_id, f"alpha_bar={level:.6g}", method=name, better="lower")
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
    quotes = literature_cells(sources)
    notes = [
        "Columns: the true 1 - alpha_bar.",
        *(f"Paper, {c.row}: {c.paper_value} ({c.metric}). Source: {c.paper_source}" for c in quotes),
    ]
    grid = Grid(spec["layout"]["title"], ["", *(f"{1 - level:.2g}" for level in shown)], lines, [*notes, *spec["layout"]["foot"]])
    return Rendered(cells + quotes, grid, partial(draw_errors, curves) if curves else None)


def draw_errors(rows: dict[str, tuple[list[float], list[float], list[float]]]) -> Any:
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
