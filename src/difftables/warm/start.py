"""Start the warm parent with a Snakemake, and end it with that one."""

import atexit
import os
import shutil
import subprocess
import sys
from pathlib import Path

from difftables.warm.client import FOLDER

FEWEST = 6  # jobs for which the parent's own start pays


def start(jobs: int, local: bool) -> "subprocess.Popen[bytes] | None":
    """Start the parent in the background; jobs that begin before it has imported torch start by themselves.

    Args: jobs: that this run has to do; local: whether they run on this machine.
    Returns: the parent, if there is one. It needs Linux: elsewhere no process can be told to die with another.
    """
    os.environ.pop(FOLDER, None)  # of an outer Snakemake
    if not local or jobs < FEWEST or sys.platform != "linux":
        return None
    folder = Path(f".cache/warm/{os.getpid()}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    with open(folder / "log", "w") as log:
        parent = subprocess.Popen(
            [sys.executable, "-m", "difftables.warm.server", str(folder)],
            env=os.environ | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")},
            stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    os.environ[FOLDER] = str(folder)
    atexit.register(stop, parent, folder)
    return parent


def stop(parent: "subprocess.Popen[bytes]", folder: Path) -> None:
    """End the parent, after its jobs, and delete its folder."""
    assert parent.stdin
    parent.stdin.close()
    try:
        parent.wait(10)
    except subprocess.TimeoutExpired:
        parent.kill()
    shutil.rmtree(folder, ignore_errors=True)
