"""Stable Target Field: where the target of denoising score matching varies most, for points whose posterior is exact."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from difftables.common.files import load_tensors, sha256
from difftables.common.seeds import generator
from difftables.data.image_files import to_unit
from difftables.diffusion.level import Level
from difftables.provenance import fingerprint
from difftables.report.cells import Cell, Grid
from difftables.report.kinds import figures_field
from difftables.report.kinds.field import shown
from difftables.report.sources import Rendered, Sources, cell_of
from difftables.studies import target_variance

LOWEST, HIGHEST, COLUMNS = 0.05, 20.0, 9  # sigma
FINE, FINEST = 8, 256  # levels from column to column of estimates, which take time, and of closed forms
MOST, SAMPLES = 4096, 512  # points of a data set; noisy samples at each level
EDGE = 0.1  # of the maximum, where the middle phase ends
SHARE, CLEAN = "v-share", "v-clean"


@dataclass
class Curve:
    """Tr Cov(x0 | x), averaged over x, and its standard error at each sigma, [K]; what made it, where that was a draw."""

    sigma: Tensor
    clean: Tensor
    error: Tensor | None = None
    run: str = ""
    points: int = 2
    score: Tensor = field(init=False)  # in squares of scores

    def __post_init__(self) -> None:
        self.score = self.clean / self.sigma**4

    @property
    def top(self) -> int:
        """The place of its maximum."""
        return int(self.score.argmax())

    @property
    def share(self) -> Tensor:
        """The score's variance over its maximum."""
        return self.score / self.score[self.top]

    def edges(self) -> tuple[float | None, float | None]:
        """Where the share falls below EDGE on both sides of the maximum, linear in log sigma between levels; None where it does not."""
        return self._edge(range(self.top, 0, -1), -1), self._edge(range(self.top, len(self.sigma) - 1), 1)

    def _edge(self, places: range, step: int) -> float | None:
        share, logs = self.share.tolist(), self.sigma.log()
        for i in places:
            if share[i + step] < EDGE <= share[i]:
                part = (share[i] - EDGE) / (share[i] - share[i + step])
                return torch.lerp(logs[i], logs[i + step], part).exp().item()
        return None


def grid(fine: int = FINE) -> Tensor:
    """sigma evenly spaced in its logarithm, `fine` levels from column to column."""
    ends = torch.tensor([LOWEST, HIGHEST], dtype=torch.float64).log()
    return torch.lerp(ends[0], ends[1], torch.linspace(0, 1, fine * (COLUMNS - 1) + 1, dtype=torch.float64)).exp()


