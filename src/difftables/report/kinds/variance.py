"""How much training targets vary, level by level, and how far nets are from the exact denoiser."""

from collections.abc import Callable
from functools import partial
from typing import Any

from difftables.common.arithmetic import sum_in_order
from difftables.metrics.catalogue import metric
from difftables.report.cells import Cell
from difftables.report.figures import CYCLE, MARKS, noise_axis, plain_ticks, pyplot
from difftables.report.printing import Grid
from difftables.report.sources import Rendered, Sources, net_notes, new_cell

# Metric, the entry of a record that it is made from, and the name of its line.
LINES = (
    ("v", "variance", "variance of the target"),
    ("d", "denoiser", "D(t), error of the net"),
    ("bias2", "bias2", "bias², source included"),
    ("bias2-without-source", "bias2_without_source", "bias², source left out"),
)


BIASES = ("bias2", "bias2-without-source")
NOTHING = 1e-6  # of the noise: what lies below is shown as such


def in_noise(record: dict[str, Any]) -> float:
    """What turns squares of x0 into units of the noise: 1 / sigma^2 = alpha^2 / std^2, std^2 times what turns them into scores."""
    return (record["alpha"] / record["std"]) ** 2


def in_scores(record: dict[str, Any]) -> float:
    """What turns squares of x0 into squares of scores, alpha^2 / std^4: the score of x given x0 is (alpha x0 - x) / std^2."""
    return record["alpha"] ** 2 / record["std"] ** 4


def _cell(sources: Sources, row: dict[str, Any], column: str, metric_id: str) -> Cell:
    return new_cell(sources, row, column, metric_id, better=metric(metric_id).better, part=row.get("part") or "")


def _fill(cell: Cell, files: list[Any], place: int, key: str, unit: Callable[[dict[str, Any]], float]) -> Cell:
    """Put an entry of the records at one level into a cell: its mean over the training seeds, whose nets see the same noisy samples.

    What asks no net has the same value in each training's record: copies, of which one counts, with its batches.
    """
    files = files if key == "denoiser" else files[:1]
    here = [file["records"][place] for file in files]
    scale = unit(here[0])
    means, errors = zip(*(record[key] for record in here), strict=True)
    # Of several nets the mean of their standard errors: no less than that of their mean, since they share their samples.
    cell.value, cell.sd = (scale * sum_in_order(each) / len(each) for each in (means, errors))
    if len(files) > 1:
        cell.values = [scale * mean for mean in means]
    elif key in here[0]["parts"]:
        cell.values = [scale * sum_in_order(each) / len(each) for each in zip(*(record["parts"][key] for record in here), strict=True)]
    cell.status, cell.seeds, cell.n = "measured", f"{len(files)}x1", files[0]["shared"]["samples"]
    cell.run = " ".join(file["shared"]["fingerprint"] for file in files)
    return cell


def shown(cell: Cell) -> Cell | str:
    """A cell, or in its place that there is nothing to see."""
    return f"< {NOTHING:.0e}" if cell.value is not None and abs(cell.value) + 2 * (cell.sd or 0.0) < NOTHING else cell


