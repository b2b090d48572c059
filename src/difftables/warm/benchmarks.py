"""Snakemake's benchmarks of jobs that the warm parent runs: the job is no descendant of the shell that Snakemake watches."""

import os
from pathlib import Path
from typing import Any

import psutil
import snakemake.benchmark

from difftables.warm.client import FOLDER


class Watched(psutil.Process):
    """A shell whose descendants include the jobs that its clients handed to the warm parent."""

    def children(self, recursive: bool = False) -> list[psutil.Process]:
        """Of the shell, then jobs."""
        own = super().children(recursive)
        return [*own, *(job for each in (self, *own) for job in _jobs(each.pid))]


def _jobs(client: int) -> list[psutil.Process]:
    try:
        job = psutil.Process(int(Path(os.environ[FOLDER], str(client)).read_text()))
        return [job, *job.children(recursive=True)]
    except (KeyError, OSError, ValueError, psutil.Error):  # it has no job there, or its job has just ended
        return []


class Timer(snakemake.benchmark.BenchmarkTimer):
    """Snakemake's timer, for the shell and the jobs of its clients."""

    def __init__(self, pid: int, *rest: Any) -> None:
        super().__init__(pid, *rest)
        self.main = Watched(pid)


def watch_jobs() -> None:
    """Let Snakemake measure the jobs of the warm parent."""
    snakemake.benchmark.BenchmarkTimer = Timer
