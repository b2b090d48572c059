"""Two rows, or two results, compared seed by seed: effects with intervals, and what was shown of them."""

import csv
import io
import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from difftables.common.arithmetic import sum_in_order
from difftables.common.errors import nearest
from difftables.evidence import effects, families
from difftables.evidence.effects import LEVEL, Effect
from difftables.evidence.outcomes import could_be
from difftables.metrics.catalogue import fits

Line = dict[str, str]  # of a CSV
Place = tuple[str, ...]  # what two cells are paired by
KEYS = ("paper", "table", "row_id", "column_id", "metric_id")
IDENTICAL, ONE = "the same digits", "not tested: one value"


@dataclass
class Results:
    """The cells of a results folder or of a revision, and the value of each seed behind them."""

    name: str
    cells: list[Line]
    seeds: dict[Place, dict[tuple[int, int], float]] = field(default_factory=dict)  # by training and sampling seed


@dataclass
class Compared:
    """Two cells.  Args: units: what the effect's pairs are; p: corrected for the number of comparisons; word: what was shown."""

    place: Place
    first: float
    second: float
    effect: Effect | None
    units: str
    p: float = 1.0
    word: str = ONE


# -- reading -----------------------------------------------------------------------------------------------------


def read_folder(folder: Path) -> Results:
    """Cells of a results folder, of its tables, or of a file cells.csv.  Raises: ValueError where there are none."""
    for place in (folder, folder / "tables"):
        if (place / "cells.csv").exists():
            texts = {name: (place / name).read_text() if (place / name).exists() else "" for name in ("cells.csv", "values.csv")}
            return _results(str(folder), texts)
    raise ValueError(f"{folder} has no cells.csv, and no tables with one; name a folder such as results/laptop")


def read_revision(word: str, scale: str) -> Results | None:
    """Cells of a git revision or of a DVC experiment; None for a word that is neither.  Raises: ValueError where it has no tables."""
    found = _git("rev-parse", "--verify", "--quiet", f"{word}^{{commit}}") or _experiment(word)
    if not found:
        return None
    texts = {name: _git("show", f"{found.strip()}:results/{scale}/tables/{name}") or "" for name in ("cells.csv", "values.csv")}
    if not texts["cells.csv"]:
        raise ValueError(f"revision {word} has no results/{scale}/tables/cells.csv; name another scale with --scale")
    return _results(word, texts)


def _experiment(word: str) -> str | None:
    """The commit of a DVC experiment, which lies under refs/exps."""
    listed = (_git("for-each-ref", "--format=%(objectname) %(refname)", "refs/exps") or "").split("\n")
    pairs = [line.split(" ", 1) for line in listed if " " in line]
    return next((commit for commit, name in pairs if name.rsplit("/", 1)[-1] == word), None)


def _git(*arguments: str) -> str | None:
    """What git prints, or None where it fails."""
    found = subprocess.run(["git", *arguments], capture_output=True, text=True)
    return found.stdout if found.returncode == 0 else None


def _results(name: str, texts: dict[str, str]) -> Results:
    found = Results(name, list(csv.DictReader(io.StringIO(texts["cells.csv"]))))
    for line in csv.DictReader(io.StringIO(texts["values.csv"])):
        seeds = found.seeds.setdefault(tuple(line[key] for key in KEYS), {})
        seeds[int(line["training"]), int(line["sampling"])] = float(line["value"])
    return found


def of_row(found: Results, word: str, table: str | None) -> dict[Place, Line]:
    """The measured cells of one row, by paper, table, column and metric; {} where no row has the name.

    Args: word: a row's id or label; table: its table, PAPER/TABLE or TABLE.
    """
    mine = [line for line in measured(found, None, table) if word in (line["row_id"], line["row"])]
    return {(line["paper"], line["table"], line["column_id"], line["metric_id"]): line for line in mine}


def measured(found: Results, metric: str | None, table: str | None) -> list[Line]:
    """Measured cells of a metric and a table.  Raises: ValueError for a name that no cell has, with the nearest one."""
    lines = [line for line in found.cells if line["value"] and line["status"] in ("measured", "closed-form", "estimated")]
    if table is not None:
        names = dict.fromkeys(name for line in lines for name in (line["table"], f"{line['paper']}/{line['table']}"))
        if table not in names:
            raise ValueError(f"{found.name} has no table {table!r}{nearest(table, names)}")
        lines = [line for line in lines if table in (line["table"], f"{line['paper']}/{line['table']}")]
    if metric is not None:
        known = dict.fromkeys(line["metric_id"] for line in lines)
        lines = [line for line in lines if fits(line["metric_id"], metric) or line["metric"] == metric]
        if not lines:
            raise ValueError(f"{found.name} has no metric {metric!r} there{nearest(metric, known)}")
    return lines


