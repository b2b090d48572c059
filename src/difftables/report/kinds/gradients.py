"""How noisy the gradient of a training is, by net, objective and density of levels."""

from functools import partial
from typing import Any

from difftables.metrics.catalogue import METRICS
from difftables.report.cells import Cell
from difftables.report.figures import CYCLE, MARKS, pyplot
from difftables.report.printing import Grid
from difftables.report.sources import Rendered, Sources, net_notes, new_cell
from difftables.report.statistics import mean_sd

# Ids of what the study of gradients looks at, as papers.study_tables.STUDIED has them, and names of its densities.
OBJECTIVES = {"L_vlb": "vlb", "L_hybrid": "hybrid"}
DENSITIES = {"index": ("uniform", "uniform"), "loss_aware": ("importance", "importance sampling")}


def gradients(sources: Sources) -> Rendered:
    """S, the trace of one gradient's covariance, the squared norm of its mean and the noise scale, by net, objective and density."""
    spec, cells, lines, dots = sources.spec, list[Cell](), [], dict[str, tuple[str, float, float]]()
    for row in spec["rows"]:
        for file in (f for f in sources.records if f["shared"]["run"] == row["run"]):
            shared = file["shared"]
            for record in file["records"]:
                objective, (density, density_name) = OBJECTIVES[record["objective"]], DENSITIES[record["density"]]
                name = f"{row['label']}: {record['objective']}, {density_name}"
                line = {"id": f"{row['id']}-{objective}-{density}", "label": name}
                trace, signal = noise(record, shared["batch"], shared["batches"])
                scale = mean_sd(trace)[0] / signal if signal > 0 else None
                found = {"gradient-trace": mean_sd(trace)[0], "gradient-norm": signal, "noise-scale": scale}
                mine = []
                for metric_id, value in found.items():
                    cell = new_cell(sources, line, metric_id, metric_id, METRICS[metric_id].short, method=record["objective"])
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
                    dots[name] = (objective, scale or 0.0, 1.96 * (mean_sd(trace)[1] or 0.0) / len(trace) ** 0.5 / signal)
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
        [*notes, *net_notes(sources), *spec["layout"]["foot"]],
    )
    return Rendered(cells, grid, partial(draw_dots, dots, "noise scale, samples (lower is better)") if sources.records else None)


def noise(record: dict[str, Any], batch: int, batches: int) -> tuple[list[float], float]:
    """(S seen from each batch, |G|^2), both unbiased, of squared norms at two batch sizes.

    |G|^2 = (B |G_B|^2 - b |G_b|^2) / (B - b),  S = (|G_b|^2 - |G_B|^2) / (1 / b - 1 / B),  B = batches x b

    Source: McCandlish et al. 2018, App. A.
    """
    large = batch * batches
    small = mean_sd(record["squares"])[0]
    trace = [(square - record["whole"]) / (1 / batch - 1 / large) for square in record["squares"]]
    return trace, (large * record["whole"] - batch * small) / (large - batch)


def draw_dots(values: dict[str, tuple[str, float, float]], name: str) -> Any:
    """A dot for each row with the 95 % interval of its S, on a logarithmic axis: label to objective, value and half of the interval."""
    plt = pyplot()
    figure, axis = plt.subplots(figsize=(7.0, 0.42 * len(values) + 1))
    for place, (objective, value, half) in enumerate(values.values()):
        kind = 1 if objective == "vlb" else 0
        axis.errorbar([value], [place], xerr=[[min(half, 0.95 * value)], [half]], fmt=MARKS[kind], color=CYCLE[kind], capsize=3)
    axis.set_yticks(range(len(values)), list(values), fontsize=8)
    axis.invert_yaxis()
    axis.set(xlabel=name, xscale="log")
    figure.tight_layout()
    return figure
