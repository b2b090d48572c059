"""What Snakemake and DVC say of the results of a scale: jobs that would run, files without metadata, changes since the last commit."""

import json
import re
import subprocess
import sys
from pathlib import Path

from difftables.planning.plan import Workflow

STAGE = "pipeline"  # of dvc.yaml; the other stage holds seconds, which no second run repeats


def pending_jobs(plan: Workflow) -> list[str]:
    """Jobs that a dry run would start."""
    snakemake = [sys.executable, "-m", "snakemake", "-n", "--quiet", "rules", "--nolock", "--config", f"scale={plan.params.scale}"]
    found = subprocess.run(snakemake, capture_output=True, text=True)
    text = found.stdout + found.stderr
    if found.returncode:
        return [f"the dry run fails: {text.strip().splitlines()[-1] if text.strip() else 'no output'}"]
    jobs = dict.fromkeys(re.findall(r"^(\w+) +(\d+)$", text, re.MULTILINE))  # a dry run prints its table twice
    return [f"{count} x {rule} would run; run snakemake" for rule, count in jobs if rule not in ("total", "all", "everything")]


def files_without_metadata(plan: Workflow) -> list[str]:
    """Finished files that Snakemake keeps no record of: it would take them for good whatever made them."""
    import base64

    lost = []
    for path in [f"{plan.tables}/README.md", *plan.table_files()]:
        record = Path(".snakemake/metadata") / base64.urlsafe_b64encode(path.encode()).decode()
        if Path(path).exists() and not record.exists():
            lost.append(f"{path} has no metadata; delete it and run snakemake, or dvc pull")
    return lost


def changed_since_commit(plan: Workflow, stored: bool) -> list[str]:
    """Results that differ from dvc.lock, where that has the scale; what must run again is for the dry run to say."""
    import yaml

    lock = Path("dvc.lock")
    if (
        not lock.exists()
        or f"{plan.root}/" not in lock.read_text()
        or yaml.safe_load(Path("params.yaml").read_text())["scale"] != plan.params.scale
    ):
        return []
    found = subprocess.run([sys.executable, "-m", "dvc", "status", "--json"], capture_output=True, text=True)
    if found.returncode:
        return [f"dvc status fails: {(found.stderr.strip().splitlines() or ['no output'])[-1]}"]
    outs = {path: state for entry in json.loads(found.stdout or "{}").get(STAGE, []) if isinstance(entry, dict)
            for path, state in entry.get("changed outs", {}).items()}  # fmt: skip
    # Without a store its files are no reason, but what cannot be checked; bytes that DVC has not stored yet are the right ones.
    changed = {path: state for path, state in outs.items() if state != "not in cache" and (stored or state != "deleted")}
    return [f"{path}: {state} since dvc commit" for path, state in changed.items()]
