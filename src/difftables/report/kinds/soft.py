"""Soft Diffusion: what corrupts a sample, noise and operator, against time."""

from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from difftables.common.files import load_tensors
from difftables.common.seeds import SampleNoise
from difftables.config.run import Schedule
from difftables.data.image_files import to_uint8, to_unit
from difftables.diffusion.corruptions import CORRUPTIONS
from difftables.diffusion.level import Level
from difftables.diffusion.schedule_file import read_nodes
from difftables.diffusion.training_schedules import training_schedule
from difftables.report.cells import Cell, Grid
from difftables.report.kinds import figures_soft
from difftables.report.kinds.figures_soft import Course
from difftables.report.sources import Rendered, Sources, cell_of

TIMES = {"t = 0": 0.0, "t = 1/8": 0.125, "t = 1/4": 0.25, "t = 1/2": 0.5, "t = 3/4": 0.75, "t = 1": 1.0}
SHOWN, MANY, PLACES = 2, 4, 8  # images of a row, but one each beyond so many rows; stretches of time between them


def at_time(schedule: Level, t: float) -> Level:
    """The level of a training schedule at t = i / T, i = 1 .. T, nearest; the least corrupted one at t = 0."""
    total = len(schedule) - 1
    return schedule[total - max(1, round(t * total))]


def course(sources: Sources) -> Rendered:
    """Noise std and operator strength of each row's training schedule at six times; both as curves, and images they corrupt."""
    spec, cells, lines, rows = sources.spec, list[Cell](), [], dict[str, Course]()
    notes = ["t = i / T of training; at t = 0 the least corrupted level, i = 1."]
    shown: dict[str, tuple[Level, str]] = {}
    for row in spec["rows"]:
        about, values = spec["courses"].get(row["run"]), dict[str, Level]()
        if about is not None:
            file = sources.levels.get(row["run"])
            schedule = training_schedule(Schedule(**about["schedule"]), file)
            values = {name: at_time(schedule, t) for name, t in TIMES.items()}
            found, shown[row["label"]] = _course(schedule), (schedule, about["corruption"])
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


def _draw(path: Path | None, rows: dict[str, Course], shown: dict[str, tuple[Level, str]]) -> Any:
    if path is not None:
        data, _ = load_tensors(path, "data")
        clean = to_unit(data["images"][data["held_out"].bool()][: 1 if len(rows) > MANY else SHOWN])
        for name, (schedule, corruption) in shown.items():
            rows[name].strip = _strip(schedule, corruption, clean)
    return figures_soft.course(rows, [f"t = {Fraction(i, PLACES)}" for i in range(PLACES + 1)])


def _cell(sources: Sources, row: dict[str, Any], name: str, metric_id: str, level: Level | None) -> Cell:
    cell = cell_of(sources, row, f"{TIMES[name]:g}", metric_id, name, dataset="", part=row.get("part") or "")
    if level is not None:
        cell.value, cell.status = {"std": level.std, "strength": level.strength}[metric_id].item(), "closed-form"
    return cell


def _course(schedule: Level) -> Course:
    """The curves of one schedule."""
    rising, total = schedule[:-1].map(lambda values: values.flip(0)), len(schedule) - 1
    return Course([i / total for i in range(1, total + 1)], rising.std.tolist(), rising.strength.tolist())


def _strip(schedule: Level, corruption: str, clean: Tensor) -> Tensor:
    """Clean images, [K, C, H, W], corrupted at evenly spaced times with the same noise, [K, PLACES + 1, C, H, W]."""
    noise, corrupted = SampleNoise([("course", i) for i in range(len(clean))])(clean), list[Tensor]()
    for i in range(PLACES + 1):
        level = at_time(schedule, i / PLACES).expand(len(clean))
        corrupted.append(to_uint8(CORRUPTIONS[corruption](clean, level) + level.like(clean).std * noise))
    return torch.stack(corrupted, 1)
