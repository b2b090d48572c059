"""The whole pipeline at scale smoke, and what a second run, a change and a mistake do."""

import csv
import json
import re
from pathlib import Path

from checkouts import is_whole

TABLES = "results/smoke/tables"
TABLE_NAMES = ("T1", "T2", "T3", "F2", "F3", "F4", "F2-images", "F3-images", "F4-speech")


def cells(checkout):
    with open(checkout.path / TABLES / "cells.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_all_tables_are_there_and_filled(finished):
    folder = finished.path / TABLES
    for name in TABLE_NAMES:
        assert is_whole(folder / "noise_estimation", name) == (name != "T3")
        assert r"scale \texttt{smoke}" in (folder / f"noise_estimation/notes/{name}.tex").read_text()
    rows = [row for row in cells(finished) if (row["paper"], row["table"]) == ("noise_estimation", "T2")]
    measured = [row for row in rows if row["status"] == "measured"]
    names = ("ddim-strided", "ddim-fitted", "ddim-searched", "ddim-adjusted", "ddim-frozen", "ddim-oracle", "ddpm-adjusted-before")
    assert {row["sampler"] for row in measured} == set(names)
    left_out = {f"ddpm-{name}" for name in ("strided", "fitted", "searched", "adjusted", "frozen", "oracle")}
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


def test_index_leads_to_every_table_and_every_claim(finished):
    """The index fits on a screen; the page of a paper has its tables and its claims; a table has a page."""
    index = (finished.path / TABLES / "README.md").read_text()
    assert len(index.splitlines()) < 60
    links = re.findall(r"\]\(([^)#]+)\)", index)
    assert {"noise_estimation/README.md", "edm/README.md", "how-it-is-made.md", "cells.csv", "paper.tex", "curves.png"} <= set(links)
    page = (finished.path / TABLES / "noise_estimation/README.md").read_text()
    assert "Adjusting the schedule at every step" in page
    assert {"T2.md", "T3.md", "F2.md"} <= set(re.findall(r"\]\(([^)#]+)\)", page))
    table = (finished.path / TABLES / "noise_estimation/T2.md").read_text()
    for part in ("](T2.png)", "Measured at scale `smoke` on `digits`", "never with the paper's numbers"):
        assert part in table
    for folder in ("", "noise_estimation", "improved_ddpm", "soft_diffusion", "stable_target_field", "edm", "few_step"):
        for path in (finished.path / TABLES / folder).glob("*.md"):
            broken = [link for link in re.findall(r"\]\(([^)#]+)\)", path.read_text()) if not (path.parent / link).exists()]
            assert broken == [], path


def test_records_say_what_was_measured_and_provenance_where_and_when(finished):
    store = finished.path / "results/smoke/store"
    record = json.loads((store / "records/noise_estimation/digits/s0/ddim-adjusted.json").read_text())
    shared, first = record["shared"], record["records"][0]
    assert shared == {"run": "noise_estimation/digits", "train_seed": 0, "dataset": "digits", "sampler": "noise_estimation/ddim-adjusted"}
    for key in ("metric", "value", "unit", "n", "seed", "nfe", "network_evaluations", "estimator_evaluations"):
        assert first[key] is not None
    made = json.loads((store / "provenance/measure/noise_estimation/digits/0/ddim-adjusted.json").read_text())
    for key in ("rule", "spec", "fingerprint", "code", "packages", "inputs", "outputs", "seeds", "commit", "machine", "threads", "seconds"):
        assert made[key], key
    assert made["spec"]["names"] == shared
    drawn = json.loads((store / "provenance/sample/noise_estimation/digits/0/ddim-adjusted.json").read_text())
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
        assert set(read_schedules(folder / f"noise_estimation/digits/s0/{name}.csv")) == {3, 5}
    for name, steps in (("searched", {6}), ("frozen", {3, 6, 25})):
        assert set(read_schedules(folder / f"noise_estimation/voice/s0/wavegrad-{name}.csv")) == steps
    cost = json.loads((folder / "noise_estimation/digits/s0/ddim-searched.json").read_text())["records"]["3"]
    assert cost["network_evaluations"] == cost["candidates"] * 16 * 3
    assert cost["best"] <= cost["median"]


def test_a_second_run_has_nothing_to_do(finished):
    assert "Nothing to be done" in finished.snakemake("-n").text
    assert "Nothing to be done" in finished.run("snakemake", "-n", "-s", "workflow/Snakefile", "--config", "scale=smoke").text


def test_changed_numbers_and_code_run_what_reads_them_and_other_code_runs_nothing(checkout):
    """The budget of the search on speech; code of the oracle; a comment. tests/unit/test_changes.py has more, without Snakemake."""
    checkout.change("scales/smoke.yaml", {"search/speech/budget": 300})
    checkout.rewrite("estimation/oracle.py", "Oracle")
    path = checkout.path / "src/difftables/metrics/frechet.py"
    path.write_text(f"# a comment\n{path.read_text()}")
    found = checkout.jobs()
    assert {rule: found[rule] for rule in ("search", "sample", "errors")} == {"search": 1, "sample": 2, "errors": 1}
    assert found.keys() == {"search", "sample", "errors", "measure", "listen", "table", "report"}


def test_a_changed_file_runs_what_is_made_of_it(checkout):
    """A sentence of the voice, and a number that a paper reports."""
    sentences = checkout.path / "workflow/speech/sentences.txt"
    sentences.write_text(f"Now {sentences.read_text()}")
    reported = checkout.path / "workflow/papers/improved_ddpm/reported.csv"
    reported.write_text(reported.read_text().replace(",3.4,", ",3.5,"))
    found = checkout.snakemake("-n").text
    made = {"data": 1, "train": 1, "train_estimator": 1, "errors": 1, "robustness": 1, "search": 2, "sample": 7}
    assert {rule: count for rule, count in checkout.counted(found).items() if rule in made} == made
    tables = {Path(path).stem for path in re.findall(r"tables/improved_ddpm/[\w-]+\.md", found)}
    assert tables == {path.stem for path in (checkout.path / TABLES / "improved_ddpm").glob("*.md")}


def test_one_table_of_a_scale_with_gpus_is_planned_with_what_it_costs(untouched):
    """And with no job that only other tables need."""
    found = untouched.run("snakemake", "results/paper/tables/noise_estimation/F2.md", "-n", "--config", "scale=paper").text
    assert {"train_estimator", "table"} <= untouched.counted(found).keys()
    assert "sample" not in untouched.counted(found)
    hours = re.search(r"GPU-hours\n(?:.+\n)*?train_estimator +\d+ +(?:< )?[\d,.]+\n(?:.+\n)*?total +\d+ +(?:< )?[\d,.]+\n", found)
    assert hours, found


def words(text):
    return {word.rstrip(".,;:?") for word in text.split()}


def test_a_mistake_on_the_command_line_or_in_params_stops_before_any_job(fresh):
    found = fresh.run("snakemake", "-n", "--config", "scael=smoke", check=False)
    assert found.returncode
    assert {"scael", "'scale'"} <= words(found.text)
    assert "Traceback" not in found.text
    path = fresh.path / "params.yaml"
    path.write_text(path.read_text().replace("\nevaluation:", "\nevalation:"))
    found = fresh.snakemake(check=False)
    assert {"evalation", "'evaluation'"} <= words(found.text)
    assert "Traceback" not in found.text
    assert not (fresh.path / "results").exists()
