"""What a newcomer does: set up, add a row, read the README."""

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


def test_the_readme_shows_the_committed_results():
    """Every number in the README's table stands in the committed T1."""
    readme = (ROOT / "README.md").read_text()
    table = (ROOT / "results/laptop/tables/noise_estimation/T1.md").read_text().splitlines()
    block = readme.split("<!-- T1 -->")[1].strip().splitlines()
    assert len(block) > 8
    assert [line for line in block if line not in table] == []
    for link in re.findall(r"\]\(([^)#]+)\)", readme):
        assert link.startswith("http") or (ROOT / link).exists(), link


def test_committed_cells_are_filled():
    """The committed cells.csv has the promised header and is filled."""
    lines = (ROOT / "results/laptop/tables/cells.csv").read_text().splitlines()
    assert lines[0].startswith("paper,table,row,column,dataset,method,sampler,steps,nfe,metric,unit,better,value,sd,seeds,n,")
    assert sum(",measured," in line for line in lines) > 400


def test_the_committed_table_has_all_rows_of_its_layout():
    import yaml

    for name, mark in (("T1", " ("), ("T2", " | ")):
        layout = yaml.safe_load((ROOT / TABLE).read_text())[name]
        table = (ROOT / f"results/laptop/tables/noise_estimation/{name}.md").read_text()
        for row in layout["rows"]:
            assert f"| {row['label']}{mark}" in table


def test_the_committed_speech_table_is_measured_and_says_what_it_is():
    import csv

    with open(ROOT / "results/laptop/tables/cells.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["paper"], row["table"]) == ("noise_estimation", "T1")]
    assert rows
    assert all(row["status"] == "measured" and row["value"] and row["failed"] for row in rows)
    for wanted in ("PESQ", "STOI", "MCD"):
        assert len({row["row"] for row in rows if row["metric"].startswith(wanted)}) == 10
    assert "The voice is synthetic" in (ROOT / "results/laptop/tables/noise_estimation/T1.md").read_text()


def test_the_committed_tables_of_improved_ddpm_are_filled():
    """Likelihood and distance of all rows of T1 and T2; distance, precision and recall of T4; a winner at each step count of F8."""
    import csv

    def cells(name):
        with open(ROOT / f"results/laptop/tables/improved_ddpm/{name}.csv", newline="") as file:
            return list(csv.DictReader(file))

    for name, rows in (("T1", 8), ("T2", 6)):
        for column in ("NLL", "FD"):
            mine = [cell for cell in cells(name) if cell["column"] == column]
            assert len(mine) == rows
            assert all(cell["status"] == "measured" and float(cell["value"]) > 0 and cell["paper_value"] for cell in mine)
    t4 = [cell for cell in cells("T4") if cell["status"] == "measured"]
    assert {cell["column"] for cell in t4} == {"FD", "precision (k=5)", "recall (k=5)", "precision (k=3)", "recall (k=3)"}
    assert len(t4) == 10
    index = (ROOT / "results/laptop/tables/README.md").read_text()
    claims = index.split("# improved_ddpm")[1].split("## improved_ddpm T1")[0]
    assert claims.count("**holds**") + claims.count("**contradicted**") + claims.count("**not distinguishable**") > 20
    assert "not run" not in claims
