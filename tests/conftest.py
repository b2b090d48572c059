"""What all tests start from: the DDPM training schedule, and copies of the repository, in which the smoke scale has run or was killed."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

torch.set_num_threads(1)

ROOT = Path(__file__).parents[1]
KILLED = [f"results/smoke/tables/{name}.md" for name in ("noise_estimation/F2", "noise_estimation/F3", "noise_estimation/F4")]
KILLED += ["results/smoke/tables/improved_ddpm/few-step-NLL.md", "results/smoke/store/schedules/levels/digits-soft-blur-blur/levels.csv"]
KEPT = ["Snakefile", "dvc.yaml", "params.yaml", "workflow", "profiles", "src", "requirements.lock", "pyproject.toml"]


class Checkout:
    """A folder with the repository in it, and commands run there with its own source first on the path.

    All of them, so all jobs of the smoke run too, have credentials in their environment, which must end up nowhere.
    """

    secret = "s3cret/Key0that1nobody2may3read4in5a6log"

    def __init__(self, path):
        self.path = path

    def _told(self, *command):
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = os.environ | {"PYTHONPATH": str(self.path / "src"), "PATH": path}
        environment |= {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": self.secret}
        return {"args": [sys.executable, "-m", *map(str, command)], "cwd": self.path, "env": environment}

    def start(self, *command, log):
        """A command in a process group of its own, while other tests run."""
        return subprocess.Popen(**self._told(*command), stdout=log, stderr=subprocess.STDOUT, start_new_session=True)

    def run(self, *command, check=True, timeout=900):
        found = subprocess.run(**self._told(*command), capture_output=True, text=True, timeout=timeout)
        found.text = found.stdout + found.stderr
        assert not check or found.returncode == 0, found.text[-3000:]
        return found

    def snakemake(self, *arguments, check=True):
        return self.run("snakemake", *arguments, "--config", "scale=smoke", check=check)

    def jobs(self, *arguments):
        """Jobs that a dry run would start, by rule."""
        return self.counted(self.snakemake("-n", "--quiet", "rules", *arguments).text)

    @staticmethod
    def counted(text):
        """Jobs by rule, in the table that Snakemake prints before it starts."""
        lines = [line.split() for line in text.splitlines()]
        found = {line[0]: int(line[1]) for line in lines if len(line) == 2 and line[0].isidentifier() and line[1].isdigit()}
        return {rule: count for rule, count in found.items() if rule not in ("total", "all")}

    def edit(self, name, old, new):
        path = self.path / name
        text = path.read_text()
        assert text.count(old) >= 1, f"{old!r} is not in {name}"
        path.write_text(text.replace(old, new, 1))

    def copied(self, target):
        shutil.copytree(self.path, target, symlinks=True)
        return Checkout(target)


def is_whole(folder, name, least=100):
    """Assert that every file of a table is there and filled; its picture where the page shows one, and nowhere else."""
    for suffix in ("md", "tex", "csv", "json"):
        assert (folder / f"{name}.{suffix}").stat().st_size > least, (name, suffix)
    shown = f"![{name}]({name}.png)" in (folder / f"{name}.md").read_text()
    for suffix in ("png", "svg"):
        assert (folder / f"{name}.{suffix}").exists() == shown, (name, suffix)
    return shown


def copy(target):
    target.mkdir()
    for name in KEPT:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, target / name)
    return Checkout(target)


def pytest_collection_modifyitems(items):
    """Those that need the finished smoke run come last, and after them those that need the killed one: both run beside the others."""
    items.sort(key=lambda item: (_waits(item), "killed" in item.fixturenames))


def _waits(item):
    return "finished" in item.fixturenames


@pytest.fixture(scope="session", autouse=True)
def smoke(request, tmp_path_factory):
    """The smoke scale, started before the first test if some test needs it: the checkout, the process and its log."""
    if not any(map(_waits, request.session.items)):
        yield None
        return
    checkout = copy(tmp_path_factory.mktemp("smoke") / "repository")
    log = checkout.path.parent / "log"
    with open(log, "w") as file:
        process = checkout.start("snakemake", "--config", "scale=smoke", log=file)
    yield checkout, process, log
    stop(process)


def stop(process):
    """End a command's whole process group."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


@pytest.fixture(scope="session")
def finished(smoke, request):
    """The smoke scale, run to the end."""
    checkout, process, log = smoke
    assert process.wait(timeout=1800) == 0, log.read_text()[-3000:]
    if any("killed" in item.fixturenames for item in request.session.items):
        request.getfixturevalue("under_fire")
    return checkout


@pytest.fixture(scope="session")
def under_fire(tmp_path_factory):
    """Some of its targets on one core, killed twenty times, beside the tests that need the finished run: they leave a core idle."""
    checkout = copy(tmp_path_factory.mktemp("killed") / "repository")
    log = checkout.path.parent / "log"
    with open(log, "w") as file:
        command = [sys.executable, ROOT / "tests/kills.py", checkout.path, *KILLED]
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
    yield checkout, process, log
    stop(process)


@pytest.fixture(scope="session")
def killed(finished, under_fire):
    """The same, run to the end."""
    checkout, process, log = under_fire
    assert process.wait(timeout=1200) == 0, log.read_text()[-3000:]
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
