"""Means, intervals of paired differences, and which cells of a column are best."""

from difftables.common.arithmetic import sum_in_order
from difftables.report.cells import Cell


def mean_sd(values: list[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation; None for a single value."""
    mean = sum_in_order(values) / len(values)
    if len(values) < 2:
        return mean, None
    return mean, (sum_in_order((v - mean) ** 2 for v in values) / (len(values) - 1)) ** 0.5


def interval(a: Cell, b: Cell) -> tuple[float, float] | None:
    """95 % interval of value(a) - value(b) from paired seeds: Student's t, or percentiles of bootstrap draws.

    Returns: None for fewer than two pairs, or different numbers of values.
    """
    from scipy.special import stdtrit  # scipy.stats takes a second to import

    if len(a.values) != len(b.values) or len(a.values) < 2:
        return None
    gaps = sorted(x - y for x, y in zip(a.values, b.values, strict=True))
    if a.draws:
        return gaps[int(0.025 * len(gaps))], gaps[min(len(gaps) - 1, int(0.975 * len(gaps)))]
    mean, sd = mean_sd(gaps)
    half = float(stdtrit(len(gaps) - 1, 0.975)) * (sd or 0.0) / len(gaps) ** 0.5
    return mean - half, mean + half


def differ(a: Cell, b: Cell) -> bool:
    """Whether zero lies outside the interval of the difference; False without an interval."""
    bounds = interval(a, b)
    return bounds is not None and not bounds[0] <= 0 <= bounds[1]


def mark_best(cells: list[Cell]) -> None:
    """Mark, in each column and metric, the best measured cell and those not distinguishable from it."""
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        if cell.status == "measured" and cell.better and len(cell.values) > 1:
            groups.setdefault((cell.column_id, cell.metric_id), []).append(cell)
    for group in (group for group in groups.values() if len(group) > 1):
        best = (min if group[0].better == "lower" else max)(group, key=lambda cell: cell.value or 0.0)
        for cell in group:
            cell.verdict = "best" if cell is best else "" if differ(cell, best) else "same"
