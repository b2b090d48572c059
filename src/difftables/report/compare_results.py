"""Whether two results folders hold the same cells and files, and the first job with which they part."""

import csv
from pathlib import Path
from typing import NamedTuple

from difftables.common.files import sha256
from difftables.provenance.files import Provenance, walk

NAMES = ("paper", "table", "row", "column", "metric")
CONDITIONS = ("spec", "code", "packages", "threads", "machine")  # of a job, apart from its inputs
Line = dict[str, str]  # of cells.csv


# -- cells ----------------------------------------------------------------------------------------------------------


def read_cells(folder: Path) -> dict[tuple[str, ...], Line]:
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


def compare_cells(first: dict[tuple[str, ...], Line], second: dict[tuple[str, ...], Line]) -> list[str]:
    """How two files of cells differ: the first value that does, and the lines that are in one of them only."""
    out, differing = [], [key for key in first if key in second and first[key] != second[key]]
    if differing:
        one, other = first[differing[0]], second[differing[0]]
        column = next(name for name in dict.fromkeys([*one, *other]) if one.get(name) != other.get(name))
        values = f"{one.get(column)!r} against {other.get(column)!r}"
        out.append(f"{'/'.join(differing[0])}: {column} is {values}; it is the first of {len(differing)} cells that differ")
    for mine, theirs, word in ((first, second, "first"), (second, first, "second")):
        single = [key for key in mine if key not in theirs]
        if single:
            out.append(f"{len(single)} cells are in the {word} only, e.g. {'/'.join(single[0])}")
    return out or ([] if list(first) == list(second) else ["the cells are the same, but in another order"])


# -- stores ---------------------------------------------------------------------------------------------------------


class StoredFile(NamedTuple):
    """A file of a store: the job that made it, its sha256 as that job recorded it, and as it lies there now, if it does."""

    job: Provenance
    recorded: str
    lying: str


def compare_stores(a: Path, b: Path, first: dict[str, Provenance], second: dict[str, Provenance]) -> tuple[int, list[str]]:
    """How many files of two stores were compared, and the first job, in making order, with which they part."""
    needed = _places_of_report(first) | _places_of_report(second)
    one, other, out = _stored_files(a, first, needed), _stored_files(b, second, needed), list[str]()
    differing = dict.fromkeys(place for place in one if place in other and one[place].lying != other[place].lying)
    # What is made from files that differ is a consequence.
    causes = [place for place in differing if not differing.keys() & _inputs(one[place].job).keys()]
    for place in causes[:1]:
        mine, theirs = one[place], other[place]
        values = f"sha256 {mine.lying[:12]} against {theirs.lying[:12]}, with {_differences(mine.job, theirs.job)}"
        out.append(f"job {mine.job.name}: {place} differs, {values}; it is the first of {len(differing)} files that differ")
        spoilt = [folder / place for folder, file in ((a, mine), (b, theirs)) if file.lying != file.recorded]
        out += [f"{path} is not the file that its job made" for path in spoilt]
    for here, there, folder in ((one, other, a), (other, one, b)):
        single = [place for place in here if place not in there]
        if single:
            out.append(f"job {here[single[0]].job.name}: {single[0]} is in {folder} only; it is the first of {len(single)} such files")
    return len(one.keys() & other.keys()), out


def _places_of_report(known: dict[str, Provenance]) -> set[str]:
    """Places of the files that a report was made from, not of what earlier runs left; of all files where there is no report."""
    reports = [path for path, job in known.items() if job.rule == "report"]
    return {_place(path) for job in walk(known, reports or known) for path in job.written()}


def _stored_files(folder: Path, known: dict[str, Provenance], needed: set[str]) -> dict[str, StoredFile]:
    """The files of a store that are needed, in making order, by place in the results folder."""
    files = [(job, _place(path), recorded) for job in walk(known, known) for path, recorded in job.written().items()]
    return {
        place: StoredFile(job, recorded, sha256(folder / place) if (folder / place).exists() else recorded)
        for job, place, recorded in files if place in needed and place.startswith("store/")
    }  # fmt: skip


def _place(path: str) -> str:
    """A path from the repository's root, results/SCALE/REST, as it lies in a results folder."""
    return "/".join(path.split("/")[2:]) if path.startswith("results/") else path


def _inputs(job: Provenance) -> dict[str, str]:
    return {_place(path): value for path, value in job.read().items()}


def _differences(one: Provenance, other: Provenance) -> str:
    """In what two runs of a job differ beside their outputs."""
    mine, theirs = ({"inputs": _inputs(job)} | job.model_dump(include=set(CONDITIONS)) for job in (one, other))
    return (
        f"other {', '.join(key for key in mine if mine[key] != theirs[key])}" if mine != theirs else "the same inputs, spec, code, machine"
    )
