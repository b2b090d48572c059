"""Where the core-seconds of a finished run went, by rule and kind, from the records of its jobs."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from difftables.common.clock import KINDS
from difftables.provenance import runs
from difftables.provenance.files import Provenance, load

NAMED = 5  # jobs without seconds that are named


def ledger(store: Path | str) -> dict[str, Any]:
    """The ledger of a store, as JSON has it: core-seconds, and their share of the total in per cent.

    Returns: `kinds`; `rules`, the most expensive first; `scheduling`, None where no run has left its seconds; `seconds`, by kind, and
        `total` of all that; `without`, the jobs whose records hold no core-seconds, which are counted nowhere else.
    Raises: ValueError naming a damaged file.
    """
    known = {job.name: job for job in load(store).values()}
    jobs = sorted((job for job in known.values() if job.core_seconds), key=lambda job: job.rule)
    rules = sorted((_row(rule, list(group)) for rule, group in groupby(jobs, key=lambda job: job.rule)), key=lambda row: -row["total"])
    past = runs.read(store)
    scheduling = sum(run.scheduling for run in past)
    total = sum(row["total"] for row in rules) + scheduling
    for row in rules:
        row["percent"] = _percent(row["total"], total)
    of_runs = {
        "runs": len(past), "jobs": sum(run.jobs for run in past), "wall_seconds": sum(run.seconds for run in past),
        "total": scheduling, "percent": _percent(scheduling, total),
    }  # fmt: skip
    return {
        "kinds": list(KINDS), "rules": rules, "scheduling": of_runs if past else None,
        "seconds": {kind: sum(row["seconds"][kind] for row in rules) for kind in KINDS}, "total": total,
        "without": sorted(name for name, job in known.items() if not job.core_seconds),
    }  # fmt: skip


def _row(rule: str, jobs: Sequence[Provenance]) -> dict[str, Any]:
    seconds = {kind: sum(job.core_seconds.get(kind, 0.0) for job in jobs) for kind in KINDS}
    peaks = [job.peak_mb for job in jobs if job.peak_mb is not None]
    return {"rule": rule, "jobs": len(jobs), "seconds": seconds, "total": sum(seconds.values()), "peak_mb": max(peaks, default=None)}


def _percent(part: float, whole: float) -> float:
    return 100 * part / whole if whole else 0.0


def lines(found: dict[str, Any]) -> list[str]:
    """A ledger as a table in plain text, in whole core-seconds."""
    head = ["core-seconds", "jobs", *(kind.replace("_", "-") for kind in found["kinds"]), "total", "%", "peak MB"]
    rows = [
        [row["rule"], str(row["jobs"]), *(f"{row['seconds'][kind]:.1f}" for kind in found["kinds"]),
         f"{row['total']:.1f}", f"{row['percent']:.1f}", "" if row["peak_mb"] is None else f"{row['peak_mb']:.0f}"]
        for row in found["rules"]
    ]  # fmt: skip
    blank, of_runs = [""] * len(found["kinds"]), found["scheduling"]
    if of_runs:
        rows.append(["scheduling", str(of_runs["jobs"]), *blank, f"{of_runs['total']:.1f}", f"{of_runs['percent']:.1f}", ""])
    by_kind, jobs = [found["seconds"][kind] for kind in found["kinds"]], sum(row["jobs"] for row in found["rules"])
    rows.append(["total", str(jobs), *(f"{each:.1f}" for each in by_kind), f"{found['total']:.1f}", "", ""])
    rows.append(["%", "", *(f"{_percent(each, found['total']):.1f}" for each in by_kind), "", "", ""])
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    table = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in (head, *rows)]
    return table + _notes(found)


def _notes(found: dict[str, Any]) -> list[str]:
    notes, of_runs, without = [], found["scheduling"], found["without"]
    if of_runs:
        notes.append(f"scheduling: of {of_runs['runs']} runs of Snakemake, with {of_runs['jobs']} jobs in {of_runs['wall_seconds']:.0f} s")
    else:
        notes.append("scheduling: not counted; no run of Snakemake has left its seconds")
    if without:
        more = f" and {len(without) - NAMED} more" if len(without) > NAMED else ""
        notes.append(f"not counted: {len(without)} jobs whose records hold no core-seconds: {', '.join(without[:NAMED])}{more}")
    return notes
