"""Soft Diffusion at scale smoke: every table, chosen levels, and an operator of one's own."""

import csv
import json
import re

import pytest

from checkouts import is_whole

TABLES = "results/smoke/tables"
STORE = "results/smoke/store"
PAPER = "workflow/papers/soft_diffusion"
NAMES = ("T1", "F3", "F4", "F6", "CIFAR-10", "masking", "ablations", "starts", "gaussian")


def cells(checkout, table):
    with open(checkout.path / TABLES / f"soft_diffusion/{table}.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_all_tables_are_there(finished):
    for name in NAMES:
        is_whole(finished.path / TABLES / "soft_diffusion", name)


def test_ours_and_the_papers_numbers_stand_side_by_side(finished):
    rows = {(row["row"], row["column"]): row for row in cells(finished, "T1")}
    ours, ve = (rows[label, "FD"] for label in ("Soft Diffusion: blur and noise, Momentum", "VE, reverse diffusion"))
    assert (ours["status"], ours["paper_value"], ours["steps"]) == ("measured", "1.85", "8")
    assert (ve["status"], ve["paper_value"], ve["steps"]) == ("measured", "3.25", "16")
    assert rows["VE, ancestral", "NFE"]["value"] == "16"
    assert rows["DDPM (VP)", "FD"]["status"] == "not-run"
    second = next(row for row in cells(finished, "CIFAR-10") if row["paper_value"])
    assert "unverified" in second["paper_source"]
    assert "29.5 at 50" in (finished.path / TABLES / "soft_diffusion/F3.md").read_text()


def test_one_net_is_sampled_by_the_whole_family(finished):
    every = [row for row in cells(finished, "F4") if row["metric"].startswith("FD")]
    rows = [row for row in every if row["status"] == "measured"]
    assert len({row["value"] for row in rows}) == len(rows) == 5
    assert [row["row"] for row in every if row not in rows] == ["DDIM"]
    assert all(row["steps"] == row["nfe"] == "8" for row in rows)


def test_levels_are_chosen_once_and_drawn(finished):
    folder = finished.path / STORE / "schedules/levels/soft_diffusion/digits-blur-blur"
    record = json.loads((folder / "levels.json").read_text())["record"]
    assert 2 <= len(record["nodes"]) <= record["wanted"] == 8
    assert max(record["edges"]) <= record["longest"]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert (folder / "levels.png").stat().st_size > 1000
    noise = {
        row["column"]: float(row["value"]) for row in cells(finished, "F6") if (row["row"], row["metric"]) == ("blur and noise", "std")
    }
    assert noise["t = 1/4"] == noise["t = 1"] == pytest.approx(0.2)


def test_the_gaussian_problem_needs_no_run(finished):
    rows = {(row["row"], row["column"]): row for row in cells(finished, "gaussian")}
    assert float(rows["Naive", "1000"]["value"]) == pytest.approx(0.1384, abs=1e-4)
    assert float(rows["Momentum", "10"]["value"]) == pytest.approx(0.0190, abs=1e-4)
    assert {row["status"] for row in rows.values()} == {"closed-form"}


OWN = '''def mix(x: Tensor, level: Level) -> Tensor:
    """Turn each pair of opposite pixels by `strength` radians: orthogonal, and the identity at 0."""
    turn = level.strength.to(x.device, x.dtype)[:, None, None, None]
    half = torch.linspace(1, -1, x.shape[-2], dtype=x.dtype, device=x.device).sign()[:, None]
    return turn.cos() * x - turn.sin() * half * x.flip(-1, -2)


CORRUPTIONS: Variants[Corruption] = {
    "mix": mix,
    "scale"'''


def test_an_own_operator_is_a_function_and_a_line(checkout):
    """It is trained through and sampled through, and nobody else's row runs again."""
    path = checkout.path / "src/difftables/diffusion/corruptions.py"
    text = path.read_text()
    path.write_text(re.sub(r'CORRUPTIONS: Variants\[Corruption\] = \{\s*"scale"', OWN, text, count=1))
    assert path.read_text() != text
    turning = {"family": "soft", "steps": 16, "lowest": 0.02, "highest": 0.2, "reached": 0.25, "weakest": 0.01, "strongest": 1.5}
    run = {"like": "blur", "schedule": "turning", "corruption": "mix"}
    checkout.change(f"{PAPER}/params.yaml", {"schedules/turning": turning, "runs/mix": run})
    row = {"id": "mix", "label": "own operator", "run": "mix", "sampler": "momentum"}
    checkout.change(f"{PAPER}/tables.yaml", {"ablations/rows/0": row})
    ran = checkout.snakemake(f"{TABLES}/soft_diffusion/ablations.md").text
    assert checkout.counted(ran) == {"train": 1, "sample": 1, "measure": 1, "table": 1}
    (found,) = [row for row in cells(checkout, "ablations") if row["row"] == "own operator" and row["metric"].startswith("FD")]
    assert found["status"] == "measured"
    assert float(found["value"]) > 0
