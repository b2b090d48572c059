"""What `snakemake` prints: the time left, and what a terminal and a file show of a run."""

import io
import logging
import re
from pathlib import Path

import pytest
from rich.console import Console
from snakemake.settings.types import OutputSettings, Quietness
from snakemake_interface_logger_plugins.common import LogEvent

import snakemake_logger_plugin_difftables as plugin
from snakemake_logger_plugin_difftables.bar import Bar
from snakemake_logger_plugin_difftables.jobs import OTHER, SECONDS, Jobs
from snakemake_logger_plugin_difftables.lines import Lines

ROOT = Path(__file__).parents[2]


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def started(jobid, rule, output=(), log=(), **wildcards):
    return {"jobid": jobid, "rule_name": rule, "wildcards": wildcards, "output": list(output), "log": list(log)}


def record(event=None, text="", level=logging.INFO, **fields):
    made = logging.LogRecord("snakemake", level, "", 0, text, None, None)
    made.__dict__.update(fields | ({"event": event} if event else {}))
    return made


def a_run(folder):
    """The records of a run of four jobs: a table and a picture are made, a training fails, and one job still runs."""
    log = folder / "train.log"
    log.write_text("".join(f"step {i}\n" for i in range(100)) + "difftables train: the loss is not finite\n")
    page = f"{folder}/tables/noise/T2.md"
    yield record(LogEvent.RUN_INFO, "Job stats:\n", stats={"table": 1, "train": 2, "sample": 1, "total": 4})
    yield record(LogEvent.JOB_INFO, **started(1, "table", [page, page.replace(".md", ".csv")], paper="noise", table="T2"))
    yield record(LogEvent.JOB_INFO, **started(2, "train", log=[str(log)], run="noise_estimation/digits", seed="0"))
    yield record(LogEvent.JOB_FINISHED, job_id=1)
    yield record(LogEvent.PROGRESS, done=1, total=4)
    yield record(LogEvent.JOB_INFO, **started(3, "sample", run="noise_estimation/digits", seed="0", sampler="ddim"))
    yield record(LogEvent.ERROR, "RuleException:\nCalledProcessError in file ...", logging.ERROR, exception="RuleException")
    yield record(LogEvent.JOB_ERROR, "Error", logging.ERROR, rule_name="train", jobid=2, log=[str(log)], aux={"cluster": "slurm-7.log"})
    yield record(None, "Exiting because a job execution failed", logging.ERROR)


def test_no_time_is_left_to_tell_before_a_job_is_done_and_after_the_last():
    clock = Clock()
    jobs = Jobs(clock)
    jobs.plan({"sample": 1, "total": 1})
    assert jobs.left() is None
    jobs.start(started(1, "sample"))
    clock.now = 5
    assert jobs.left() is None
    jobs.finish(1)
    assert jobs.left() == 0


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("pace", [0.5, 3.0])
def test_the_time_left_follows_pace_and_cores(cores, pace):
    """Jobs that all take `pace` times what their rule took before: after any of them the rest is known."""
    clock = Clock()
    jobs = Jobs(clock)
    jobs.plan({"train": 4, "sample": 8, "total": 12})
    rules = ["sample"] * 4 + ["train"] * 4 + ["sample"] * 4
    rest = pace * sum(map(SECONDS.get, rules)) / cores
    for i in range(0, 12, cores):
        for j in range(i, i + cores):
            jobs.start(started(j, rules[j]))
        clock.now += pace * SECONDS[rules[i]]
        rest -= pace * SECONDS[rules[i]]
        for j in range(i, i + cores):
            jobs.finish(j)
        assert jobs.left() == pytest.approx(rest)


def test_a_rule_is_known_by_its_own_times_after_some_jobs():
    clock = Clock()
    jobs = Jobs(clock)
    jobs.plan({"train": 101, "total": 101})
    for i in range(100):
        jobs.start(started(i, "train"))
        clock.now += 1
        jobs.finish(i)
    assert jobs.expected("train") == pytest.approx(1.0)
    assert jobs.expected("a new rule") == pytest.approx(OTHER / SECONDS["train"])


def test_every_rule_has_a_time_and_no_other_has():
    files = [ROOT / "Snakefile", ROOT / "workflow/Snakefile", *ROOT.glob("workflow/rules/*.smk")]
    found = re.findall(r"^(?:rule (\w+)|use rule \w+ as (\w+))", "".join(path.read_text() for path in files), re.MULTILINE)
    rules = {a or b for a, b in found}
    assert set(SECONDS) <= rules
    assert rules - set(SECONDS) == {"checkpoint", "download", "extract", "weights"}  # never run at scale laptop


def test_a_file_gets_a_line_a_job_the_page_by_name_and_the_end_of_a_failed_log(tmp_path):
    stream = io.StringIO()
    lines = Lines(stream, failed_logs=True)
    for each in a_run(tmp_path):
        lines.emit(each)
    text = stream.getvalue()
    assert re.search(rf"done 1 of 4: table/noise/T2 in .*; made {tmp_path}/tables/noise/T2\.md\n", text)
    assert len(re.findall(r"^[\d:]{8} start ", text, re.MULTILINE)) == 3
    assert "start sample/noise_estimation/digits/0/ddim\n" in text
    failed = text[text.index("failed: train/noise_estimation/digits/0") :]
    assert all(part in failed for part in (f"{tmp_path}/train.log", "slurm-7.log", "step 99", "the loss is not finite"))
    assert "step 60\n" not in failed
    assert "CalledProcessError" not in text
    assert "Exiting because a job execution failed" in failed


def test_a_terminal_shows_one_bar_what_runs_and_no_less_than_a_file(tmp_path):
    stream = io.StringIO()
    bar = Bar(Console(file=stream, force_terminal=True, width=100), failed_logs=True)
    for each in a_run(tmp_path):
        bar.handle(each)
    picture = Console(file=(shown := io.StringIO()), width=100)
    picture.print(bar.picture())
    bar.close()
    assert "1 of 4 jobs" in shown.getvalue()
    assert " left" in shown.getvalue()
    assert "sample/noise_estimation/digits/0/ddim" in shown.getvalue()
    text = stream.getvalue()
    wanted = (
        f"made {tmp_path}/tables/noise/T2.md",
        "failed: train/noise_estimation/digits/0",
        "the loss is not finite",
        "slurm-7.log",
        "Exiting because a job",
    )
    assert all(part in text for part in wanted)
    assert "CalledProcessError" not in text


@pytest.mark.parametrize("asked", [{"dryrun": True}, {"quiet": {Quietness.REASON}}, {"verbose": True}])
def test_dry_runs_and_quiet_ones_look_as_without_a_plugin(asked, monkeypatch):
    settings = OutputSettings(show_failed_logs=True, stdout=True, **asked)
    stream = io.StringIO()
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    handler = plugin.LogHandler(settings, None)
    shown = {"local": False, "is_checkpoint": False, "input": [], "benchmark": None, "reason": "why", "priority": 0, "threads": 1}
    handler.emit(record(LogEvent.JOB_INFO, rule_msg=None, resources={}, **started(1, "table", ["a.md"]), **shown))
    handler.close()
    assert "rule table:\n    output: a.md\n" in stream.getvalue()
