"""Improved DDPM at scale smoke: every table, the bound, two nets in one chain, and checkpoints of one training."""

import csv
import json

import pytest

from checkouts import is_whole

TABLES = "results/smoke/tables"
STORE = "results/smoke/store"
NAMES = (
    "T1",
    "T2",
    "T3",
    "T4",
    "A-T5",
    "A-D",
    "F2",
    "F3",
    "F4",
    "F5",
    "F6",
    "F7",
    "F7-course",
    "F8",
    "F9",
    "F10",
    "F11",
    "solvers",
    "few-step-NLL",
)


def cells(checkout, table):
    with open(checkout.path / TABLES / f"improved_ddpm/{table}.csv", newline="") as file:
        return list(csv.DictReader(file))


def likelihood(checkout, run):
    return json.loads((checkout.path / f"{STORE}/likelihood/improved_ddpm/{run}/s0.json").read_text())


def test_all_tables_are_there(finished):
    for name in NAMES:
        is_whole(finished.path / TABLES / "improved_ddpm", name)


def test_rows_have_likelihood_and_distance_or_say_that_they_were_not_run(finished):
    for table, measured in (("T1", 5), ("T2", 3), ("A-D", 3)):
        rows = cells(finished, table)
        for column in ("NLL", "FD"):
            mine = [row for row in rows if row["column"] == column]
            assert sum(row["status"] == "measured" for row in mine) == measured, (table, column)
            assert all(row["paper_value"] for row in mine)
            assert all((row["value"] == "") == (row["status"] == "not-run") for row in mine)
    assert {row["column"] for row in cells(finished, "T4") if row["status"] == "measured"} == {
        "FD", "KID", "precision (k=5)", "recall (k=5)", "precision (k=3)", "recall (k=3)",
    }  # fmt: skip


def test_the_literature_is_quoted_and_marked_where_it_was_recalled(finished):
    rows = {(row["row"], row["column"]): row for row in cells(finished, "T3")}
    assert rows["Very Deep VAE", "CIFAR-10"]["paper_value"] == "2.87"
    assert ("SPN", "CIFAR-10") not in rows
    assert rows["PixelCNN", "ImageNet 64x64"]["paper_source"].split("] ")[1].startswith("unverified")
    assert all(row["status"] == "literature" and row["value"] == "" for row in cells(finished, "A-T5"))


@pytest.mark.parametrize("run", ["cosine-hybrid", "cosine-simple", "ensemble"])
def test_the_bound_is_the_sum_of_its_terms_and_the_prior(finished, run):
    found = likelihood(finished, run)
    shared = found["shared"]
    for record in found["records"]:
        if (record["stride"], record["steps"]) == ("even", shared["chain"]):
            terms = found["profile"]["terms"][record["variance"]]
            assert len(terms) == shared["chain"] == 24
            assert sum(record["values"]) / len(record["values"]) == pytest.approx(sum(terms) + shared["prior"], rel=1e-5)
            assert len(record["values"]) == shared["n"] == 24


def test_an_ensemble_is_one_net_at_the_ends_and_the_other_between(finished):
    """The same noise in every likelihood job: term by term the ensemble is one of its two nets."""
    both, ends, middle = (likelihood(finished, name) for name in ("ensemble", "cosine-vlb-long", "cosine-hybrid-long"))
    terms = [each["profile"]["terms"]["learned"] for each in (both, ends, middle)]
    for t, (found, end, inner) in enumerate(zip(*terms, strict=True)):
        assert found == pytest.approx(end if t in (0, 23) else inner, rel=1e-6)
        assert end != inner


def test_a_checkpoint_is_another_net_than_the_last_of_its_training(finished):
    from difftables.common.files import load_tensors

    tensors, _ = load_tensors(finished.path / f"{STORE}/nets/improved_ddpm/cosine-hybrid-long/s0/net.safetensors", "net")
    assert {name.split(".")[1] for name in tensors if name.startswith("at.")} == {"10", "20"}
    early, late = (likelihood(finished, f"cosine-hybrid{suffix}")["records"] for suffix in ("", "-long"))
    assert early != late
    assert not (finished.path / f"{STORE}/nets/improved_ddpm/cosine-hybrid").exists()


def test_learning_curves_hold_the_bound(finished):
    rows = [row for row in cells(finished, "F6") if row["status"] == "measured"]
    assert {row["row"] for row in rows} == {"L_vlb, importance sampling", "L_hybrid, uniform"}
    assert all(float(row["value"]) > 0 for row in rows)


def test_schedules_are_closed_forms(finished):
    """alpha_bar of the cosine schedule at T / 2 is f(1/2) / f(0), whatever T."""
    import math

    def f(share):
        return math.cos((share + 0.008) / 1.008 * math.pi / 2) ** 2

    row = next(row for row in cells(finished, "F5") if (row["row"], row["column"]) == ("cosine-long", "alpha_bar at 2 T/4"))
    assert row["status"] == "closed-form"
    assert float(row["value"]) == pytest.approx(f(0.5) / f(0), rel=1e-5)


def test_gradient_noise_is_told_for_each_objective_and_density(finished):
    rows = [row for row in cells(finished, "F7") if row["metric"] == "S"]
    assert len(rows) == 6
    assert all(float(row["value"]) > 0 for row in rows)
