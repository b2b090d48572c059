"""Where a file differs from the text that it should hold: by cell where it has cells, else by line."""

import csv
import io
import json
from itertools import zip_longest
from pathlib import Path
from typing import Any

NAMES = ("paper", "table", "row", "column", "metric")  # of a cell
MOST = 5  # lines about one file
SEPARATORS = {".md": "|", ".tex": " & "}
Entries = dict[str, dict[str, Any]]  # values by place, and by name there


def differences(path: Path, wanted: str) -> list[str]:
    """One line for each place where a file differs from its text, MOST at most; [] where all bytes are the same."""
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        return [f"{path} is missing; run snakemake"]
    if found == wanted.encode():
        return []
    text = found.decode(errors="replace")
    lines = _structured(path.suffix, text, wanted) or _by_line(path.suffix, text, wanted)
    more = [f"{path}: {len(lines) - MOST} more places differ"] if len(lines) > MOST else []
    return [f"{path}: {line}" for line in lines[:MOST]] + more


def _structured(suffix: str, found: str, wanted: str) -> list[str]:
    """By cell or entry; [] for a format without, for a file that is broken, and where no value differs."""
    read = {".csv": _entries_of_csv, ".json": _entries_of_json}.get(suffix)
    try:
        return _compared(read(found), read(wanted)) if read else []
    except (ValueError, TypeError, KeyError):
        return []


def _compared(found: Entries, wanted: Entries) -> list[str]:
    out = []
    for place in dict.fromkeys([*wanted, *found]):
        if place not in found or place not in wanted:
            out.append(f"{place} is {'missing' if place in wanted else 'too many'}")
            continue
        mine, right = found[place], wanted[place]
        odd = [name for name in dict.fromkeys([*right, *mine]) if mine.get(name) != right.get(name)]
        if odd:
            out.append(f"{place}: {odd[0]} is {_short(mine.get(odd[0]))}, should be {_short(right.get(odd[0]))}")
    return out


def _entries_of_csv(text: str) -> Entries:
    """Lines by the cell they are of, or by their first column."""
    lines = list(csv.DictReader(io.StringIO(text, newline="")))
    keys = NAMES if lines and set(NAMES) <= lines[0].keys() else list(lines[0])[:1] if lines else []
    return {"/".join(str(line[key]) for key in keys): dict(line) for line in lines}


def _entries_of_json(text: str) -> Entries:
    """Entries of nested mappings by their path; cells by their names, whatever their order."""
    content, found = json.loads(text), dict[str, dict[str, Any]]()
    if isinstance(content.get("cells"), list):
        found |= {"/".join(str(cell[name]) for name in NAMES): cell for cell in content.pop("cells")}

    def walk(value: Any, path: tuple[str, ...]) -> None:
        nested = isinstance(value, dict) or (isinstance(value, list) and any(isinstance(each, dict | list) for each in value))
        if nested:
            for name, each in value.items() if isinstance(value, dict) else enumerate(value):
                walk(each, (*path, str(name)))
        else:
            found.setdefault("/".join(path[:-1]) or "top", {})[path[-1]] = value

    walk(content, ())
    return found


def _by_line(suffix: str, found: str, wanted: str) -> list[str]:
    """By line, and in tables of Markdown and LaTeX by row and column."""
    mine, right = found.splitlines(), wanted.splitlines()
    pairs = enumerate(zip_longest(mine, right))
    out = [f"line {i + 1}{_place(suffix, right, i, one, other)}" for i, (one, other) in pairs if one != other]
    return out or ["the ends of its lines differ"]


def _place(suffix: str, right: list[str], i: int, one: str | None, other: str | None) -> str:
    """What differs in a line: a cell by its row and column, or the line itself."""
    mark = SEPARATORS.get(suffix)
    if one is None or other is None:
        return f" is {'missing' if one is None else 'too many'}: {_short(one or other)}"
    if mark and one.count(mark) == other.count(mark) > 0:
        mine, wanted = ([part.strip() for part in line.split(mark)] for line in (one, other))
        at = next((k for k, pair in enumerate(zip(mine, wanted, strict=True)) if pair[0] != pair[1]), 0)
        heads = next((line.split(mark) for line in reversed(right[:i]) if _is_head(line, right, mark)), [])
        head = heads[at].strip(" \\") if at < len(heads) else ""
        row = next((part for part in wanted if part), "")
        return f", row {row!r}, column {head!r}: is {_short(mine[at])}, should be {_short(wanted[at])}"
    return f" is {_short(one)}, should be {_short(other)}"


def _is_head(line: str, lines: list[str], mark: str) -> bool:
    """Whether the rule below a table's head follows a line."""
    below = lines[lines.index(line) + 1 : lines.index(line) + 2]
    return mark in line and bool(below) and below[0].startswith(("|---", r"\midrule")) and "\\multi" not in line


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
