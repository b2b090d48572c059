"""What a terminal shows: one bar with what runs and the time left, and above it a line for each table that is done."""

import time
from collections.abc import Mapping
from logging import LogRecord
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import Progress
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from snakemake.logging import DefaultFormatter
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_logger_plugin_rich import events
from snakemake_logger_plugin_rich.event_handler import EventHandler

from snakemake_logger_plugin_difftables.jobs import Jobs, duration, failure, left


class Bar(EventHandler):
    """Events of a run on a terminal.

    Messages, warnings, errors and the end come from snakemake-logger-plugin-rich; the bar and the lines on jobs are here.

    Args: failed_logs: whether to show the end of a failed job's log.
    """

    def __init__(self, console: Console, failed_logs: bool) -> None:
        self.jobs, self.began = Jobs(), time.monotonic()
        # Two pictures a second: each takes time from the jobs.
        self.live = Live(console=console, get_renderable=self.picture, refresh_per_second=2, transient=True)
        super().__init__(console, Progress(console=console, disable=True), self.live, show_failed_logs=failed_logs)

    def picture(self) -> Group:
        """Bar, jobs done, time so far, time left; below, the jobs that run."""
        jobs = self.jobs
        line = Table.grid(padding=(0, 2, 0, 0), expand=True)
        line.add_column(ratio=1)
        for _ in range(3):
            line.add_column(no_wrap=True)
        bar = ProgressBar(total=max(jobs.total, 1), completed=jobs.done)
        line.add_row(bar, f"{jobs.done} of {jobs.total} jobs", duration(time.monotonic() - self.began), left(jobs))
        names = ", ".join(job.name for job in list(jobs.running.values()))
        return Group(line, Text(names or "no job runs", style="dim", no_wrap=True, overflow="ellipsis"))

    def handle(self, record: LogRecord, **kwargs: object) -> None:
        """Show one record of Snakemake's log."""
        event: Mapping[str, Any] = record.__dict__
        match event.get("event"):
            case LogEvent.JOB_INFO:
                self.jobs.start(event)
            case LogEvent.JOB_FINISHED:
                finished = self.jobs.finish(event["job_id"])
                if finished and (page := finished[0].page):
                    self.line(f"made {page}")
            case LogEvent.JOB_ERROR:
                self.line(failure(event, self.jobs.fail(event["jobid"]), self.show_failed_logs), "red")
            case LogEvent.GROUP_ERROR:
                self.line(DefaultFormatter().format(record), "red")
            case LogEvent.WORKFLOW_STARTED | LogEvent.PROGRESS:
                pass
            case LogEvent.ERROR if of_job(record):
                pass
            case _:
                super().handle(record, **kwargs)

    def handle_run_info(self, event_data: events.RunInfo, **kwargs: object) -> None:
        """Start the bar."""
        self._stop_dag_status()
        self.jobs.plan(event_data.per_rule_job_counts)
        self.live.start(refresh=True)

    def handle_generic_record(self, record: LogRecord, **kwargs: object) -> None:
        """Print what has no event; the end without a frame."""
        if record.getMessage().startswith("Complete log"):
            self.line(record.getMessage())
        else:
            super().handle_generic_record(record, **kwargs)

    def line(self, text: str, style: str = "") -> None:
        """Print above the bar, as it is."""
        self.console.print(Text(text, style=style), soft_wrap=True)


def of_job(record: LogRecord) -> bool:
    """Whether an error only repeats that a job's command failed: that job's own line says more."""
    return "CalledProcessError" in record.getMessage()
