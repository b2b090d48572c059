"""Soft Diffusion: what corrupts a sample, noise and operator, against time."""

from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from difftables import figures_soft, schedules
from difftables.assemble import CORRUPTIONS, training_schedule
from difftables.config_run import Schedule
from difftables.data.images import to_uint8, to_unit
from difftables.figures_soft import Course
from difftables.io import load_tensors
from difftables.level import Level
from difftables.render.sources import Rendered, Sources
from difftables.rng import SampleNoise
from difftables.tables import Cell, Grid

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
    clean = None
    if sources.data is not None:
        data, _ = load_tensors(sources.data, "data")
        many = sum(row["run"] is not None for row in spec["rows"]) > MANY
        clean = to_unit(data["images"][data["held_out"].bool()][: 1 if many else SHOWN])
    for row in spec["rows"]:
        about, values = spec["courses"].get(row["run"]), dict[str, Level]()
        if about is not None:
            file = sources.levels.get(row["run"])
            schedule = training_schedule(Schedule(**about["schedule"]), file)
            values = {name: at_time(schedule, t) for name, t in TIMES.items()}
            found = _course(schedule, about["corruption"], clean)
            if file is not None:
                nodes = schedules.read_nodes(file).tolist()
                found.nodes = [(k / (len(nodes) - 1), node) for k, node in enumerate(nodes)]
                notes.append(f"{row['label']}: {len(nodes)} strengths chosen on the data, linear in time between them.")
            rows[row["label"]] = found
        for metric, word in (("std", "noise"), ("strength", "strength")):
            mine = [_cell(spec, row, name, metric, values.get(name)) for name in TIMES]
            cells += mine
            lines.append((f"{row['label']}: {word}", mine, "own"))
    grid = Grid(spec["layout"]["title"], ["", *TIMES], lines, [*notes, *spec["layout"]["foot"]])
    times = [f"t = {Fraction(i, PLACES)}" for i in range(PLACES + 1)]
    return Rendered(cells, grid, figures_soft.course(rows, times) if rows else None)


def _cell(spec: dict[str, Any], row: dict[str, Any], column: str, metric: str, level: Level | None) -> Cell:
    cell = Cell(spec["paper"], spec["table"], row["label"], column, metric=metric, status="not-run", part=row.get("part") or "")
    if level is not None:
        cell.value, cell.status = getattr(level, metric).item(), "closed-form"
    return cell


def _course(schedule: Level, corruption: str, clean: Tensor | None) -> Course:
    """The curves of one schedule and, for clean images, [K, C, H, W], the same noise on all of them at evenly spaced times."""
    rising, total = schedule[:-1].each(lambda values: values.flip(0)), len(schedule) - 1
    found = Course([i / total for i in range(1, total + 1)], rising.std.tolist(), rising.strength.tolist())
    if clean is not None:
        noise, corrupted = SampleNoise([("course", i) for i in range(len(clean))])(clean), list[Tensor]()
        for i in range(PLACES + 1):
            level = at_time(schedule, i / PLACES).expand(len(clean))
            corrupted.append(to_uint8(CORRUPTIONS[corruption](clean, level) + level.like(clean).std * noise))
        found.strip = torch.stack(corrupted, 1)
    return found
