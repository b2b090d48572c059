"""The whole pipeline at scale smoke, and what a second run, a change and a mistake do."""

import csv
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import is_whole

TABLES = "results/smoke/tables"
SCALES = ("laptop", "gpu", "paper")
TABLE_NAMES = ("T1", "T2", "T3", "F2", "F3", "F4", "F2-images", "F3-images", "F4-speech")


def cells(checkout):
    with open(checkout.path / TABLES / "cells.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_all_tables_are_there_and_filled(finished):
    folder = finished.path / TABLES
    for name in TABLE_NAMES:
        assert is_whole(folder / "noise_estimation", name) == (name != "T3")
        assert "scale smoke" in (folder / f"noise_estimation/{name}.tex").read_text()
    rows = [row for row in cells(finished) if (row["paper"], row["table"]) == ("noise_estimation", "T2")]
    measured = [row for row in rows if row["status"] == "measured"]
    assert {row["sampler"] for row in measured} == {
        "ddim-strided", "ddim-fitted", "ddim-searched", "ddim-adjusted", "ddim-frozen", "ddim-oracle", "ddpm-adjusted-before",
    }  # fmt: skip
    left_out = {"ddpm-strided", "ddpm-fitted", "ddpm-searched", "ddpm-adjusted", "ddpm-frozen", "ddpm-oracle"}
    assert {row["sampler"] for row in rows if row["status"] == "not-run"} == left_out
    assert (folder / "noise_estimation/T2.md").read_text().count("not run") == 2 * len(left_out)
    assert all(float(row["value"]) == float(row["value"]) and row["run"] and row["seeds"] == "1x2" for row in measured)
    assert {row["steps"] for row in measured} == {"3", "5"}
    assert all(row["steps"] == row["nfe"] for row in measured)
    assert {row["metric"] for row in measured} == {
        "FD-effnetlite0@32",
        "KID-effnetlite0@32",
        "precision (k=5)",
        "recall (k=5)",
        "precision (k=3)",
        "recall (k=3)",
        "IS (1 splits)",
    }
    assert all(row["value"] == "" for row in cells(finished) if row["status"] not in ("measured", "estimated", "closed-form"))


def test_papers_numbers_stand_beside_ours_and_never_as_ours(finished):
    church = [row for row in cells(finished) if row["table"] == "T3" and row["sampler"] == "ddim-strided" and row["steps"] == "10"]
    assert [(row["status"], row["value"], row["paper_value"]) for row in church] == [("not-run", "", "19.45")]
    literature = [row for row in cells(finished) if row["status"] == "literature"]
    assert literature
    assert all(row["paper_value"] and row["paper_source"] and not row["value"] for row in literature)
    assert "unverified" in next(row["paper_source"] for row in literature if (row["paper"], row["table"]) == ("noise_estimation", "F2"))


def test_index_shows_every_table_and_every_claim(finished):
    text = (finished.path / TABLES / "README.md").read_text()
    for part in (
        "noise_estimation T2",
        "noise_estimation T3",
        "noise_estimation F2",
        "](noise_estimation/T2.png)",
        "Adjusting the schedule at every step",
        "Measured at scale `smoke` on `digits`",
        "never with the paper's numbers",
    ):
        assert part in text
    for link in ("noise_estimation/T2.tex", "cells.csv", "../cost.csv", "curves.png", "noise_estimation/F4.png"):
        assert (finished.path / TABLES / link).exists()


def test_records_say_what_was_measured_and_provenance_where_and_when(finished):
    store = finished.path / "results/smoke/store"
    record = json.loads((store / "records/digits/s0/ddim-adjusted.json").read_text())
    shared, first = record["shared"], record["records"][0]
    assert shared == {"run": "digits", "train_seed": 0, "dataset": "digits", "sampler": "ddim-adjusted"}
    for key in ("metric", "value", "unit", "n", "seed", "nfe", "network_evaluations", "estimator_evaluations"):
        assert first[key] is not None
    made = json.loads((store / "provenance/measure/digits/0/ddim-adjusted.json").read_text())
    for key in ("rule", "spec", "fingerprint", "code", "packages", "inputs", "outputs", "seeds", "commit", "machine", "threads", "seconds"):
        assert made[key], key
    assert made["spec"]["names"] == shared
    drawn = json.loads((store / "provenance/sample/digits/0/ddim-adjusted.json").read_text())
    assert made["inputs"]["samples"] == drawn["outputs"]["samples"]
    assert {steps: each["seconds"] >= 0 for steps, each in drawn["cost"].items()} == {"3": True, "5": True}
    assert first["network_evaluations"] == 24 * 3
    assert first["estimator_evaluations"] == 24 * 2  # no estimate on pure noise, none after the last step


def test_no_result_tells_commit_machine_seconds_or_fingerprint(finished):
    """These lie in provenance: results are the same bytes wherever and whenever the same is computed."""
    from safetensors import safe_open

    store, told = finished.path / "results/smoke/store", {"commit", "machine", "seconds", "fingerprint", "code"}
    for path in sorted(store.rglob("*")):
        if {"provenance", "benchmarks"} & set(path.parts) or path.suffix not in (".json", ".safetensors"):
            continue
        if path.suffix == ".json":
            found = json.loads(path.read_text())
        else:
            with safe_open(str(path), "pt") as file:
                found = json.loads(file.metadata()["meta"])
        assert not told & keys(found), path


def keys(value):
    """All keys in a JSON value."""
    if isinstance(value, dict):
        return set(value).union(*map(keys, value.values()))
    return set().union(*map(keys, value)) if isinstance(value, list) else set()


def test_frozen_and_searched_schedules_are_files_like_any_other(finished):
    from difftables.diffusion.schedule_file import read_schedules

    folder = finished.path / "results/smoke/store/schedules"
    for name in ("ddim-searched", "ddim-frozen"):
        assert set(read_schedules(folder / f"digits/s0/{name}.csv")) == {3, 5}
    for name, steps in (("searched", {6}), ("frozen", {3, 6, 25})):
        assert set(read_schedules(folder / f"voice/s0/wavegrad-{name}.csv")) == steps
    cost = json.loads((folder / "digits/s0/ddim-searched.json").read_text())["records"]["3"]
    assert cost["network_evaluations"] == cost["candidates"] * 16 * 3
    assert cost["best"] <= cost["median"]


def test_a_second_run_has_nothing_to_do(finished):
    assert "Nothing to be done" in finished.snakemake("-n").text
    assert "Nothing to be done" in finished.run("snakemake", "-n", "-s", "workflow/Snakefile", "--config", "scale=smoke").text


# What changes where, and the jobs that it runs, by rule; those downstream (measure, listen, table, report) where they are named.
CHANGES = {
    "adjustment": (
        "params.yaml",
        "first: 1.0e-4}\n    oracle",
        "first: 2.0e-4}\n    oracle",
        {"search": 1, "sample": 5, "robustness": 1},
    ),
    "search": (
        "params.yaml",
        "images: {samples: 16, budget: 600",
        "images: {samples: 16, budget: 700",
        {"search": 1, "sample": 1},
    ),
    "speech search": (
        "params.yaml",
        "speech: {samples: 2, draws: 2, budget: 600",
        "speech: {samples: 2, draws: 2, budget: 300",
        {"search": 1, "sample": 1},
    ),
    "a sampler's code": (
        "src/difftables/sampling/rules.py",
        "return (nxt.std**2 - variance)",
        "return (1.0 * nxt.std**2 - variance)",
        {"search": 2, "sample": 18, "robustness": 1},  # nine rows by the rule, nine by Heun
    ),
    "the speech estimator": (
        "src/difftables/nets/tasnet.py",
        "self.mask(e) * e",
        "e * self.mask(e)",
        {"train_estimator": 1, "errors": 1, "robustness": 1, "search": 1, "sample": 4},
    ),
    "a sentence": (
        "workflow/speech/sentences.txt",
        "The kettle whistled",
        "A kettle whistled",
        {"data": 1, "train": 1, "train_estimator": 1, "errors": 1, "robustness": 1, "search": 2, "sample": 7},
    ),
    "a new sampler": (
        "src/difftables/sampling/rules.py",
        'RULES: Variants[Rule] = {\n    "ddim": ddim,',
        'RULES: Variants[Rule] = {\n    "mine": ddim, "ddim": ddim,',
        {},
    ),
    "the oracle's code": (
        "src/difftables/estimation/oracle.py",
        "variance.log().sum() / 2",
        "0.5 * variance.log().sum()",
        {"sample": 1, "errors": 1},
    ),
    "a comment": ("src/difftables/metrics/frechet.py", '"""Frechet', '# a comment\n"""Frechet', {}),
    "a reported number": ("workflow/papers/noise_estimation/reported.csv", "19.45", "19.46", {"table": 8, "plain_table": 1, "report": 1}),
}


@pytest.fixture(scope="module")
def planned(finished, tmp_path_factory):
    """Jobs that a dry run would start after each change, by rule; each dry run keeps one core busy."""

    def plan(name, old, new, _):
        changed = finished.copied(tmp_path_factory.mktemp("changed") / "repository")
        changed.edit(name, old, new)
        return changed.jobs()

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return {name: pool.submit(plan, *change) for name, change in CHANGES.items()}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_runs_only_what_it_must(planned, change):
    found, expected = planned[change].result(), CHANGES[change][-1]
    downstream = ("measure", "listen", "table", "plain_table", "report")
    assert {rule: count for rule, count in found.items() if rule not in downstream or rule in expected} == expected
    assert bool(found) == bool(expected)


def test_one_table_is_a_target_of_its_own(untouched):
    text = untouched.snakemake(f"{TABLES}/noise_estimation/F2.md", "-n", "--quiet", "rules").text
    assert "train_estimator" in text
    assert "sample" not in text


@pytest.fixture(scope="module")
def scales(untouched):
    """What a dry run of all tables of the first paper says, by scale."""

    def plan(scale):
        tables = [f"results/{scale}/tables/noise_estimation/{name}.md" for name in TABLE_NAMES]
        index = f"results/{scale}/tables/README.md"
        return untouched.run("snakemake", *tables, index, "-n", "--quiet", "rules", "--config", f"scale={scale}").text

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return {scale: pool.submit(plan, scale) for scale in SCALES}


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_plans_every_table(scales, scale):
    text = scales[scale].result()
    for rule in ("data", "train", "train_estimator", "search", "sample", "measure", "table", "plain_table", "report"):
        assert f"\n{rule} " in text
    assert bool(re.search(r"\ntrain +\d+ +[\d,.]+\n(.+\n)+total +\d+ +[\d,.]+\nEstimates, ", text)) == (scale != "laptop")  # GPU-hours


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "scale=smok"], "scale is 'smok'; did you mean 'smoke'?"),
        (["--config", "scael=smoke"], "--config scael is no known key; did you mean 'scale'?"),
    ],
)
def test_mistakes_on_the_command_line(untouched, arguments, message):
    found = untouched.run("snakemake", "-n", *arguments, check=False)
    assert found.returncode
    assert message in found.text
    assert "Traceback" not in found.text


