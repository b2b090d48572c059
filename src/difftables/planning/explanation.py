"""What made a cell, read from provenance files: the jobs behind it, their numbers, and whether their files still lie here."""

from pathlib import Path
from typing import Any

import yaml

from difftables.common.names import full
from difftables.config.job_specs import complete
from difftables.provenance import fingerprint
from difftables.provenance.files import Provenance, load, matches, walk

Line = dict[str, str]  # of cells.csv
DERIVED = {"closed-form": "In closed form", "estimated": "Estimated only from the data, or from synthetic points, by the table itself"}


def aligned(texts: dict[str, str], indent: str = "") -> list[str]:
    """Labels and texts in two columns, without those that have no text."""
    texts = {label: text for label, text in texts.items() if text}
    width = max(map(len, texts), default=0)
    return [f"{indent}{label:<{width}}  {text}" for label, text in texts.items()]


def history(scale: str, cell: Line) -> list[str]:
    """What made a cell, job by job, and how to make it again.  Raises: ValueError for a damaged provenance file."""
    if cell["status"] == "literature":
        return ["", "Quoted from its source; nothing was run for it."]
    if cell["status"] == "not-run":
        return ["", f"Not run: {reason(scale, cell)}."]
    root, page = f"results/{scale}", f"results/{scale}/tables/{cell['paper']}/{cell['table']}.md"
    known = load(f"{root}/store")
    table, out = known.get(page), list[str]()
    anew = [table] if table is not None else []
    if cell["status"] == "measured":
        files, unknown = recorded(known, cell, table)
        out += standing(table.spec.get("rows", []) if table is not None else [], cell)
        lacking = f"in {root}/store/provenance; dvc pull brings the store from a remote that has it, snakemake makes it"
        out += [line for each in unknown for line in ("", f"No job here wrote the record {each} of this cell, {lacking}.")]
        makers = [known[path] for path in files]
        anew = [known[path] for job in makers for path in job.inputs.get("samples", {}) if path in known] + makers or anew
    else:
        out += ["", f"{DERIVED.get(cell['status'], cell['status'])}: nothing was trained or sampled for it."]
        files = list(table.inputs.get("data", {})) if table is not None and cell["run"] else []
    jobs = walk(known, files)
    out += described(jobs)
    lost = [path for path in dict.fromkeys(path for job in jobs for path in job.read() | job.written()) if not Path(path).exists()]
    if lost:
        out += [
            "",
            "Missing here (dvc pull brings them from a remote that has them, snakemake makes them):",
            *(f"  {path}" for path in lost),
        ]
    # Without its provenance nothing of a job is kept; it must be asked for, since the page that lies there does not miss it.
    gone = " ".join(dict.fromkeys(f"{root}/store/provenance/{job.name}.json" for job in anew))
    wanted = f"{page} --config scale={scale}"
    again = {"this anew": f"rm -f {gone}; snakemake {gone} {wanted}"} if gone else {}
    return [*out, "", *aligned({"what is missing or out of date": f"snakemake {wanted}"} | again)]


def recorded(known: dict[str, Provenance], cell: Line, table: Provenance | None) -> tuple[list[str], list[str]]:
    """The record files behind a cell, and the hashes in its `run` that no job here wrote.

    Two records may hold the same bytes, e.g. of two trainings: those that the cell's table reads count first, of these those of its row.
    """
    found, unknown = list[str](), list[str]()
    for wanted in cell["run"].split():
        same = [path for path, job in known.items() if job.written().get(path, "").startswith(wanted)]
        if table is not None:
            same = [path for path in same if path in table.read()] or same
            runs = {row.get("run") for row in rows_of(table.spec.get("rows", []), cell)}
            same = [path for path in same if any(run and f"/{run}/" in path for run in runs)] or same
        found += same
        unknown += [] if same else [wanted]
    return list(dict.fromkeys(found)), unknown


def standing(rows: list[dict[str, Any]], cell: Line) -> list[str]:
    """Under which names a cell's row was made, where another row that is equal but for names stands for it."""
    names = dict.fromkeys(" ".join(row["recorded"].values()) for row in rows_of(rows, cell) if "recorded" in row)
    return [line for each in names for line in ("", f"Made under the names {each}, to which this row is equal.")]


def rows_of(rows: list[dict[str, Any]], cell: Line) -> list[dict[str, Any]]:
    """The rows of a table that a cell comes from, by id: its own, those of its line, or the one whose id its own begins with."""
    own = [row for row in rows if cell["row_id"] in (row["id"], row.get("line"))]
    return own or [row for row in rows if cell["row_id"].startswith(f"{row['id']}-")]


def reason(scale: str, cell: Line) -> str:
    """Why a cell was not run: what params.yaml leaves out at a scale.  Raises: ConfigError where it cannot be read."""
    from difftables.planning.plan import read

    plan, where = read(scale), f"tables.{cell['paper']}.{cell['table']}"
    located = plan.params.files.located
    bound = plan.params.tables.get(cell["paper"], {}).get(cell["table"])
    if bound is None:
        return f"there is no {where} at scale {scale}"
    if bound.run is None:
        return located(f"{where}.run is null at scale {scale}")
    for row in rows_of(plan.rows(cell["paper"], cell["table"]), cell):
        left = {row.get("sampler"), row.get("adjusted")} & plan.params.left_out
        if left:
            return located(f"samplers.{left.pop()} is null at scale {scale}")
        named = full(row["part"], cell["paper"]) if row["part"] else None
        if named in bound.runs and bound.runs[named] is None:
            return located(f"{where}.runs.{named} is null at scale {scale}")
        if row["run"] is None:
            return f"there is no run {row['part']!r} at scale {scale}, which row {row['id']} of {where} asks for"
    return f"its row has a run at scale {scale}, whose records have nothing for this cell"


def described(jobs: list[Provenance]) -> list[str]:
    """All that is known of some jobs; numbers that stand there already, of another job of the rule, are not repeated."""
    out, before = list[str](), dict[str, str]()
    for job in jobs:
        out += ["", f"{job.name}:", *aligned(circumstances(job), "  ")]
        for title, files in (("inputs", job.read()), ("outputs", job.written())):
            out += [f"  {title}"] * bool(files) + [f"    {value}  {path}" for path, value in files.items()]  # as sha256sum checks them
        numbers = yaml.dump(job.spec, default_flow_style=None, width=10**6, sort_keys=False)
        first = before.setdefault(f"{job.rule} {numbers}", job.name)
        own = ["  numbers, without defaults", *(f"    {line}" for line in numbers.splitlines())]
        out += own if first == job.name else [f"  numbers as of {first}"]
    return out


def circumstances(job: Provenance) -> dict[str, str]:
    """The code, machine and packages of a job, and which of its files have changed since."""
    try:
        code = fingerprint.code(job.rule, complete(job.rule, job.spec))
    except (KeyError, ValueError):  # a rule that is gone, or keys that are
        code = "no such job"
    changed = [path for path, value in (job.read() | job.written()).items() if matches(path, value) is False]
    return {
        "seeds": ", ".join(f"{name} {' '.join(map(str, each if isinstance(each, list) else [each]))}" for name, each in job.seeds.items()),
        "commit": job.commit,
        "machine": f"{job.machine}; threads: {job.threads}; seconds: {job.seconds:.3g}",
        "packages": ", ".join(f"{name} {version}" for name, version in job.packages.items()),
        "code": f"{job.code}, {'as it lies here' if code == job.code else f'CHANGED here: {code}'}",
        "fingerprint": job.fingerprint,
        "files": f"CHANGED here: {' '.join(changed)}" if changed else "",
    }
