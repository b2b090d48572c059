"""What `snakemake` prints: one bar on a terminal, one line a job elsewhere, and each table by name when it is done.

It stands on snakemake-logger-plugin-rich, whose messages, errors and end of a run it keeps. That plugin has a bar a rule, but no
time left and no names of tables; it prints nothing about jobs where there is no terminal, leaves the jobs out of a dry run, and
ignores --quiet.
"""

import sys
from logging import Handler, LogRecord

from rich.console import Console
from snakemake.logging import ColorizingTextHandler, DefaultFormatter
from snakemake_interface_logger_plugins.base import LogHandlerBase

from snakemake_logger_plugin_difftables.bar import Bar
from snakemake_logger_plugin_difftables.lines import Lines


class LogHandler(LogHandlerBase):
    """Snakemake's records on a terminal or in a file; dry runs and --quiet look as without a plugin.

    Snakemake's log in .snakemake/log stays complete: it does not go through here.
    """

    def __post_init__(self) -> None:
        """Choose by what is written to."""
        settings = self.common_settings
        stream = sys.stdout if settings.stdout else sys.stderr
        console = Console(file=stream, no_color=settings.nocolor or None)
        usual = settings.dryrun or settings.quiet or settings.verbose or settings.debug_dag
        self.bar = Bar(console, settings.show_failed_logs) if console.is_terminal and not console.is_dumb_terminal and not usual else None
        formatter = DefaultFormatter(settings.quiet, settings.show_failed_logs)
        lines = ColorizingTextHandler(settings.nocolor, stream, formatter) if usual else Lines(stream, settings.show_failed_logs)
        self.lines: Handler = lines

    def emit(self, record: LogRecord) -> None:
        """Show one record."""
        if self.bar is None:
            return self.lines.emit(record)
        try:
            return self.bar.handle(record)
        except Exception:  # as logging does: a fault in what is shown must not end the run
            return self.handleError(record)

    def close(self) -> None:
        """Take the bar away; Snakemake calls this more than once."""
        if self.bar is not None:
            self.bar.close()
        super().close()

    @property
    def writes_to_stream(self) -> bool:
        """In place of Snakemake's own lines."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """No."""
        return False

    @property
    def has_filter(self) -> bool:
        """Snakemake's own filter, which knows --quiet."""
        return False

    @property
    def has_formatter(self) -> bool:
        """Yes."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """No."""
        return False
