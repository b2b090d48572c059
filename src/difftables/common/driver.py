"""One Snakemake per folder: a killed one leaves no locks behind, and no jobs that go on without it.

The claim is a bare flock, which an exclusive holder turns into a shared one. filelock has exclusive locks, and shared ones only as a
SQLite database.
"""

import fcntl
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psutil

DRIVEN = "DIFFTABLES_DRIVER"  # environment variable that a Snakemake sets for its jobs
STARTS = (100, 1)  # jobs and seconds: Snakemake's default for --max-jobs-per-timespan
_held: list[IO[str]] = []  # open until this process ends


def take(folder: Path = Path(".snakemake")) -> bool:
    """Claim the folder for this Snakemake, and delete Snakemake's locks where no other one has a claim.

    A killed process loses its claim at once, so locks without a claim belong to nobody. Several Snakemakes may share a claim, to work on
    different files.

    Returns: whether locks were deleted.
    """
    os.environ[DRIVEN] = str(os.getpid())
    folder.mkdir(exist_ok=True)
    file = open(folder / "driver", "a")  # noqa: SIM115  held until the process ends
    _held.append(file)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        exclusive = False
    else:
        exclusive = True
    deleted = exclusive and any((folder / "locks").glob("*.lock"))
    if deleted:
        shutil.rmtree(folder / "locks")
        (folder / "locks").mkdir()
        print("deleted the lock of a killed run; what it finished is kept", file=sys.stderr)
    fcntl.flock(file, fcntl.LOCK_SH)
    return deleted


def start_jobs_when_others_end(scheduler: Any) -> None:
    """Let Snakemake look for jobs to start when a job ends, and at no other time.

    A limit on starts a second (100 where a user sets none) makes each look plan the next one a second later, and each finished job begins
    such a chain: after 150 jobs Snakemake 9.27 looked 13 times a second, at 15 % of a core. A limit that a user sets stays.

    Args: scheduler: of the workflow, which exists when its jobs are about to start.
    """
    limiter = scheduler.job_rate_limiter
    if limiter is not None and (limiter.max_jobs, limiter.timespan) == STARTS:
        scheduler.job_rate_limiter = None


def follow(every: float = 0.5) -> None:
    """End this job by SIGTERM when the Snakemake that started it has ended: a restarted one runs the job again.

    Snakemake may have ended before the first look. A job that was started by hand is not watched.

    Args: every: seconds between two looks.
    """
    import psutil

    def watch(snakemake: psutil.Process) -> None:
        while snakemake.is_running() and snakemake.status() != psutil.STATUS_ZOMBIE:
            time.sleep(every)
        os.kill(os.getpid(), signal.SIGTERM)

    try:
        starter = next((each for each in psutil.Process().parents() if _is_snakemake(each)), None)
    except psutil.Error:  # an ancestor has ended meanwhile, or belongs to another user
        return
    if starter is not None:
        threading.Thread(target=watch, args=(starter,), daemon=True).start()
    elif DRIVEN in os.environ:
        os.kill(os.getpid(), signal.SIGTERM)


def _is_snakemake(process: "psutil.Process") -> bool:
    return any(Path(word).name in ("snakemake", "snakemake.exe") for word in process.cmdline()[:3])
