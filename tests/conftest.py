"""What all tests start from: the DDPM training schedule, and copies of the repository, in which the smoke scale has run or was killed.

With pytest-xdist's workers, as in `make test`, there is one smoke run for all of them.
"""

import ast
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
import yaml

torch.set_num_threads(1)

ROOT = Path(__file__).parents[1]
# Nets of two media, a study, a bound, chosen levels and tables, in few jobs.
KILLED = ["results/smoke/tables/noise_estimation/F3.md", "results/smoke/tables/improved_ddpm/few-step-NLL.md"]
KILLED += ["results/smoke/store/schedules/levels/soft_diffusion/digits-blur-blur/levels.csv"]
KEPT = ["Snakefile", "dvc.yaml", "params.yaml", "scales", "workflow", "profiles", "src", "requirements.lock", "pyproject.toml"]
SHARED = "DIFFTABLES_TEST_FOLDER"  # of all workers: the environment is what they have in common


class Checkout:
    """A folder with the repository in it, and commands run there with its own source first on the path.

    All of them, so all jobs of the smoke run too, have credentials in their environment, which must end up nowhere.
    """

    secret = "s3cret/Key0that1nobody2may3read4in5a6log"

    def __init__(self, path):
        self.path = path

    def command(self, *words):
        """Arguments of `subprocess` that run a module of Python here."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = os.environ | {"PYTHONPATH": str(self.path / "src"), "PATH": path}
        environment |= {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": self.secret}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # as it is by default: each job starts sooner
        return {"args": [sys.executable, "-m", *map(str, words)], "cwd": self.path, "env": environment}

    def start(self, *words, log):
        """A command in a process group of its own, while other tests run."""
        return subprocess.Popen(**self.command(*words), stdout=log, stderr=subprocess.STDOUT, start_new_session=True)

    def run(self, *words, check=True, timeout=900):
        found = subprocess.run(**self.command(*words), capture_output=True, text=True, timeout=timeout)
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

    def change(self, name, changes):
        """Change places, "a/b/c", of a YAML file.  Args: changes: value by place; it may be a new place."""
        path = self.path / name
        content = yaml.safe_load(path.read_text())
        for place, value in changes.items():
            *outer, last = place.split("/")
            inner = content
            for key in outer:
                inner = inner[int(key) if isinstance(inner, list) else key]
            if isinstance(inner, list):
                inner.insert(int(last), value)
            else:
                inner[last] = value
        path.write_text(yaml.safe_dump(content, sort_keys=False))

    def rewrite(self, module, name):
        """Change the text of a function, or of all methods of a class, but not what they do.  Args: module: a path in src/difftables."""
        path = self.path / "src/difftables" / module
        tree = ast.parse(path.read_text())
        chosen = next(each for each in tree.body if isinstance(each, ast.FunctionDef | ast.ClassDef) and each.name == name)
        for node in ast.walk(chosen):
            if isinstance(node, ast.FunctionDef):
                node.body.insert(1, ast.parse("edited = 1").body[0])
        path.write_text(ast.unparse(tree))

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
