"""Runs and tables at shorter lengths of training."""

from pathlib import Path

import pytest

from difftables.common.errors import ConfigError
from difftables.planning.lengths import expand, shortened

RUN = {"net": "p/net", "train": {"steps": 1600, "warmup": 50, "ema": 0.995, "half_life": 8000, "checkpoints": [400, 800], "lr": 0.003}}
VIEW = {"checkpoint_of": {"run": "p/a", "step": 800, "edge_run": "p/b"}, "train": {"steps": 1600}}


def test_a_shorter_training_has_all_its_marks_in_proportion():
    train = shortened("p/a", RUN, 4, "quarter")["train"]
    assert (train["steps"], train["warmup"], train["half_life"], train["checkpoints"]) == (400, 12, 2000, [100, 200])
    assert train["lr"] == RUN["train"]["lr"]
    # The mean age of an average's weights, decay / (1 - decay), against the steps.
    assert train["ema"] == pytest.approx(0.995**4, abs=1e-6)
    assert 400 * (1 - train["ema"]) == pytest.approx(1600 * (1 - 0.995), rel=0.01)
    assert shortened("p/v", VIEW, 4, "quarter")["checkpoint_of"] == {"run": "p/a-at-quarter", "step": 200, "edge_run": "p/b-at-quarter"}


def test_only_tables_that_ask_are_made_again():
    tables = {"p": {"T1": {"run": "p/a", "runs": {"p/b": "p/c"}, "steps": [5], "lengths": True}, "T2": {"run": None, "steps": []}}}
    raw, added = expand({"lengths": {"quarter": 4}, "runs": {"p/a": RUN, "p/c": RUN}, "tables": tables})
    assert added == {("p", "T1-at-quarter"): ("T1", "quarter")}
    assert set(raw["runs"]) == {"p/a", "p/c", "p/a-at-quarter", "p/c-at-quarter"}
    assert set(raw["tables"]["p"]) == {"T1", "T2", "T1-at-quarter"}
    shorter = raw["tables"]["p"]["T1-at-quarter"]
    assert (shorter["run"], shorter["runs"]["p/b"], shorter["runs"]["p/a"]) == ("p/a-at-quarter", "p/c-at-quarter", "p/a-at-quarter")
    assert expand({"runs": {"p/a": RUN}, "tables": tables})[0]["tables"] == tables


@pytest.mark.parametrize("lengths", [{"whole": 1}, {"half": 2.0}, [4]])
def test_a_divisor_is_a_whole_number_above_one(lengths):
    with pytest.raises(ConfigError, match="lengths is"):
        expand({"lengths": lengths, "runs": {}, "tables": {}})


def test_study_repeats_tables_at_its_lengths(monkeypatch):
    from difftables.planning import plan

    monkeypatch.chdir(Path(__file__).parents[2])
    found = plan.read("study")
    assert all(len(run.seeds) == 5 for run in found.params.runs.values())
    quarter = found.params.runs["edm/vp-e-at-quarter"].train
    assert quarter.steps == plan.read("laptop").params.runs["edm/vp-e"].train.steps  # study trains four times as long
    for paper, tables in found.params.tables.items():
        for name, table in tables.items():
            if table.lengths:
                rows = [(row["id"], row["steps"]) for row in found.rows(paper, name)]
                for length in found.params.lengths:
                    assert [(row["id"], row["steps"]) for row in found.rows(paper, f"{name}-at-{length}")] == rows
