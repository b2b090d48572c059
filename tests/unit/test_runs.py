"""Runs that are like another, views of one training, and what a row may ask of its run."""

from pathlib import Path

import pytest

from difftables.common.errors import ConfigError
from difftables.planning import params, plan

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
        "c": {"of": "b", "at": 5},
        "d": None,
    }
    found = params.related(runs)
    assert found["b"] == {"net": "n", "train": {"steps": 9, "lr": 2.0}}
    assert found["c"] == {"net": "n", "train": {"steps": 9, "lr": 2.0}, "of": "b", "at": 5}
    assert list(found) == ["a", "b", "c"]


def test_overrides_of_a_scale_reach_the_runs_that_are_like_another(edited):
    smoke = edited(scale="smoke").params.runs
    assert smoke["iddpm-cosine-vlb-long"].train.steps == smoke["iddpm-cosine-hybrid-long"].train.steps == 30
    assert "iddpm-linear-hybrid" not in smoke


def test_rows_of_a_sampler_that_a_scale_leaves_out_are_not_run(edited):
    left_out = {"ddim-frozen", "ddpm-adjusted", "wavegrad-adjusted"}
    change = ("scales/gpu/samplers", dict.fromkeys(left_out))
    found, before = edited(change, scale="gpu"), edited(scale="gpu")
    rows = found.rows("noise_estimation", "T2")
    assert {row["sampler"] for row in rows if row["run"] is None} == left_out - {"wavegrad-adjusted"}
    assert [row["sampler"] for row in rows] == [row["sampler"] for row in before.rows("noise_estimation", "T2")]
    assert [row for row in before.sampled_rows() if row[2] not in left_out] == found.sampled_rows()
    assert [name for name in before.listened_samplers("voice") if name not in left_out] == found.listened_samplers("voice")
    assert (
        {path for path in before.search_records() if "ddim-frozen" not in path}
        == set(found.search_records())
        != set(before.search_records())
    )
    assert not any(f"/{name}." in path for name in left_out for path in found.table_inputs("noise_estimation", "T2")["records"])
    assert [(each.name, each.method) for each in found.robustness_spec("digits", "0").samplers] == [
        ("ddim-adjusted", "fixed"), ("ddim-adjusted", "adjusted"),
    ]  # fmt: skip
    assert found.table_inputs("noise_estimation", "F3")["records"] == []  # its only row
    assert edited(change).sampled_rows() == edited().sampled_rows()  # at another scale


