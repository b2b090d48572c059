"""Provenance files: what jobs write, and how commands walk them."""

import json
import os
import subprocess
import sys

import pytest

from difftables.common.files import sha256
from difftables.provenance import record as provenance
from difftables.provenance.files import load, matches, walk

STORE = "results/smoke/store"


def names(jobs):
    return [each.name for each in jobs]


def test_what_a_job_writes_is_read_again(job, tmp_path):
    job("data", "digits", {f"{STORE}/data/digits": "d"}, spec={"a": {"b": 1}}, seeds={"training": 0, "sampling": [0, 1]}, cost={"s": 2.5})
    found = load(tmp_path / STORE)[f"{STORE}/data/digits"]
    assert (found.rule, found.name) == ("data", "data/digits")
    assert (found.spec, found.seeds, found.cost) == ({"a": {"b": 1}}, {"training": 0, "sampling": [0, 1]}, {"s": 2.5})
    written = json.loads((tmp_path / STORE / "provenance/data/digits.json").read_text())
    assert found.model_dump(exclude_defaults=True) == written
    assert "name" not in written


@pytest.mark.parametrize("wrong", [{"seconds": "1"}, {"spec": None}, {"packages": {"torch": 2}}])
def test_a_file_that_does_not_fit_is_not_read(job, tmp_path, wrong):
    job("data", "digits", {}, **wrong)
    with pytest.raises(ValueError, match=next(iter(wrong))):
        load(tmp_path / STORE)


def test_jobs_are_walked_in_making_order_each_once(job, tmp_path):
    """A diamond: records of two samples of one net; what the files do not need is left out."""
    files = [f"{STORE}/{name}" for name in ("data", "net", "a", "b", "record", "other")]
    data, net, a, b, record, other = files
    (tmp_path / "sentences").write_text("s")
    job("data", "d", {data: "d"}, ["sentences"])
    job("train", "n", {net: "n"}, [data])
    job("sample", "a", {a: "a"}, [net])
    job("sample", "b", {b: "b"}, [net, data])
    job("measure", "r", {record: "r"}, [b, a])
    job("measure", "o", {other: "o"}, [a])
    known = load(tmp_path / STORE)
    assert names(walk(known, [record])) == ["data/d", "train/n", "sample/b", "sample/a", "measure/r"]
    assert names(walk(known, [net, "sentences", net])) == ["data/d", "train/n"]


def test_a_loop_in_damaged_files_ends(job, tmp_path):
    for path in ("a", "b"):
        (tmp_path / path).write_text(path)
    job("x", "a", {"a": "a"}, ["b"])
    job("x", "b", {"b": "b"}, ["a"])
    assert sorted(names(walk(load(tmp_path / STORE), ["a"]))) == ["x/a", "x/b"]


def test_files_of_seconds_lead_nowhere(job, tmp_path):
    """They are others in every run: a table's machines, and what jobs cost."""
    samples, cost = f"{STORE}/s", "results/smoke/cost.csv"
    job("sample", "s", {samples: "s", cost: "c"})
    job("table", "p/T", {"page": "t"}, [samples, f"{STORE}/provenance/sample/s.json"])
    known = load(tmp_path / STORE)
    assert list(known[samples].written()) == [samples]
    assert list(known["page"].read()) == [samples]


@pytest.mark.parametrize(
    ("spoil", "place"),
    [
        (lambda raw: raw[: len(raw) // 2], "JSON"),
        (lambda raw: raw.replace('"rule"', '"rool"'), "rule"),
        (lambda raw: raw.replace('"threads": 1', '"threads": "1"'), "threads"),
        (lambda raw: "", "JSON"),
    ],
)
def test_a_damaged_file_is_one_line_that_names_it(job, tmp_path, spoil, place):
    job("data", "digits", {"d": "d"})
    path = tmp_path / STORE / "provenance/data/digits.json"
    path.write_text(spoil(path.read_text()))
    with pytest.raises(ValueError) as error:
        load(tmp_path / STORE)
    assert str(path) in str(error.value)
    assert place in str(error.value)
    assert "\n" not in str(error.value)


def test_of_two_jobs_that_claim_a_file_that_which_finished_last_made_it(job, tmp_path):
    """E.g. after a rule got another name."""
    for rule, second in (("new", 200), ("old", 100)):
        job(rule, "digits", {"d": rule})
        os.utime(tmp_path / STORE / f"provenance/{rule}/digits.json", (second, second))
    assert load(tmp_path / STORE)["d"].rule == "new"


def test_whether_a_file_is_as_it_was(tmp_path):
    path = tmp_path / "a"
    assert matches(str(path), "0") is None
    path.write_text("a")
    wanted = sha256(path)
    assert matches(str(path), wanted) is True
    path.write_text("b")
    assert matches(str(path), wanted) is False


def test_no_commit_outside_a_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance.commit() == "none"


def test_commands_that_read_records_need_no_torch():
    code = "import sys, difftables.commands.explain, difftables.commands.verify; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