def test_a_mistake_in_params_stops_before_any_job(fresh):
    fresh.edit("params.yaml", "samplers:", "samplrs:")
    found = fresh.snakemake(check=False)
    assert "samplrs is no known key; did you mean 'samplers'?" in found.text
    assert "Traceback" not in found.text
    assert not (fresh.path / "results").exists()


def test_a_truncated_checkpoint_stops_with_one_line_and_loses_nothing(checkout):
    net = checkout.path / "results/smoke/store/nets/digits/s0/net.safetensors"
    net.write_bytes(net.read_bytes()[:1000])
    before = (checkout.path / "results/smoke/store/nets/digits/s0/estimator.safetensors").read_bytes()
    (checkout.path / "results/smoke/store/samples/digits/s0/ddim-strided.safetensors").unlink()
    found = checkout.snakemake("results/smoke/store/samples/digits/s0/ddim-strided.safetensors", check=False)
    assert found.returncode
    assert "net.safetensors is truncated or no safetensors file" in found.text
    assert "Traceback" not in found.text
    assert (checkout.path / "results/smoke/store/nets/digits/s0/estimator.safetensors").read_bytes() == before


def test_too_few_images_for_a_metric_name_the_key(checkout):
    checkout.edit("params.yaml", "        n: 24\n", "        n: 1797\n")
    found = checkout.snakemake("results/smoke/store/records/reference/digits.json", check=False)
    assert "evaluation.images.n = 1797" in found.text
    assert "data.digits.floor_n" in found.text
