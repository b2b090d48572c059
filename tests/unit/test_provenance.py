"""Provenance files: what jobs write, and how commands walk them."""

import json
import os
import subprocess
import sys

import pytest
from pydantic import ValidationError

from difftables import provenance

STORE = "results/smoke/store"


def names(jobs):
    return [each.name for each in jobs]


def test_hashes_are_those_of_sha256sum(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "audio/b").mkdir(parents=True)
    for name in ("audio/a", "audio/b/c"):
        (tmp_path / name).write_text(name)
    said = subprocess.run(["sha256sum", "audio/a"], capture_output=True, text=True, check=True).stdout
    assert said.split() == [provenance.hashes({"x": ["audio/a"]})["x"]["audio/a"], "audio/a"]
    script = "cd audio && find . -type f | sed 's,^./,,' | LC_ALL=C sort | xargs sha256sum | sha256sum"
    assert subprocess.run(script, shell=True, capture_output=True, text=True, check=True).stdout.split()[0] == provenance.digest("audio")


def test_what_a_job_writes_is_read_again(job, tmp_path):
    job("data", "digits", {f"{STORE}/data/digits": "d"}, spec={"a": {"b": 1}}, seeds={"training": 0, "sampling": [0, 1]}, cost={"s": 2.5})
    found = provenance.load(tmp_path / STORE)[f"{STORE}/data/digits"]
    assert (found.rule, found.name, found.verb) == ("data", "data/digits", "data")
    assert (found.spec, found.seeds, found.cost) == ({"a": {"b": 1}}, {"training": 0, "sampling": [0, 1]}, {"s": 2.5})
    written = json.loads((tmp_path / STORE / "provenance/data/digits.json").read_text())
    assert found.model_dump() == written
    assert "name" not in written


@pytest.mark.parametrize("wrong", [{"seconds": "1"}, {"zork": 1}, {"spec": None}])
def test_a_job_cannot_write_what_commands_cannot_read(job, wrong):
    with pytest.raises(ValidationError):
        job("data", "digits", {}, **wrong)


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
    known = provenance.load(tmp_path / STORE)
    assert names(provenance.walk(known, [record])) == ["data/d", "train/n", "sample/b", "sample/a", "measure/r"]
    assert names(provenance.walk(known, [net, "sentences", net])) == ["data/d", "train/n"]


def test_a_loop_in_damaged_files_ends(job, tmp_path):
    for path in ("a", "b"):
        (tmp_path / path).write_text(path)
    job("x", "a", {"a": "a"}, ["b"])
    job("x", "b", {"b": "b"}, ["a"])
    assert sorted(names(provenance.walk(provenance.load(tmp_path / STORE), ["a"]))) == ["x/a", "x/b"]


def test_seconds_lead_nowhere(job, tmp_path):
    """The names of inputs and outputs that no second run repeats."""
    path, cost = f"{STORE}/s", f"{STORE}/s.cost"
    job("sample", "s", {path: "s", cost: "c"})
    found = provenance.load(tmp_path / STORE)[path]
    hashes = found.written()
    split = found.model_copy(
        update={"outputs": {"samples": {path: hashes[path]}, "cost": {cost: hashes[cost]}}, "inputs": {"made": {"p": "h"}}}
    )
    assert list(split.written()) == [path]
    assert split.read() == {}


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
        provenance.load(tmp_path / STORE)
    assert str(path) in str(error.value)
    assert place in str(error.value)
    assert "\n" not in str(error.value)


def test_of_two_jobs_that_claim_a_file_that_which_finished_last_made_it(job, tmp_path):
    """E.g. after a rule got another name."""
    for rule, second in (("new", 200), ("old", 100)):
        job(rule, "digits", {"d": rule})
        os.utime(tmp_path / STORE / f"provenance/{rule}/digits.json", (second, second))
    assert provenance.load(tmp_path / STORE)["d"].rule == "new"


def test_whether_a_file_is_as_it_was(tmp_path):
    path = tmp_path / "a"
    assert provenance.matches(str(path), "0") is None
    path.write_text("a")
    wanted = provenance.digest(path)
    assert provenance.matches(str(path), wanted) is True
    path.write_text("b")
    assert provenance.matches(str(path), wanted) is False


def test_no_commit_outside_a_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance.commit() == "none"


def test_commands_that_read_records_need_no_torch():
    code = "import sys, difftables.cli.explain, difftables.cli.verify; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
