"""Bits per dimension: whole chains, shorter ones, and the terms behind them."""

from collections.abc import Callable
from functools import partial
from typing import Any

from difftables.common.arithmetic import sum_in_order
from difftables.papers.tables import TERMS
from difftables.report.cells import Cell
from difftables.report.figures import CYCLE, MARKS, plain_ticks, pyplot
from difftables.report.printing import Grid
from difftables.report.sources import Rendered, Sources, net_notes, new_cell
from difftables.report.statistics import mean_sd

PARTS = dict(zip(TERMS, ("t = 1", "t = 2 .. T/10", "t > T/10", "prior", "NLL"), strict=True))


def measured(cell: Cell, sources: Sources, row: dict[str, Any], stride: str = "even", steps: int | None = None) -> Cell:
    """Fill a cell with the bound of a row's run: a value for each image, their mean, and its standard error as sd.

    The row says the variance, or the net decides; steps: None takes the whole chain.
    """
    files = [file for file in sources.likelihood if file["shared"]["run"] == row["run"]]
    found = []
    for file in files:
        shared = file["shared"]
        wanted = (stride, steps or shared["chain"], row.get("variance", shared["variance"]))
        if stride == "dense" and wanted[1] == shared["chain"]:
            wanted = ("even", *wanted[1:])
        found += [r for r in file["records"] if (r["stride"], r["steps"], r["variance"]) == wanted]
    if not found:
        return cell
    shared = files[0]["shared"]
    cell.values = [value for record in found for value in record["values"]]
    cell.value, sd = mean_sd(cell.values)
    cell.sd = (sd or 0.0) / len(cell.values) ** 0.5
    cell.status, cell.unit, cell.better = "measured", shared["unit"], "lower"
    cell.nfe, cell.n, cell.seeds, cell.steps = found[0]["nfe"], shared["n"], f"{len(files)}x1", found[0]["steps"]
    cell.run = " ".join(file["shared"]["fingerprint"] for file in files)
    return cell


def notes(sources: Sources) -> list[str]:
    """What the bits per dimension of a table were measured on."""
    if not sources.likelihood:
        return []
    shared = sources.likelihood[0]["shared"]
    text = (
        f"NLL: variational bound in bits/dim on {shared['n']} held-out images, one draw of noise, ± standard error over images; "
        "differences are judged image by image (95 % paired t interval), which says nothing of another training."
    )
    learned = [file["shared"] for file in sources.likelihood if file["shared"]["v"]]
    lowest, highest = (of([s["v"][key] for s in learned]) if learned else 0.0 for of, key in ((min, "lowest"), (max, "highest")))
    outside = max((s["v"]["outside"] for s in learned), default=0.0)
    learned_note = (
        f"The learned v runs from {lowest:.2f} to {highest:.2f} on these, and is outside [0, 1] {100 * outside:.2g} % of the time at most."
    )
    return [text, *([learned_note] if learned else [])]


def chains(sources: Sources) -> Rendered:
    """Bound of shorter chains: rows by variance and stride, columns by steps."""
    spec, cells, lines, curves = sources.spec, list[Cell](), [], dict[str, Any]()
    for row in spec["rows"]:
        mine = []
        for steps in spec["steps"]:
            cell = new_cell(sources, row, str(steps), "nll", method=row["stride"], sampler=row["variance"], steps=steps)
            mine.append(measured(cell, sources, row, row["stride"], steps))
        cells += mine
        lines.append((row["label"], mine, "own"))
        points = sorted((int(c.nfe), c.value, c.sd or 0.0) for c in mine if c.value is not None)  # by calls: a dense chain may have more
        curves |= {row["label"]: (row["stride"] == "even", points)} if points else {}
    grid = Grid(
        spec["layout"]["title"], ["", *map(str, spec["steps"])], lines, [*notes(sources), *net_notes(sources), *spec["layout"]["foot"]]
    )
    return Rendered(cells, grid, partial(draw_against_calls, curves) if sources.likelihood else None)


