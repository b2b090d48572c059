"""The warm parent: its jobs end as jobs that start by themselves, and never outlive their client, their parent or their code."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from difftables.warm import benchmarks
from difftables.warm.client import FOLDER, SOCKET
from difftables.warm.server import stamp
from difftables.warm.start import FEWEST, start, stop

ROOT = Path(__file__).parents[2]
# A parent that has imported nothing: it starts at once, and its jobs import what they need.
BARE = (
    "import sys; from pathlib import Path; from difftables.warm import server; "
    "server.Server(Path(sys.argv[1]), Path(server.__file__).parents[1]).serve()"
)
HANDED = "import sys; from difftables.warm.client import run_warm; status = run_warm(sys.argv[1:]); print('status', status)"


def wait(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder with a short path, for sockets."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def parent(place, monkeypatch):
    """A warm parent that listens; it ends with the test."""
    yield from serving(place, monkeypatch, ROOT / "src")


def serving(place, monkeypatch, source):
    environment = os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    (place / "warm").mkdir()
    process = subprocess.Popen([sys.executable, "-c", BARE, "warm"], stdin=subprocess.PIPE, env=environment)
    monkeypatch.setenv(FOLDER, "warm")
    monkeypatch.setenv("PYTHONPATH", str(source))
    wait(lambda: (place / "warm" / SOCKET).exists() or process.poll() is not None)
    assert process.poll() is None
    yield process
    process.stdin.close()
    process.wait(30)


def waiting(place, options=("--threads", "1"), program=("-m", "difftables")):
    """A client whose job waits for the file that tells it what to do."""
    os.mkfifo(place / "job.json")
    return subprocess.Popen(
        [sys.executable, *program, "data", "job.json", *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def job_of(client):
    """The process that does a client's job."""
    file = Path("warm", str(client.pid))
    wait(lambda: file.exists() and file.read_text())
    return psutil.Process(int(file.read_text()))


def test_a_job_has_its_clients_streams_and_status(parent, place):
    client = waiting(place, program=("-c", HANDED))
    job = job_of(client)
    assert job.ppid() == parent.pid
    (place / "job.json").write_text("{}")
    text, _ = client.communicate(timeout=60)
    assert "KeyError: 'spec'" in text
    assert text.endswith("status 1\n")
    wait(lambda: not Path("warm", str(client.pid)).exists())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_job_ends_with_its_client(parent, place, number):
    client = waiting(place)
    job = job_of(client)
    client.send_signal(number)
    client.wait(30)
    assert client.returncode == -number
    wait(lambda: not job.is_running())
    assert parent.poll() is None


def test_a_client_ends_as_its_job_was_killed(parent, place):
    client = waiting(place)
    job_of(client).kill()
    assert client.wait(30) == -signal.SIGKILL


def test_a_client_whose_parent_was_killed_does_the_job(parent, place):
    client = waiting(place)
    job = job_of(client)
    parent.kill()
    wait(lambda: not job.is_running())
    (place / "job.json").write_text("{}")
    text, _ = client.communicate(timeout=60)
    assert client.returncode == 1
    assert "KeyError: 'spec'" in text


def test_a_parent_without_a_driver_ends_after_its_jobs(parent, place):
    client = waiting(place)
    job_of(client)
    parent.stdin.close()
    time.sleep(0.3)
    assert parent.poll() is None
    (place / "job.json").write_text("{}")
    assert client.wait(60) == 1
    assert parent.wait(30) == 0


@pytest.mark.parametrize("options", [("--threads", "2"), ("--threads", "1", "--gpus", "1"), ()])
def test_jobs_with_other_threads_or_a_gpu_start_by_themselves(parent, place, options):
    client = waiting(place, options, ("-c", HANDED))
    assert client.communicate(timeout=60)[0] == "status None\n"


def test_no_job_runs_code_that_changed_since_it_was_imported(place, monkeypatch):
    source = shutil.copytree(ROOT / "src", place / "src", ignore=shutil.ignore_patterns("__pycache__"))
    before = stamp(source / "difftables")
    process = serving(place, monkeypatch, source)
    next(process)
    module = source / "difftables/common/seeds.py"
    module.write_text(module.read_text() + "\n")
    assert stamp(source / "difftables") != before
    client = waiting(place, program=("-c", HANDED))
    assert client.communicate(timeout=60)[0] == "status None\n"
    next(process, None)


def test_snakemake_measures_the_job_of_a_shell(parent, place):
    client = waiting(place)
    job = job_of(client)
    assert job in benchmarks.Watched(os.getpid()).children(recursive=True)
    assert benchmarks.Watched(client.pid).children(recursive=True) == [job]
    client.kill()


@pytest.mark.parametrize(("jobs", "local"), [(FEWEST - 1, True), (FEWEST, False)])
def test_few_jobs_and_clusters_have_no_parent(place, monkeypatch, jobs, local):
    monkeypatch.setenv(FOLDER, "of an outer run")
    assert start(jobs, local) is None
    assert FOLDER not in os.environ


def test_a_parent_leaves_nothing_behind(place, monkeypatch):
    monkeypatch.setenv(FOLDER, "")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    parent = start(FEWEST, local=True)
    folder = Path(os.environ[FOLDER])
    wait((folder / SOCKET).exists)
    stop(parent, folder)
    assert parent.returncode == 0
    assert not folder.exists()
