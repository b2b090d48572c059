"""Training itself: learning curves of the bound, and how noisy its gradient is."""

import csv
from functools import partial
from typing import Any

from difftables import figures_training
from difftables.render.sources import Rendered, Sources, about
from difftables.tables import Cell, Grid, mean_sd

QUARTERS = ("first quarter", "second", "third", "last quarter")
BINS = 5  # of a quarter


def learning(sources: Sources) -> Rendered:
    """The bound seen by the training batches, in quarters of the shortest training, and against the step."""
    spec, cells, lines = sources.spec, list[Cell](), []
    curves = {row["label"]: _bounds(sources.curves[row["run"]]) for row in spec["rows"] if row["run"] in sources.curves}
    shortest = min((points[-1][0] for points in curves.values()), default=0)
    for row in spec["rows"]:
        mine = []
        for i, column in enumerate(QUARTERS):
            cell = Cell(
                spec["paper"], spec["table"], row["label"], column, spec["dataset"] or "", metric="bound in training", status="not-run"
            )
            cell.unit, cell.better = "bits/dim", "lower"
            here = _bins(curves.get(row["label"], []), i * shortest / 4, shortest / 4)
            if here:
                cell.value, sd = mean_sd(here)
                cell.sd, cell.values, cell.status = (sd or 0.0) / len(here) ** 0.5, here, "measured"
                cell.seeds, cell.n, cell.run = "1x1", len(here), sources.curve_runs[row["run"]]
            mine.append(cell)
        cells += mine
        lines.append((row["label"], mine, "own"))
    grid = Grid(spec["layout"]["title"], ["", *QUARTERS], lines, [*about(sources), *spec["layout"]["foot"]])
    return Rendered(cells, grid, partial(figures_training.learning, curves) if curves else None)


def _bins(points: list[tuple[int, float]], start: float, length: float) -> list[float]:
    """Means of BINS equal stretches of steps, so that trainings logged at different intervals pair up; [] where one is empty."""
    found = []
    for i in range(BINS):
        low, high = start + i * length / BINS, start + (i + 1) * length / BINS
        here = [bound for step, bound in points if low < step <= high]
        if not here:
            return []
        found.append(sum(here) / len(here))
    return found


def _bounds(path: Any) -> list[tuple[int, float]]:
    with open(path, newline="") as file:
        return [(int(row["step"]), float(row["bound"])) for row in csv.DictReader(file) if row["bound"]]


def gradients(sources: Sources) -> Rendered:
    """S, the trace of one gradient's covariance, the squared norm of its mean and the noise scale, by net, objective and density."""
    spec, cells, lines, bars = sources.spec, list[Cell](), [], dict[str, float]()
    for row in spec["rows"]:
        for file in (f for f in sources.records if f["shared"]["run"] == row["run"]):
            shared = file["shared"]
            for record in file["records"]:
                density = {"index": "uniform", "loss_aware": "importance sampling"}[record["density"]]
                name = f"{row['label']}: {record['objective']}, {density}"
                trace, signal = noise(record, shared["batch"], shared["batches"])
                found = {"S": mean_sd(trace)[0], "squared norm": signal, "noise scale": mean_sd(trace)[0] / signal if signal > 0 else None}
                mine = []
                for column, value in found.items():
                    cell = Cell(spec["paper"], spec["table"], name, column, spec["dataset"] or "", record["objective"], record["density"])
                    cell.metric, cell.value, cell.n, cell.seeds = column, value, shared["batch"] * shared["batches"], "1x1"
                    cell.run, cell.better = shared["fingerprint"], "lower" if column != "squared norm" else ""
                    if column == "S":
                        cell.values, cell.sd = trace, (mean_sd(trace)[1] or 0.0) / len(trace) ** 0.5
                    mine.append(cell)
                cells += mine
                lines.append((name, [c if c.value is not None else "lost in the noise" for c in mine], "own"))
                if signal > 0:
                    bars[name] = found["noise scale"] or 0.0
    notes = []
    if sources.records:
        shared = sources.records[0]["shared"]
        notes.append(
            f"{shared['batches']} batches of {shared['batch']} samples, and {shared['warm_up']} losses of warm-up for importance sampling; "
            "± of S: standard error over batches."
        )
    for cell in cells:  # objectives and nets differ in scale: only rows of one objective at one net compare in S
        if cell.column == "S":
            cell.column = f"S of {cell.row.rsplit(',', 1)[0]}"
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
