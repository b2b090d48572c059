"""The notes that spare a further process the walk hold for the same sources and the same packages, and for no others."""

import json
import sys

import pytest
from toy_package import FILES

from difftables.config.job_specs import complete
from difftables.planning import plan
from difftables.provenance import fingerprint, installed

SPEC = {"rule": "one"}


@pytest.fixture
def process(monkeypatch, tmp_path):
    """A new process that fingerprints a job of a toy package, and what it did: (fingerprint, walks, lists of installed files read)."""
    for name, text in FILES.items():
        parts = name.split(".")[1:]
        package = any(other.startswith(f"{name}.") for other in FILES)
        file = tmp_path.joinpath("src", *parts, "__init__.py") if package else tmp_path.joinpath("src", *parts).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    walks, lists = list[str](), list[str]()
    plain_walk, plain_distributions = fingerprint.walk, installed.distributions
    monkeypatch.setattr(fingerprint, "SOURCE", tmp_path / "src")
    monkeypatch.setattr(fingerprint, "NOTES", tmp_path / "notes.json")
    monkeypatch.setattr(fingerprint, "walk", lambda *job: walks.append("walk") or plain_walk(*job))
    monkeypatch.setattr(installed, "distributions", lambda: lists.append("list") or plain_distributions())

    def process(spec=SPEC):
        fingerprint.forget()
        walks.clear()
        lists.clear()
        found = fingerprint.code("go", spec)
        fingerprint.note()
        return found, len(walks), len(lists)

    yield process
    monkeypatch.undo()
    fingerprint.forget()


def test_a_second_process_walks_nothing(process):
    first = process()
    assert first[1:] == (1, 1)
    assert process() == (first[0], 0, 0)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"walks": 1, "other": 2}'])
def test_damaged_notes_are_no_notes(process, tmp_path, text):
    first = process()
    (tmp_path / "notes.json").write_text(text)
    assert process() == first


def test_a_change_of_any_source_is_seen(process, tmp_path):
    before, _, _ = process()
    file = tmp_path / "src" / "environment.py"
    file.write_text(file.read_text().replace("PASSIVE", "ACTIVE"))
    after, walks, _ = process()
    assert after != before and walks == 1
    assert process() == (after, 0, 0)


def test_a_new_package_is_seen(process, tmp_path, monkeypatch):
    before, _, _ = process()
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "site")])
    record = tmp_path / "site" / "faster-1.0.dist-info"
    record.mkdir(parents=True)
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: faster\nVersion: 1.0\n")
    (record / "top_level.txt").write_text("torch\n")  # provides what the toy package imports
    after, walks, lists = process()
    assert after != before and (walks, lists) == (0, 1)
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: faster\nVersion: 1.1\n")
    assert process()[0] not in (before, after)


def test_notes_that_lie_there_are_not_written_again(process, tmp_path):
    process()
    written = (tmp_path / "notes.json").stat()
    process()
    assert (tmp_path / "notes.json").stat().st_ino == written.st_ino


def test_a_job_asks_for_the_walk_that_its_plan_noted(monkeypatch, tmp_path):
    """The spec that a job reads from its file chooses the same as that of the plan, which is another object with keys in another order."""
    found = plan.read("smoke")
    jobs = [("sample", of) for of in {(run, sampler) for run, _, sampler in found.sampled_rows()}]
    monkeypatch.setattr(fingerprint, "NOTES", tmp_path / "notes.json")
    fingerprint.forget()
    codes = [found.code(verb, *of) for verb, of in jobs]
    fingerprint.note()
    fingerprint.forget()
    monkeypatch.setattr(fingerprint, "walk", lambda *job: pytest.fail("a job walks"))
    for code, (verb, of) in zip(codes, jobs, strict=True):
        text = json.dumps(found.written_spec(verb, *of), sort_keys=True)
        assert fingerprint.code(verb, complete(verb, json.loads(text))) == code
    monkeypatch.undo()
    fingerprint.forget()
