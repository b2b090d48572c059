"""What `difftables check` and DVC know of a finished run."""

import csv
import json
import shutil
import subprocess

import pytest

TABLES = "results/smoke/tables"


def cells(checkout):
    with open(checkout.path / TABLES / "cells.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_check_is_content_and_then_not(checkout):
    """Each reason is injected once."""
    assert "are those of this code" in checkout.run("difftables", "check", "smoke").text
    table = checkout.path / TABLES / "noise_estimation/T2.csv"

    shutil.copytree(checkout.path, checkout.path.parent / "kept")
    checkout.edit("params.yaml", "error_n: 60", "error_n: 50")
    found = checkout.run("difftables", "check", "smoke", check=False)
    assert found.returncode == 1
    assert found.text.count("1 x errors would run; run snakemake") == 1
    checkout.edit("params.yaml", "error_n: 50", "error_n: 60")

    metadata = checkout.path / ".snakemake/metadata"
    metadata.rename(checkout.path / "lost")
    assert "has no metadata" in checkout.run("difftables", "check", "smoke", check=False).text
    (checkout.path / "lost").rename(metadata)

    record = checkout.path / "results/smoke/store/records/digits/s0/ddim-fitted.json"
    content = json.loads(record.read_text())
    content["shared"]["fingerprint"] = "0" * 16
    record.write_text(json.dumps(content))
    assert "has no record" in checkout.run("difftables", "check", "smoke", check=False).text
    assert table.exists()


def test_dvc_knows_the_run_its_metrics_and_a_hand_edited_table(checkout):
    def git(*arguments):
        subprocess.run(["git", *arguments], cwd=checkout.path, check=True, capture_output=True)

    checkout.edit("params.yaml", "scale: laptop", "scale: smoke")
    for arguments in (("init", "-q"), ("config", "user.email", "a@b.c"), ("config", "user.name", "a")):
        git(*arguments)
    checkout.run("dvc", "init", "-q")
    checkout.run("dvc", "commit", "-fq")
    (checkout.path / ".gitignore").write_text(".snakemake/\nresults/*/logs/\n.cache/\n")
    git("add", "-A")
    git("commit", "-qm", "smoke")
    assert checkout.run("dvc", "status").text.strip().endswith("up to date.")
    metrics = json.loads(checkout.run("dvc", "metrics", "show", "--json").stdout)
    shown = metrics[""]["data"][f"{TABLES}/metrics.json"]["data"]
    row = next(row for row in cells(checkout) if row["table"] == "T2" and row["sampler"] == "ddim-adjusted" and row["steps"] == "3")
    assert shown["noise_estimation"]["T2"]["ddim-adjusted"]["3"] == pytest.approx(float(row["value"]))
    assert set(shown["noise_estimation"]["claims"]) == {"holds", "contradicted", "not_distinguishable"}
    page = checkout.run("dvc", "plots", "show", "-o", "shown").text
    assert "index.html" in page
    (checkout.path / TABLES / "noise_estimation/T2.md").write_text("better\n")
    found = checkout.run("difftables", "check", check=False)
    assert found.returncode == 1
    assert "results/smoke/tables: modified since dvc commit" in found.text
