import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from difftables.report import job_costs
from difftables.report.cells import Cell
from difftables.report.claims import judge, metric_of
from difftables.report.index import metrics, wide
from difftables.report.paper_page import lines

CLAIM = {"id": "a-b", "claim": "a beats b", "source": "T", "table": "T", "better": "a", "than": "b"}
SAME, OPPOSITE, UNTOLD = "same sign here", "opposite sign here", "cannot be told"


def outcomes(claim, found):
    """Outcomes by column."""
    return {place.first.column: place.outcome for place in judge([claim], found, "laptop")}


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
    assert outcomes(CLAIM, cells()) == {"3": SAME, "5": OPPOSITE, "10": UNTOLD}
    assert outcomes(CLAIM | {"than": "c"}, cells()) == {}
    assert "not run" in lines([], [CLAIM], cells(), ours=False, scale="laptop")[-1]


def test_one_column_is_the_claims_own():
    """The named one, or else the middle one; the other columns are corrected apart."""
    for named, primary in (({"primary": "3"}, "3"), ({}, "5"), ({"primary": "4"}, "5")):
        assert [place.first.column for place in judge([CLAIM | named], cells(), "laptop") if place.primary] == [primary]
    (place,) = [place for place in judge([CLAIM], cells(), "laptop") if place.primary]
    assert place.effect.ratio == pytest.approx(stats.gmean([2.0, 2.1, 2.2]) / stats.gmean([1.0, 1.1, 1.2001]))
    assert place.p == pytest.approx(stats.ttest_rel(np.log([2.0, 2.1, 2.2]), np.log([1.0, 1.1, 1.2001])).pvalue)


def test_higher_is_better_turns_the_outcome():
    turned = cells()
    for each in turned:
        each.better = "higher"
    assert outcomes(CLAIM, turned)["5"] == SAME


def test_metrics_list_each_value_once_and_count_claims():
    again = [cell("a", "3", [1.0, 1.1, 1.2])]
    again[0].table = "F"
    found = metrics(cells() + again, {"p": [CLAIM]}, {"p": judge([CLAIM], cells() + again, "laptop")})
    assert found["p"]["T"]["a"] == {"3": 1.1, "5": 2.1, "10": 2.0}
    assert "F" not in found["p"]
    assert {word: number for word, number in found["p"]["claims"].items() if number} == {"opposite_sign_here": 1}


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
        assert outcomes(CLAIM | {"metric": wanted}, rows) == {"6": SAME}
    assert outcomes(CLAIM | {"metric": "mcd"}, rows) == {"6": OPPOSITE}
    assert metric_of(CLAIM | {"metric": "pesq"}, rows) == "PESQ-nb@8k"
    assert metric_of(CLAIM | {"metric": "recall-k5"}, rows) == "recall (k=5)"


def test_names_join_nothing():
    renamed = cells()
    for each in renamed:
        each.row, each.metric = "one name for all", f"{each.metric} of {each.row_id}"
    assert outcomes(CLAIM, renamed) == outcomes(CLAIM, cells())


def test_rows_with_other_step_counts_leave_gaps_in_the_plots_table():
    header, lines = wide([cell("a", "6", [1.0, 2.0]), cell("full", "1000", [3.0, 3.0]), cell("a", "3", [5.0, 5.0])])
    assert header == ["steps", "a", "full"]
    assert lines == [["3", "5", ""], ["6", "1.5", ""], ["1000", "", "3"]]


def test_a_column_may_have_brackets_in_its_name():
    rows = [cell("a", "recall (k=5)", [0.9, 0.91, 0.92]), cell("b", "recall (k=5)", [0.5, 0.51, 0.52])]
    assert outcomes(CLAIM, rows) == {"recall (k=5)": OPPOSITE}


def test_a_claim_may_say_which_way_is_better():
    rows = [cell("a", "NFE", [137.0] * 3), cell("b", "NFE", [152.0] * 3)]
    for each in rows:
        each.better = ""
    assert outcomes(CLAIM | {"direction": "lower"}, rows) == {"NFE": SAME}


def test_closed_forms_are_compared_as_they_are():
    rows = [cell("a", "10", [0.1], status="closed-form"), cell("b", "10", [0.3], status="closed-form")]
    assert outcomes(CLAIM, rows) == {"10": SAME}
    assert outcomes(CLAIM | {"better": "b", "than": "a"}, rows) == {"10": OPPOSITE}


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
