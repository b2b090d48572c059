"""`difftables check`: fail, with reasons, unless the results are those of the code and params that lie here."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

from difftables.plan import Plan


def command(arguments: list[str]) -> int:
    """Print the reasons why the results are not to be trusted; exit 1 if there is one.  An argument names a scale."""
    from difftables.names import ConfigError
    from difftables.plan import read

    try:
        plan = read(arguments[0] if arguments else None)
    except ConfigError as error:
        print(error)
        return 1
    reasons = [*pending(plan), *without_metadata(plan), *changed(), *without_record(plan)]
    for reason in reasons:
        print(f"check: {reason}")
    print(f"check: {len(reasons)} reasons" if reasons else f"check: the results of scale {plan.params.scale} are those of this code")
    return bool(reasons)


def pending(plan: Plan) -> list[str]:
    """Jobs that a dry run would start."""
    snakemake = [sys.executable, "-m", "snakemake", "-n", "--quiet", "rules", "--nolock", "--config", f"scale={plan.params.scale}"]
    found = subprocess.run(snakemake, capture_output=True, text=True)
    text = found.stdout + found.stderr
    if found.returncode:
        return [f"the dry run fails: {text.strip().splitlines()[-1] if text.strip() else 'no output'}"]
    jobs = dict.fromkeys(re.findall(r"^(\w+) +(\d+)$", text, re.MULTILINE))  # a dry run prints its table twice
    return [f"{count} x {rule} would run; run snakemake" for rule, count in jobs if rule not in ("total", "all", "everything")]


def without_metadata(plan: Plan) -> list[str]:
    """Finished files that Snakemake keeps no record of: it would take them for good whatever made them."""
    import base64

    lost = []
    for path in [f"{plan.tables}/README.md", *plan.table_files()]:
        record = Path(".snakemake/metadata") / base64.urlsafe_b64encode(path.encode()).decode()
        if Path(path).exists() and not record.exists():
            lost.append(f"{path} has no metadata; delete it and run snakemake, or dvc pull")
    return lost


def changed() -> list[str]:
    """What `dvc status` reports, e.g. a table edited by hand. Nothing where no run was committed to DVC."""
    if not Path("dvc.lock").exists():
        return []
    found = subprocess.run([sys.executable, "-m", "dvc", "status", "--json"], capture_output=True, text=True)
    if found.returncode:
        return [f"dvc status fails: {(found.stderr.strip().splitlines() or ['no output'])[-1]}"]
    reasons = []
    for stage, entries in json.loads(found.stdout or "{}").items():
        for entry in entries:
            for kind, files in entry.items() if isinstance(entry, dict) else []:
                reasons += [f"{path}: {state} since dvc commit ({stage}, {kind})" for path, state in _flat(files)]
    return reasons


def _flat(files: object) -> list[tuple[str, str]]:
    return [(path, state if isinstance(state, str) else "changed") for path, state in files.items()] if isinstance(files, dict) else []


def without_record(plan: Plan) -> list[str]:
    """Measured cells whose value is not in a record that the fingerprint leads to."""
    cells = Path(plan.tables) / "cells.csv"
    if not cells.exists():
        return [f"{cells} is missing; run snakemake"]
    known = set()
    for path in Path(plan.store).glob("*/**/*.json"):
        try:
            record = json.loads(path.read_text())
        except ValueError:
            return [f"{path} is damaged; delete it and run snakemake"]
        known.add((record.get("shared") or record).get("fingerprint"))
    with open(cells, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["status"] == "measured"]
    orphans = [row for row in rows if not set(row["run"].split()) <= known or not row["run"]]
    return [f"{cells}: {row['table']}, {row['row']}, {row['column']} has no record" for row in orphans[:5]]
