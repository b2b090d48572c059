"""What corrupts a sample, noise and operator, against time."""

from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from difftables.common.files import load_tensors
from difftables.report.cells import Cell
from difftables.report.figures import CYCLE, plain_ticks, pyplot
from difftables.report.printing import Grid
from difftables.report.sources import Rendered, Sources, new_cell

if TYPE_CHECKING:  # torch takes longer to import than most tables to make
    from torch import Tensor

    from difftables.diffusion.level import Level

TIMES = {"t = 0": 0.0, "t = 1/8": 0.125, "t = 1/4": 0.25, "t = 1/2": 0.5, "t = 3/4": 0.75, "t = 1": 1.0}
SHOWN, MANY, PLACES = 2, 4, 8  # images of a row, but one each beyond so many rows; stretches of time between them
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)))


@dataclass
class Course:
    """What corrupts a sample against time, t in [0, 1]: a line of each panel, and images at some times."""

    t: list[float]
    std: list[float]
    strength: list[float]
    nodes: list[tuple[float, float]] = field(default_factory=list)  # t and strength, where they were chosen
    strip: Any = None  # uint8 [images, times, C, H, W]


def at_time(schedule: "Level", t: float) -> "Level":
    """The level of a training schedule at t = i / T, i = 1 .. T, nearest; the least corrupted one at t = 0."""
    total = len(schedule) - 1
    return schedule[total - max(1, round(t * total))]


def course(sources: Sources) -> Rendered:
    """Noise std and operator strength of each row's training schedule at six times; both as curves, and images they corrupt."""
    from difftables.config.run import Schedule
    from difftables.diffusion.schedule_file import read_nodes
    from difftables.diffusion.training_schedules import training_schedule

    spec, cells, lines, rows = sources.spec, list[Cell](), [], dict[str, Course]()
    notes = ["t = i / T of training; at t = 0 the least corrupted level, i = 1."]
    shown: dict[str, tuple[Level, str]] = {}
    for row in spec["rows"]:
        corrupted = spec["courses"].get(row["run"])
        values: dict[str, Level] = {}
        if corrupted is not None:
            file = sources.levels.get(row["run"])
            schedule = training_schedule(Schedule(**corrupted["schedule"]), file)
            values = {name: at_time(schedule, t) for name, t in TIMES.items()}
            found, shown[row["label"]] = _course(schedule), (schedule, corrupted["corruption"])
            if file is not None:
                nodes = read_nodes(file).tolist()
                found.nodes = [(k / (len(nodes) - 1), node) for k, node in enumerate(nodes)]
                notes.append(f"{row['label']}: {len(nodes)} strengths chosen on the data, linear in time between them.")
            rows[row["label"]] = found
        for metric_id, word in (("std", "noise"), ("strength", "strength")):
            mine = [_cell(sources, row, name, metric_id, values.get(name)) for name in TIMES]
            cells += mine
            lines.append((f"{row['label']}: {word}", mine, "own"))
    grid = Grid(spec["layout"]["title"], ["", *TIMES], lines, [*notes, *spec["layout"]["foot"]])
    return Rendered(cells, grid, partial(_draw, sources.data, rows, shown) if rows else None)


def _draw(path: Path | None, rows: dict[str, Course], shown: "dict[str, tuple[Level, str]]") -> Any:
    from difftables.data.image_files import to_unit

    if path is not None:
        data, _ = load_tensors(path, "data")
        clean = to_unit(data["images"][data["held_out"].bool()][: 1 if len(rows) > MANY else SHOWN])
        for name, (schedule, corruption) in shown.items():
            rows[name].strip = _strip(schedule, corruption, clean)
    return draw_course(rows, [f"t = {Fraction(i, PLACES)}" for i in range(PLACES + 1)])


def _cell(sources: Sources, row: dict[str, Any], name: str, metric_id: str, level: "Level | None") -> Cell:
    cell = new_cell(sources, row, f"{TIMES[name]:g}", metric_id, name, dataset="", part=row.get("part") or "")
    if level is not None:
        cell.value, cell.status = {"std": level.std, "strength": level.strength}[metric_id].item(), "closed-form"
    return cell


def _course(schedule: "Level") -> Course:
    """The curves of one schedule."""
    rising, total = schedule[:-1].map(lambda values: values.flip(0)), len(schedule) - 1
    return Course([i / total for i in range(1, total + 1)], rising.std.tolist(), rising.strength.tolist())


