"""Where the target of denoising score matching varies most, over its maximum."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from difftables.common.files import load_tensors, sha256
from difftables.provenance import fingerprint
from difftables.report.cells import Cell
from difftables.report.figures import CYCLE, noise_axis, pyplot
from difftables.report.kinds.variance import shown
from difftables.report.printing import Grid
from difftables.report.sources import Rendered, Sources, new_cell

if TYPE_CHECKING:  # torch takes longer to import than most tables to make
    from difftables.studies.target_phases import Curve

SHARE, CLEAN = "v-share", "v-clean"
SHADES = ("#dbe7f3", "#f6e3cf", "#e2efe4")


def curve_of(sources: Sources, points: str) -> "Curve | None":
    """The curve of a row: `two` points in closed form, `gaussians` of the layout's problem, or the training images of the `data`.

    None where there are no data.
    """
    from difftables.data.image_files import to_unit
    from difftables.studies.target_phases import MOST, SAMPLES, closed_form, estimated, gaussians

    if points == "two":
        return closed_form()
    if points == "gaussians":
        problem = sources.spec["layout"]["problem"]
        return estimated(gaussians(**problem), fingerprint.job("phases", problem, SAMPLES))
    if sources.data is None:
        return None
    tensors, _ = load_tensors(sources.data, "data")
    images = to_unit(tensors["images"][~tensors["held_out"].bool()][:MOST]).double()
    return estimated(images, fingerprint.job("phases", sha256(sources.data), SAMPLES))


def phases(sources: Sources) -> Rendered:
    """The variance of the score target over its maximum at nine noise levels, where that maximum is, and where it has fallen to a tenth."""
    from difftables.studies.target_phases import EDGE, HIGHEST, LOWEST, SAMPLES, sigmas

    spec, cells, lines = sources.spec, list[Cell](), list[tuple[str, list[Any], str]]()
    curves: dict[str, Curve] = {}
    notes = list[str]()
    columns = {f"{sigma:.3g}": i for i, sigma in enumerate(sigmas(1).tolist())}
    for row in spec["rows"]:
        curve = curve_of(sources, row["points"])
        mine = {each: [_cell(sources, row, column, each, curve, at) for column, at in columns.items()] for each in (SHARE, CLEAN)}
        cells += [*mine[SHARE], *mine[CLEAN]]
        lines.append((row["label"], [shown(cell) for cell in mine[SHARE]], "own"))
        if curve is not None:
            curves[row["label"]] = curve
            notes.append(_phases_note(row["label"], curve))
    explained = [
        "Columns: σ. Values: V(σ), the mean over x = x0 + σ n of Tr Cov(x0 | x) / σ⁴, the variance of the target of denoising score "
        f"matching, in squares of scores, over its maximum from {LOWEST:g} to {HIGHEST:g}. The middle of three phases is where it is at "
        f"least {EDGE:g}.",
        f"Estimates: {SAMPLES} noisy samples at each of {len(sigmas())} levels, ± standard error, "
        "with the exact posterior over the points.",
    ]
    if any(row["points"] == "gaussians" for row in spec["rows"]):
        problem = spec["layout"]["problem"]
        explained.append(
            f"Gaussians: {problem['points']} points in {problem['dimensions']} dimensions, half of them around u, half around -u, |u| = 1, "
            f"each with std {problem['width']:g} in every direction."
        )
    draw: Callable[[], Any] | None = None
    if curves:
        last = list(curves.values())[-1]
        points = {name: list(zip(c.sigma.tolist(), c.share.tolist(), strict=True)) for name, c in curves.items()}
        draw = partial(draw_phases, points, last.edges())
        explained.append(f"Shaded in the plot: the phases of {list(curves)[-1]}.")
    grid = Grid(spec["layout"]["title"], ["", *columns], lines, [*notes, *explained, *spec["layout"]["foot"]])
    return Rendered(cells, grid, draw)


def _cell(sources: Sources, row: dict[str, Any], column: str, metric_id: str, curve: "Curve | None", place: int) -> Cell:
    from difftables.studies.target_phases import COLUMNS, SAMPLES

    dataset = (sources.spec["dataset"] or "") if row["points"] == "data" else ""
    cell = new_cell(sources, row, column, metric_id, dataset=dataset, part=row.get("part") or "")
    if curve is None:
        return cell
    at = place * (len(curve.sigma) - 1) // (COLUMNS - 1)
    unit = 1.0 if metric_id == CLEAN else (1 / (curve.sigma[at] ** 4 * curve.score[curve.top])).item()
    cell.value, cell.status = curve.clean[at].item() * unit, "closed-form"
    if curve.error is not None:
        cell.sd, cell.status, cell.run, cell.n, cell.seeds = curve.error[at].item() * unit, "estimated", curve.run, SAMPLES, "1x1"
    return cell


def _phases_note(label: str, curve: "Curve") -> str:
    """Where a curve is largest, and where its middle phase begins and ends."""
    from difftables.studies.target_phases import HIGHEST, LOWEST

    left, right = curve.edges()
    low = f"begins at σ = {left:.3g}" if left is not None else f"begins below σ = {LOWEST:g}"
    high = f"ends at σ = {right:.3g}" if right is not None else f"ends above σ = {HIGHEST:g}"
    place = f"at σ = {curve.sigma[curve.top]:.3g}" + " or below" * (curve.top == 0) + " or above" * (curve.top == len(curve.sigma) - 1)
    return f"{label} ({curve.points} points): V is largest {place}, {curve.score[curve.top]:.4g}; the middle phase {low} and {high}."


def draw_phases(curves: dict[str, list[tuple[float, float]]], edges: tuple[float | None, float | None]) -> Any:
    """Variance over its maximum against sigma, a line for each data set, and three phases shaded, which those of the last are.

    Args: curves: label to (sigma, share of the maximum); edges: of the middle phase; None where it has none within the plot.
    """
    plt = pyplot()
    figure, axis = plt.subplots(figsize=(6.8, 3.8))
    sigmas = [sigma for points in curves.values() for sigma, _ in points]
    left, right = (edge if edge is not None else end(sigmas) for edge, end in zip(edges, (min, max), strict=True))
    bounds = [min(sigmas), left, right, max(sigmas)]
    for i in range(3):
        if bounds[i] < bounds[i + 1]:
            axis.axvspan(bounds[i], bounds[i + 1], color=SHADES[i], linewidth=0, zorder=0)
            middle = (bounds[i] * bounds[i + 1]) ** 0.5
            axis.text(middle, 1.07, f"phase {i + 1}", ha="center", va="center", fontsize=8, color="#444444")
    for i, (label, points) in enumerate(curves.items()):
        x, shares = zip(*points, strict=True)
        axis.plot(x, shares, color=CYCLE[i % 8], linewidth=1.8, linestyle=("-", "--", "-.")[i % 3], label=label)
    noise_axis(axis, sigmas)
    axis.set(ylabel="variance of the score target\nover its maximum", xlim=(min(sigmas), max(sigmas)), ylim=(0, 1.13))
    axis.legend(fontsize=8, loc="center right")
    figure.tight_layout()
    return figure
