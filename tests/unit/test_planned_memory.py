"""Planned memory of jobs: closed forms, and what metrics hold at once."""

from pathlib import Path

import pytest

from difftables.common import tensor_files
from difftables.metrics import frechet, scores
from difftables.planning import memory, params, plan

ROOT = Path(__file__).parents[2]
ROW = {"run": "noise_estimation/celeba", "seed": "0", "sampler": "noise_estimation/ddim-strided"}


@pytest.fixture
def read(rewritten, monkeypatch):
    monkeypatch.chdir(ROOT)
    return lambda scale, *changes: plan.Workflow(params.load(rewritten(*changes), scale))


def test_a_shard_is_what_a_sampling_job_holds(read):
    image = 3 * 64 * 64
    found = read("paper", ("paper:resources/shard", 7000))
    spec = found.sample_spec(ROW["run"], ROW["sampler"])
    batch = 3 * 4 * image * spec.batch
    assert memory.GROWTH["sample"](found, ROW) == 2 * 7000 * image + batch
    whole = read("paper", ("paper:resources/shard", 0))
    assert memory.GROWTH["sample"](whole, ROW) == (len(spec.steps) + 1) * spec.n * len(spec.seeds) * image + batch
    assert whole.written_spec("sample", ROW["run"], ROW["sampler"]) == found.written_spec("sample", ROW["run"], ROW["sampler"])


def test_features_are_what_a_measure_holds(read):
    found = read("paper")
    n = found.measure_spec(*ROW.values()).evaluation.n
    assert memory.GROWTH["measure"](found, ROW) == 8 * (2048 * n + max(4 * 2048 * n, 3 * min(2**28, 2048 * memory.LARGEST)))
    assert memory.GROWTH["measure"](found, ROW) > memory.GROWTH["measure"](read("laptop"), ROW | {"run": "noise_estimation/digits"})


def test_bedrooms_fit_into_32_gb(read):
    found = read("paper")
    jobs = [(rule, {"data": "bedroom"}) for rule in ("data", "reference")]
    planned = memory.by_rule(found, [*jobs, ("sample", ROW), ("report", {})])
    assert set(planned) == {"data", "reference", "sample"}
    assert max(planned.values()) < 32e9
    assert list(planned.values()) == sorted(planned.values(), reverse=True)


def test_the_plan_knows_what_metrics_hold_at_once():
    assert (memory.BLOCK, memory.DISTANCES) == (frechet.BLOCK, scores.DISTANCES)
    assert memory.LARGE == tensor_files.LARGE and scores.BLOCK == frechet.BLOCK


def test_all_rules_at_every_scale_and_what_is_too_much_is_said(read):
    for scale in ("laptop", "study", "paper"):
        found = read(scale)
        rows = [{"run": run, "seed": str(seed), "sampler": sampler} for run, seed, sampler in found.drawn_rows()]
        jobs = [(rule, row) for row in rows for rule in ("train", "sample", "measure")]
        images = [name for name, data in found.params.data.items() if data.medium == "images"]
        jobs += [(rule, {"data": name}) for name in images for rule in ("data", "reference")]
        lines = memory.table(found, jobs).splitlines()
        assert {line.split()[0] for line in lines[1:6]} == set(memory.GROWTH)
        assert not any("resources.shard" in line for line in lines[6:])
    whole = read("paper", ("paper:resources/shard", 0), ("paper:resources/train_mb", 1500))
    assert "resources.shard" in memory.table(whole, [("sample", ROW)])
