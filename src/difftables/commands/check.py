"""`difftables check [SCALE]`: whether the results of a scale are those of the code and params in this folder."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from difftables.report import project_state, recompute


def command(arguments: list[str]) -> int:
    """Print what is wrong with the results of a scale.  Args: arguments: a scale, or none.

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
    stored, findings = Path(plan.store).is_dir(), recompute.Findings()
    with ThreadPoolExecutor() as pool:  # two programs that run beside the recomputation
        waiting = pool.submit(project_state.pending_jobs, plan) if stored else None
        locked = pool.submit(project_state.changed_since_commit, plan, stored)
        recompute.check_tables(plan, findings)
        recompute.check_hashes(plan, findings)
        wrong = [*(waiting.result() if waiting else []), *(project_state.files_without_metadata(plan) if stored else []), *findings.wrong]
    unchecked = recompute.unchecked(plan, findings)
    tables = f"{findings.recomputed} tables recomputed, {findings.printed} printed again from their JSON"
    print(f"check: {tables}, {len(findings.texts)} files compared, {len(findings.hashed)} hashed")
    for line in wrong:
        print(f"check: {line}")
    for line in locked.result():
        print(f"check: note: {line}")  # maybe by another machine: provenance names it
    for line in unchecked:
        print(f"check: cannot check {line}")
    verdict = (
        f"the results of scale {plan.params.scale} are those of this code" if not unchecked else "nothing wrong in what could be checked"
    )
    print(f"check: {len(wrong)} reasons" if wrong else f"check: {verdict}")
    return 1 if wrong else 2 if unchecked else 0
