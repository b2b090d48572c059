"""Rows as dots: a measured column with its spread, and a column of the paper on an axis of its own."""

from typing import Any

from difftables.report.cells import Cell
from difftables.report.figures import CYCLE, MARKS, pyplot, with_direction

Dots = dict[str, list[tuple[str, float, float]]]  # name of a panel to rows: label, value, half of its bar


def dots(cells: list[Cell], columns: list[str]) -> Dots:
    """What is drawn: the measured cells of the first column, and the quoted ones of the second; {} where nothing was measured."""
    own = [cell for cell in cells if cell.column_id == columns[0] and cell.value is not None]
    if not own:
        return {}
    found: Dots = {with_direction(own[0].metric, own[0].better): [(cell.row, cell.value or 0.0, cell.sd or 0.0) for cell in own]}
    for column in columns[1:]:
        theirs = [cell for cell in cells if cell.column_id == column and cell.paper_value]
        if theirs:
            name = f"paper: {theirs[0].paper_metric}, {theirs[0].paper_dataset}"
            found[name] = [(cell.row, float(cell.paper_value), 0.0) for cell in theirs]
    return found


def draw_dots(panels: Dots) -> Any:
    """A panel a column, its rows from the top; bars are one sd over seeds.  The paper's numbers have an axis of their own."""
    plt = pyplot()
    labels = list(dict.fromkeys(label for rows in panels.values() for label, _, _ in rows))
    figure, axes = plt.subplots(1, len(panels), figsize=(3.4 * len(panels) + 2.6, 0.3 * len(labels) + 1.0), squeeze=False, sharey=True)
    for i, (axis, (name, rows)) in enumerate(zip(axes[0], panels.items(), strict=True)):
        places, values, bars = zip(*((labels.index(label), value, bar) for label, value, bar in rows), strict=True)
        axis.errorbar(values, places, xerr=bars, fmt=MARKS[i], color=CYCLE[i], markersize=5, capsize=2.5)
        axis.set(xlabel=name)
    axes[0][0].set_yticks(range(len(labels)), labels, fontsize=8)
    axes[0][0].invert_yaxis()
    figure.tight_layout()
    return figure
