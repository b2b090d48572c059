"""Runs that are like another, views of one training, and what a row may ask of its run."""

from pathlib import Path

import pytest

from difftables.common.errors import ConfigError
from difftables.planning import params, params_files, plan

ROOT = Path(__file__).parents[2]


@pytest.fixture
def edited(rewritten, monkeypatch):
    """The plan of params.yaml with some places, "a/b/c", changed, made in the repository's root."""
    monkeypatch.chdir(ROOT)
    return lambda *changes, scale="laptop": plan.Workflow(params.load(rewritten(*changes), scale))


def test_a_run_takes_over_what_it_does_not_change():
    runs = {
        "a": {"net": "n", "train": {"steps": 9, "lr": 1.0}},
        "b": {"like": "a", "train": {"lr": 2.0}},
        "c": {"checkpoint_of": {"run": "b", "step": 5}},
    }
    found = params_files.inherited("runs", runs)
    assert found["b"] == {"net": "n", "train": {"steps": 9, "lr": 2.0}}
    assert found["c"] == {"net": "n", "train": {"steps": 9, "lr": 2.0}, "checkpoint_of": {"run": "b", "step": 5}}
    assert list(found) == ["a", "b", "c"]


def test_overrides_of_a_scale_reach_the_runs_that_are_like_another(edited):
    smoke = edited(scale="smoke").params.runs
    assert smoke["improved_ddpm/cosine-vlb-long"].train.steps == smoke["improved_ddpm/cosine-hybrid-long"].train.steps == 30
    assert "improved_ddpm/linear-hybrid" not in smoke


def test_rows_of_a_sampler_that_a_scale_leaves_out_are_not_run(edited):
    left_out = {"noise_estimation/ddim-frozen", "noise_estimation/ddpm-adjusted", "noise_estimation/wavegrad-adjusted"}
    changes = [(f"study:{name.replace('/', '/samplers/')}", None) for name in left_out]
    found, before = edited(*changes, scale="study"), edited(scale="study")
    rows = found.rows("noise_estimation", "T2")
    assert {row["sampler"] for row in rows if row["run"] is None} == left_out - {"noise_estimation/wavegrad-adjusted"}
    assert [row["sampler"] for row in rows] == [row["sampler"] for row in before.rows("noise_estimation", "T2")]
    assert [row for row in before.sampled_rows() if row[2] not in left_out] == found.sampled_rows()
    own = {name.split("/")[1] for name in left_out}
    voice = "noise_estimation/voice"
    assert [name for name in before.listened_samplers(voice) if name not in own] == found.listened_samplers(voice)
    assert (
        {path for path in before.search_records() if "/ddim-frozen." not in path}
        == set(found.search_records())
        != set(before.search_records())
    )
    assert not any(f"/{name}." in path for name in own for path in found.table_inputs("noise_estimation", "T2")["records"])
    assert [(each.name, each.method) for each in found.robustness_spec("noise_estimation/digits", "0").samplers] == [
        ("noise_estimation/ddim-adjusted", "fixed"),
        ("noise_estimation/ddim-adjusted", "adjusted"),
    ]
    assert found.table_inputs("noise_estimation", "F3")["records"] == []  # its only row
    assert edited(*changes).sampled_rows() == edited().sampled_rows()  # at another scale


