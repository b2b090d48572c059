import json
import subprocess
import sys
from pathlib import Path

from difftables.report import job_costs
from difftables.report.cells import Cell
from difftables.report.claims import metric_of, verdict
from difftables.report.index import metrics, wide

CLAIM = {"claim": "a beats b", "table": "T", "better": "a", "than": "b"}


def cell(row, column, values, **more):
    return Cell(
        "p",
        "T",
        row,
        column,
        sampler=row,
        steps=column,
        metric="FD",
        row_id=row,
        column_id=column,
        metric_id="fd",
        better="lower",
        value=sum(values) / len(values),
        values=values,
        **more,
    )


def cells():
    return [
        cell("a", "3", [1.0, 1.1, 1.2]), cell("b", "3", [2.0, 2.1, 2.2001]),
        cell("a", "5", [2.0, 2.1, 2.2]), cell("b", "5", [1.0, 1.1, 1.2001]),
        cell("a", "10", [1.0, 2.0, 3.0]), cell("b", "10", [3.0, 2.0, 1.0]),
        Cell("p", "T", "a", "50", sampler="a", metric="FD", status="not-run", row_id="a", column_id="50", metric_id="fd"),
    ]  # fmt: skip


def test_a_claim_is_told_column_by_column():
    assert verdict(CLAIM, cells()) == (
        "**holds** at 3 (1.1 against 2.1; -1 to -1); **contradicted** at 5 (2.1 against 1.1; +1 to +1); "
        "**not distinguishable** at 10 (2 against 2; -5 to +5)"
    )
    assert verdict(CLAIM | {"than": "c"}, cells()) == "not run"


def test_higher_is_better_turns_the_verdict():
    turned = cells()
    for each in turned:
        each.better = "higher"
    assert verdict(CLAIM, turned).startswith("**holds** at 5")


def test_metrics_list_each_value_once_and_count_claims():
    again = [cell("a", "3", [1.0, 1.1, 1.2])]
    again[0].table = "F"
    found = metrics(cells() + again, {"p": [CLAIM]})
    assert found["p"]["T"]["a"] == {"3": 1.1, "5": 2.1, "10": 2.0}
    assert "F" not in found["p"]
    assert found["p"]["claims"] == {"holds": 1, "contradicted": 1, "not_distinguishable": 1}


def test_wide_has_a_column_for_each_sampler():
    assert wide(cells()) == (["steps", "a", "b"], [["3", "1.1", "2.10003"], ["5", "2.1", "1.10003"], ["10", "2", "2"]])


def test_a_claim_names_its_metric_by_id():
    """Two metrics of opposite direction in one table: each claim reads its own."""
    rows = [cell("a", "6", [1.5, 1.51, 1.52]), cell("b", "6", [1.2, 1.21, 1.2201])]
    for each in rows:
        each.metric, each.metric_id, each.better = "PESQ-nb@8k", "pesq-nb", "higher"
    rows += [cell("a", "6", [9.0, 9.1, 9.2]), cell("b", "6", [7.0, 7.1, 7.2001])]
    rows[2].metric_id = rows[3].metric_id = "mcd"
    for wanted in ("pesq", "pesq-nb"):
        assert verdict(CLAIM | {"metric": wanted}, rows).startswith("**holds** at 6")
    assert verdict(CLAIM | {"metric": "mcd"}, rows).startswith("**contradicted** at 6")
    assert metric_of(CLAIM | {"metric": "pesq"}, rows) == "PESQ-nb@8k"
    assert metric_of(CLAIM | {"metric": "recall-k5"}, rows) == "recall (k=5)"


def test_names_join_nothing():
    renamed = cells()
    for each in renamed:
        each.row, each.metric = "one name for all", f"{each.metric} of {each.row_id}"
    assert verdict(CLAIM, renamed) == verdict(CLAIM, cells())


def test_rows_with_other_step_counts_leave_gaps_in_the_plots_table():
    header, lines = wide([cell("a", "6", [1.0, 2.0]), cell("full", "1000", [3.0, 3.0]), cell("a", "3", [5.0, 5.0])])
    assert header == ["steps", "a", "full"]
    assert lines == [["3", "5", ""], ["6", "1.5", ""], ["1000", "", "3"]]


def test_a_column_may_have_brackets_in_its_name():
    rows = [cell("a", "recall (k=5)", [0.9, 0.91, 0.92]), cell("b", "recall (k=5)", [0.5, 0.51, 0.52])]
    assert verdict(CLAIM, rows).startswith("**contradicted** at recall (k=5) (0.91 against 0.51")


def test_a_claim_may_say_which_way_is_better():
    rows = [cell("a", "NFE", [137.0] * 3), cell("b", "NFE", [152.0] * 3)]
    for each in rows:
        each.better = ""
    assert verdict(CLAIM | {"direction": "lower"}, rows) == "**holds** at NFE (137 against 152)"


def test_closed_forms_are_compared_as_they_are():
    rows = [cell("a", "10", [0.1], status="closed-form"), cell("b", "10", [0.3], status="closed-form")]
    assert verdict(CLAIM, rows) == "**holds** at 10 (0.1 against 0.3)"
    assert verdict(CLAIM | {"better": "b", "than": "a"}, rows) == "**contradicted** at 10 (0.3 against 0.1)"


def test_most_tables_are_made_without_torch():
    """It takes two seconds to import, on every one of them."""
    asked = "import sys, difftables.report.kinds, difftables.report.figures; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked]).returncode == 0


def test_costs_have_a_line_for_each_job_and_each_step_count(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = Path("results/smoke/store")
    measured = {"seconds": 12.5, "core_seconds": {"start_up": 2.0, "forward": 8.25}, "peak_mb": 300.25}
    files = {
        "provenance/sample/digits/0/ddim.json": measured | {"cost": {"5": {"seconds": 2.5, "threads": 1, "real_time_factor": 0.125}}},
        "provenance/train/digits/0.json": {"seconds": 9.5, "cost": {"training": {"seconds": 9.0, "target_share": 0.25}}},
        "schedules/digits/s0/ddim.json": {"method": "searched", "records": {"5": {"network_evaluations": 600}}},
    }
    for name, content in files.items():
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        (store / name).write_text(json.dumps(content))
    assert job_costs.text([store / name for name in files]).splitlines() == [
        "job,seconds,peak_mb,detail",
        "sample/digits/0/ddim,12.5,300.25,core_seconds=10.25",
        "train/digits/0,9.5,,",
        "sample/digits/0/ddim 5 steps,2.5,,threads=1 real_time_factor=0.125",
        "train/digits/0 training,9,,target_share=0.25",
        "schedules/digits/s0/ddim 5 steps,,,network_evaluations=600",
    ]