def _strip(schedule: "Level", corruption: str, clean: "Tensor") -> "Tensor":
    """Clean images, [K, C, H, W], corrupted at evenly spaced times with the same noise, [K, PLACES + 1, C, H, W]."""
    import torch

    from difftables.common.seeds import SampleNoise
    from difftables.data.image_files import to_uint8
    from difftables.diffusion.corruptions import CORRUPTIONS

    noise = SampleNoise([("course", i) for i in range(len(clean))])(clean)
    corrupted: list[Tensor] = []
    for i in range(PLACES + 1):
        level = at_time(schedule, i / PLACES).expand(len(clean))
        corrupted.append(to_uint8(CORRUPTIONS[corruption](clean, level) + level.like(clean).std * noise))
    return torch.stack(corrupted, 1)


def draw_course(rows: dict[str, Course], times: list[str]) -> Any:
    """Noise and operator strength against time, a line a row; below, the same images and noise under each row's corruption.

    Args: times: of the images, as text.
    """
    plt = pyplot()
    strips = {label: row.strip for label, row in rows.items() if row.strip is not None}
    thumb, top = 7.6 / max(1, len(times)), 3.1
    tall = sum(thumb * len(strip) + 0.16 for strip in strips.values())
    figure = plt.figure(figsize=(9.6, top + 0.9 + tall))
    outer = figure.add_gridspec(2, 1, height_ratios=(top, max(tall, 0.01)), hspace=0.9 / (0.5 * (top + tall)))
    noise, operator = (figure.add_subplot(cell) for cell in outer[0].subgridspec(1, 2, wspace=0.24))
    for i, (label, row) in enumerate(rows.items()):
        # Thinner from row to row: schedules that share a part of their course stay visible under one another.
        look: dict[str, Any] = {"color": CYCLE[i % 8], "linestyle": DASHES[i % 3], "linewidth": max(1.2, 3.0 - 0.4 * i)}
        noise.plot(row.t, row.std, label=label, **look)
        if any(row.strength):
            operator.plot(row.t, row.strength, **look)
        if row.nodes:
            dots: dict[str, Any] = {"markersize": 5, "markeredgecolor": "white", "markeredgewidth": 0.7, "zorder": 3}
            operator.plot(*zip(*row.nodes, strict=True), "o", color=CYCLE[i % 8], label=f"{label}: {len(row.nodes)} nodes", **dots)
    noise.set(xlabel="t", ylabel="std of the noise", yscale="log")
    plain_ticks(noise)
    operator.set(xlabel="t", ylabel="strength of the operator")
    for axis in (noise, operator):
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=7.5, loc="best")
    if strips:
        below = outer[1].subgridspec(len(strips), 1, height_ratios=[len(strip) for strip in strips.values()], hspace=0.1)
        for i, (cell, (label, strip)) in enumerate(zip(below, strips.items(), strict=True)):
            _draw_strip(figure.add_subplot(cell), label, strip, CYCLE[list(rows).index(label) % 8], times if i == 0 else [])
    return figure


def _draw_strip(axis: Any, label: str, images: Any, colour: str, times: list[str]) -> None:
    """Images, [K, times, C, H, W], a row each, with the name in the colour of its line and, where given, times above."""
    tiles, width = tiled(images), images.shape[1]
    axis.imshow(tiles, interpolation="nearest", cmap="gray", vmin=0, vmax=255, extent=(0, width, len(images), 0))
    axis.set_ylabel(label.replace(", ", ",\n"), rotation=0, ha="right", va="center", fontsize=8, color=colour)
    axis.set(xticks=[], yticks=[])
    if times:
        axis.xaxis.tick_top()
        axis.set_xticks([i + 0.5 for i in range(width)], times, fontsize=8)
        axis.tick_params(length=0)
    axis.grid(False)
    axis.spines[:].set_visible(False)


def tiled(images: Any, least: int = 48) -> Any:
    """Images, uint8 [K, P, C, H, W], as one picture of K rows and P columns with white gaps, each at least `least` px wide."""
    from torch.nn.functional import pad

    times = max(1, least // images.shape[-1])
    big = images.repeat_interleave(times, -1).repeat_interleave(times, -2)
    gap = max(1, big.shape[-1] // 24)
    framed = pad(big, (gap, gap, gap, gap), value=255)
    rows, columns, channels, height, width = framed.shape
    return framed.permute(0, 3, 1, 4, 2).reshape(rows * height, columns * width, channels).squeeze(-1).numpy()
