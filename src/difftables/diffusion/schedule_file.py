"""Schedules in CSV files: written, read and checked."""

import csv
from pathlib import Path

import torch
from torch import Tensor

from difftables.common.files import write_text
from difftables.diffusion.betas import betas_of, schedule_from_betas
from difftables.diffusion.level import Level, corruption_order


def check_schedule(schedule: Level, where: str) -> None:
    """Raise ValueError, naming `where`, unless noise falls from level to level and the last level is clean."""
    if len(schedule) < 2 or not torch.isfinite(schedule.alpha + schedule.std + schedule.strength).all():
        raise ValueError(f"{where}: a schedule needs at least two finite levels")
    if (schedule.alpha <= 0).any() or (schedule.std < 0).any() or (schedule.strength < 0).any():
        raise ValueError(f"{where}: alpha must be positive, std and strength not negative")
    order = corruption_order(schedule)
    rising = (order[1:] >= order[:-1]).nonzero()
    if len(rising):
        raise ValueError(f"{where}: noise rises at level {int(rising[0]) + 1}; list the noisiest level first")
    if schedule.std[-1] != 0 or schedule.strength[-1] != 0:
        raise ValueError(f"{where}: the last level must be clean; set its std and strength to 0")
    noiseless = (schedule.std[:-1] <= 0).nonzero()
    if len(noiseless):
        raise ValueError(f"{where}: level {int(noiseless[0])} has std = 0 before the end; every corrupted level needs some noise")


def write_schedules(path: Path, schedules: dict[int, Level]) -> None:
    """Write schedules by their number of steps as CSV: steps, level, alpha, std, and beta of the step that leaves the level.

    Where an operator acts, strength follows std, and beta is empty: no product of rates describes how an operator grows.
    """
    operators = any((schedule.strength != 0).any() for schedule in schedules.values())
    names = ["alpha", "std", *["strength"] * operators]
    lines = [",".join(["steps", "level", *names, "beta"])]
    for steps, schedule in schedules.items():
        columns = {"alpha": schedule.alpha, "std": schedule.std, "strength": schedule.strength}
        betas = [""] * len(schedule) if operators else [f"{beta:.17g}" for beta in betas_of(schedule).flip(0).tolist()] + [""]
        for i, beta in enumerate(betas):
            values = [f"{columns[name][i].item():.17g}" for name in names]
            lines.append(",".join([str(steps), str(i), *values, beta]))
    write_text(path, "\n".join(lines) + "\n")


def read_schedules(path: Path) -> dict[int, Level]:
    """Read a schedule file: columns alpha, std and maybe strength (noisiest first) or only beta (least noisy first), maybe steps.

    Returns: schedules by their number of steps.
    Raises: ValueError naming the file and what is wrong with it.
    """
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    columns = set(rows[0]) if rows else set()
    if not rows or not ({"alpha", "std"} <= columns or "beta" in columns):
        raise ValueError(f"{path}: a schedule file has the columns alpha,std or beta, not {','.join(sorted(columns)) or 'none'}")
    names = ["alpha", "std", *["strength"] * ("strength" in columns)] if {"alpha", "std"} <= columns else ["beta"]
    groups: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        groups.setdefault(row.get("steps") or "", []).append(row)
    schedules = {}
    for steps, group in groups.items():
        try:
            schedule = _levels(group, names)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        check_schedule(schedule, str(path))
        if steps and int(steps) != len(schedule) - 1:
            raise ValueError(f"{path}: {len(schedule)} levels make {len(schedule) - 1} steps, the file says {steps}")
        schedules[len(schedule) - 1] = schedule
    return schedules


def read_nodes(path: Path) -> Tensor:
    """Operator strengths of the one schedule in a file, least first, without the clean level, [M].

    Raises: ValueError naming a file that is no schedule, or one without operators.
    """
    schedules = list(read_schedules(path).values())
    if len(schedules) != 1 or not (schedules[0].strength != 0).any():
        raise ValueError(f"{path}: a file of levels has one schedule, with the column strength")
    return schedules[0].strength[:-1].flip(0)


def _levels(rows: list[dict[str, str]], names: list[str]) -> Level:
    columns = {name: torch.tensor([float(row[name]) for row in rows], dtype=torch.float64) for name in names}
    if "alpha" not in names:
        return schedule_from_betas(columns["beta"])
    return Level(columns["alpha"], columns["std"], columns.get("strength", torch.zeros_like(columns["std"])))
