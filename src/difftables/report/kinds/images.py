"""Samples of images, as pictures and by their metric."""

from functools import partial
from typing import Any

from difftables.common.errors import label as frechet_name
from difftables.common.files import load_tensors
from difftables.report.figures import image_rows
from difftables.report.kinds.steps import cells_of
from difftables.report.printing import steps_grid
from difftables.report.sources import Rendered, Sources, net_notes, quoted_numbers

SHOWN = 16  # images of a row in a sample grid


def images(sources: Sources) -> Rendered:
    """Grids of samples after a few steps under a row of training images, and the metric of each row."""
    spec = sources.spec
    metric, count = frechet_name(**spec["metric"]), max(spec["steps"])
    extra, quoted_notes = quoted_numbers(sources)
    cells = cells_of(sources, metric) + extra
    notes = [
        f"{metric} by step count, N = {spec['n']} samples a seed, mean ± sd over seeds; the picture has samples after {count} steps.",
        *([f"Machine: {sources.machine}."] if sources.records else []),
        *net_notes(sources),
        *spec["layout"]["foot"],
        *quoted_notes,
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
    return image_rows(rows)
