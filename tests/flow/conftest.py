"""A copy of the repository in which the smoke scale has run once, shared by all flow tests."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KEPT = ["Snakefile", "dvc.yaml", "params.yaml", "workflow", "profiles", "src", "requirements.lock", "pyproject.toml"]


class Checkout:
    """A folder with the repository in it, and commands run there with its own source first on the path."""

    def __init__(self, path):
        self.path = path

    def run(self, *command, env=None, check=True, timeout=900):
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = os.environ | {"PYTHONPATH": str(self.path / "src"), "PATH": path}
        environment |= env or {}
        arguments = [sys.executable, "-m", *map(str, command)]
        found = subprocess.run(arguments, cwd=self.path, env=environment, capture_output=True, text=True, timeout=timeout)
        found.text = found.stdout + found.stderr
        assert not check or found.returncode == 0, found.text[-3000:]
        return found

    def snakemake(self, *arguments, check=True):
        return self.run("snakemake", *arguments, "--config", "scale=smoke", check=check)

    def jobs(self, *arguments):
        """Jobs that a dry run would start, by rule."""
        text = self.snakemake("-n", "--quiet", "rules", *arguments).text
        lines = [line.split() for line in text.splitlines()]
        return {line[0]: int(line[1]) for line in lines if len(line) == 2 and line[1].isdigit() and line[0] not in ("total", "all")}

    def edit(self, name, old, new):
        path = self.path / name
        text = path.read_text()
        assert text.count(old) >= 1, f"{old!r} is not in {name}"
        path.write_text(text.replace(old, new, 1))


def copy(target):
    target.mkdir()
    for name in KEPT:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, target / name)
    return Checkout(target)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The smoke scale, run to the end."""
    checkout = copy(tmp_path_factory.mktemp("smoke") / "repository")
    checkout.snakemake()
    return checkout


@pytest.fixture
def checkout(finished, tmp_path):
    """A copy of the finished one that a test may spoil."""
    shutil.copytree(finished.path, tmp_path / "repository", symlinks=True)
    return Checkout(tmp_path / "repository")


@pytest.fixture
def fresh(tmp_path):
    """The repository before any run."""
    return copy(tmp_path / "repository")
