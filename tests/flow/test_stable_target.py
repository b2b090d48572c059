"""Stable Target Field and EDM at scale smoke: every table, measured beside quoted numbers, selection beside means."""

import csv

import pytest

from checkouts import is_whole

TABLES = "results/smoke/tables"
NAMES = {
    "stable_target_field": ("T1", "CelebA-64", "F2", "F3", "F3-Gaussians", "F4", "F5", "few-steps"),
    "edm": ("T2", "A-T3", "F2", "F5", "A-T4"),
}


def cells(checkout, paper, table):
    with open(checkout.path / TABLES / f"{paper}/{table}.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("paper", NAMES)
def test_all_tables_are_there(finished, paper):
    for name in NAMES[paper]:
        is_whole(finished.path / TABLES / paper, name)


def test_quality_score_and_calls_of_each_pair(finished):
    found = {(row["row"], row["column"]): row for row in cells(finished, "stable_target_field", "T1")}
    for label in ("VE, DSM: RK45", "VE, STF: RK45", "VE, STF: predictor-corrector", "VP, DSM: DDIM", "EDM NCSN++, DSM: Heun"):
        assert {found[label, column]["status"] for column in ("IS", "FD", "FD, best seed", "NFE")} == {"measured"}, label
    assert found["VP, STF: DDIM", "FD"]["status"] == "not-run"  # as at this scale most of the second row of a pair
    assert float(found["EDM NCSN++, DSM: Heun", "NFE"]["value"]) == 7  # two for each of four steps, but one for the last
    assert float(found["VE, STF: predictor-corrector", "NFE"]["value"]) == 8
    calls = float(found["VE, DSM: RK45", "NFE"]["value"])
    assert calls > 8 and calls == int(calls)  # one batch
    for label in ("VE, DSM: RK45", "VE, STF: RK45"):
        mean, best = found[label, "FD"], found[label, "FD, best seed"]
        assert float(best["value"]) <= float(mean["value"])
        assert (best["sd"], best["better"]) == ("", "")
    assert found["VE, DSM: RK45", "FD"]["paper_value"] == "8.90"
    assert "unverified" in found["VE, DSM: RK45", "FD"]["paper_source"]
    edm = found["EDM NCSN++, STF: Heun", "FD"]
    assert (edm["paper_value"], "unverified" in edm["paper_source"]) == ("1.90", False)


def test_the_variance_of_the_target_falls_with_references(finished):
    rows = cells(finished, "stable_target_field", "F3")
    found = {label: [float(r["value"]) for r in rows if (r["row"], r["metric"]) == (label, "V") and r["value"]] for label in
             {row["row"] for row in rows}}  # fmt: skip
    usual, stable = (next(v for k, v in found.items() if k.startswith(name)) for name in ("DSM", "STF, n of T1"))
    assert len(usual) == len(stable) == 3
    assert stable[1] < usual[1]
    assert stable[2] < usual[2] / 30  # all images explain much noise alike: 64 references leave a 64th


def test_training_is_followed_through_its_checkpoints(finished):
    found = {(row["row"], row["column"]): row for row in cells(finished, "stable_target_field", "F4")}
    assert {float(found["STF", column]["value"]) > 0 for column in ("10", "20")} == {True}
    assert found["STF", "10"]["value"] != found["STF", "20"]["value"]
    chosen = next(row for (label, column), row in found.items() if label == "STF" and "best" in column)
    assert float(chosen["value"]) <= min(float(found["STF", column]["value"]) for column in ("10", "20"))


def test_configurations_stand_beside_four_columns_of_the_paper(finished):
    rows = cells(finished, "edm", "T2")
    assert {row["column"] for row in rows if row["status"] == "literature"} >= {"CIFAR-10 cond", "CIFAR-10 uncond", "FFHQ 64", "AFHQv2 64"}
    measured = {row["row"] for row in rows if row["status"] == "measured"}
    assert {"DDPM++ A: as in score SDE", "NCSN++ A: as in score SDE", "NCSN++ E: + loss", "NCSN++ F: + augmentation"} <= measured
    quoted = {(row["row"], row["column"]): row for row in rows if row["paper_value"]}
    assert quoted["DDPM++ F: + augmentation", "CIFAR-10 uncond"]["paper_value"] == "1.97"
    assert "unverified" not in quoted["NCSN++ F: + augmentation", "FFHQ 64"]["paper_source"]


def test_churn_is_measured(finished):
    found = {(row["row"], row["column"]): row for row in cells(finished, "edm", "A-T4")}
    assert found["VE: churn", "FD"]["status"] == "measured"
    assert found["VE: churn", "FD"]["value"] != found["VE: deterministic", "FD"]["value"]
