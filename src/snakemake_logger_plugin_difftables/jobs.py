"""Which jobs of a run are done, which run now, and how long the rest may take."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Mean seconds of a rule's jobs at scale laptop on two cores. They weigh rules against each other until a run has times of its own.
SECONDS = {
    "data": 7.0, "reference": 4.6, "levels": 4.0, "train": 22.0, "train_estimator": 75.0, "search": 24.0, "sample": 12.0,
    "measure": 7.0, "errors": 5.5, "robustness": 37.0, "likelihood": 9.7, "gradients": 7.2, "variance": 5.3, "listen": 3.5,
    "table": 2.6, "plain_table": 2.0, "report": 7.5, "all": 0.0, "everything": 0.0,
}  # fmt: skip
OTHER = 7.0  # a rule that is not in SECONDS
LOG_LINES = 30  # of a failed job's log


@dataclass(frozen=True)
class Job:
    """A job that was started.  Args: name: rule and wildcards, as in provenance; began: by the clock of `Jobs`."""

    name: str
    rule: str
    outputs: Sequence[str]
    logs: Sequence[str]
    began: float

    @property
    def page(self) -> str | None:
        """The Markdown page that the job writes: a table or the index."""
        return next((path for path in self.outputs if path.endswith(".md")), None)


class Jobs:
    """The jobs of one run of Snakemake, as its log events tell them.  Args: clock: seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.planned: dict[str, int] = {}
        self.running: dict[int, Job] = {}
        self.finished: defaultdict[str, tuple[int, float]] = defaultdict(lambda: (0, 0.0))  # jobs and their seconds, by rule
        self.done, self.total = 0, 0
        self.began: float | None = None

    def plan(self, stats: Mapping[str, int]) -> None:
        """Take the number of jobs of each rule, and their sum as `total`."""
        self.planned = {rule: count for rule, count in stats.items() if rule != "total"}
        self.total = sum(self.planned.values())

    def start(self, event: Mapping[str, Any]) -> Job:
        """Note that a job starts.  Args: event: fields of Snakemake's JOB_INFO."""
        now = self.clock()
        self.began = now if self.began is None else self.began
        name = "/".join([event["rule_name"].removeprefix("plain_"), *map(str, dict(event["wildcards"]).values())])
        job = Job(name, event["rule_name"], list(event["output"]), list(event["log"]), now)
        self.running[event["jobid"]] = job
        return job

    def finish(self, jobid: int) -> tuple[Job, float] | None:
        """Note that a job is done.  Returns: the job and its seconds; None for a job whose start was not seen."""
        job = self.running.pop(jobid, None)
        if job is None:
            return None
        self.done += 1
        seconds = self.clock() - job.began
        count, spent = self.finished[job.rule]
        self.finished[job.rule] = (count + 1, spent + seconds)
        return job, seconds

    def fail(self, jobid: int) -> Job | None:
        """Note that a job failed.  Returns: the job; None for a job whose start was not seen."""
        return self.running.pop(jobid, None)

    def expected(self, rule: str) -> float:
        """Seconds that a job of a rule may take.

        (pace prior + sum of the rule's own times) / (1 + their number),  pace = sum of all times / sum of their priors
        """
        base = sum(count * prior(name) for name, (count, _) in self.finished.items())
        pace = self.spent() / base if base else 1.0
        count, spent = self.finished.get(rule, (0, 0.0))
        return (pace * prior(rule) + spent) / (1 + count)

    def spent(self) -> float:
        """Seconds of all finished jobs."""
        return sum(seconds for _, seconds in self.finished.values())

    def left(self) -> float | None:
        """Seconds until all is done, if as many jobs run at once as so far; None before the first job is done."""
        if self.began is None or not self.done:
            return None
        now, running = self.clock(), list(self.running.values())
        rest = sum((count - self.finished.get(rule, (0, 0.0))[0]) * self.expected(rule) for rule, count in self.planned.items())
        rest -= sum(min(now - job.began, self.expected(job.rule)) for job in running)
        worked = self.spent() + sum(now - job.began for job in running)
        return max(rest, 0.0) * (now - self.began) / worked if worked else None


def prior(rule: str) -> float:
    """Seconds of a rule's jobs before any was seen."""
    return SECONDS.get(rule, OTHER)


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 60:
        return f"{max(seconds, 1):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.0f} h"


def left(jobs: Jobs) -> str:
    """The time left as text; nothing while it is unknown or all is done."""
    seconds = jobs.left()
    return "" if seconds is None or jobs.done >= jobs.total else f"about {duration(seconds)} left"


def failure(event: Mapping[str, Any], job: Job | None, log: bool) -> str:
    """One line on a failed job, and the end of its log.

    Args:
        event: fields of Snakemake's JOB_ERROR.
        job: None where its start was not seen.
        log: whether to show the log's end.
    """
    logs = list(event["log"])
    lines = [f"failed: {job.name if job else event['rule_name']}" + "".join(f"; log: {path}" for path in logs)]
    lines += [f"  {key}: {value}" for key, value in event["aux"].items()]  # a cluster's own logs
    return "\n".join([*lines, *(line for path in logs if log for line in ending(path))])


def ending(path: str) -> list[str]:
    """The last lines of a log, indented; what is wrong where it cannot be read."""
    try:
        with open(path, errors="replace") as file:
            lines = file.read().splitlines()
    except OSError as error:
        lines = [str(error)]
    before = [f"... {len(lines) - LOG_LINES} lines before"] if len(lines) > LOG_LINES else []
    return [f"  {line}" for line in before + lines[-LOG_LINES:]]