def variance(sources: Sources) -> Rendered:
    """V of each row's target and D of its net in units of the noise, level by level; where it has references, the squared bias."""
    spec, cells, lines = sources.spec, list[Cell](), list[tuple[str, list[Any], str]]()
    by_run = {row["run"]: [f for f in sources.records if f["shared"]["run"] == row["run"]] for row in spec["rows"]}
    columns = {f"{r['sigma']:.3g}": r["sigma"] for files in by_run.values() for file in files[:1] for r in file["records"]}
    columns = dict(sorted(columns.items(), key=lambda item: item[1])) or {"all": 1.0}
    panels: dict[str, dict[str, Points]] = {"v": {}, "d": {}}
    for row in spec["rows"]:
        files = by_run[row["run"]]
        places = {f"{record['sigma']:.3g}": place for place, record in enumerate(files[0]["records"])} if files else {}
        for metric_id, key, name in LINES:
            if metric_id in BIASES and not (files and files[0]["records"][0][key]):
                continue
            mine = [_cell(sources, row, column, metric_id) for column in columns]
            filled = [_fill(c, files, places[c.column_id], key, in_noise) if c.column_id in places else c for c in mine]
            cells += filled
            lines.append((f"{row['label']}: {name}", [shown(cell) for cell in filled], "own"))
            if metric_id in panels and files:
                panels[metric_id][row["label"]] = [(columns[c.column_id], c.value, c.sd or 0.0) for c in filled if c.value is not None]
        for column in places:
            cells.append(_fill(_cell(sources, row, column, "v-score"), files, places[column], "variance", in_scores))
    notes = []
    if sources.records:
        shared = sources.records[0]["shared"]
        biased = any(cell.metric_id == "bias2" for cell in cells)
        notes = [
            "Columns: σ = std / α. In units of the noise, squares of x0 over σ², or squares of scores times std²: V, the mean over x of "
            "the target's variance given x; D, the mean squared distance of the net from the exact E[x0 | x] of the data"
            + "; bias², the squared distance of the target's mean from it, by two independent draws of references: it may be negative"
            * biased
            + ".",
            f"Data: all {shared['points']} training images, never flipped; {shared['samples']} noisy samples a level, the same for all "
            "rows. ±: standard error over them, which says nothing of another training. Bold and †, in V and in D: paired t of the means "
            f"of {len(sources.records[0]['records'][0]['parts']['variance'])} parts of the samples.",
        ]
    grid = Grid(spec["layout"]["title"], ["", *columns], lines, [*notes, *net_notes(sources), *spec["layout"]["foot"]])
    first = next(iter(panels["d"]), "")
    titles = {"v": r"V: variance of the target, over $\sigma^2$", "d": f"D: error of the net, over that of {first}"}
    panels["d"] = over_first(panels["d"])
    draw = partial(draw_variance, {titles[metric_id]: rows for metric_id, rows in panels.items()})
    return Rendered(cells, grid, draw if panels["v"] else None)


Points = list[tuple[float, float, float]]  # sigma or step, mean, its error


def over_first(rows: dict[str, Points]) -> dict[str, Points]:
    """Means over those of the first row at the same place: rows that lie on one another are seen apart.

    All rows see the same samples, so that the errors of their means are no errors of the ratio: they are left out.
    """
    first = {place: mean for place, mean, _ in next(iter(rows.values()), [])}
    return {label: [(place, mean / first[place], 0.0) for place, mean, _ in points if first.get(place)] for label, points in rows.items()}


SEEN = 1e-7  # of the largest value of a panel: what lies below is as good as nothing, and would flatten the rest


def draw_variance(panels: dict[str, dict[str, Points]]) -> Any:
    """A panel for each quantity: its mean against sigma, both logarithmic, a line for each row with a band of one standard error."""
    plt = pyplot()
    figure, axes = plt.subplots(1, len(panels), figsize=(4.9 * len(panels), 3.7), squeeze=False, sharex=True)
    labels = list(dict.fromkeys(label for rows in panels.values() for label in rows))
    for axis, (title, rows) in zip(axes[0], panels.items(), strict=True):
        largest = max((mean for points in rows.values() for _, mean, _ in points), default=0.0)
        for label, points in rows.items():
            shown = [point for point in points if point[1] > SEEN * largest]
            if not shown:
                continue
            place = labels.index(label) % 8
            x, means, errors = (list(each) for each in zip(*shown, strict=True))
            look: dict[str, Any] = {"color": CYCLE[place], "marker": MARKS[place], "markersize": 4.5, "linewidth": 1.5}
            axis.plot(x, means, label=label, **look)
            low, high = ([max(m + sign * e, m / 20) for m, e in zip(means, errors, strict=True)] for sign in (-1, 1))
            axis.fill_between(x, low, high, color=CYCLE[place], alpha=0.18, linewidth=0)
        noise_axis(axis, [point[0] for points in rows.values() for point in points] or [1.0])
        axis.set(title=title, yscale="log")
        axis.title.set_fontsize(10)
        low, high = axis.get_ylim()
        if high < 2 * low:
            axis.set_yscale("linear")
        elif high < 100 * low:
            plain_ticks(axis)
    handles, names = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=min(4, max(1, len(names))), fontsize=8)
    figure.tight_layout()
    return figure
