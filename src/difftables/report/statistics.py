"""Means, and which cells of a column are best."""

from itertools import pairwise

from difftables.common.arithmetic import sum_in_order
from difftables.evidence.effects import LEVEL, Effect, drawn, paired
from difftables.evidence.families import holm
from difftables.report.cells import Cell
from difftables.report.units import units

MARGIN = 0.1  # within which a cell is equivalent to the best


def mean_sd(values: list[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation; None for a single value."""
    mean = sum_in_order(values) / len(values)
    if len(values) < 2:
        return mean, None
    return mean, (sum_in_order((v - mean) ** 2 for v in values) / (len(values) - 1)) ** 0.5


def mark_best(cells: list[Cell]) -> None:
    """Mark, in each column and metric, the best cell where it is told from every other (Holm), and cells equivalent to the best mean.

    Equivalent: within 10 %, by two one-sided tests of more than three units. Three are too few for any dagger.
    """
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        if cell.status == "measured" and cell.better and len(cell.values) > 1:
            groups.setdefault((cell.column_id, cell.metric_id), []).append(cell)
    for group in (group for group in groups.values() if len(group) > 1):
        first = (min if group[0].better == "lower" else max)(group, key=lambda cell: cell.value or 0.0)
        others = [cell for cell in group if cell is not first]
        gaps = [_effect(cell, first) for cell in others]
        told = holm([gap.p for gap in gaps if gap is not None])
        first.verdict = "best" if len(told) == len(others) and max(told) < LEVEL else ""
        for cell, gap in zip(others, gaps, strict=True):
            cell.verdict = "same" if gap is not None and gap.units > 3 and gap.p_outside < LEVEL else ""


def _effect(cell: Cell, other: Cell) -> Effect | None:
    (first, kind), (second, theirs) = units(cell), units(other)
    return (drawn if cell.draws else paired)(first, second, MARGIN) if kind == theirs else None


def detectable(cells: list[Cell]) -> float | None:
    """The smallest difference that a table's first metric can tell, as a part of the value: the median over its pairs of neighbours."""
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        if cell.status == "measured" and cell.better and len(cell.values) > 1 and not cell.draws:
            groups.setdefault((cell.metric_id, cell.column_id), []).append(cell)
    first = next(iter(groups), ("", ""))[0]
    pairs = [pair for (metric, _), group in groups.items() if metric == first for pair in pairwise(group)]
    found = sorted(gap.detectable - 1 for pair in pairs if (gap := _effect(*pair)) is not None and gap.detectable is not None)
    return found[len(found) // 2] if found else None
