"""Which Snakemake drives this folder: a killed one leaves neither locks behind nor jobs that go on without it."""

import fcntl
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

DRIVEN = "DIFFTABLES_DRIVER"  # set for all that a Snakemake starts here
_held: list[IO[str]] = []  # as long as this process lives


def take(folder: Path = Path(".snakemake")) -> bool:
    """Say that a driver works here, and drop Snakemake's locks if no other one does. Returns whether there were any to drop.

    A killed process loses its claim at once, whatever it left behind; so locks without a claim are nobody's.
    """
    os.environ[DRIVEN] = str(os.getpid())
    folder.mkdir(exist_ok=True)
    file = open(folder / "driver", "a")  # noqa: SIM115  held until the process ends
    _held.append(file)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        alone = False
    else:
        alone = True
    dropped = alone and any((folder / "locks").glob("*.lock"))
    if dropped:
        shutil.rmtree(folder / "locks")
        (folder / "locks").mkdir()
        print("a killed run had left its lock; going on from where it was", file=sys.stderr)
    fcntl.flock(file, fcntl.LOCK_SH)  # several may work here, on different files
    return dropped


def follow(every: float = 0.5) -> None:
    """Let this job end, by SIGTERM, when the Snakemake that started it is gone: a restarted one does its work again.

    That may be before the job looks for the first time. A job that was started by hand is left alone.
    """
    import psutil

    def watch(snakemake: psutil.Process) -> None:
        while snakemake.is_running() and snakemake.status() != psutil.STATUS_ZOMBIE:
            time.sleep(every)
        os.kill(os.getpid(), signal.SIGTERM)

    try:
        above = next((each for each in psutil.Process().parents() if _snakemake(each)), None)
    except psutil.Error:  # an ancestor that ended meanwhile, or that this user may not look at
        return
    if above is not None:
        threading.Thread(target=watch, args=(above,), daemon=True).start()
    elif DRIVEN in os.environ:
        os.kill(os.getpid(), signal.SIGTERM)


def _snakemake(process: "psutil.Process") -> bool:
    return any(Path(word).name in ("snakemake", "snakemake.exe") for word in process.cmdline()[:3])
