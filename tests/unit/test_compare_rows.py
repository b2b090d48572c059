"""`difftables compare`: rows and results seed by seed."""

import json
import subprocess

import numpy as np
import pytest
from scipy import stats

from difftables.commands import compare
from difftables.common.files import csv_text
from difftables.report.cells import Cell
from difftables.report.index import values
from difftables.report.printing import cells_csv

A, B = [1.0, 1.1, 0.9, 1.05, 0.95], [1.5, 1.6, 1.42, 1.61, 1.4]


def cell(row, numbers, column="5", table="T", seeds="5x1"):
    ids = {"row_id": row, "column_id": column, "metric_id": "fd"}
    return Cell(
        "p", table, f"row {row}", column, metric="FD", better="lower", value=float(np.mean(numbers)), values=numbers, seeds=seeds,
        run=row, **ids,
    )  # fmt: skip


def write(folder, cells):
    tables = folder / "results/laptop/tables"
    tables.mkdir(parents=True, exist_ok=True)
    (tables / "cells.csv").write_text(cells_csv(cells))
    (tables / "values.csv").write_text(csv_text(*values(cells)))
    (folder / "params.yaml").write_text("scale: laptop\n")


@pytest.fixture
def here(tmp_path, monkeypatch):
    write(tmp_path, [cell("a", A), cell("b", B), cell("c", [1.0]), cell("a", A, "10"), cell("b", A, "10"), cell("a", A, table="F")])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, *arguments):
    status = compare.command([*arguments, "--json"])
    said = capsys.readouterr()
    return json.loads(said.out) if status == 0 else said.err


def test_two_rows_are_compared_by_log_ratios_of_paired_units(here, capsys):
    """Against SciPy's paired t test."""
    five, ten = run(capsys, "a", "row b", "--metric", "fd", "--table", "T")
    gaps = np.log(A) - np.log(B)
    expected = stats.ttest_1samp(gaps, 0.0)
    assert five["ratio"] == pytest.approx(np.exp(gaps.mean()), rel=1e-6)
    assert five["p"] == pytest.approx(expected.pvalue, rel=1e-6)
    assert (five["low"], five["high"]) == pytest.approx(tuple(np.exp(expected.confidence_interval(0.95))), rel=1e-6)
    assert (five["pairs"], five["units"], five["outcome"]) == (5, "training seeds", "A is lower")
    assert five["p_corrected"] == five["p"]  # the other column has the same digits: one test
    assert ten["outcome"] == "the same digits"


def test_sampling_seeds_of_one_training_are_units_and_one_value_is_none(here, capsys):
    write(here, [cell("a", A, seeds="1x5"), cell("b", B, seeds="1x5"), cell("c", [1.2], seeds="1x1")])
    (found,) = run(capsys, "a", "b", "--metric", "fd")
    assert found["units"] == "sampling seeds"
    (found,) = run(capsys, "a", "c", "--metric", "fd")
    assert found["outcome"].startswith("not tested")


def test_two_folders_pair_the_same_cells(here, capsys, tmp_path):
    other = tmp_path / "other"
    write(other, [cell("a", [1.01 * x for x in A]), cell("b", B), cell("a", A, "20")])
    found = run(capsys, "results/laptop", "other/results/laptop", "--metric", "fd")
    assert [each["cell"][2:4] for each in found] == [["a", "5"], ["b", "5"]]
    assert found[0]["ratio"] == pytest.approx(1 / 1.01, rel=1e-5)
    assert found[1]["outcome"] == "the same digits"


def git(*arguments):
    name = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.run(["git", *name, *arguments], check=True, capture_output=True, text=True).stdout.strip()


def test_revisions_and_experiments_are_read_out_of_git(here, capsys):
    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-qm", "first")
    write(here, [cell("a", [0.5 * x for x in A]), cell("b", B)])
    git("add", "-A")
    git("commit", "-qm", "second")
    git("update-ref", "refs/exps/ab/cdef/wide-net", git("rev-parse", "HEAD"))
    git("reset", "-q", "--hard", "HEAD~1")
    for word in ("main", "HEAD"):
        found = run(capsys, word, "wide-net", "--metric", "fd", "--table", "p/T")
        assert [each["outcome"] for each in found] == ["A is higher", "the same digits"]
        assert found[0]["ratio"] == pytest.approx(2.0, rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("a", "bb", "--metric", "fd"), "'bb' is no folder, no row and no revision"),
        (("a", "b", "--metric", "fid"), "no metric 'fid'"),
        (("a", "b", "--metric", "fd", "--table", "TT"), "no table 'TT'"),
        (("a", "b", "--metric", "fd", "--scale", "lap"), "there is no scale 'lap'"),
    ],
)
def test_a_name_that_is_none_is_one_line(here, capsys, arguments, part):
    said = run(capsys, *arguments)
    assert part in said
    assert len(said.strip().splitlines()) == 1


def test_the_last_line_says_what_could_be_detected(here, capsys):
    assert compare.command(["a", "b", "--metric", "fd"]) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[0].startswith("cell")
    assert "80 % power" in lines[-1]
