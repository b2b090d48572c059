"""`difftables explain CELL [SCALE]`: from a cell of a table to what made it: records, samples, nets, data and their numbers."""

import csv
import sys
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from typing import Any

from difftables.lineage import Made, makers, walk
from difftables.plan import Plan
from difftables.told import Text, aligned, described, provenance

USAGE = "usage: difftables explain PAPER/TABLE/ROW/COLUMN[/METRIC] [SCALE]"
KEYS = ("paper", "table", "row", "column", "metric")
Line = dict[str, str]  # of cells.csv


def command(arguments: list[str]) -> int:
    """Print what made a cell; exit 1, with the names of all that fit, unless there is one."""
    from difftables.names import ConfigError
    from difftables.plan import read

    if not 1 <= len(arguments) <= 2 or arguments[0].startswith("-"):
        print(USAGE, file=sys.stderr)
        return 2
    try:
        plan = read(arguments[1] if len(arguments) == 2 else None)
    except ConfigError as error:
        print(error)
        return 1
    path = Path(plan.tables) / "cells.csv"
    if not path.exists():
        print(f"{path} is missing; run snakemake")
        return 1
    with open(path, newline="") as file:
        cells = list(csv.DictReader(file))
    found = choose(cells, arguments[0])
    if len(found) != 1:
        print("\n".join(map(name, found)) or missed(cells, arguments[0]))
        return 1
    try:
        print("\n".join([*aligned(about(found[0])), *history(plan, found[0])]))
    except ValueError as error:  # a damaged record
        print(error)
        return 1
    return 0


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
    """Cells that fit all parts given."""
    for key, word in zip(KEYS, parts, strict=False):
        kept = set(fitting((cell[key] for cell in cells), word, key not in ("paper", "table")))
        cells = [cell for cell in cells if cell[key] in kept]
    return cells


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
    from difftables.names import nearest

    parts = text.split("/")[:4]
    for i, key in enumerate(KEYS[: len(parts)]):
        before, after = narrowed(cells, parts[:i]), narrowed(cells, parts[: i + 1])
        if not after:
            return f"there is no {key} {parts[i]!r}{nearest(parts[i], dict.fromkeys(cell[key] for cell in before))}"
    last = text.split("/")[-1]
    return f"there is no metric {last!r}{nearest(last, dict.fromkeys(cell['metric'] for cell in narrowed(cells, parts)))}"


# -- what it says -------------------------------------------------------------------------------------------------


def about(cell: Line) -> list[Text]:
    """What cells.csv says of a cell."""
    value = " ± ".join(filter(None, (cell["value"], cell["sd"]))) or "none"
    train, _, sampling = cell["seeds"].partition("x")
    better = f", {cell['better']} is better" if cell["better"] else ""
    texts = [
        ("cell", "/".join(cell[key] for key in KEYS[:4])),
        ("metric", cell["metric"] + better),
        ("value", f"{value} {cell['unit']}".rstrip()),
        ("seeds", f"{train} training x {sampling} sampling" if sampling else cell["seeds"] or "none"),
        ("N", cell["n"] or "none"),
        ("failed", cell["failed"] if cell["failed"] != "0" else ""),
        ("status", cell["status"]),
        ("paper", f"{cell['paper_value'] or 'no number'}  {cell['paper_source']}".rstrip()),
    ]
    return [(label, said) for label, said in texts if said]