def gaussians(points: int, dimensions: int, width: float) -> Tensor:
    """Equally many points around u and -u, u = (1, ..., 1) / sqrt(D), each Gaussian of std `width` in every direction, [points, D]."""
    side = torch.ones(points, 1, dtype=torch.float64)
    side[: points // 2] = -1
    spread = torch.randn(points, dimensions, generator=generator("phases", "points"), dtype=torch.float64)
    return side / dimensions**0.5 + width * spread


def estimated(data: Tensor, run: str) -> Curve:
    """The curve of some points, [N, ...], from SAMPLES noisy samples a level, the same noise at all levels."""
    sigma, means, errors = grid(), [], []
    for each in sigma:
        draws = target_variance.noisy_samples(data, Level.variance_exploding(each[None]), SAMPLES, generator("phases", "noise"))
        found = target_variance.denoising_variance(data, draws)
        means.append(found.mean())
        errors.append(found.std() / len(found) ** 0.5)
    return Curve(sigma, torch.stack(means), torch.stack(errors), run, len(data))


def curve_of(sources: Sources, points: str) -> Curve | None:
    """The curve of a row: `two` points in closed form, `gaussians` of the layout's problem, or the training images of the `data`."""
    if points == "two":
        return Curve(grid(FINEST), target_variance.two_points(grid(FINEST)))
    if points == "gaussians":
        problem = sources.spec["layout"]["problem"]
        return estimated(gaussians(**problem), fingerprint.job("phases", problem, SAMPLES))
    if sources.data is None:
        return None
    tensors, _ = load_tensors(sources.data, "data")
    own = to_unit(tensors["images"][~tensors["held_out"].bool()][:MOST]).double()
    return estimated(own, fingerprint.job("phases", sha256(sources.data), SAMPLES))


def phases(sources: Sources) -> Rendered:
    """The variance of the score target over its maximum at nine noise levels, where that maximum is, and where it has fallen to a tenth."""
    spec, cells, lines = sources.spec, list[Cell](), list[tuple[str, list[Any], str]]()
    curves, notes = dict[str, Curve](), list[str]()
    columns = {f"{sigma:.3g}": i for i, sigma in enumerate(grid(1).tolist())}
    for row in spec["rows"]:
        curve = curve_of(sources, row["points"])
        mine = {each: [_cell(sources, row, column, each, curve, at) for column, at in columns.items()] for each in (SHARE, CLEAN)}
        cells += [*mine[SHARE], *mine[CLEAN]]
        lines.append((row["label"], [shown(cell) for cell in mine[SHARE]], "own"))
        if curve is not None:
            curves[row["label"]] = curve
            notes.append(_found(row["label"], curve))
    said = [
        "Columns: σ. Values: V(σ), the mean over x = x0 + σ n of Tr Cov(x0 | x) / σ⁴, the variance of the target of denoising score "
        f"matching, in squares of scores, over its maximum from {LOWEST:g} to {HIGHEST:g}. The middle of three phases is where it is at "
        f"least {EDGE:g}.",
        f"Estimates: {SAMPLES} noisy samples at each of {len(grid())} levels, ± standard error, with the exact posterior over the points.",
    ]
    if any(row["points"] == "gaussians" for row in spec["rows"]):
        problem = spec["layout"]["problem"]
        said.append(
            f"Gaussians: {problem['points']} points in {problem['dimensions']} dimensions, half of them around u, half around -u, |u| = 1, "
            f"each with std {problem['width']:g} in every direction."
        )
    draw: Callable[[], Any] | None = None
    if curves:
        last = list(curves.values())[-1]
        drawn = {name: list(zip(c.sigma.tolist(), c.share.tolist(), strict=True)) for name, c in curves.items()}
        draw = partial(figures_field.phases, drawn, last.edges())
        said.append(f"Shaded in the plot: the phases of {list(curves)[-1]}.")
    grid_ = Grid(spec["layout"]["title"], ["", *columns], lines, [*notes, *said, *spec["layout"]["foot"]])
    return Rendered(cells, grid_, draw)


def _cell(sources: Sources, row: dict[str, Any], column: str, metric_id: str, curve: Curve | None, place: int) -> Cell:
    dataset = (sources.spec["dataset"] or "") if row["points"] == "data" else ""
    cell = cell_of(sources, row, column, metric_id, dataset=dataset, part=row.get("part") or "")
    if curve is None:
        return cell
    at = place * (len(curve.sigma) - 1) // (COLUMNS - 1)
    unit = 1.0 if metric_id == CLEAN else (1 / (curve.sigma[at] ** 4 * curve.score[curve.top])).item()
    cell.value, cell.status = curve.clean[at].item() * unit, "closed-form"
    if curve.error is not None:
        cell.sd, cell.status, cell.run, cell.n, cell.seeds = curve.error[at].item() * unit, "estimated", curve.run, SAMPLES, "1x1"
    return cell


def _found(label: str, curve: Curve) -> str:
    left, right = curve.edges()
    low = f"begins at σ = {left:.3g}" if left is not None else f"begins below σ = {LOWEST:g}"
    high = f"ends at σ = {right:.3g}" if right is not None else f"ends above σ = {HIGHEST:g}"
    place = f"at σ = {curve.sigma[curve.top]:.3g}" + " or below" * (curve.top == 0) + " or above" * (curve.top == len(curve.sigma) - 1)
    return f"{label} ({curve.points} points): V is largest {place}, {curve.score[curve.top]:.4g}; the middle phase {low} and {high}."
