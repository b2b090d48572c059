"""What all tests start from: the DDPM training schedule, and copies of the repository, in which the smoke scale has run or was killed.

With pytest-xdist's workers, as in `make test`, there is one smoke run for all of them.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from checkouts import KILLED, ROOT, Checkout, copy

torch.set_num_threads(1)

SHARED = "DIFFTABLES_TEST_FOLDER"  # of all workers: the environment is what they have in common


def pytest_configure(config):
    """A folder for what all workers share, made by the process that starts them."""
    if not hasattr(config, "workerinput"):
        os.environ[SHARED] = tempfile.mkdtemp(prefix="difftables-smoke-")


def pytest_unconfigure(config):
    """End the smoke run with the session, whichever worker started it."""
    if not hasattr(config, "workerinput"):
        folder = Path(os.environ.pop(SHARED))
        if (folder / "group").exists() and not (folder / "code").exists():
            os.killpg(int((folder / "group").read_text()), signal.SIGTERM)
        shutil.rmtree(folder, ignore_errors=True)


FIRST = ("test_killed.py", "test_sharing.py", "test_smoke.py")  # the longest


def pytest_collection_modifyitems(items):
    """Tests that need the smoke run come last, as it runs beside the others; of them long files come first."""

    def order(item):
        waits = bool({"finished", "killed"} & set(item.fixturenames))
        return waits, waits and (FIRST.index(item.path.name) if item.path.name in FIRST else len(FIRST))

    items.sort(key=order)


@pytest.fixture(scope="session", autouse=True)
def smoke(request):
    """The smoke scale, started before the first test if some test needs it, by the first worker: the folder it lies in."""
    folder = Path(os.environ[SHARED])
    if any("finished" in item.fixturenames for item in request.session.items):
        try:
            (folder / "started").mkdir()
        except FileExistsError:
            return folder
        command = copy(folder / "repository").command("snakemake", "--config", "scale=smoke")
        script = 'log=$1; shift; "$@" > $log 2>&1; echo $? > $log.code; mv $log.code ${log%log}code'
        command["args"] = ["bash", "-c", script, "bash", str(folder / "log"), *command["args"]]
        process = subprocess.Popen(**command, start_new_session=True)
        (folder / "group").write_text(str(process.pid))
    return folder


@pytest.fixture(scope="session")
def finished(smoke, tmp_path_factory):
    """The smoke scale, run to the end: a copy for each worker."""
    deadline = time.monotonic() + 1800
    while not (smoke / "code").exists():
        assert time.monotonic() < deadline, (smoke / "log").read_text()[-3000:]
        time.sleep(0.2)
    assert int((smoke / "code").read_text()) == 0, (smoke / "log").read_text()[-3000:]
    return Checkout(smoke / "repository").copied(tmp_path_factory.mktemp("finished") / "repository")


@pytest.fixture(scope="session")
def killed(tmp_path_factory):
    """Some of the smoke scale's targets on one core, killed four times, run to the end."""
    checkout = copy(tmp_path_factory.mktemp("killed") / "repository")
    command = [sys.executable, ROOT / "tests/kills.py", "--kills", "4", checkout.path, *KILLED]
    found = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert found.returncode == 0, (found.stdout + found.stderr)[-3000:]
    return checkout


@pytest.fixture
def checkout(finished, tmp_path):
    """A copy of the finished one that a test may spoil."""
    return finished.copied(tmp_path / "repository")


@pytest.fixture(scope="session")
def untouched(tmp_path_factory):
    """The repository before any run, for tests that leave it so."""
    return copy(tmp_path_factory.mktemp("untouched") / "repository")


@pytest.fixture
def fresh(tmp_path):
    """The repository before any run."""
    return copy(tmp_path / "repository")


@pytest.fixture
def training():
    """The DDPM training schedule of the papers."""
    from difftables.diffusion import training_schedules

    return training_schedules.linear(1000, 1e-4, 0.02)
