"""Which device a job uses: CUDA where there is one, else the CPU; local jobs share GPUs through file locks."""

import fcntl
import os
import tempfile
import time
from pathlib import Path

import torch

_held: list[object] = []  # an open file holds its lock until the process ends


def choose(wanted_gpus: int) -> torch.device:
    """A GPU of its own if the job asked for one and CUDA is there, else the CPU.

    Snakemake's `gpu=1` only counts jobs; two local jobs must not meet on one card. Under Slurm the job sees just
    the cards it was given.
    """
    if not wanted_gpus or not torch.cuda.is_available():
        return torch.device("cpu")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(torch.cuda.device_count())))
    while True:
        for index, name in enumerate(visible.split(",")):
            path = Path(tempfile.gettempdir()) / f"difftables-gpu-{name.strip().replace('/', '_')}.lock"
            file = open(path, "a")  # noqa: SIM115  the lock lives as long as the file
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                continue
            _held.append(file)
            return torch.device("cuda", index)
        time.sleep(1)
