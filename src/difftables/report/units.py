"""What the values of a cell are repetitions of."""

from difftables.common.arithmetic import sum_in_order
from difftables.report.cells import Cell

TRAININGS, SAMPLINGS, IMAGES, BATCHES, BOOTSTRAP = "training seeds", "sampling seeds", "images", "batches", "bootstrap"


def shape(cell: Cell) -> tuple[int, int]:
    """Training seeds, and sampling seeds of each; zeros for a cell without."""
    train, _, sampling = cell.seeds.partition("x")
    return (int(train), int(sampling)) if train.isdigit() and sampling.isdigit() else (0, 0)


def spread_kind(cell: Cell) -> str:
    """What the spread of a cell is over; "" for a single value."""
    trainings, samplings = shape(cell)
    if cell.draws:
        return BOOTSTRAP
    if len(cell.values) < 2:
        return ""
    if len(cell.values) == trainings * samplings:
        return f"{TRAININGS} x {SAMPLINGS}" if trainings > 1 and samplings > 1 else TRAININGS if trainings > 1 else SAMPLINGS
    return IMAGES if cell.metric_id == "nll" else BATCHES


def units(cell: Cell) -> tuple[list[float], str]:
    """The independent values of a cell, one of each training where there are several, or else of each repetition on one net; their kind.

    What belongs to one training is averaged: repetitions on a net say nothing of another net.
    """
    trainings, _ = shape(cell)
    if cell.draws:
        return cell.values, BOOTSTRAP
    if trainings > 1 and cell.values and len(cell.values) % trainings == 0:
        each = len(cell.values) // trainings
        return [sum_in_order(cell.values[i * each : (i + 1) * each]) / each for i in range(trainings)], TRAININGS
    return cell.values, spread_kind(cell)
