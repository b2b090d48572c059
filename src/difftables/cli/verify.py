"""`difftables verify A B`: whether two results folders, e.g. of two machines, hold the same cells, samples and nets."""

import csv
import sys
from pathlib import Path

from difftables.config import SCALES

USAGE = "usage: difftables verify A B, two results folders such as results/smoke"
NAMES = ("paper", "table", "row", "column", "metric")
SECONDS = ("real_time_factor",)  # columns that no second run repeats
Line = dict[str, str]  # of cells.csv


def command(arguments: list[str]) -> int:
    """Print in one line that two results are the same, or where they first differ; exit 1 if they do."""
    if len(arguments) != 2 or arguments[0].startswith("-"):
        print(USAGE, file=sys.stderr)
        return 2
    a, b = (Path(each) for each in arguments)
    try:
        first, second = read(a), read(b)
        differences = compared(first, second)
        stored, problem = stores(a, b)
    except (OSError, ValueError) as error:
        print(f"verify: {error}")
        return 1
    count = len(first.keys() & second.keys())
    told = f"{count} cells compared" + (f" and {stored} files of the stores" if stored else ", no stores")
    problems = [*differences, *([problem] if problem else [])]
    for line in problems:
        print(f"verify: {line}")
    print(f"verify: {'NOT the same' if problems else 'the same'}; {told}; {a} and {b}")
    return bool(problems)


def read(folder: Path) -> dict[tuple[str, ...], Line]:
    """The cells of a results folder by name.

    Raises: ValueError for a folder without, or for two cells of one name.
    """
    path = folder / "tables/cells.csv"
    if not path.exists():
        raise ValueError(f"{path} is missing; run snakemake")
    found: dict[tuple[str, ...], Line] = {}
    with open(path, newline="") as file:
        for line in csv.DictReader(file):
            key = tuple(line.get(name) or "" for name in NAMES)
            if key in found:
                raise ValueError(f"{path} has two cells {'/'.join(key)}")
            found[key] = line
    if not found:
        raise ValueError(f"{path} is empty")
    return found


def compared(first: dict[tuple[str, ...], Line], second: dict[tuple[str, ...], Line]) -> list[str]:
    """What tells two files of cells apart: the first value that differs, and the lines that one alone has."""
    out = []
    for key in (key for key in first if key in second):
        one, other = first[key], second[key]
        columns = [name for name in dict.fromkeys([*one, *other]) if name not in SECONDS and one.get(name) != other.get(name)]
        if columns:
            differing = sum(_told(first[each]) != _told(second[each]) for each in first if each in second)
            values = f"{one.get(columns[0])!r} against {other.get(columns[0])!r}"
            out.append(f"{'/'.join(key)}: {columns[0]} is {values}; it is the first of {differing} cells that differ")
            break
    for mine, theirs, word in ((first, second, "first"), (second, first, "second")):
        alone = [key for key in mine if key not in theirs]
        if alone:
            out.append(f"{len(alone)} cells are in the {word} alone, e.g. {'/'.join(alone[0])}")
    return out or ([] if list(first) == list(second) else ["the cells are the same, but in another order"])


def _told(line: Line) -> Line:
    return {name: value for name, value in line.items() if name not in SECONDS}


def stores(a: Path, b: Path) -> tuple[int, str]:
    """How many files of two stores were compared, and the first job of the DAG whose output differs or is not in both.

    Raises: ValueError where the folders are not named after a scale, whose plan has the order; ConfigError of the plan.
    """
    from difftables.lineage import jobs
    from difftables.plan import read as planned

    if not (a / "store").is_dir() or not (b / "store").is_dir():
        return 0, ""
    scale = a.resolve().name
    if scale not in SCALES:
        raise ValueError(f"{a} has a store, but is not named after a scale ({', '.join(SCALES)}), so the order of its jobs is not known")
    plan = planned(scale)
    outputs = [(job.rule, Path(path).relative_to(plan.root)) for job in jobs(plan) for path in job.outputs]
    return bytes_of(a, b, [(rule, path) for rule, path in outputs if path.suffix != ".json"])  # those tell of commit and machine


def bytes_of(a: Path, b: Path, outputs: list[tuple[str, Path]]) -> tuple[int, str]:
    """How many outputs, in the order given, are in both folders, and a line on the first that differs or is in one alone."""
    from difftables.io import sha256

    count, problem = 0, ""
    for rule, path in outputs:
        here, there = (a / path).exists(), (b / path).exists()
        if here != there:
            problem = problem or f"job {rule}: {path} is in {a if here else b} alone"
        elif here:
            count += 1
            one, other = sha256(a / path), sha256(b / path)
            if one != other:
                problem = problem or f"job {rule}: {path} differs, sha256 {one[:12]} against {other[:12]}; no job before it does"
    return count, problem