def terms(sources: Sources) -> Rendered:
    """The bound, part by part, and every term against the timestep."""
    spec, cells, lines, curves = sources.spec, list[Cell](), [], dict[str, Any]()
    for row in spec["rows"]:
        file = next((file for file in sources.likelihood if file["shared"]["run"] == row["run"]), None)
        mine = [new_cell(sources, row, column, "nll", head, unit="bits/dim", better="lower") for column, head in PARTS.items()]
        if file is not None:
            shared, values = file["shared"], file["profile"]["terms"][row.get("variance", file["shared"]["variance"])]
            tenth = -(-len(values) // 10)
            split = [values[0], sum_in_order(values[1:tenth]), sum_in_order(values[tenth:]), shared["prior"]]
            for cell, value in zip(mine, [*split, sum_in_order(split)], strict=True):
                cell.value, cell.values, cell.status = value, [value], "measured"
                cell.n, cell.seeds, cell.run, cell.nfe = shared["n"], "1x1", shared["fingerprint"], shared["chain"]
            curves[row["label"]] = values
        cells += mine
        lines.append((row["label"], mine, "own"))
    grid = Grid(spec["layout"]["title"], ["", *PARTS.values()], lines, [*notes(sources), *net_notes(sources), *spec["layout"]["foot"]])
    return Rendered(cells, grid, partial(draw_terms, curves) if curves else None)


def ratio(sources: Sources) -> Callable[[], Any] | None:
    """What draws the ratio of two runs' terms at each timestep, where a layout asks for it, or None."""
    parts = sources.spec["layout"].get("ratio")
    rows = {row["id"]: row for row in sources.spec["rows"]}
    files = {file["shared"]["run"]: file for file in sources.likelihood}
    if not parts or any(rows[part]["run"] not in files for part in parts):
        return None
    over, under = (files[rows[part]["run"]]["profile"]["terms"]["learned"] for part in parts)
    names = [rows[part]["label"] for part in parts]
    return partial(draw_ratio, [a / b for a, b in zip(over, under, strict=True)], *names)


def draw_against_calls(curves: dict[str, tuple[bool, list[tuple[int, float, float]]]]) -> Any:
    """Bound against the number of network calls, with bands of one standard error, both logarithmic.

    Args: curves: label to whether the chain is an even stride, dashed, and points (calls, bound, error).
    """
    plt = pyplot()
    figure, axis = plt.subplots(figsize=(8.8, 4.0))
    for i, (label, (even, points)) in enumerate(curves.items()):
        calls, values, errors = zip(*points, strict=True)
        axis.plot(
            calls,
            values,
            "--" if even else "-",
            marker=MARKS[i % 8],
            markersize=4,
            linewidth=1.3,
            color=CYCLE[i % 8],
            label=label,
        )
        low, high = ([v + sign * e for v, e in zip(values, errors, strict=True)] for sign in (-1, 1))
        axis.fill_between(calls, low, high, color=CYCLE[i % 8], alpha=0.12, linewidth=0)
    axis.set(xlabel="network calls", ylabel="NLL, bits/dim (lower is better)", xscale="log", yscale="log")
    ticks = sorted({calls for _, points in curves.values() for calls, _, _ in points})
    spaced = [tick for i, tick in enumerate(ticks) if i == 0 or tick > 1.15 * ticks[i - 1]]
    axis.minorticks_off()
    axis.set_xticks(spaced, [str(tick) for tick in spaced])
    plain_ticks(axis)
    axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.02, 0.5))
    figure.tight_layout()
    return figure


def draw_terms(curves: dict[str, list[float]]) -> Any:
    """Each term of the bound against its timestep, and their running sum from t = 1 on."""
    plt = pyplot()
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.8))
    for i, (label, values) in enumerate(curves.items()):
        t, style, sums = range(1, len(values) + 1), ("-", "--", ":")[i % 3], list[float]()
        for value in values:
            sums.append(value + (sums[-1] if sums else 0.0))
        axes[0].plot(t, values, style, linewidth=1.4, color=CYCLE[i % 8], label=label)
        axes[1].plot(t, sums, style, linewidth=1.4, color=CYCLE[i % 8], label=label)
    axes[0].set(xlabel="t", ylabel="term (bits/dim)", xscale="log", yscale="log")
    axes[1].set(xlabel="t", ylabel="sum of the terms up to t (bits/dim)", xscale="log")
    axes[0].legend(fontsize=7)
    figure.tight_layout()
    return figure


def draw_ratio(values: list[float], over: str, under: str) -> Any:
    """The ratio of two nets' terms at each timestep; below one the first net is better."""
    plt = pyplot()
    figure, axis = plt.subplots(figsize=(6.4, 3.2))
    axis.plot(range(1, len(values) + 1), values, linewidth=1.4, color=CYCLE[0])
    axis.axhline(1.0, color="black", linestyle=":", linewidth=1)
    axis.set(xlabel="t", ylabel=f"term of {over}\nover that of {under}", yscale="log")
    low, high = axis.get_ylim()
    ticks = [tick for tick in (0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0) if low <= tick <= high]
    axis.minorticks_off()
    axis.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    figure.tight_layout()
    return figure
