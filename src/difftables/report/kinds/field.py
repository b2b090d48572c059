"""Stable Target Field: variance and bias of targets level by level, and metrics during training."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from difftables.common.arithmetic import sum_in_order
from difftables.common.errors import label as metric_name
from difftables.metrics.catalogue import metric
from difftables.report.cells import Cell, Grid, mean_sd
from difftables.report.kinds import figures_field
from difftables.report.kinds.figures_field import Points
from difftables.report.sources import Rendered, Sources, about, cell_of, quotes
from difftables.report.summary import measured_notes, own

# Metric, the entry of a record that it is made from, and the name of its line.
LINES = (
    ("v", "variance", "variance of the target"),
    ("d", "denoiser", "D(t), error of the net"),
    ("bias2", "bias2", "bias², source included"),
    ("bias2-without-source", "bias2_without_source", "bias², source left out"),
)
BIASES = ("bias2", "bias2-without-source")
NOTHING = 1e-6  # of the noise: what lies below is shown as such
LAST, SELECTED = "last, mean", "best checkpoint and seed (as authors select)"


def in_noise(record: dict[str, Any]) -> float:
    """What turns squares of x0 into units of the noise: 1 / sigma^2 = alpha^2 / std^2, std^2 times what turns them into scores."""
    return (record["alpha"] / record["std"]) ** 2


def in_scores(record: dict[str, Any]) -> float:
    """What turns squares of x0 into squares of scores, alpha^2 / std^4: the score of x given x0 is (alpha x0 - x) / std^2."""
    return record["alpha"] ** 2 / record["std"] ** 4


def _cell(sources: Sources, row: dict[str, Any], column: str, metric_id: str) -> Cell:
    return cell_of(sources, row, column, metric_id, better=metric(metric_id).better, part=row.get("part") or "")


def _fill(cell: Cell, files: list[Any], place: int, key: str, unit: Callable[[dict[str, Any]], float]) -> Cell:
    """Put an entry of the records at one level into a cell: its mean over the training seeds, whose nets see the same noisy samples."""
    here = [file["records"][place] for file in files]
    scale = unit(here[0])
    means, errors = zip(*(record[key] for record in here), strict=True)
    # Of several nets the mean of their standard errors: no less than that of their mean, since they share their samples.
    cell.value, cell.sd = (scale * sum_in_order(each) / len(each) for each in (means, errors))
    if key in here[0]["parts"]:
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
    grid = Grid(spec["layout"]["title"], ["", *columns], lines, [*notes, *about(sources), *spec["layout"]["foot"]])
    titles = {"v": r"V: variance of the target, over $\sigma^2$", "d": r"D: error of the net, over $\sigma^2$"}
    draw = partial(figures_field.variance, {titles[metric_id]: rows for metric_id, rows in panels.items()})
    return Rendered(cells, grid, draw if panels["v"] else None)


def progress(sources: Sources) -> Rendered:
    """The Frechet distance at checkpoints of each training, at the last, and at the best checkpoint and sampling seed."""
    spec, named = sources.spec, metric_name(**sources.spec["metric"])
    found: dict[str, dict[int, Cell]] = {}
    labels = {row["line"]: row["label"] for row in spec["rows"]}
    for row in spec["rows"]:
        step = spec["about"][row["run"]]["steps"] if row["run"] else row.get("at", 0)
        # Of several numbers of sampling steps, the largest: one line is one way to sample.
        column = {"id": str(step or "last"), "head": str(step or LAST), "metric": "fd"}
        cell = own(sources, row | {"id": row["line"], "steps": row["steps"][-1:]}, column)
        found.setdefault(row["line"], {})[step] = cell
    steps = sorted({step for by_step in found.values() for step in by_step if step})
    cells, lines, picks, curves = list[Cell](), list[tuple[str, list[Any], str]](), [], dict[str, Points]()
    for line, by_step in found.items():
        name, last = labels[line], replace(by_step[max(by_step)], column=LAST, column_id="last")
        best, pick = _selected(list(by_step.values()), named)
        cells += [*(cell for step, cell in by_step.items() if step), last, best]
        lines.append((name, [*(by_step.get(step) for step in steps), last, best], "own"))
        picks += [f"{name}, {pick}"] if pick else []
        points = [(float(step), cell.value, cell.sd or 0.0) for step, cell in sorted(by_step.items()) if cell.value is not None]
        curves |= {name: points} if points else {}
    more, quoted = quotes(sources)
    said = [
        f"Columns: training steps. {LAST[0].upper() + LAST[1:]}: over all seeds at the last checkpoint. Best: the smallest single value "
        "over checkpoints and seeds, as papers that report the best checkpoint select it; a minimum of noisy numbers, so too low, and "
        f"never compared: {'; '.join(picks)}."
    ] if picks else []  # fmt: skip
    firsts = {row["line"]: row["run"] for row in reversed(spec["rows"]) if row["run"]}
    told = {run: {key: value for key, value in spec["about"][run].items() if key != "steps"} for run in reversed(firsts.values())}
    nets = about(replace(sources, spec=spec | {"about": told}))
    foot = [*said, *measured_notes(sources), *nets, *spec["layout"]["foot"], *quoted]
    grid = Grid(spec["layout"]["title"], ["", *map(str, steps), LAST, SELECTED], lines, foot)
    floor = mean_sd(sources.floor["values"])[0] if sources.floor else None
    return Rendered(cells + more, grid, partial(figures_field.progress, curves, named, floor) if curves else None)


def _selected(cells: list[Cell], named: str) -> tuple[Cell, str]:
    """The smallest value of any seed in any cell, as a cell of its own metric, which none is compared with; and where it was found."""
    fields: dict[str, Any] = {"column": SELECTED, "column_id": "selected", "metric": f"{named}, selected", "metric_id": "fd:selected"}
    fields["better"] = ""
    seen = [(value, seed, cell) for cell in cells for seed, value in enumerate(cell.values)]
    if not seen:
        return replace(cells[-1], **fields, value=None, sd=None, values=[]), ""
    value, seed, cell = min(seen, key=lambda each: each[0])
    best = replace(cell, **fields, value=value, sd=None, values=[], seeds="1x1")
    return best, f"step {cell.column}, value {seed + 1} of {len(cell.values)}"