def test_a_sampler_left_out_is_told_from_one_that_is_not_there(edited):
    change = ("study:noise_estimation/samplers/ddim-frozen", None)
    with pytest.raises(ConfigError, match=r"T2, row ddim-oracle: .*'ddim-oracle'; did you mean"):
        edited(change, ("noise_estimation/samplers/ddim-oracle", KeyError), scale="study")
    with pytest.raises(ConfigError, match=r"params\.study\.yaml: samplers\.ddim-frozn is null, but .*; did you mean 'ddim-frozen'\?$"):
        edited(("study:noise_estimation/samplers/ddim-frozn", None), scale="study")
    with pytest.raises(ConfigError, match=r"samplers\.ddim-frozen is null"):
        edited(("noise_estimation/samplers/ddim-frozen", None))


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        (
            [("improved_ddpm/runs/ensemble/checkpoint_of/run", "cosine")],
            "runs.ensemble.checkpoint_of.run 'cosine'",
        ),
        ([("improved_ddpm/runs/width-1/like", "improved_ddpm/width-4")], "like"),
        (
            [("improved_ddpm/runs/cosine-hybrid/checkpoint_of/step", 300)],
            "runs.cosine-hybrid checkpoint_of.step 300 200 400",
        ),
        ([("improved_ddpm/runs/class-large/checkpoint_of", {"step": 200})], "runs.class-large.checkpoint_of.run"),
        ([("improved_ddpm/runs/ensemble/checkpoint_of/edge_fraction", KeyError)], "`edge_run` `edge_fraction`"),
        ([("improved_ddpm/runs/cosine-simple/objective", "hybrid")], "nets.width-3-fixed"),
        ([("improved_ddpm/runs/vlb-uniform/density", "between")], "density"),
        ([("data/digits/classes", KeyError)], "data.digits `classes`"),
        (
            [("noise_estimation/runs/digits/estimator/density", "loss_aware")],
            "loss_aware",
        ),
        ([("improved_ddpm/schedules/cosine-long/first", 1.0e-4)], "schedules.cosine-long 'first'"),
        ([("noise_estimation/schedules/ddpm/last", KeyError)], "schedules.ddpm 'last'"),
        ([("improved_ddpm/schedules/linear-short/steps", 20)], "20 1"),
        ([("improved_ddpm/tables/T2/runs", {"cosine-vlb": "vlb"})], "tables.T2.runs.cosine-vlb 'vlb'"),
        ([("improved_ddpm/samplers/large/sections", [3, 4])], "samplers.large 3 4 7"),
        ([("evaluation/images/neighbours", [5, 200])], "evaluation.images neighbours 200 n"),
    ],
)
def test_a_run_that_does_not_fit_is_one_line(edited, changes, facts):
    with pytest.raises(ConfigError) as error:
        edited(*changes)
    assert [fact for fact in facts.split() if fact not in str(error.value)] == []
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        (
            [("improved_ddpm/samplers/large/solver/rule", "ddpm-learned")],
            "samplers.large.solver nets.width-3-fixed",
        ),
        ([("improved_ddpm/tables/F8/steps", [3, 30])], "samplers.ddim T 100 30"),
        ([("improved_ddpm/samplers/large/steps", [101])], "samplers.large.steps"),
        ([("noise_estimation/runs/digits/estimator", KeyError)], "runs.digits.estimator"),
        ([("noise_estimation/runs/digits/adjust", KeyError)], "runs.digits.adjust"),
        ([("noise_estimation/runs/digits/oracle", KeyError)], "runs.digits.oracle"),
        ([("noise_estimation/tables/F2-images/run", "improved_ddpm/cosine-simple")], "estimator F2-images"),
        (
            [("improved_ddpm/samplers/small/sections", [90, 5]), ("improved_ddpm/samplers/small/steps", [95])],
            "samplers.small 1 2 50 90",
        ),
    ],
)
def test_a_row_that_asks_too_much_of_its_run_is_one_line(edited, changes, facts):
    with pytest.raises(ConfigError) as error:
        edited(*changes)
    assert [fact for fact in facts.split() if fact not in str(error.value)] == []
    assert "\n" not in str(error.value)


def test_a_view_is_trained_once(edited):
    found = edited()
    assert found.net_file("improved_ddpm/cosine-hybrid", 0) == found.net_file("improved_ddpm/cosine-hybrid-long", 0)
    assert found.net_inputs("improved_ddpm/ensemble", "0")["edge_net"] == [found.net_file("improved_ddpm/cosine-vlb-long", 0)]
    assert not [path for path in found.curve_files() if "ensemble" in path or "half" in path]
    assert found.sample_spec("improved_ddpm/cosine-hybrid", "improved_ddpm/learned").run.step == 400
    assert found.trained_run("improved_ddpm/cosine-hybrid") == "improved_ddpm/cosine-hybrid-long"


def test_a_row_is_sampled_at_its_own_step_counts_alone(edited):
    found = edited()
    assert found.step_counts("improved_ddpm/short-linear-simple", "improved_ddpm/large") == [25]
    assert found.step_counts("improved_ddpm/class-large", "improved_ddpm/learned") == [25]
    assert found.step_counts("improved_ddpm/cosine-vlb", "improved_ddpm/learned") == [100]


def test_only_a_conditional_run_is_told_of_classes(edited):
    found = edited()
    assert found.train_spec("improved_ddpm/class-small", "0").run.data.classes == 10
    assert found.train_spec("improved_ddpm/cosine-simple", "0").run.data.classes is None


def test_every_row_has_a_run_where_its_table_is_run(edited):
    """A part that no run plays shows as `not run`; at laptop F10's narrow nets have one point, EDM's sweep fewer amounts and no ADM."""
    for scale in ("laptop", "study"):
        found = edited(scale=scale)
        for paper, tables in found.params.tables.items():
            for name, table in tables.items():
                without = [row["id"] for row in found.rows(paper, name) if not row["run"] and not (row["part"] or "").endswith("-half")]
                assert table.run is None or not without or (paper, name) == ("edm", "F5"), (scale, paper, name, without)


def test_labels_are_checked_where_data_are_read():
    from difftables.data.image_files import check_labels

    import torch  # isort: skip

    check_labels(torch.tensor([0, 9]), 10)
    with pytest.raises(ValueError, match=r"labels run from 0 to 9, but data\.\*\.classes is 9"):
        check_labels(torch.tensor([0, 9]), 9)
