"""Frechet distance and bound against training compute."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

from difftables.common.errors import label as frechet_name
from difftables.metrics.catalogue import short_name
from difftables.report.cells import Cell
from difftables.report.figures import CYCLE, MARKS, plain_ticks, pyplot
from difftables.report.kinds import likelihood
from difftables.report.kinds.summary import measured_cell, measured_notes
from difftables.report.printing import Grid
from difftables.report.sources import Rendered, Sources, net_notes, quoted_numbers
from difftables.report.statistics import mean_sd


def compute(sources: Sources) -> Rendered:
    """Frechet distance and bound against training compute, a line for each width."""
    spec, layout = sources.spec, sources.spec["layout"]
    cells, lines, curves = list[Cell](), [], dict[str, list[tuple[float, Cell, Cell]]]()
    labels = {row["line"]: row["label"] for row in spec["rows"]}
    for row in spec["rows"]:
        file = next((f for f in sources.likelihood if f["shared"]["run"] == row["run"]), None)
        if file is None:
            continue
        shared = file["shared"]
        trained = shared["trained"]
        total = 3 * shared["multiply_adds"] * trained["batch"] * trained["steps"]
        name = f"{row['label']}: {shared['parameters']:,} parameters, {trained['steps']} steps"
        renamed = row | {"label": name}
        frechet, bound = (measured_cell(sources, renamed, {"id": of, "head": short_name(of), "metric": of}) for of in ("fd", "nll"))
        cells += [frechet, bound]
        lines.append((name, [f"{total:.2e}", bound, frechet], "own"))
        curves.setdefault(labels[row["line"]], []).append((total, frechet, bound))
    fits = _fits(sources, [point for points in curves.values() for point in points])
    found = [
        f"{name} = {fit.constant:.3g} + (k C)^{fit.exponent:.2g}, k = 10^{fit.log_rate / math.log(10):.3g}" for name, fit in fits.items()
    ]
    fitted = [f"Fitted here, C the compute: {'; '.join(found)}."] if found else []
    foot = [*fitted, *measured_notes(sources), *likelihood.notes(sources), *net_notes(sources), *layout["foot"]]
    more, notes = quoted_numbers(sources)
    grid = Grid(layout["title"], ["", "compute (multiply-adds)", "NLL", "FD"], lines, [*foot, *notes])
    return Rendered(cells + more, grid, partial(draw_compute, curves, frechet_name(**spec["metric"]), fits) if curves else None)


@dataclass(frozen=True)
class PowerLaw:
    """y = constant + (k C)^exponent.  Args: log_rate: the natural logarithm of k, which itself may be too large or too small to hold."""

    constant: float
    log_rate: float
    exponent: float

    def at(self, compute: float) -> float:
        """y at an amount of compute C."""
        return self.constant + math.exp(self.exponent * (self.log_rate + math.log(compute)))


def power_law(points: list[tuple[float, float]], constant: float) -> PowerLaw | None:
    """The power law through (C, y) with a chosen constant: least squares of log(y - constant) = p (log k + log C).

    Points at or below the constant are left out. None for fewer than three others, or without a slope.

    Source: Nichol and Dhariwal 2021 (Improved DDPM), Fig. 10, whose constants are chosen by hand.
    """
    logs = [(math.log(compute), math.log(y - constant)) for compute, y in points if y > constant]
    if len(logs) < 3:
        return None
    x, y = (mean_sd(list(each))[0] for each in zip(*logs, strict=True))
    spread = math.fsum((each - x) ** 2 for each, _ in logs)
    exponent = math.fsum((each - x) * (value - y) for each, value in logs) / spread if spread else 0.0
    return PowerLaw(constant, y / exponent - x, exponent) if exponent else None


def _fits(sources: Sources, points: list[tuple[float, Cell, Cell]]) -> dict[str, PowerLaw]:
    """Power laws of the Frechet distance and of the bound: above real against real, and above the least bound, rounded down to a tenth."""
    distances = [(spent, cell.value) for spent, cell, _ in points if cell.value is not None]
    bounds = [(spent, cell.value) for spent, _, cell in points if cell.value is not None]
    real = mean_sd(sources.floor["values"])[0] if sources.floor else 0.0
    least = math.floor(10 * min((bound for _, bound in bounds), default=0.0)) / 10
    fits = {"FD": power_law(distances, real), "NLL": power_law(bounds, least)}
    return {name: fit for name, fit in fits.items() if fit is not None}


def power_of_ten(value: float, place: int | None = None) -> str:
    """A tick's value as a digit times a power of ten.  Args: place: of the tick, which matplotlib passes."""
    digit, exponent = f"{value:.0e}".split("e")
    return rf"${digit} \cdot 10^{{{int(exponent)}}}$"


def draw_compute(curves: dict[str, list[Any]], metric: str, fits: dict[str, PowerLaw]) -> Any:
    """Frechet distance and bound against multiply-adds of training, a line for each width, and their power laws dotted.

    Args: curves: label to (compute, cell of the distance, cell of the bound); fits: of FD and NLL.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    plt = pyplot()
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.6))
    for i, (label, points) in enumerate(curves.items()):
        for axis, which in zip(axes, (1, 2), strict=True):
            shown = [(p[0], p[which].value, p[which].sd or 0.0) for p in points if p[which].value is not None]
            if shown:
                x, y, error = zip(*shown, strict=True)
                axis.errorbar(x, y, error, marker=MARKS[i % 8], markersize=5, linewidth=1.3, capsize=2, color=CYCLE[i % 8], label=label)
    spent = [point[0] for points in curves.values() for point in points]
    span = [min(spent) * (max(spent) / min(spent)) ** (i / 60) for i in range(61)]  # a power law bends between few points
    for axis, key in zip(axes, ("FD", "NLL"), strict=True):
        if key in fits:
            axis.plot(span, [fits[key].at(each) for each in span], color="black", linestyle=":", linewidth=1.2, label="power law")
    for axis, name in zip(axes, (metric, "NLL (bits/dim)"), strict=True):
        axis.set(xlabel="multiply-adds of training", ylabel=f"{name}, lower is better", xscale="log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.xaxis.set_major_formatter(FuncFormatter(power_of_ten))
        axis.xaxis.set_minor_formatter(NullFormatter())
    axes[0].set(yscale="log")
    plain_ticks(axes[0])
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    return figure
