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
    changes = [(f"gpu:{name.replace('/', '/samplers/')}", None) for name in left_out]
    found, before = edited(*changes, scale="gpu"), edited(scale="gpu")
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
    change = ("gpu:noise_estimation/samplers/ddim-frozen", None)
    with pytest.raises(ConfigError, match=r"T2, row ddim-oracle: .*'ddim-oracle'; did you mean"):
        edited(change, ("noise_estimation/samplers/ddim-oracle", KeyError), scale="gpu")
    with pytest.raises(ConfigError, match=r"params\.gpu\.yaml: samplers\.ddim-frozn is null, but .*; did you mean 'ddim-frozen'\?$"):
        edited(("gpu:noise_estimation/samplers/ddim-frozn", None), scale="gpu")
    with pytest.raises(ConfigError, match=r"samplers\.ddim-frozen is null"):
        edited(("noise_estimation/samplers/ddim-frozen", None))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            [("improved_ddpm/runs/ensemble/checkpoint_of/run", "cosine")],
            "runs.ensemble.checkpoint_of.run names 'cosine', which is not defined; did you mean",
        ),
        ([("improved_ddpm/runs/width-1/like", "improved_ddpm/width-4")], "leads back to"),
        (
            [("improved_ddpm/runs/cosine-hybrid/checkpoint_of/step", 300)],
            "runs.cosine-hybrid has checkpoint_of.step = 300, which is not among the checkpoints [200, 400]",
        ),
        ([("improved_ddpm/runs/class-large/checkpoint_of", {"step": 200})], "runs.class-large.checkpoint_of.run is missing"),
        ([("improved_ddpm/runs/ensemble/checkpoint_of/edge_fraction", KeyError)], "has one of `edge_run` and `edge_fraction` without"),
        ([("improved_ddpm/runs/cosine-simple/objective", "hybrid")], "objective hybrid, but nets.width-3-fixed has no variance channels"),
        ([("improved_ddpm/runs/vlb-uniform/density", "between")], "whose terms belong to the levels of the schedule; set density: index"),
        ([("data/digits/classes", KeyError)], "is conditioned on labels, but data.digits has none; set its `classes`"),
        (
            [("noise_estimation/runs/digits/estimator/density", "loss_aware")],
            "has an estimator with density loss_aware, which is for backbones",
        ),
        ([("improved_ddpm/schedules/cosine-long/first", 1.0e-4)], "schedules.cosine-long has no argument 'first'"),
        ([("noise_estimation/schedules/ddpm/last", KeyError)], "schedules.ddpm lacks the argument 'last'"),
        ([("improved_ddpm/schedules/linear-short/steps", 20)], "scaled-linear ends at the rate 20 / steps, which must stay below 1"),
        ([("improved_ddpm/tables/T2/runs", {"cosine-vlb": "vlb"})], "tables.T2.runs.cosine-vlb names 'vlb', which is not defined"),
        ([("improved_ddpm/samplers/large/sections", [3, 4])], "samplers.large has sections [3, 4]; set steps: [7], their sum"),
        ([("evaluation/images/neighbours", [5, 200])], "evaluation.images has neighbours = 200, which needs more than n = 200 samples"),
    ],
)
def test_a_run_that_does_not_fit_is_one_line(edited, changes, message):
    with pytest.raises(ConfigError) as error:
        edited(*changes)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            [("improved_ddpm/samplers/large/solver/rule", "ddpm-learned")],
            "samplers.large.solver reads the variance, but nets.width-3-fixed",
        ),
        ([("improved_ddpm/tables/F8/steps", [3, 30])], "samplers.ddim: no whole stride takes T = 100 timesteps in 30 steps"),
        ([("improved_ddpm/samplers/large/steps", [101])], "samplers.large.steps asks for more steps than the"),
        ([("noise_estimation/runs/digits/estimator", KeyError)], "runs.digits.estimator is missing, which samplers."),
        ([("noise_estimation/runs/digits/adjust", KeyError)], "runs.digits.adjust is missing, which samplers."),
        ([("noise_estimation/runs/digits/oracle", KeyError)], "runs.digits.oracle is missing, which "),
        ([("noise_estimation/tables/F2-images/run", "improved_ddpm/cosine-simple")], "estimator is missing, which F2-images needs"),
        (
            [("improved_ddpm/samplers/small/sections", [90, 5]), ("improved_ddpm/samplers/small/steps", [95])],
            "samplers.small: section 1 of 2 has 50 timesteps, which cannot be strided to 90",
        ),
    ],
)
def test_a_row_that_asks_too_much_of_its_run_is_one_line(edited, changes, message):
    with pytest.raises(ConfigError) as error:
        edited(*changes)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_view_is_trained_once(edited):
    found = edited()
    assert found.net_file("improved_ddpm/cosine-hybrid", 0) == found.net_file("improved_ddpm/cosine-hybrid-long", 0)
    assert found.net_inputs("improved_ddpm/ensemble", "0")["edge_net"] == [found.net_file("improved_ddpm/cosine-vlb-long", 0)]
    assert not [path for path in found.curve_files() if "ensemble" in path or "half" in path]
    assert found.sample_spec("improved_ddpm/cosine-hybrid", "improved_ddpm/learned").run.step == 400
    assert found.train_spec("improved_ddpm/cosine-hybrid-long", "0").run.step is None


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
    """A part that no run plays would show as `not run`; only F10's narrow nets have no second point at laptop."""
    for scale in ("laptop", "gpu"):
        found = edited(scale=scale)
        for paper, tables in found.params.tables.items():
            for name, table in tables.items():
                assert table.run is None or all(row["run"] or row["part"].endswith("-half") for row in found.rows(paper, name)), (
                    scale,
                    name,
                )


def test_labels_are_checked_where_data_are_read():
    from difftables.data.image_files import check_labels

    import torch  # isort: skip

    check_labels(torch.tensor([0, 9]), 10)
    with pytest.raises(ValueError, match=r"labels run from 0 to 9, but data\.\*\.classes is 9"):
        check_labels(torch.tensor([0, 9]), 9)
