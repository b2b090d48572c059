"""What a table states of its own at a scale: its number of samples, notes and columns. Jobs draw the largest number that is asked."""

from pathlib import Path

import pytest
import torch
from job_files import run_job

from difftables.common.errors import ConfigError
from difftables.common.files import load_tensors, read_json, save_tensors, write_json
from difftables.config.job_specs import Measures, MeasureSpec
from difftables.metrics import scorers
from difftables.metrics.metric import Score
from difftables.planning import params, plan
from difftables.report.make_page import read_sources

ROOT = Path(__file__).parents[2]
LONG = ("improved_ddpm/cosine-hybrid-long", "0", "improved_ddpm/learned")  # a row of T1, A-D, F8 and F10
T1 = "improved_ddpm/tables/T1"


@pytest.fixture
def planned(rewritten, monkeypatch):
    """The plan of params.yaml at a scale with some places, "a/b/c", changed."""
    monkeypatch.chdir(ROOT)
    return lambda *changes, scale="laptop": plan.Workflow(params.load(rewritten(*changes), scale))


def sizes(found, run, seed, sampler):
    measured = found.measure_spec(run, seed, sampler).evaluation
    return found.sample_spec(run, sampler).n, measured.n, measured.smaller


def test_a_job_draws_the_largest_number_of_its_tables_and_measures_each(planned):
    assert sizes(planned(), *LONG) == (200, 200, [])
    found = planned((f"{T1}/n", 120))
    assert sizes(found, *LONG) == (200, 200, [120])  # F8 has the evaluation's
    assert (found.table_spec("improved_ddpm", "T1").n, found.table_spec("improved_ddpm", "F8").n) == (120, 200)
    assert sizes(planned((f"{T1}/n", 300)), *LONG) == (300, 300, [200])
    assert "smaller" not in planned().written_spec("measure", *LONG)["evaluation"]


def test_scale_paper_measures_unconditional_imagenet_on_ten_thousand_samples(planned):
    found = planned(scale="paper")
    assert sizes(found, *LONG) == (10000, 10000, [])
    assert sizes(found, "improved_ddpm/class-large", "0", "improved_ddpm/learned") == (50000, 50000, [])
    assert found.sample_spec("improved_ddpm/cifar-cosine-hybrid", "improved_ddpm/learned").n == 50000


@pytest.mark.parametrize(
    ("place", "n"), [(T1, 99), ("noise_estimation/tables/T1", 30), ("noise_estimation/tables/F4-speech", 1)]
)  # 100 samples a subset of KID; 32 utterances, of which searches take 12; 2 that are written
def test_a_number_that_its_metrics_cannot_take_is_refused(planned, place, n):
    with pytest.raises(ConfigError, match=rf"{place.rsplit('/', 1)[1]}\.n"):
        planned((f"{place}/n", n))


def test_smaller_numbers_are_measured_on_the_first_samples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = []

    def scorer(inputs):
        asked.append(inputs.settings.n)
        return lambda images: [Score("mean", "mean", images.double().mean().item(), "", "lower")]

    monkeypatch.setitem(scorers.TABLE, "images", scorer)
    images = torch.randint(256, (2, 6, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    counts = {"nfe": 3, "network_evaluations": 36, "estimator_evaluations": 0, "clipped_rates": 0, "v_outside": None}
    counts |= {"nfe_sd": 0.0, "nfe_max": 3, "level_sd": 0.0, "level_floor": 0.2, "curve_evaluations": 0}
    save_tensors("samples", {"samples/3": images}, {"kind": "samples", "seeds": [0, 1], "n": 6, "counts": {"3": counts}})
    assert load_tensors("samples", "samples")[1]["n"] == 6
    names = {"run": "a", "train_seed": 0, "dataset": "made-up", "sampler": "s"}
    spec = MeasureSpec(medium="images", names=names, evaluation=Measures(n=6, smaller=[4]))
    run_job("measure", spec, {"samples": "samples"}, {"record": "record", "made": "made"})
    found = [(entry["n"], entry["seed"], entry["value"]) for entry in read_json("record")["records"]]
    assert found == [(n, seed, images[seed, :n].double().mean().item()) for n in (4, 6) for seed in (0, 1)]
    assert asked == [4, 6]


def test_a_table_reads_the_entries_of_its_own_number(planned, tmp_path):
    found = planned((f"{T1}/n", 120))
    shared = {"run": LONG[0], "sampler": LONG[2], "train_seed": 0}
    entries = [{"steps": 100, "n": n, "value": float(n)} for n in (120, 200)]
    write_json(tmp_path / "record.json", {"shared": shared, "records": entries})
    for table, n in (("T1", 120), ("F8", 200)):
        sources = read_sources(found.table_spec("improved_ddpm", table).model_dump(), {"records": [tmp_path / "record.json"]})
        assert [entry["n"] for entry in sources.records[0]["records"]] == [n]


def test_notes_and_columns_of_a_scale_stand_at_this_scale_only(planned):
    laptop, paper = (planned(scale=scale).table_spec("edm", "T2").layout for scale in ("laptop", "paper"))
    assert paper["foot"][: len(laptop["foot"])] == laptop["foot"] and len(paper["foot"]) > len(laptop["foot"])
    assert [column["id"] for column in paper["columns"] if column not in laptop["columns"]] == ["fd-best"]
    assert all(column in paper["columns"] for column in laptop["columns"])
    noted = planned(("edm/tables/T2/foot", ["A note of one scale."])).table_spec("edm", "T2").layout["foot"]
    assert noted == [*laptop["foot"], "A note of one scale."]


def test_every_table_with_unmet_constants_says_so_at_scale_paper(planned):
    """Tables of trained nets whose paper's code differs from ours at this scale."""
    tables = planned(scale="paper").params.tables
    for name in ("edm/T2", "edm/T2-FFHQ", "edm/A-T3", "noise_estimation/T1", "noise_estimation/T3", "soft_diffusion/T1"):
        paper, table = name.split("/")
        assert tables[paper][table].foot, name
