"""Rows by samplers, columns by step counts; and the samples themselves."""

from functools import partial
from typing import Any

from difftables import figures
from difftables.io import load_tensors
from difftables.names import label
from difftables.render.sources import Rendered, Sources, about, literature, quoted, quotes
from difftables.tables import Cell, fill, mean_sd, steps_grid

FAMILIES = ("DDPM", "DDIM")  # panels, by the first word of a row's label
SHOWN = 16  # images of a row in a sample grid


def cells_of(sources: Sources, metric: str) -> list[Cell]:
    """A cell for each row, step count and metric that was measured; not-run ones for rows without records."""
    spec, cells = sources.spec, list[Cell]()
    for row in spec["rows"]:
        files = [f for f in sources.records if (f["shared"]["sampler"], f["shared"]["run"]) == (row["sampler"], row["run"])]
        metrics = list(dict.fromkeys(r["metric"] for file in files for r in file["records"])) or [metric]
        for steps in spec["steps"]:
            found = sources.reported.find(row["paper"], steps) if "paper" in row else []
            for name in metrics:
                here = [r for file in files for r in file["records"] if r["metric"] == name and r["steps"] == steps]
                method = row.get("method", "")
                cell = Cell(spec["paper"], spec["table"], row["label"], str(steps), spec["dataset"] or "", method, row["sampler"], steps)
                cell.metric, cell.status, cell.part = name, "not-run", row.get("part") or ""
                if found and name == metric:
                    cell.paper_value, cell.paper_source = quoted(found[0])
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
    rows = {}
    for row in dict.fromkeys(c.row for c in cells):
        own = [c for c in cells if c.row == row and c.metric == metric and c.value is not None]
        rows[row] = ([int(c.steps) for c in own], [c.value or 0.0 for c in own], [c.sd or 0.0 for c in own])
    families = spec["layout"].get("panels", FAMILIES)  # a list of what labels begin with, or titles with that
    titles = families if isinstance(families, dict) else {family: family for family in families}
    panels = {title: {k: v for k, v in rows.items() if k.startswith(family) and v[0]} for title, family in titles.items()}
    shown = min(spec["steps"], key=lambda count: abs(count - 10))
    quoted = {title: curves(cells) for title in spec["layout"].get("paper_panel", [])}
    grid = steps_grid(spec["layout"]["title"], metric, spec["steps"], cells, notes)
    draw = partial(_draw, sources, panels, metric, floor, shown, quoted)
    return Rendered(cells, grid, draw if sources.records else None)


def _draw(sources: Sources, panels: dict[str, figures.Lines], metric: str, floor: float | None, shown: int, quoted: Any) -> Any:
    return figures.against_steps(panels, metric, floor, _levels(sources, shown), shown, quoted)


def curves(cells: list[Cell]) -> figures.Lines:
    """A paper's numbers against steps, a line for each row that is quoted."""
    rows: figures.Lines = {}
    for row in dict.fromkeys(c.row for c in cells if c.status == "literature"):
        points = sorted((int(c.steps), float(c.paper_value)) for c in cells if c.row == row and c.status == "literature" and c.steps)
        if points:
            rows[row] = ([count for count, _ in points], [value for _, value in points], [0.0] * len(points))
    return rows


def elsewhere(cells: list[Cell], steps: list[int]) -> list[str]:
    """What a paper reports at step counts that this table has no columns for, a note for each quoted row."""
    notes = []
    for row, (counts, values, _) in curves(cells).items():
        if missing := [f"{value:g} at {count}" for count, value in zip(counts, values, strict=True) if count not in steps]:
            notes.append(f"{row}: {', '.join(missing)}.")
    return notes


def _levels(sources: Sources, shown: int) -> dict[str, dict[str, Any]]:
    """alpha_bar told to the net at one step count, before and after adjustment, by panel and row."""
    wanted = ("sub-sampled", "fitted family", "searched", "adjusted")
    panels: dict[str, dict[str, Any]] = {family: {} for family in FAMILIES}
    for row in sources.spec["rows"]:
        if row["run"] and row["label"].startswith(FAMILIES) and row["label"].endswith(wanted):
            tensors, _ = load_tensors(sources.samples[row["run"], row["sampler"]], "samples")
            panels[row["label"].split(",")[0]][row["label"]] = tensors[f"levels/{shown}"].numpy()
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
    grid = steps_grid(spec["layout"]["title"], metric, spec["steps"], cells, notes)
    pictured = sources.records and sources.data is not None
    return Rendered(cells, grid, partial(_pictures, sources, count) if pictured else None)


def _pictures(sources: Sources, count: int) -> Any:
    assert sources.data is not None
    data, _ = load_tensors(sources.data, "data")
    rows = {"training images": data["images"][~data["held_out"].bool()][:SHOWN]}
    for row in (row for row in sources.spec["rows"] if row["run"]):
        rows[row["label"]] = load_tensors(sources.samples[row["run"], row["sampler"]], "samples")[0][f"samples/{count}"][0][:SHOWN]
    return figures.images(rows)
