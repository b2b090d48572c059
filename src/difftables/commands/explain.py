"""`difftables explain CELL [SCALE]`: from a cell of a table to what made it: records, samples, nets, data and all their numbers."""

import csv
import sys
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

from difftables.common.errors import ConfigError, nearest
from difftables.planning.explanation import Line, aligned, history

USAGE = "usage: difftables explain PAPER/TABLE/ROW/COLUMN[/METRIC] [SCALE]"
KEYS = ("paper", "table", "row", "column", "metric")


def command(arguments: list[str]) -> int:
    """Print what made a cell; exit 1, with the names of all that fit, unless there is one."""
    if not 1 <= len(arguments) <= 2 or arguments[0].startswith("-"):
        print(USAGE, file=sys.stderr)
        return 2
    try:
        scale = scale_of(arguments[1:])
        path = Path(f"results/{scale}/tables/cells.csv")
        if not path.exists():
            raise ValueError(f"{path} is missing; run snakemake --config scale={scale}")
        with open(path, newline="") as file:
            cells = list(csv.DictReader(file))
        found = choose(cells, arguments[0])
        if len(found) != 1:
            raise ValueError("\n".join(map(name, found)) or missed(cells, arguments[0]))
        print("\n".join([*aligned(found[0]), *history(scale, found[0])]))
    except (OSError, ValueError) as error:
        print(error)
        return 1
    return 0


def scale_of(words: list[str]) -> str:
    """The scale that is asked for, or that of params.yaml, whatever else is wrong with it.  Raises: ConfigError for an unknown one."""
    from difftables.config.params_file import SCALES
    from difftables.papers.folder import read_yaml

    scale = words[0] if words else (read_yaml(Path("params.yaml")) or {}).get("scale")
    if scale not in SCALES:
        raise ConfigError(f"there is no scale {scale!r}{nearest(str(scale), SCALES)}")
    return scale


# -- which cell -------------------------------------------------------------------------------------------------


def name(cell: Line) -> str:
    """A cell's full name, as CELL takes it."""
    return "/".join(cell[key] for key in KEYS if key in cell)


def fitting(names: Iterable[str], word: str, inside: bool) -> list[str]:
    """Names that are a word, else those that begin with it, else, if `inside`, those that have it in them; case does not count."""
    known, word = list(dict.fromkeys(names)), word.casefold()
    exact = [each for each in known if each.casefold() == word]
    begun = [each for each in known if each.casefold().startswith(word)]
    return exact or begun or [each for each in known if inside and word in each.casefold()]


def readings(text: str) -> list[list[str]]:
    """The parts of CELL in every way to read it, since rows and columns may have a / in their names."""
    first, rest = text.split("/")[:2], text.split("/")[2:]
    found = [
        [*first, *("/".join(rest[a:b]) for a, b in zip((0, *cuts), (*cuts, len(rest)), strict=True))]
        for count in (min(len(rest), 3), 2, 1) if 1 <= count <= len(rest) for cuts in combinations(range(1, len(rest)), count - 1)
    ]  # fmt: skip
    return found or [first]


def narrowed(cells: list[Line], parts: list[str]) -> list[Line]:
    """Cells that fit all parts, by label or by id."""
    for key, word in zip(KEYS, parts, strict=False):
        kept = set(fitting((each for cell in cells for each in called(cell, key)), word, key not in ("paper", "table")))
        cells = [cell for cell in cells if not kept.isdisjoint(called(cell, key))]
    return cells


def called(cell: Line, key: str) -> list[str]:
    """What a cell's row, column or metric is called: its label, and its id where cells.csv has it."""
    return list(filter(None, (cell[key], cell.get(f"{key}_id"))))


def choose(cells: list[Line], text: str) -> list[Line]:
    """The cells that CELL may mean; of several metrics, unless it names one, the first that was measured."""
    for parts in readings(text):
        found = narrowed(cells, parts)
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


def missed(cells: list[Line], text: str) -> str:
    """One line that names the first part that fits nothing, and the nearest there is."""
    parts = text.split("/")[:4]
    for i, key in enumerate(KEYS[: len(parts)]):
        before, after = narrowed(cells, parts[:i]), narrowed(cells, parts[: i + 1])
        if not after:
            return (
                f"there is no {key} {parts[i]!r}{nearest(parts[i], dict.fromkeys(each for cell in before for each in called(cell, key)))}"
            )
    last = text.split("/")[-1]
    return f"there is no metric {last!r}{nearest(last, dict.fromkeys(cell['metric'] for cell in narrowed(cells, parts)))}"