def test_a_sampler_left_out_is_told_from_one_that_is_not_there(edited):
    change = ("scales/gpu/samplers", {"ddim-frozen": None})
    with pytest.raises(ConfigError, match=r"T2, row ddim-fitted: .*'ddim-fitted'; did you mean"):
        edited(change, ("samplers/ddim-fitted", KeyError), scale="gpu")
    with pytest.raises(ConfigError, match=r"scales\.gpu\.samplers\.ddim-frozn is null, but .*; did you mean 'ddim-frozen'\?$"):
        edited(("scales/gpu/samplers", {"ddim-frozn": None}), scale="gpu")
    with pytest.raises(ConfigError, match=r"samplers\.ddim-frozen: "):
        edited(("samplers/ddim-frozen", None))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([("runs/iddpm-ensemble/of", "iddpm-cosine")], "runs.iddpm-ensemble.of names 'iddpm-cosine', which is not defined; did you mean"),
        ([("runs/iddpm-width-1/like", "iddpm-width-4")], "leads back to"),
        ([("runs/iddpm-cosine-hybrid/at", 300)], "runs.iddpm-cosine-hybrid has at = 300, which is not among the checkpoints [200, 400]"),
        ([("runs/iddpm-cosine-hybrid-long/at", 200)], "has `at` or `ends`, but no `of`"),
        ([("runs/iddpm-ensemble/share", KeyError)], "has one of `ends` and `share` without the other"),
        ([("runs/iddpm-cosine-simple/objective", "hybrid")], "objective hybrid, but nets.iddpm-8-fixed has no variance channels"),
        ([("runs/iddpm-vlb-uniform/density", "between")], "whose terms belong to the levels of the schedule; set density: index"),
        ([("data/digits/classes", KeyError)], "is given labels, but data.digits has none; set its `classes`"),
        ([("runs/digits/estimator/density", "loss_aware")], "has an estimator with density loss_aware, which is for backbones"),
        ([("schedules/cosine-long/first", 1.0e-4)], "schedules.cosine-long has no argument 'first'"),
        ([("schedules/ddpm/last", KeyError)], "schedules.ddpm lacks the argument 'last'"),
        ([("schedules/linear-short/steps", 20)], "scaled-linear ends at the rate 20 / steps, which must stay below 1"),
        ([("tables/improved_ddpm/T2/parts", "idppm")], "tables.improved_ddpm.T2.parts is 'idppm', but no run's name begins with 'idppm-'"),
        ([("samplers/iddpm-large/sections", [3, 4])], "samplers.iddpm-large has sections [3, 4]; set steps: [7], their sum"),
        ([("evaluation/images/neighbours", [5, 200])], "evaluation.images has neighbours = 200, which needs more than n = 200 samples"),
    ],
)  # fmt: skip
def test_a_run_that_does_not_fit_is_one_line(edited, changes, message):
    with pytest.raises(ConfigError) as error:
        edited(*changes)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([("samplers/iddpm-large/solver/rule", "ddpm-learned")], "samplers.iddpm-large.solver reads the variance, but nets.iddpm-8-fixed"),
        ([("tables/improved_ddpm/F8/steps", [3, 30])], "samplers.iddpm-ddim: no whole stride takes T = 100 timesteps in 30 steps"),
        ([("samplers/iddpm-large/steps", [101])], "samplers.iddpm-large.steps asks for more steps than the"),
        ([("runs/digits/estimator", KeyError)], "runs.digits.estimator is missing, which samplers."),
        ([("runs/digits/adjust", KeyError)], "runs.digits.adjust is missing, which samplers."),
        ([("runs/digits/oracle", KeyError)], "runs.digits.oracle is missing, which "),
        ([("tables/noise_estimation/F2-images/run", "iddpm-cosine-simple")], "estimator is missing, which F2-images needs"),
        (
            [("samplers/iddpm-small/sections", [90, 5]), ("samplers/iddpm-small/steps", [95])],
            "samplers.iddpm-small: section 1 of 2 has 50 timesteps, which cannot be strided to 90",
        ),
    ],
)  # fmt: skip
def test_a_row_that_asks_too_much_of_its_run_is_one_line(edited, changes, message):
    with pytest.raises(ConfigError) as error:
        edited(*changes)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_view_is_trained_once(edited):
    found = edited()
    assert found.net_file("iddpm-cosine-hybrid", 0) == found.net_file("iddpm-cosine-hybrid-long", 0)
    assert found.net_inputs("iddpm-ensemble", "0")["ends"] == [found.net_file("iddpm-cosine-vlb-long", 0)]
    assert not [path for path in found.curve_files() if "ensemble" in path or "half" in path]
    assert found.sample_spec("iddpm-cosine-hybrid", "iddpm-learned").run.at == 400
    assert found.train_spec("iddpm-cosine-hybrid-long", "0").run.at is None


def test_a_row_is_sampled_at_its_own_step_counts_alone(edited):
    found = edited()
    assert found.step_counts("iddpm-short-linear-simple", "iddpm-large") == [25]
    assert found.step_counts("iddpm-class-large", "iddpm-learned") == [25]
    assert found.step_counts("iddpm-cosine-vlb", "iddpm-learned") == [100]


def test_only_a_conditional_run_is_told_of_classes(edited):
    found = edited()
    assert found.train_spec("iddpm-class-small", "0").run.data.classes == 10
    assert found.train_spec("iddpm-cosine-simple", "0").run.data.classes is None


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