def history(plan: Plan, cell: Line) -> list[str]:
    """What made a cell, job by job, and how to make it again."""
    if cell["status"] == "literature":
        return ["", "Quoted from the source above; nothing was run for it."]
    if cell["table"] not in plan.params.tables.get(cell["paper"], {}):
        return ["", f"params.yaml no longer has the table {cell['paper']}.{cell['table']} at scale {plan.params.scale}."]
    if cell["status"] == "not-run":
        return ["", f"Not run: {reason(plan, cell)}."]
    known, out, table = makers(plan), list[str](), f"{plan.tables}/{cell['paper']}/{cell['table']}.md"
    if cell["status"] == "measured":
        files, unknown = recorded(cell["run"].split(), candidates(plan, cell, known))
        gone = "No record has the fingerprint {} of this cell: params or code changed since; run snakemake."
        out += [line for each in unknown for line in ("", gone.format(each))]
    else:
        said = {"closed-form": "In closed form", "estimated": "Estimated from the data alone, or from made points, by the table itself"}
        out += ["", f"{said.get(cell['status'], cell['status'])}: nothing was trained or sampled for it."]
        files = plan.table_inputs(cell["paper"], cell["table"]).get("data", []) if cell["run"] else []
    jobs = walk(known, files)
    needed = dict.fromkeys([*files, *(path for job in jobs for paths in job.inputs.values() for path in paths)])
    lost = [path for path in needed if not Path(path).exists()]
    out += described(plan, jobs)
    if lost:
        locked = Path("dvc.lock").exists() and plan.store in Path("dvc.lock").read_text()  # which holds one scale at a time
        how = "dvc pull brings them, from a remote that has them" if locked else "dvc.lock has no run of this scale, so make them"
        out += ["", f"Missing here ({how}; without them there is no more to tell than cells.csv has):", *(f"  {path}" for path in lost)]
    anew = [path for file in files if file in known for path in (known[file].inputs.get("samples") or known[file].outputs)]
    anew = anew if cell["status"] == "measured" and anew else [table]
    make, scale = f"snakemake {table}", f"--config scale={plan.params.scale}"
    texts = [("what is missing or out of date", f"{make} {scale}"), ("this anew", f"{make} -R {' '.join(anew)} {scale}")]
    return [*out, "", *aligned(texts)]


def recorded(prints: list[str], files: list[str]) -> tuple[list[str], list[str]]:
    """The files whose records have some fingerprints, or may have them, being missing; and the fingerprints that none has or may have."""
    found: dict[str, list[str]] = {}
    for path in files:
        found.setdefault(provenance(path).get("fingerprint", ""), []).append(path)
    mine = [path for each in prints for path in found.get(each, [])]
    unknown = [each for each in prints if each not in found]
    lost = found.get("", [])
    return mine + (lost if unknown else []), unknown if not lost else []


def reason(plan: Plan, cell: Line) -> str:
    """Why a cell was not run."""
    where, scale = f"tables.{cell['paper']}.{cell['table']}", plan.params.scale
    bound = plan.params.tables[cell["paper"]][cell["table"]]
    if bound.run is None:
        return f"{where}.run is null in params.yaml at scale {scale}"
    for row in rows_of(plan, cell):
        left = {row.get("sampler"), row.get("adjusted")} & plan.params.left_out
        if left:
            return f"samplers.{left.pop()} is null in params.yaml at scale {scale}"
        if row["run"] is None:
            return f"params.yaml has no runs.{bound.parts}-{row['part']} at scale {scale}, which {where} asks for"
    return f"its row has a run at scale {scale}, whose records have nothing for this cell"


def rows_of(plan: Plan, cell: Line) -> list[dict[str, Any]]:
    """The rows of tables.yaml that a cell may come from: those of its name, or that its name begins with."""
    rows = [row for row in plan.rows(cell["paper"], cell["table"]) if cell["row"].startswith(row["label"])]
    return [row for row in rows if row["label"] == cell["row"]] or rows


def candidates(plan: Plan, cell: Line, known: dict[str, Made]) -> list[str]:
    """The records that a cell's numbers may be from: those its table reads, of its row where it has one."""
    read = [path for paths in plan.table_inputs(cell["paper"], cell["table"]).values() for path in paths]
    rows = [row for row in rows_of(plan, cell) if row["run"]]
    runs, trained = {row["run"] for row in rows}, {plan.trained(row["run"]) for row in rows}
    samplers = {row["sampler"] for row in rows if "sampler" in row}

    def own(job: Made) -> bool:
        if rows and job.run not in (trained if job.rule == "train" else runs):
            return False
        return job.rule != "measure" or not rows or job.sampler in samplers

    found = [path for path in read if path in known and path == known[path].record and known[path].rule != "reference" and own(known[path])]
    # Records of nets tell a table of samples what training took; no cell of it is from there.
    if any(known[path].rule == "measure" for path in found):
        found = [path for path in found if known[path].rule != "train"]
    # A table of nets reads their samples' records and their bounds: a cell is one or the other.
    bounds = [path for path in found if known[path].rule == "likelihood"]
    return bounds if cell["unit"] == "bits/dim" and bounds else [path for path in found if path not in bounds] or bounds
