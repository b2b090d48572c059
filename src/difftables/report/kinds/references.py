"""The variance of the training target by the number of references, for two Gaussians."""

from functools import partial
from typing import Any

from difftables.provenance import fingerprint
from difftables.report.kinds.variance import Points, draw_variance, shown
from difftables.report.printing import Grid
from difftables.report.sources import Rendered, Sources, new_cell


def references(sources: Sources) -> Rendered:
    """V of the target with each row's number of references in units of the noise, at nine noise levels."""
    from difftables.studies.target_phases import COLUMNS, SAMPLES, by_references, gaussians, sigmas

    spec, problem = sources.spec, sources.spec["layout"]["problem"]
    data, sigma = gaussians(**problem), sigmas(1)
    cells, lines, points = [], list[tuple[str, list[Any], str]](), dict[str, Points]()
    for row in spec["rows"]:
        mine = []
        for level, (mean, error) in zip(sigma.tolist(), by_references(data, row["references"], sigma), strict=True):
            cell = new_cell(sources, row, f"{level:.3g}", "v", dataset="", status="estimated", better="lower")
            cell.value, cell.sd, cell.n, cell.seeds = mean / level**2, error / level**2, SAMPLES, "1x1"
            cell.run = fingerprint.job("references", problem, row["references"], SAMPLES, COLUMNS)
            mine.append(cell)
        cells += mine
        lines.append((row["label"], [shown(cell) for cell in mine], "own"))
        points[row["label"]] = [(level, cell.value or 0.0, cell.sd or 0.0) for level, cell in zip(sigma.tolist(), mine, strict=True)]
    notes = [
        "Columns: σ. Values: V(σ) over σ², the mean over x = x0 + σ n of the variance of the target given x, in units of the noise; "
        f"{SAMPLES} noisy samples a level, the same for all rows, ± standard error, with the exact posterior over the points.",
        f"Data: {problem['points']} points in {problem['dimensions']} dimensions, half of them around u, half around -u, |u| = 1, each "
        f"with std {problem['width']:g} in every direction. References are drawn without replacement, the source among them.",
    ]
    grid = Grid(spec["layout"]["title"], ["", *(f"{level:.3g}" for level in sigma.tolist())], lines, [*notes, *spec["layout"]["foot"]])
    return Rendered(cells, grid, partial(draw_variance, {r"V: variance of the target, over $\sigma^2$": points}))
