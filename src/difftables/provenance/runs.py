"""What runs of Snakemake cost beside their jobs: planning, scheduling, shells, and what a job does after its record is written."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from difftables.common import clock
from difftables.common.files import read_json, write_json
from difftables.provenance.files import FOLDER, parse

RUNS = "benchmarks/runs.json"  # in a store


class Run(BaseModel):
    """A run of Snakemake.  Args: jobs: that it finished; seconds: on the wall; the others: core-seconds.

    `driver` are those of Snakemake's process, `children` those of all processes that it started and that have ended, `of_jobs` those
    that the records of its jobs on this machine hold.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    jobs: int
    seconds: float
    driver: float
    children: float
    of_jobs: float

    @property
    def scheduling(self) -> float:
        """Core-seconds that are no job's: driver + children - of_jobs."""
        return self.driver + self.children - self.of_jobs


def append(store: Path | str, records: Sequence[str], local: Sequence[str]) -> None:
    """Add the run of this process to a store, unless it finished no job. A run that made every record of the store replaces all earlier.

    Args: records: provenance files of the jobs that it finished; local: those of jobs that ran on this machine.
    """
    import psutil

    if not records:
        return
    driver, children = clock.driver_seconds()
    try:
        of_jobs = sum(sum(parse(Path(path)).core_seconds.values()) for path in local)
    except (OSError, ValueError) as error:
        print(f"the seconds of this run are not kept: {error}", file=sys.stderr)
        return
    seconds = time.time() - psutil.Process().create_time()
    run = Run(jobs=len(records), seconds=round(seconds, 2), driver=round(driver, 2), children=round(children, 2), of_jobs=round(of_jobs, 2))
    every = sum(1 for _ in Path(store, FOLDER).rglob("*.json"))
    earlier = read(store) if len(records) < every else []
    write_json(Path(store, RUNS), [each.model_dump() for each in (*earlier, run)])


def read(store: Path | str) -> list[Run]:
    """The runs that made a store, the last one last; none where no run has left its seconds.  Raises: ValueError naming a damaged file."""
    path = Path(store, RUNS)
    if not path.exists():
        return []
    try:
        return TypeAdapter(list[Run]).validate_python(read_json(path))
    except ValidationError as error:
        raise ValueError(f"{path} is damaged ({error.errors()[0]['msg']}); delete it, which loses the seconds of scheduling") from None
