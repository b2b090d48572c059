"""What pyproject.toml declares is used, requirements.lock holds all of it and nothing else, and make takes the supported Pythons."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
# Used without an import: a file, and what in it needs the package.
MENTIONS = {
    "dvc": ("dvc.yaml", "stages:"),
    "dvc-s3": ("tests/flow/test_sharing.py", "url = s3://"),
    "import-linter": ("pyproject.toml", "[tool.importlinter]"),
    "mypy": ("Makefile", "/mypy"),
    "pytest-xdist": ("Makefile", "pytest -n "),
    "ruff": ("Makefile", "/ruff check"),
    "snakefmt": ("Makefile", "/snakefmt"),
    "snakemake-executor-plugin-kubernetes": ("profiles/kubernetes/config.yaml", "executor: kubernetes"),
    "snakemake-executor-plugin-slurm": ("profiles/slurm/config.yaml", "executor: slurm"),
}


def names(lines):
    return {canonicalize_name(Requirement(line).name) for line in lines}


def pins(path):
    """The requirements in a lock file that hold for this Python and system, by name."""
    lines = [re.split(r"\s+#|^#", line)[0].strip() for line in (ROOT / path).read_text().splitlines()]
    held = [Requirement(line) for line in lines if line]
    return {canonicalize_name(each.name): each for each in held if each.marker is None or each.marker.evaluate()}


def pinned(requirement):
    """The version in name==version."""
    (specifier,) = requirement.specifier
    return specifier.version


def reached(declared):
    """All requirements that installed packages have, from the declared ones on."""
    stated = {each["name"]: each["requires-dist"] for each in PROJECT["tool"]["uv"]["dependency-metadata"]}
    waiting, seen = [Requirement(line) for line in declared], set()
    while waiting:
        each = waiting.pop()
        name = canonicalize_name(each.name)
        for extra in {"", *each.extras}:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            further = map(Requirement, stated.get(name) or requires(name) or [])
            waiting += [one for one in further if one.marker is None or one.marker.evaluate({"extra": extra})]
        yield each


def test_the_lock_holds_what_pyproject_asks_for_and_nothing_else():
    locked = pins("requirements.lock")
    declared = PROJECT["project"]["dependencies"] + [line for extra in EXTRAS.values() for line in extra]
    needed = list(reached(declared))
    missing = {str(each) for each in needed if canonicalize_name(each.name) not in locked}
    assert missing == set(), "run make lock"
    unfit = [str(each) for each in needed if pinned(locked[canonicalize_name(each.name)]) not in each.specifier]
    assert unfit == [], "run make lock"
    assert set(locked) - {canonicalize_name(each.name) for each in needed} == set(), "run make lock"


def test_the_tests_run_with_the_locked_versions():
    other = {name: version(name) for name, each in pins("requirements.lock").items() if version(name) not in each.specifier}
    assert other == {}, "run make setup"


def test_the_lock_of_the_s3_server_holds_what_its_group_asks_for():
    locked = pins("tests/moto.lock")
    for each in map(Requirement, PROJECT["dependency-groups"]["moto"]):
        assert pinned(locked[canonicalize_name(each.name)]) in each.specifier, f"{each}: run make lock"


@pytest.mark.parametrize("path", ["requirements.lock", "tests/moto.lock"])
def test_a_lock_has_exact_versions_and_no_address(path):
    lines = [line for line in (ROOT / path).read_text().splitlines() if not line.startswith("#")]
    assert len(lines) > 20
    assert [line for line in lines if not re.match(r"[a-z0-9-]+==\w[\w.]*( ; [^#]+)?( +#|$)", line)] == []
    assert [line for line in lines if "://" in line or line.startswith("-")] == []


def imported(folder):
    """Top-level names of the modules that the Python and Snakemake files of a folder import."""
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                yield str(node.module).partition(".")[0]
    for path in (ROOT / folder).rglob("*.smk"):
        yield from re.findall(r"^(?:from|import) (\w+)", path.read_text(), re.MULTILINE)


def distributions(folder):
    """Names of the packages that a folder's files import, without the standard library."""
    owners = packages_distributions()
    modules = set(imported(folder)) - sys.stdlib_module_names
    return {canonicalize_name(owner) for module in modules for owner in owners.get(module, [])} - {"difftables"}


def test_every_declared_package_is_used():
    used = distributions("src") | distributions("tests") | distributions("workflow")
    declared = names(PROJECT["project"]["dependencies"]).union(*map(names, EXTRAS.values()))
    mentioned = {name for name, (path, text) in MENTIONS.items() if text in (ROOT / path).read_text()}
    assert declared - used - mentioned == set()
    assert set(MENTIONS) - mentioned == set()


def test_every_imported_package_is_declared():
    """And what src imports is no package of the tests."""
    needed = names(PROJECT["project"]["dependencies"]).union(*(names(lines) for extra, lines in EXTRAS.items() if extra != "test"))
    assert (distributions("src") | distributions("workflow")) - needed == set()
    assert distributions("tests") - needed - names(EXTRAS["test"]) == set()


def setup(folder, *flags, **versions):
    """What `make setup` does where these commands are Pythons of these versions."""
    for command, number in versions.items():
        path = folder / command.replace("_", ".")
        show = f'[ "$1" = --version ] && echo "Python {number}.9" && exit 0'
        path.write_text(f'#!/bin/sh\n{show}\ncase " $* " in *" {number} "*) exit 0; esac\nexit 1\n')
        path.chmod(0o755)
    tools = {tool: shutil.which(tool) for tool in ("sh", "bash", "make", "cc", "rm")}
    for tool, path in tools.items():
        if path:
            (folder / tool).symlink_to(path)
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    environment = {"PATH": str(folder), "HOME": os.environ.get("HOME", "/")}
    return subprocess.run([tools["make"], "setup", *flags], cwd=folder, env=environment, capture_output=True, text=True)


needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@needs_make
@pytest.mark.parametrize("number", [line.rpartition(" ")[2] for line in PROJECT["project"]["classifiers"]])
def test_make_takes_each_python_that_pyproject_names(tmp_path, number):
    assert "python3 -m venv" in setup(tmp_path, "-n", python3=number, python3_12="3.12").stdout


@needs_make
def test_make_takes_another_python_where_the_first_is_too_old_or_too_new(tmp_path):
    assert "python3.12 -m venv" in setup(tmp_path, "-n", python3="3.10", python3_12="3.12").stdout


@needs_make
@pytest.mark.parametrize("number", ["3.10", "3.14"])
def test_make_refuses_other_pythons_in_one_line(tmp_path, number):
    found = setup(tmp_path, python3=number)
    (line,) = [line for line in found.stderr.splitlines() if not line.startswith("make: ***")]
    assert found.returncode and f"Python {number}.9" in line and "make PYTHON=python3.13" in line
    assert not (tmp_path / ".venv").exists()
