"""A plan's work grows with its jobs and no faster. Counted are calls, which no busy machine changes."""

import sys
from collections import Counter
from pathlib import Path

import pytest
from job_files import every_job

import difftables
from difftables.planning import params, plan
from difftables.provenance import fingerprint

ROOT = Path(__file__).parents[2]
SOURCE = str(Path(difftables.__file__).parent)


def planned(seeds):
    """What a dry run asks of the plan, with so many training seeds of each run: the count of jobs."""
    loaded = params.load("params.yaml", "laptop")
    for name, run in loaded.runs.items():
        loaded.runs[name] = run.model_copy(update={"seeds": list(range(seeds))})
    found = plan.Workflow(loaded)
    for files in (found.curve_files, found.cost_files, found.search_records, found.table_files, found.stems):
        files()
    jobs = every_job(found)
    for (verb, *_), (of, inputs) in jobs.items():
        found.spec_hash(verb, *of)
        found.code(verb, *of)
        found.job_file(verb, of, inputs, {}, write=False)
    return len(jobs)


def calls(seeds):
    """Jobs of a plan; calls of functions of this project by where they stand."""
    counts = Counter()

    def count(frame, event, _):
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(SOURCE):
            counts[f"{code.co_filename.removeprefix(SOURCE)}:{code.co_name}"] += 1

    sys.setprofile(count)
    try:
        jobs = planned(seeds)
    finally:
        sys.setprofile(None)
    return jobs, counts


@pytest.fixture(scope="module")
def counted():
    """Jobs and calls with 2, 4 and 8 training seeds; what is read and parsed once was before."""
    patch = pytest.MonkeyPatch()
    patch.chdir(ROOT)
    planned(1)
    found = [calls(seeds) for seeds in (2, 4, 8)]
    patch.undo()
    return found


def test_calls_grow_as_jobs_do(counted):
    (few, first), (more, second), (most, third) = counted
    assert most - more == 2 * (more - few)
    names = {name for name, count in third.items() if third[name] - second[name] > 2 * (second[name] - first[name]) + count // 20}
    assert not names, {name: (first[name], second[name], third[name]) for name in names}
    assert (third.total() - second.total()) / (most - more) < 400  # of a job


def test_nothing_is_read_or_walked_again_for_a_further_job(counted):
    for place in ("/provenance/fingerprint.py:walk", "/provenance/fingerprint.py:source", "/papers/folder.py:read_paper"):
        assert counted[0][1][place] == counted[2][1][place], place


def test_training_seeds_share_the_specs_that_hold_no_seed(monkeypatch):
    monkeypatch.chdir(ROOT)
    found, asked = plan.read("smoke"), list[str]()
    plain = fingerprint.code
    monkeypatch.setattr(fingerprint, "code", lambda verb, spec: asked.append(verb) or plain(verb, spec))
    run, _, sampler = found.drawn_rows()[0]
    for _ in range(34):  # Snakemake asks for each seed, and again before a job starts
        assert found.code("sample", run, sampler) == found.code("sample", run, sampler)
    assert asked == ["sample"]
