"""Whether the cells of two rows of a table bear out a claim."""

from difftables.metrics.catalogue import fits, short_name
from difftables.report.cells import Cell
from difftables.report.statistics import interval

VERDICTS = ("holds", "contradicted", "not distinguishable")


def _measured(claim: dict[str, str], cells: list[Cell]) -> list[Cell]:
    status = ("measured", "closed-form")
    return [c for c in cells if c.table == claim["table"] and c.status in status and claim.get("column", c.column_id) == c.column_id]


def _subject(claim: dict[str, str], cells: list[Cell]) -> Cell | None:
    """The first measured cell of the claim's metric, or of any where it names none."""
    return next((c for c in _measured(claim, cells) if "metric" not in claim or fits(c.metric_id, claim["metric"])), None)


def metric_of(claim: dict[str, str], cells: list[Cell]) -> str:
    """The name of the metric a claim is about: of the first measured variant of the one it names, or else the table's first."""
    found = _subject(claim, cells)
    return found.metric if found is not None else short_name(claim["metric"]) if "metric" in claim else ""


def places(claim: dict[str, str], cells: list[Cell]) -> dict[str, list[str]]:
    """Columns in which `better` beats `than`, loses to it, or is not distinguishable from it, with both values."""
    rows: dict[str, dict[str, Cell]] = {}
    first = _subject(claim, cells)
    for cell in _measured(claim, cells):
        if first is not None and cell.metric_id == first.metric_id:
            rows.setdefault(cell.row_id, {})[cell.column_id] = cell
    a, b = rows.get(claim["better"], {}), rows.get(claim["than"], {})
    seen: dict[str, list[str]] = {word: [] for word in VERDICTS}
    for column in (column for column in a if column in b):
        found, sign = _gap(a[column], b[column]), 1 if (claim.get("direction") or a[column].better) == "lower" else -1
        differs = found is not None and not found[0] <= 0 <= found[1]
        word = "not distinguishable" if not differs or found is None else "holds" if found[1] * sign < 0 else "contradicted"
        interval = f"; {found[0]:+.2g} to {found[1]:+.2g}" if found is not None and found[0] < found[1] else ""
        seen[word].append(f"{a[column].column} ({(a[column].value or 0):.3g} against {(b[column].value or 0):.3g}{interval})")
    return seen


def _gap(a: Cell, b: Cell) -> tuple[float, float] | None:
    """Interval of value(a) - value(b): from paired seeds, or the difference itself of two closed forms."""
    if a.status == b.status == "closed-form" and a.value is not None and b.value is not None:
        return a.value - b.value, a.value - b.value
    return interval(a, b)


def verdict(claim: dict[str, str], cells: list[Cell]) -> str:
    """In which columns a claim holds, is contradicted or is undecided, in words."""
    seen = places(claim, cells)
    return "; ".join(f"**{word}** at {', '.join(where)}" for word, where in seen.items() if where) or "not run"
