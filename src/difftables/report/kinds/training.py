"""Training itself: learning curves of the bound, and how noisy its gradient is."""

import csv
from functools import partial
from typing import Any

from difftables.common.arithmetic import sum_in_order
from difftables.metrics.catalogue import METRICS
from difftables.papers.tables import QUARTERS
from difftables.report.cells import Cell, Grid, mean_sd
from difftables.report.kinds import figures_training
from difftables.report.sources import Rendered, Sources, about, cell_of

HEADS = ("first quarter", "second", "third", "last quarter")  # of QUARTERS
BINS = 5  # of a quarter
# Ids of what the study of gradients looks at, as paper_tables.STUDIED has them, and names of its densities.
OBJECTIVES = {"L_vlb": "vlb", "L_hybrid": "hybrid"}
DENSITIES = {"index": ("uniform", "uniform"), "loss_aware": ("importance", "importance sampling")}


def learning(sources: Sources) -> Rendered:
    """The bound seen by the training batches, in quarters of the shortest training, and against the step."""
    spec, cells, lines = sources.spec, list[Cell](), []
    curves = {row["label"]: _bounds(sources.curves[row["run"]]) for row in spec["rows"] if row["run"] in sources.curves}
    shortest = min((points[-1][0] for points in curves.values()), default=0)
    for row in spec["rows"]:
        mine = []
        for i, (column, head) in enumerate(zip(QUARTERS, HEADS, strict=True)):
            cell = cell_of(sources, row, column, "bound", head, unit="bits/dim", better="lower")
            here = _bins(curves.get(row["label"], []), i * shortest / 4, shortest / 4)
            if here:
                cell.value, sd = mean_sd(here)
                cell.sd, cell.values, cell.status = (sd or 0.0) / len(here) ** 0.5, here, "measured"
                cell.seeds, cell.n, cell.run = "1x1", len(here), sources.curve_runs[row["run"]]
            mine.append(cell)
        cells += mine
        lines.append((row["label"], mine, "own"))
    grid = Grid(spec["layout"]["title"], ["", *HEADS], lines, [*about(sources), *spec["layout"]["foot"]])
    return Rendered(cells, grid, partial(figures_training.learning, curves) if curves else None)


def _bins(points: list[tuple[int, float]], start: float, length: float) -> list[float]:
    """Means of BINS equal stretches of steps, so that trainings logged at different intervals pair up; [] where one is empty."""
    found = []
    for i in range(BINS):
        low, high = start + i * length / BINS, start + (i + 1) * length / BINS
        here = [bound for step, bound in points if low < step <= high]
        if not here:
            return []
        found.append(sum_in_order(here) / len(here))
    return found


def _bounds(path: Any) -> list[tuple[int, float]]:
    with open(path, newline="") as file:
        return [(int(row["step"]), float(row["bound"])) for row in csv.DictReader(file) if row["bound"]]


def gradients(sources: Sources) -> Rendered:
    """S, the trace of one gradient's covariance, the squared norm of its mean and the noise scale, by net, objective and density."""
    spec, cells, lines, bars = sources.spec, list[Cell](), [], dict[str, tuple[str, float]]()
    for row in spec["rows"]:
        for file in (f for f in sources.records if f["shared"]["run"] == row["run"]):
            shared = file["shared"]
            for record in file["records"]:
                objective, (density, said) = OBJECTIVES[record["objective"]], DENSITIES[record["density"]]
                name = f"{row['label']}: {record['objective']}, {said}"
                line = {"id": f"{row['id']}-{objective}-{density}", "label": name}
                trace, signal = noise(record, shared["batch"], shared["batches"])
                scale = mean_sd(trace)[0] / signal if signal > 0 else None
                found = {"gradient-trace": mean_sd(trace)[0], "gradient-norm": signal, "noise-scale": scale}
                mine = []
                for metric_id, value in found.items():
                    cell = cell_of(sources, line, metric_id, metric_id, METRICS[metric_id].short, method=record["objective"])
                    cell.sampler, cell.status, cell.better = record["density"], "measured", METRICS[metric_id].better
                    cell.value, cell.n, cell.seeds = value, shared["batch"] * shared["batches"], "1x1"
                    cell.run = shared["fingerprint"]
                    if metric_id == "gradient-trace":
                        # Objectives and nets differ in scale: only rows of one objective at one net compare in S.
                        cell.column, cell.column_id = f"S of {row['label']}: {record['objective']}", f"{row['id']}-{objective}"
                        cell.values, cell.sd = trace, (mean_sd(trace)[1] or 0.0) / len(trace) ** 0.5
                    mine.append(cell)
                cells += mine
                lines.append((name, [c if c.value is not None else "lost in the noise" for c in mine], "own"))
                if signal > 0:
                    bars[name] = (objective, scale or 0.0)
    notes = []
    if sources.records:
        shared = sources.records[0]["shared"]
        notes.append(
            f"{shared['batches']} batches of {shared['batch']} samples, and {shared['warm_up']} losses of warm-up for importance sampling; "
            "± of S: standard error over batches."
        )
    grid = Grid(
        spec["layout"]["title"],
        ["", "S", "squared norm", "noise scale (samples)"],
        lines,
        [*notes, *about(sources), *spec["layout"]["foot"]],
    )
    return Rendered(cells, grid, partial(figures_training.bars, bars, "noise scale (samples)") if sources.records else None)


def noise(record: dict[str, Any], batch: int, batches: int) -> tuple[list[float], float]:
    """(S seen from each batch, |G|^2), both unbiased, of squared norms at two batch sizes.

    |G|^2 = (B |G_B|^2 - b |G_b|^2) / (B - b),  S = (|G_b|^2 - |G_B|^2) / (1 / b - 1 / B),  B = batches x b

    Source: McCandlish et al. 2018, App. A.
    """
    large = batch * batches
    small = mean_sd(record["squares"])[0]
    trace = [(square - record["whole"]) / (1 / batch - 1 / large) for square in record["squares"]]
    return trace, (large * record["whole"] - batch * small) / (large - batch)
