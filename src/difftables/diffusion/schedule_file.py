"""Schedules in CSV files: written, read and checked."""

import csv
from pathlib import Path

import torch
from torch import Tensor

from difftables.common.files import write_text
from difftables.diffusion.betas import betas_of, schedule_from_betas
from difftables.diffusion.level import Level, corruption_order
from difftables.diffusion.planned_schedule import PlannedSchedule

CONDITIONED = ("conditioned_alpha", "conditioned_std")
WEIGHT = "weight_"  # and a number from 0 on, of the prediction, the newest first
ENDS = ("clean", "lowest")  # of column `ends`: where the schedule ends; without the column it ends clean


def check_schedule(schedule: Level, where: str, clean: bool = True) -> None:
    """Raise ValueError, naming `where`, unless noise falls from level to level and the last level is clean, or noisy where it should be."""
    if len(schedule) < 2 or not torch.isfinite(schedule.alpha + schedule.std + schedule.strength).all():
        raise ValueError(f"{where}: a schedule needs at least two finite levels")
    if (schedule.alpha <= 0).any() or (schedule.std < 0).any() or (schedule.strength < 0).any():
        raise ValueError(f"{where}: alpha must be positive, std and strength not negative")
    order = corruption_order(schedule)
    rising = (order[1:] >= order[:-1]).nonzero()
    if len(rising):
        raise ValueError(f"{where}: noise rises at level {int(rising[0]) + 1}; list the noisiest level first")
    if clean and (schedule.std[-1] != 0 or schedule.strength[-1] != 0):
        raise ValueError(f"{where}: the last level must be clean; set its std and strength to 0, or a column ends to lowest")
    if not clean and schedule.std[-1] == 0:
        raise ValueError(f"{where}: the schedule ends at its lowest level, which has std = 0; leave the column ends out")
    noiseless = (schedule.std[:-1] <= 0).nonzero()
    if len(noiseless):
        raise ValueError(f"{where}: level {int(noiseless[0])} has std = 0 before the end; every corrupted level needs some noise")
    _check_planned(schedule, where)


def _check_planned(schedule: Level, where: str) -> None:
    """Raise ValueError unless conditioned levels are levels, and weights numbers."""
    if not isinstance(schedule, PlannedSchedule):
        return
    level, weights = schedule.conditioned, schedule.weights
    if level is not None and not bool((torch.isfinite(level.alpha + level.std) & (level.alpha > 0) & (level.std > 0)).all()):
        raise ValueError(f"{where}: {' and '.join(CONDITIONED)} must be positive at every level that is left")
    if weights is not None and not bool(torch.isfinite(weights).all()):
        raise ValueError(f"{where}: {WEIGHT}0, {WEIGHT}1, .. must be finite numbers at every level that is left")


def numbers_of(schedule: Level) -> list[Tensor]:
    """All numbers of a schedule, for a fingerprint: alpha, std, strength, and what it holds beside them."""
    numbers = [schedule.alpha, schedule.std, schedule.strength]
    if isinstance(schedule, PlannedSchedule):
        level, weights = schedule.conditioned, schedule.weights
        numbers += [] if level is None else [level.alpha, level.std]
        numbers += [] if weights is None else [weights]
    return numbers


def write_schedules(path: Path, schedules: dict[int, Level]) -> None:
    """Write schedules by their number of steps as CSV: steps, level, alpha, std, and beta of the step that leaves the level.

    Where an operator acts, strength follows std, and beta is empty: no product of rates describes how an operator grows. Columns for what
    only some schedules have stand where one of them has it: ends, conditioned_alpha and conditioned_std, weight_0, weight_1, ...
    """
    operators = any((schedule.strength != 0).any() for schedule in schedules.values())
    names = ["alpha", "std", *["strength"] * operators]
    further = {steps: _further_columns(schedule) for steps, schedule in schedules.items()}
    extra = list(dict.fromkeys(name for columns in further.values() for name in columns))
    lines = [",".join(["steps", "level", *names, "beta", *extra])]
    for steps, schedule in schedules.items():
        columns = {"alpha": schedule.alpha, "std": schedule.std, "strength": schedule.strength}
        betas = [""] * len(schedule) if operators else [f"{beta:.17g}" for beta in betas_of(schedule).flip(0).tolist()] + [""]
        for i, beta in enumerate(betas):
            values = [f"{columns[name][i].item():.17g}" for name in names]
            lines.append(",".join([str(steps), str(i), *values, beta, *(further[steps].get(name, [""] * len(betas))[i] for name in extra)]))
    write_text(path, "\n".join(lines) + "\n")


