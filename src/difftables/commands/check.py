"""`difftables check`: fail, with reasons, unless the results are those of the code and params that lie here."""

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from difftables.planning.plan import Workflow
from difftables.report import recompute

STAGE = "pipeline"  # of dvc.yaml; the other one has what holds seconds, which no second run repeats


def command(arguments: list[str]) -> int:
    """Print why the results are not to be trusted.  Args: arguments: a scale, or none.

    Returns: 0 where all was checked and is right, 1 where something is wrong, 2 where nothing is wrong but not all could be checked.
    """
    from difftables.common.errors import ConfigError
    from difftables.planning.plan import read

    os.environ["OMP_NUM_THREADS"] = "1"  # as jobs of tables have it: sums of several threads differ in their last bits
    try:
        plan = read(arguments[0] if arguments else None)
    except ConfigError as error:
        print(error)
        return 1
    stored, found = Path(plan.store).is_dir(), recompute.Findings()
    with ThreadPoolExecutor() as pool:  # two programs that run beside the recomputation
        waiting = pool.submit(pending, plan) if stored else None
        locked = pool.submit(changed, plan, stored)
        recompute.tables(plan, found)
        recompute.hashes(plan, found)
        wrong = [*(waiting.result() if waiting else []), *(without_metadata(plan) if stored else []), *found.wrong]
    left = recompute.unchecked(plan, found)
    said = f"{found.recomputed} tables recomputed, {found.printed} printed again from their JSON, {len(found.texts)} files compared"
    print(f"check: {said}, {len(found.hashed)} hashed")
    for line in wrong:
        print(f"check: {line}")
    for line in locked.result():
        print(f"check: note: {line}")  # by another machine, say: whether that is right, provenance tells
    for line in left:
        print(f"check: cannot check {line}")
    ended = f"the results of scale {plan.params.scale} are those of this code" if not left else "nothing wrong in what could be checked"
    print(f"check: {len(wrong)} reasons" if wrong else f"check: {ended}")
    return 1 if wrong else 2 if left else 0


def pending(plan: Workflow) -> list[str]:
    """Jobs that a dry run would start."""
    snakemake = [sys.executable, "-m", "snakemake", "-n", "--quiet", "rules", "--nolock", "--config", f"scale={plan.params.scale}"]
    found = subprocess.run(snakemake, capture_output=True, text=True)
    text = found.stdout + found.stderr
    if found.returncode:
        return [f"the dry run fails: {text.strip().splitlines()[-1] if text.strip() else 'no output'}"]
    jobs = dict.fromkeys(re.findall(r"^(\w+) +(\d+)$", text, re.MULTILINE))  # a dry run prints its table twice
    return [f"{count} x {rule} would run; run snakemake" for rule, count in jobs if rule not in ("total", "all", "everything")]


def without_metadata(plan: Workflow) -> list[str]:
    """Finished files that Snakemake keeps no record of: it would take them for good whatever made them."""
    import base64

    lost = []
    for path in [f"{plan.tables}/README.md", *plan.table_files()]:
        record = Path(".snakemake/metadata") / base64.urlsafe_b64encode(path.encode()).decode()
        if Path(path).exists() and not record.exists():
            lost.append(f"{path} has no metadata; delete it and run snakemake, or dvc pull")
    return lost


def changed(plan: Workflow, stored: bool) -> list[str]:
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
    told = {path: state for path, state in outs.items() if state != "not in cache" and (stored or state != "deleted")}
    return [f"{path}: {state} since dvc commit" for path, state in told.items()]
