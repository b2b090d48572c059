"""The ledger of core-seconds: how a job counts them, and what `difftables costs` makes of the records."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import ROOT
from difftables.commands import costs
from difftables.common import clock
from difftables.provenance import runs
from difftables.provenance.files import load
from difftables.report.ledger import ledger, lines

STORE = "results/smoke/store"


@pytest.fixture
def ticks(monkeypatch):
    """A clock of CPU seconds that stands still until the test adds to it, and a process that started nothing."""
    now = [0.0]
    monkeypatch.setattr(clock, "process_time", lambda: now[0])
    monkeypatch.setattr(clock, "_cpu", lambda who: 0.0)
    monkeypatch.setattr(clock, "_CLOCK", clock._Clock())
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))

    def add(seconds):
        now[0] += seconds

    return add


def spent():
    return {kind: seconds for kind, seconds in clock.core_seconds().items() if seconds}


def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def seconds_of(**kinds):
    return dict.fromkeys(clock.KINDS, 0.0) | kinds


def test_a_phase_inside_another_interrupts_it(ticks):
    clock.begin()
    ticks(1)
    with clock.Phase("rest"):
        ticks(2)
        with clock.Phase("forward"):
            ticks(4)
            with clock.Phase("files"):
                ticks(8)
            ticks(16)
        ticks(32)
    ticks(64)
    assert spent() == {"start_up": 65, "rest": 34, "forward": 20, "files": 8}


def test_a_phase_ends_with_an_error_and_may_be_a_decorator(ticks):
    @clock.timed("metrics")
    def fails(seconds):
        ticks(seconds)
        raise KeyError(seconds)

    clock.begin()
    for seconds in (1, 2):
        with pytest.raises(KeyError):
            fails(seconds)
    ticks(4)
    assert spent() == {"metrics": 3, "start_up": 4}


def test_a_process_that_runs_a_second_job_begins_anew(ticks):
    ticks(5)
    clock.begin()
    assert spent() == {"start_up": 5}
    ticks(3)
    clock.begin()
    ticks(2)
    assert spent() == {"start_up": 2}


def test_the_phases_add_up_to_the_seconds_of_the_process_and_its_children():
    code = """
import resource, subprocess, sys
from difftables.common import clock
clock.begin()
with clock.Phase("rest"):
    sum(range(10**6))
    with clock.Phase("metrics"):
        subprocess.run([sys.executable, "-c", "sum(range(3 * 10**6))"], check=True)
        clock.count_children()
found = clock.core_seconds()
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
child = used[1].ru_utime + used[1].ru_stime
print(sum(found.values()), sum(each.ru_utime + each.ru_stime for each in used), found["metrics"], child, clock.peak_mb())
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    total, of_process, metrics, child, peak = map(float, result.stdout.split())
    assert total == pytest.approx(of_process, abs=0.05)
    assert child <= metrics < child + 0.05
    assert peak > 5


