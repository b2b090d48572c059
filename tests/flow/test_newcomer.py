"""What a newcomer does: set up, add a row, read the README."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAPER = "workflow/papers/noise_estimation"
TABLE = f"{PAPER}/tables.yaml"


def test_an_own_schedule_is_a_file_and_a_row(checkout):
    lines = ["steps,alpha,std"]
    for steps in (3, 5):
        lines += [f"{steps},{(i + 0.01) / (steps + 0.01)},{1 - i / steps}" for i in range(steps + 1)]
    (checkout.path / "mine.csv").write_text("\n".join(lines) + "\n")
    checkout.change(f"{PAPER}/params.yaml", {"samplers/ddim-strided/schedule": "mine.csv"})
    ran = checkout.snakemake("results/smoke/store/samples/noise_estimation/digits/s0/ddim-strided.safetensors").text
    assert checkout.counted(ran) == {"sample": 1}


def make(path, *arguments, tools, python=sys.executable):
    """`make` with nothing on the path but `tools`."""
    bin_ = path / "bin"
    bin_.mkdir()
    for tool in ("bash", "sh", "make", "env", "echo", *tools):
        found = shutil.which(tool)
        if found:
            (bin_ / tool).symlink_to(found)
    (bin_ / "python3").symlink_to(python)
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, path / name)
    environment = {key: value for key, value in os.environ.items() if key not in ("CC", "PATH", "VIRTUAL_ENV")} | {"PATH": str(bin_)}
    return subprocess.run(["make", *arguments], cwd=path, env=environment, capture_output=True, text=True, executable=shutil.which("make"))


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_without_a_compiler_setup_says_what_to_install(tmp_path):
    found = make(tmp_path, "setup", tools=())
    assert found.returncode
    assert "needs a C compiler: install gcc or clang" in found.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_another_python_is_named(tmp_path):
    stub = tmp_path / "stub"
    stub.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.1" && exit 0\nexit 1\n')
    stub.chmod(0o755)
    found = make(tmp_path, "setup", tools=("cc",), python=stub)
    assert found.returncode
    assert "needs Python 3.11" in found.stderr
    assert "Python 3.9.1" in found.stderr


def test_what_the_readme_links_to_is_there():
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text())
    assert links
    assert [link for link in links if not link.startswith("http") and not (ROOT / link).exists()] == []


def test_the_committed_table_has_all_rows_of_its_layout():
    import yaml

    for name, mark in (("T1", " ("), ("T2", " | ")):
        layout = yaml.safe_load((ROOT / TABLE).read_text())[name]
        table = (ROOT / f"results/laptop/tables/noise_estimation/{name}.md").read_text()
        for row in layout["rows"]:
            assert f"| {row['label']}{mark}" in table


def test_the_readmes_counts_of_claims_are_those_of_the_study():
    found = json.loads((ROOT / "results/study/tables/metrics.json").read_text())
    printed = re.findall(r"^\| [A-Z][\w ]+ \|" + r" (\d+) \|" * 6 + "$", (ROOT / "README.md").read_text(), re.MULTILINE)
    papers = ("noise_estimation", "improved_ddpm", "soft_diffusion", "stable_target_field", "edm")
    words = ("same_sign_here", "opposite_sign_here", "equivalent", "differs_here", "cannot_be_told", "not_tested")
    assert [[int(number) for number in line] for line in printed] == [[found[paper]["claims"][word] for word in words] for paper in papers]


@pytest.fixture(scope="module")
def committed():
    with open(ROOT / "results/laptop/tables/cells.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_committed_cells_are_measured_or_say_why_not(committed):
    """And the voice of T1 is said to be synthetic."""
    for row in committed:
        assert bool(row["value"]) == (row["status"] in ("measured", "estimated", "closed-form")), row
    speech = [row for row in committed if (row["paper"], row["table"]) == ("noise_estimation", "T1")]
    assert all(row["status"] == "measured" and row["failed"] for row in speech)
    assert {row["metric"].split("-")[0] for row in speech} >= {"PESQ", "STOI", "MCD"}
    assert "synthetic" in (ROOT / "results/laptop/tables/noise_estimation/T1.md").read_text()


def test_each_committed_table_of_improved_ddpm_has_the_papers_number_beside(committed):
    for table in ("T1", "T2"):
        rows = [row for row in committed if (row["paper"], row["table"]) == ("improved_ddpm", table) and row["column"] in ("NLL", "FD")]
        assert rows
        assert all(row["status"] == "measured" and float(row["value"]) > 0 and row["paper_value"] for row in rows)
