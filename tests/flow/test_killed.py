"""A run that was killed four times, driver and jobs, on one core, beside one that nobody disturbed. `make kills` does more."""

import json
from collections import Counter

import pytest

from checkouts import KILLED


@pytest.fixture(scope="module")
def report(killed):
    """What tests/kills.py tells of the killed run."""
    return json.loads((killed.path / "kills.json").read_text())


def test_each_kind_of_kill_came_once(report):
    kinds = [(kill["who"], kill["signal"]) for kill in report["kills"]]
    assert sorted(kinds) == [(who, number) for who in ("driver", "job") for number in ("SIGKILL", "SIGTERM")]


def test_no_lock_needed_a_person(killed, report):
    assert report["locks"] >= 1  # a driver that was killed by SIGKILL left one
    assert report["refused"] == 0
    assert not list((killed.path / ".snakemake/locks").glob("*"))


def test_trainings_resumed_where_they_stopped(report):
    """A training that SIGTERM stopped goes on from that very step, one that SIGKILL stopped from its last state."""
    resumed = [name for name, told in report["trainings"].items() if any(word == "resuming" and step > 0 for word, step in told)]
    assert len(resumed) >= max(2, report["interrupted"]), report["trainings"]
    stops = 0
    for told in report["trainings"].values():
        for i, (word, step) in enumerate(told):
            if word == "stopped":
                assert told[i + 1 :][:1] == [["resuming", step]], told
                stops += 1
    assert stops >= 1


def test_all_it_made_is_that_of_an_undisturbed_run(killed, finished):
    """Bit-identical from the second entry point too: nets, chosen levels, a study, a bound and tables.

    All but provenance, which tells seconds.
    """
    count = Counter()
    for path in sorted((killed.path / "results/smoke").rglob("*")):
        other = finished.path / path.relative_to(killed.path)
        seconds = "benchmarks" in path.parts or path.suffix == ".log"
        if not path.is_file() or seconds or path.suffix == ".part":  # what killed jobs were writing
            continue
        if "provenance" in path.parts:
            found, wanted = (json.loads(each.read_text()) for each in (path, other))
            if "made" not in found["inputs"]:  # tables read who measured their records, and that tells seconds
                assert found["fingerprint"] == wanted["fingerprint"], path
            assert found["outputs"] == wanted["outputs"], path
            continue
        assert path.read_bytes() == other.read_bytes(), path
        count[path.suffix] += 1
    assert count[".svg"] == len(KILLED)  # of each table, and of the levels
    assert count[".safetensors"] >= 5
    assert count[".json"] >= 4


def test_nothing_is_left_to_do_and_nothing_is_left_over(killed):
    assert "Nothing to be done" in killed.snakemake(*KILLED, "-n").text
    assert not list((killed.path / ".snakemake/incomplete").rglob("*"))
    assert not list((killed.path / ".cache/states").rglob("state.pt"))