def _further_columns(schedule: Level) -> dict[str, list[str]]:
    """Columns of one schedule that only some have, as text; empty at the last level, which no step leaves."""
    columns: dict[str, list[str]] = {"ends": ["lowest"] * len(schedule)} if schedule.std[-1] > 0 else {}
    if isinstance(schedule, PlannedSchedule):
        numbers: dict[str, Tensor] = {}
        if schedule.conditioned is not None:
            numbers |= dict(zip(CONDITIONED, (schedule.conditioned.alpha, schedule.conditioned.std), strict=True))
        if schedule.weights is not None:
            numbers |= {f"{WEIGHT}{j}": each for j, each in enumerate(schedule.weights.unbind(1))}
        columns |= {name: [*(f"{value:.17g}" for value in each.tolist()), ""] for name, each in numbers.items()}
    return columns


def read_schedules(path: Path) -> dict[int, Level]:
    """Read a schedule file: columns alpha, std and maybe strength (noisiest first) or only beta (least noisy first), maybe steps.

    Further columns: `ends`, clean or lowest; conditioned_alpha and conditioned_std, what the net receives at each level in its place;
    weight_0, weight_1, .., of the predictions, newest first, in the step that leaves the level. The last level has none of these numbers.

    Returns: schedules by their number of steps, a PlannedSchedule where one has more than levels.
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
            schedule, clean = _with_plan(_levels(group, names), group), _ends_clean(group)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        check_schedule(schedule, str(path), clean)
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


def _ends_clean(rows: list[dict[str, str]]) -> bool:
    """Whether a schedule ends clean.  Raises: ValueError for an end that is neither clean nor lowest."""
    ends = {row.get("ends") or ENDS[0] for row in rows}
    if len(ends) > 1 or not ends <= set(ENDS):
        raise ValueError(f"column ends holds {', '.join(sorted(ends))}; write {' or '.join(ENDS)}, the same at each level of a schedule")
    return ends == {ENDS[0]}


def _with_plan(levels: Level, rows: list[dict[str, str]]) -> Level:
    """A schedule with its further columns; itself where it has none.  Raises: ValueError for columns that are not whole."""
    present = {name for row in rows for name, text in row.items() if text and name is not None}
    weights = sorted((name for name in present if name.startswith(WEIGHT)), key=lambda name: (len(name), name))
    if weights != [f"{WEIGHT}{j}" for j in range(len(weights))]:
        raise ValueError(f"columns {', '.join(weights)} are not numbered {WEIGHT}0, {WEIGHT}1, ..; name them so")
    planned = [*(name for name in CONDITIONED if name in present), *weights]
    if not planned:
        return levels
    if len(planned) - len(weights) not in (0, len(CONDITIONED)):
        raise ValueError(f"column {planned[0]} needs the other of {', '.join(CONDITIONED)} beside it; add it")
    if "alpha" not in present:
        raise ValueError(f"columns {', '.join(planned)} need alpha and std, which list the noisiest level first; add them")
    for i, row in enumerate(rows):
        for name in planned:
            if bool(row[name]) != (i < len(rows) - 1):
                raise ValueError(f"{name} is {row[name] or 'empty'!r} at level {i}; write a number at each level but the last")
    numbers = {name: torch.tensor([float(row[name]) for row in rows[:-1]], dtype=torch.float64) for name in planned}
    conditioned = Level(numbers[CONDITIONED[0]], numbers[CONDITIONED[1]]) if CONDITIONED[0] in numbers else None
    return PlannedSchedule.of(levels, conditioned, torch.stack([numbers[name] for name in weights], dim=1) if weights else None)