def test_a_forked_process_counts_from_its_fork():
    clock.begin()
    burn(0.1)
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        clock.begin()
        os.write(writer, json.dumps(clock.core_seconds()).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert sum(json.loads(os.read(reader, 4096)).values()) < 0.1


def test_what_a_module_runs_while_it_is_loaded_is_start_up_at_any_time(tmp_path):
    (tmp_path / "slow_to_load.py").write_text("import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass\n")
    code = """
from difftables.common import clock
clock.begin()
with clock.Phase("forward"):
    before = clock.core_seconds()
    import slow_to_load
    after = clock.core_seconds()
print(*(after[kind] - before[kind] for kind in ("start_up", "forward")))
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT / "src")])}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    start_up, forward = map(float, result.stdout.split())
    assert start_up >= 0.2
    assert forward < 0.1


def test_a_phase_costs_little_more_than_the_two_readings_of_the_clock_that_it_takes():
    def phase():
        with clock.Phase("forward"):
            pass

    def readings():
        time.process_time(), time.process_time()

    def seconds(function):
        began = time.perf_counter()
        for _ in range(1000):
            function()
        return time.perf_counter() - began

    pairs = [(seconds(phase), seconds(readings)) for _ in range(20)]
    assert min(a for a, _ in pairs) < 2e-3 + 2 * min(b for _, b in pairs)


@pytest.fixture
def toy(job, tmp_path, monkeypatch):
    """A store of three jobs with records, one of an older version, and two runs."""
    job("train", "a/0", {f"{STORE}/a": "a"}, core_seconds=seconds_of(start_up=2.0, forward=3.0, backward=5.0), peak_mb=300.0)
    job("train", "b/0", {f"{STORE}/b": "b"}, core_seconds=seconds_of(start_up=2.5, files=0.5), peak_mb=400.5)
    job("measure", "a/0", {f"{STORE}/c": "c"}, core_seconds=seconds_of(start_up=2.0, metrics=20.0))
    job("measure", "b/0", {f"{STORE}/d": "d"})
    past = [{"jobs": 3, "seconds": 40.0, "driver": 4.0, "children": 31.0, "of_jobs": 30.0}]
    past.append({"jobs": 1, "seconds": 9.0, "driver": 3.0, "children": 7.0, "of_jobs": 5.0})
    (tmp_path / STORE / "benchmarks").mkdir()
    (tmp_path / STORE / runs.RUNS).write_text(json.dumps(past))
    return tmp_path / STORE


def test_rows_are_the_sums_of_records(toy):
    found = ledger(toy)
    assert [(row["rule"], row["jobs"], row["total"]) for row in found["rules"]] == [("measure", 1, 22.0), ("train", 2, 13.0)]
    records = [job for job in load(toy).values() if job.core_seconds]
    for kind in clock.KINDS:
        assert found["seconds"][kind] == sum(job.core_seconds[kind] for job in records)
    assert found["rules"][1]["seconds"] == seconds_of(start_up=4.5, forward=3.0, backward=5.0, files=0.5)
    assert found["rules"][1]["peak_mb"] == 400.5
    assert found["rules"][0]["peak_mb"] is None
    assert (found["scheduling"]["total"], found["scheduling"]["jobs"]) == (4 + 31 - 30 + 3 + 7 - 5, 4)
    assert found["total"] == 22 + 13 + 10
    assert sum(row["percent"] for row in found["rules"]) + found["scheduling"]["percent"] == pytest.approx(100)


def test_a_record_without_core_seconds_is_named_and_not_guessed(toy):
    assert ledger(toy)["without"] == ["measure/b/0"]
    assert any("measure/b/0" in line for line in lines(ledger(toy)))


def test_scheduling_is_unknown_without_a_record_of_a_run(toy):
    (toy / runs.RUNS).unlink()
    found = ledger(toy)
    assert found["scheduling"] is None
    assert found["total"] == 35


@pytest.fixture
def at_smoke(rewritten, tmp_path, monkeypatch):
    rewritten()
    (tmp_path / "workflow/speech").symlink_to(ROOT / "workflow/speech")
    monkeypatch.chdir(tmp_path)


def test_the_command_prints_the_ledger(toy, at_smoke, capsys):
    assert costs.command(["--scale", "smoke", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == {"scale": "smoke", **ledger(toy)}
    assert costs.command(["--scale", "smoke"]) == 0
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert table[1] == ["measure", "1", "2.0", "0.0", "0.0", "0.0", "0.0", "20.0", "0.0", "22.0", "48.9"]
    assert table[2][-3:] == ["13.0", "28.9", "400"]
    assert table[3] == ["scheduling", "4", "10.0", "22.2"]
    assert table[4][-1] == "45.0"


def test_a_scale_without_records_is_one_line(job, at_smoke, capsys):
    for _ in range(2):
        assert costs.command(["--scale", "smoke"]) == 1
        printed = capsys.readouterr().out
        assert STORE in printed
        assert printed.count("\n") == 1
        job("train", "a/0", {f"{STORE}/a": "a"})  # of an older version


def test_a_damaged_file_of_runs_is_one_line_that_names_it(toy):
    for text in ("[{]", '[{"jobs": "many"}]'):
        (toy / runs.RUNS).write_text(text)
        with pytest.raises(ValueError, match=runs.RUNS) as error:
            ledger(toy)
        assert "\n" not in str(error.value)


def test_a_run_leaves_its_seconds_beside_those_of_earlier_ones(toy, monkeypatch):
    monkeypatch.setattr(clock, "driver_seconds", lambda: (2.0, 12.0))
    made = [str(toy / "provenance" / name) for name in ("train/a/0.json", "train/b/0.json", "measure/a/0.json", "measure/b/0.json")]
    runs.append(toy, [], [])
    assert len(runs.read(toy)) == 2
    runs.append(toy, made[:2], made[:1])
    *earlier, last = runs.read(toy)
    assert len(earlier) == 2
    assert (last.jobs, last.of_jobs, last.scheduling) == (2, 10.0, 4.0)
    runs.append(toy, made, made)
    (only,) = runs.read(toy)
    assert (only.jobs, only.of_jobs) == (4, 35.0)


def test_no_job_reaches_the_clock_by_its_fingerprint():
    """Another way to measure makes no result anew."""
    from difftables.provenance import fingerprint

    assert "difftables.common.clock" in fingerprint.LEFT_OUT
    assert Path(clock.__file__).exists()
