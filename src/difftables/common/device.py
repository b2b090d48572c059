"""The device of a job: CUDA where there is a GPU, else the CPU. Local jobs take turns on GPUs through file locks."""

import os
import tempfile
import time
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from difftables.common.parallel import launched_world

_held: list[FileLock] = []  # until the process ends, however it ends


def choose(wanted_gpus: int) -> torch.device:
    """A GPU that no other local job uses, where the job asks for one and CUDA is available; else the CPU.

    Snakemake's `gpu=1` only counts jobs, so two local jobs could meet on one card: each locks its card until it ends. Slurm gives a job
    cards of its own, numbered from 0 in each job: there the lock holds among the processes of one Slurm job.

    Of several processes of one job each takes the card of its local rank, once the first on a machine holds all of them. Two such jobs run
    one after the other, whatever other cards are free, unless CUDA_VISIBLE_DEVICES separates them.

    Raises: ValueError for more processes than cards.
    """
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # `execution.tf32` of a run asks for it
    if not wanted_gpus or not torch.cuda.is_available():
        return torch.device("cpu")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(torch.cuda.device_count())))
    names = visible.split(",")
    if launched_world().size > 1:
        rank, count = (int(os.environ[name]) for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE"))
        if count > len(names):
            raise ValueError(f"{count} processes want a GPU each, but CUDA shows {len(names)}; lower resources.processes")
        for name in sorted(names[:count]) if rank == 0 else []:  # in one order, or two jobs could wait for each other
            while not _locked(name):
                time.sleep(1)
        return torch.device("cuda", rank)
    while True:
        for index, name in enumerate(names):
            if _locked(name):
                return torch.device("cuda", index)
        time.sleep(1)


def _locked(name: str) -> bool:
    """Lock a card for this job.  Returns: whether it was free."""
    parts = ["difftables-gpu", os.environ.get("SLURM_JOB_ID", ""), name.strip().replace("/", "_")]
    path = Path(tempfile.gettempdir()) / ("-".join(filter(None, parts)) + ".lock")
    lock = FileLock(path, mode=0o666)  # another user's job takes it after this one
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    _held.append(lock)
    return True