# -- comparing ---------------------------------------------------------------------------------------------------


def compare(
    pairs: list[tuple[Place, Line, Line]], first: Results, second: Results, margin: float, family: str = "benjamini-hochberg"
) -> list[Compared]:
    """Paired effects of cells, with p corrected for the number of those that were tested.

    Seeds that both cells have are paired. With several trainings in both the mean of each training is a unit, else each sampling seed is.
    Args: margin: within which a ratio is equivalent to 1; family: `holm` or `benjamini-hochberg`.
    """
    out = [_pair(place, a, b, first, second, margin) for place, a, b in pairs]
    tested = [each for each in out if each.effect is not None]
    adjust = families.holm if family == "holm" else families.benjamini_hochberg
    for each, p in zip(tested, adjust([each.effect.p for each in tested if each.effect is not None]), strict=True):
        each.p = p
    for each in tested:
        each.word = _word(each, margin)
    return out


def _pair(place: Place, a: Line, b: Line, first: Results, second: Results, margin: float) -> Compared:
    values = float(a["value"]), float(b["value"])
    left, right = (found.seeds.get(tuple(line[key] for key in KEYS), {}) for found, line in ((first, a), (second, b)))
    shared = sorted(left.keys() & right.keys())
    out = Compared(place, *values, None, "")
    if (shared and all(left[seed] == right[seed] for seed in shared)) or (not shared and a["value"] == b["value"] and a["run"] == b["run"]):
        out.word = IDENTICAL
        return out
    trainings = dict.fromkeys(training for training, _ in shared)
    if len(trainings) > 1:
        groups = [[seed for seed in shared if seed[0] == training] for training in trainings]
        units, out.units = [[_mean([side[s] for s in group]) for group in groups] for side in (left, right)], "training seeds"
    else:
        units, out.units = [[side[seed] for seed in shared] for side in (left, right)], "sampling seeds"
    out.effect = effects.paired(units[0], units[1], margin)
    out.units = out.units if out.effect is not None else ""
    return out


def _mean(values: list[float]) -> float:
    return sum_in_order(values) / len(values)


def _word(each: Compared, margin: float) -> str:
    assert each.effect is not None
    if each.p < LEVEL:
        return "A is higher" if each.effect.ratio > 1 else "A is lower"
    if each.effect.p_outside < LEVEL:
        return f"equivalent within {100 * margin:g} %"
    return f"cannot be told ({could_be(each.effect)})"


def detectable(found: list[Compared]) -> float | None:
    """The median over comparisons of the least ratio that would be found with 80 % power."""
    known = sorted(each.effect.detectable for each in found if each.effect is not None and each.effect.detectable is not None)
    return known[len(known) // 2] if known else None


# -- printing ----------------------------------------------------------------------------------------------------

HEAD = ("cell", "A", "B", "A / B", "95 % interval", "pairs", "p", "p corrected", "")


def as_text(found: list[Compared]) -> str:
    """A table in columns, and how far two cells must differ to be told apart."""
    lines = [HEAD, *(_fields(each) for each in found)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    out = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    if (least := detectable(found)) is not None:
        out.append(f"Two cells must differ by a factor of {least:.3g} to be told apart with 80 % power (median, p not corrected).")
    return "\n".join(out)


def _fields(each: Compared) -> tuple[str, ...]:
    shown = "/".join(each.place), f"{each.first:.4g}", f"{each.second:.4g}"
    if each.effect is None:
        return (*shown, "", "", "", "", "", each.word)
    effect = each.effect
    interval = f"{effect.low:.3g} to {effect.high:.3g}"
    return (*shown, f"{effect.ratio:.3g}", interval, f"{effect.units} {each.units}", f"{effect.p:.2g}", f"{each.p:.2g}", each.word)


def as_json(found: list[Compared]) -> str:
    """The same for programs."""

    def plain(each: Compared) -> dict[str, Any]:
        shown = {"cell": list(each.place), "a": each.first, "b": each.second, "outcome": each.word}
        if each.effect is None:
            return shown
        effect = each.effect
        return shown | {
            "ratio": effect.ratio, "low": effect.low, "high": effect.high, "p": effect.p, "p_corrected": each.p,
            "p_outside": effect.p_outside, "detectable": effect.detectable, "pairs": effect.units, "units": each.units,
        }  # fmt: skip

    return json.dumps([plain(each) for each in found], indent=1)
