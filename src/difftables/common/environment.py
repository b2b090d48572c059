"""Environment variables of all jobs: the rules set them, and so does a job that is started by hand."""

import os

VARIABLES = {
    # Spinning OpenMP threads slow two jobs on two cores down fourteenfold. Read when torch is imported.
    "OMP_WAIT_POLICY": "PASSIVE",
    # glibc gives large tensors back to the system at once and asks for them again: a fifth of the time of a small net.
    # Read when the process starts, so that a job started by hand goes without them.
    "MALLOC_TRIM_THRESHOLD_": "1000000000",
    "MALLOC_MMAP_THRESHOLD_": "1000000000",
}


def apply() -> None:
    """Set the variables that the environment does not have, for this process and those that it starts."""
    for name, value in VARIABLES.items():
        os.environ.setdefault(name, value)
