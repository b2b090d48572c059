"""Which cells of cells.csv a name means: PAPER/TABLE/ROW/COLUMN[/METRIC], each part abbreviated or not."""

from collections.abc import Iterable
from itertools import combinations

from difftables.common.errors import nearest

Line = dict[str, str]  # of cells.csv
KEYS = ("paper", "table", "row", "column", "metric")


def full_name(cell: Line) -> str:
    """PAPER/TABLE/ROW/COLUMN/METRIC of a cell."""
    return "/".join(cell[key] for key in KEYS if key in cell)


def _best_fits(names: Iterable[str], word: str, inside: bool) -> list[str]:
    """The names that equal a word, else those that begin with it, else, if `inside`, those that contain it; case does not count."""
    candidates, word = list(dict.fromkeys(names)), word.casefold()
    exact = [each for each in candidates if each.casefold() == word]
    begun = [each for each in candidates if each.casefold().startswith(word)]
    return exact or begun or [each for each in candidates if inside and word in each.casefold()]


def _readings(text: str) -> list[list[str]]:
    """The parts of a name in every way to split it, since names of rows and columns may contain a /."""
    first, rest = text.split("/")[:2], text.split("/")[2:]
    found = [
        [*first, *("/".join(rest[a:b]) for a, b in zip((0, *cuts), (*cuts, len(rest)), strict=True))]
        for count in (min(len(rest), 3), 2, 1) if 1 <= count <= len(rest) for cuts in combinations(range(1, len(rest)), count - 1)
    ]  # fmt: skip
    return found or [first]


def _narrowed(cells: list[Line], parts: list[str]) -> list[Line]:
    """The cells that fit all parts, by label or by id."""
    for key, word in zip(KEYS, parts, strict=False):
        kept = set(_best_fits((each for cell in cells for each in _names_of(cell, key)), word, key not in ("paper", "table")))
        cells = [cell for cell in cells if not kept.isdisjoint(_names_of(cell, key))]
    return cells


def _names_of(cell: Line, key: str) -> list[str]:
    """The names of a cell's row, column or metric: its label, and its id where cells.csv has one."""
    return list(filter(None, (cell[key], cell.get(f"{key}_id"))))


def matching_cells(cells: list[Line], text: str) -> list[Line]:
    """The cells that a name may mean; without a metric in the name, the first measured metric of each.

    Several cells come without their metrics.
    """
    for parts in _readings(text):
        found = _narrowed(cells, parts)
        if found and len(parts) == len(KEYS):
            return found
        if found:
            first: dict[tuple[str, ...], Line] = {}
            for cell in sorted(found, key=_unmeasured):
                first.setdefault(tuple(cell[key] for key in KEYS[:4]), cell)
            chosen = [cell for cell in found if first[tuple(cell[key] for key in KEYS[:4])] is cell]
            return chosen if len(chosen) == 1 else [{key: cell[key] for key in KEYS[:4]} for cell in chosen]
    return []


def _unmeasured(cell: Line) -> bool:
    return cell["status"] != "measured"


def what_is_missing(cells: list[Line], text: str) -> str:
    """One line with the first part of a name that fits no cell, and the nearest part that does."""
    parts = text.split("/")[:4]
    for i, key in enumerate(KEYS[: len(parts)]):
        before, after = _narrowed(cells, parts[:i]), _narrowed(cells, parts[: i + 1])
        if not after:
            names = dict.fromkeys(each for cell in before for each in _names_of(cell, key))
            return f"there is no {key} {parts[i]!r}{nearest(parts[i], names)}"
    last = text.split("/")[-1]
    return f"there is no metric {last!r}{nearest(last, dict.fromkeys(cell['metric'] for cell in _narrowed(cells, parts)))}"
