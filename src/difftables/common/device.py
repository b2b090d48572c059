"""Which device a job uses: CUDA where there is one, else the CPU; local jobs share GPUs through file locks."""

import os
import tempfile
import time
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from difftables.common.parallel import here

_held: list[FileLock] = []  # until the process ends, however it ends


def choose(wanted_gpus: int) -> torch.device:
    """A GPU of its own if the job asked for one and CUDA is there, else the CPU.

    Snakemake's `gpu=1` only counts jobs; two local jobs must not meet on one card. A Slurm job has cards of its own, which may be
    numbered from 0 in each: there the lock is among the processes of one Slurm job.

    Of several processes of one job each takes the card of its local rank, once the first on a machine holds all of them: two such
    jobs follow one another, whatever other cards are free, unless CUDA_VISIBLE_DEVICES says otherwise.

    Raises: ValueError for more processes than cards.
    """
    if not wanted_gpus or not torch.cuda.is_available():
        return torch.device("cpu")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(torch.cuda.device_count())))
    names = visible.split(",")
    if here().size > 1:
        own, count = (int(os.environ[name]) for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE"))
        if count > len(names):
            raise ValueError(f"{count} processes want a GPU each, but only {len(names)} are to be seen; lower resources.processes")
        for name in sorted(names[:count]) if own == 0 else []:  # in one order, lest two jobs wait for each other
            while not _locked(name):
                time.sleep(1)
        return torch.device("cuda", own)
    while True:
        for index, name in enumerate(names):
            if _locked(name):
                return torch.device("cuda", index)
        time.sleep(1)


def _locked(name: str) -> bool:
    """Whether the card was free, and is this job's now."""
    parts = ["difftables-gpu", os.environ.get("SLURM_JOB_ID", ""), name.strip().replace("/", "_")]
    path = Path(tempfile.gettempdir()) / ("-".join(filter(None, parts)) + ".lock")
    lock = FileLock(path, mode=0o666)  # another user's job takes it after this one
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    _held.append(lock)
    return True
