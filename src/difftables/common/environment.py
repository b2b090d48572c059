"""Environment variables of all jobs. The rules set them; a job that is started by hand sets them itself."""

import os

VARIABLES = {
    # Spinning OpenMP threads slow two jobs on two cores down fourteenfold. Read when torch is imported.
    "OMP_WAIT_POLICY": "PASSIVE",
    # Without these glibc returns large tensors to the system and asks for them again, a fifth of the time of a small net.
    # They are read when a process starts, so they have no effect on a job that is started by hand.
    "MALLOC_TRIM_THRESHOLD_": "1000000000",
    "MALLOC_MMAP_THRESHOLD_": "1000000000",
}


def apply() -> None:
    """Set the variables that are not set yet, for this process and those that it starts."""
    for name, value in VARIABLES.items():
        os.environ.setdefault(name, value)
