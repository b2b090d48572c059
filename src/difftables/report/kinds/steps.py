"""Rows by samplers, columns by step counts; and the samples themselves."""

from functools import partial
from typing import Any

from difftables.common.errors import label
from difftables.common.files import load_tensors
from difftables.report import figures
from difftables.report.cells import Cell, fill, mean_sd, quote, steps_grid
from difftables.report.sources import Rendered, Sources, about, cell_of, literature, named, quotes

SHOWN = 16  # images of a row in a sample grid


def cells_of(sources: Sources, metric: str) -> list[Cell]:
    """A cell for each row, step count and metric that was measured; not-run ones for rows without records."""
    spec, cells = sources.spec, list[Cell]()
    for row in spec["rows"]:
        files = [f for f in sources.records if (f["shared"]["sampler"], f["shared"]["run"]) == (row["sampler"], row["run"])]
        metrics = {r["id"]: r["metric"] for file in files for r in file["records"]} or {"fd": metric}
        for steps in spec["steps"]:
            found = sources.reported.find(row["paper"], steps) if "paper" in row else []
            for metric_id, name in metrics.items():
                here = [r for file in files for r in file["records"] if r["id"] == metric_id and r["steps"] == steps]
                cell = cell_of(sources, row, str(steps), metric_id, method=row.get("method", ""), sampler=named(sources, row), steps=steps)
                cell.metric, cell.part = name, row.get("part") or ""
                theirs = [number for number in found if number.metric_id == "fid"]
                if theirs and metric_id == "fd":
                    quote(cell, theirs[0])
                if here:
                    fill(cell, here, files)
                cells.append(cell)
    return cells


def steps(sources: Sources) -> Rendered:
    """A metric against sampling steps: the grid, a plot with bands, and the schedules behind it."""
    spec = sources.spec
    metric = label(**spec["metric"])
    extra, said = quotes(sources)
    cells = cells_of(sources, metric) + literature(sources) + extra
    notes, floor = list(spec["layout"]["foot"]), None
    if sources.records:
        floor, floor_sd = mean_sd(sources.floor["values"])
        notes = [
            f"{metric}, N = {spec['n']} samples a seed against {sources.floor['reference']['samples']} training samples, "
            "mean ± sd over seeds; columns: steps, which equal the measured NFE. Bold: best of a column; †: not distinguishable "
            "from it (95 % paired-seed t interval, each pair by itself, not corrected for the number of pairs). "
            "Values at this N do not compare with values at another.",
            "KID, precision, recall and inception score of the same samples are in the CSV.",
            f"Real against real at the same N: {floor:.2f} ± {floor_sd or 0:.2f} ({len(sources.floor['values'])} splits). "
            f"Machine: {sources.machine}.",
            *about(sources),
            *notes,
        ]
    notes += [*said, *elsewhere(cells, spec["steps"])]
    shown = min(spec["steps"], key=lambda count: abs(count - 10))
    quoted = {spec["layout"]["paper_panel"]: list(curves(cells).values())} if "paper_panel" in spec["layout"] else {}
    grid = steps_grid(spec["layout"]["title"], "fd", spec["steps"], cells, notes)
    draw = partial(_draw, sources, _panels(sources, cells), metric, floor, shown, quoted)
    return Rendered(cells, grid, draw if sources.records else None)


def _draw(sources: Sources, panels: Any, metric: str, floor: float | None, shown: int, quoted: Any) -> Any:
    return figures.against_steps(panels, metric, floor, _levels(sources, shown), shown, quoted)


def style_of(row: dict[str, Any]) -> str:
    """How a row's line is drawn, of figures.STYLES."""
    return row.get("style") or row.get("method") or "fixed"


def _titles(sources: Sources) -> list[str]:
    """Titles of the figure's panels; one without a title unless the layout has some."""
    return sources.spec["layout"].get("panels", [""])


def _panels(sources: Sources, cells: list[Cell]) -> dict[str, list[figures.Line]]:
    """The measured rows of each panel; a row that names none is in the first."""
    found: dict[str, list[figures.Line]] = {title: [] for title in _titles(sources)}
    for row in sources.spec["rows"]:
        own = [c for c in cells if c.row_id == row["id"] and c.metric_id == "fd" and c.value is not None]
        values, sds = [c.value or 0.0 for c in own], [c.sd or 0.0 for c in own]
        if own:
            line = figures.Line(row["label"], style_of(row), [int(c.steps) for c in own], values, sds)
            found[row.get("panel", _titles(sources)[0])].append(line)
    return found


def curves(cells: list[Cell]) -> dict[str, figures.Line]:
    """A paper's numbers against steps, by row, for each row that is quoted."""
    rows: dict[str, figures.Line] = {}
    for row, name in {c.row_id: c.row for c in cells if c.status == "literature"}.items():
        points = sorted((int(c.steps), float(c.paper_value)) for c in cells if c.row_id == row and c.status == "literature" and c.steps)
        if points:
            rows[row] = figures.Line(name, "fixed", [count for count, _ in points], [value for _, value in points], [0.0] * len(points))
    return rows


def elsewhere(cells: list[Cell], steps: list[int]) -> list[str]:
    """What a paper reports at step counts that this table has no columns for, a note for each quoted row."""
    notes = []
    for line in curves(cells).values():
        if missing := [f"{value:g} at {count}" for count, value in zip(line.steps, line.values, strict=True) if count not in steps]:
            notes.append(f"{line.label}: {', '.join(missing)}.")
    return notes


def _levels(sources: Sources, shown: int) -> dict[str, list[tuple[str, str, Any]]]:
    """alpha_bar told to the net at one step count by panel: label, style and levels of the rows that are to show them."""
    panels: dict[str, list[tuple[str, str, Any]]] = {title: [] for title in _titles(sources)}
    for row in sources.spec["rows"]:
        if row["run"] and row.get("levels"):
            tensors, _ = load_tensors(sources.samples[row["run"], row["sampler"]], "samples")
            told = tensors[f"levels/{shown}"].numpy()
            panels[row.get("panel", _titles(sources)[0])].append((row["label"], style_of(row), told))
    return panels if any(panels.values()) else {}


def images(sources: Sources) -> Rendered:
    """Grids of samples after a few steps under a row of training images, and the metric of each row."""
    spec = sources.spec
    metric, count = label(**spec["metric"]), max(spec["steps"])
    extra, said = quotes(sources)
    cells = cells_of(sources, metric) + extra
    notes = [
        f"{metric} by step count, N = {spec['n']} samples a seed, mean ± sd over seeds; the picture has samples after {count} steps. "
        "Bold: best of a column; †: not distinguishable from it (95 % paired-seed t interval, not corrected for the number of pairs).",
        *([f"Machine: {sources.machine}."] if sources.records else []),
        *about(sources),
        *spec["layout"]["foot"],
        *said,
    ]
    grid = steps_grid(spec["layout"]["title"], "fd", spec["steps"], cells, notes)
    pictured = sources.records and sources.data is not None
    return Rendered(cells, grid, partial(_pictures, sources, count) if pictured else None)


def _pictures(sources: Sources, count: int) -> Any:
    assert sources.data is not None
    data, _ = load_tensors(sources.data, "data")
    rows = {"training images": data["images"][~data["held_out"].bool()][:SHOWN]}
    for row in (row for row in sources.spec["rows"] if row["run"]):
        rows[row["label"]] = load_tensors(sources.samples[row["run"], row["sampler"]], "samples")[0][f"samples/{count}"][0][:SHOWN]
    return figures.images(rows)
