"""What a file or a pipe gets: a line when a job starts, a line when it is done, and all other messages of Snakemake."""

import time
from logging import LogRecord, StreamHandler
from typing import TextIO

from snakemake.logging import DefaultFormatter
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_difftables.bar import of_job
from snakemake_logger_plugin_difftables.jobs import Jobs, duration, failure, left

# Messages that are the same in each run.
NOISE = ("Assuming unrestricted shared filesystem", "Using shell", "Rules claiming more threads", "Select jobs to execute", "None")


class Lines(StreamHandler[TextIO]):
    """Events of a run as lines.  Args: failed_logs: whether to show the end of a failed job's log."""

    def __init__(self, stream: TextIO, failed_logs: bool) -> None:
        super().__init__(stream)
        self.jobs, self.failed_logs = Jobs(), failed_logs
        self.setFormatter(DefaultFormatter(show_failed_logs=failed_logs))

    def emit(self, record: LogRecord) -> None:
        """Write one record of Snakemake's log, if there is something to say."""
        try:
            if text := self.text(record):
                self.stream.write(f"{text}\n")
                self.flush()
        except Exception:  # as logging does: a fault in what is shown must not end the run
            self.handleError(record)

    def text(self, record: LogRecord) -> str:
        """One record; nothing for those that only repeat another."""
        event, now = record.__dict__, time.strftime("%H:%M:%S")
        match event.get("event"):
            case LogEvent.JOB_INFO:
                return f"{now} start {self.jobs.start(event).name}"
            case LogEvent.JOB_FINISHED:
                finished = self.finished(event["job_id"])
                return f"{now} {finished}" if finished else ""
            case LogEvent.JOB_ERROR:
                return f"{now} {failure(event, self.jobs.fail(event['jobid']), self.failed_logs)}"
            case LogEvent.WORKFLOW_STARTED | LogEvent.JOB_STARTED | LogEvent.PROGRESS:
                return ""
            case LogEvent.ERROR if of_job(record):
                return ""
            case LogEvent.RUN_INFO:
                self.jobs.plan(event["stats"])
        return "" if record.getMessage().startswith(NOISE) else self.format(record)

    def finished(self, jobid: int) -> str:
        """A job that is done: how far the run is, the job's time, the time left, and the page it wrote."""
        found = self.jobs.finish(jobid)
        if found is None:
            return ""
        job, seconds = found
        parts = [f"done {self.jobs.done} of {self.jobs.total}: {job.name} in {duration(seconds)}", left(self.jobs)]
        return "; ".join(filter(None, [*parts, f"made {job.page}" if job.page else ""]))
