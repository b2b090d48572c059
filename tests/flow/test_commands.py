"""What `explain` and `verify` find in a finished run: its provenance files tell what Snakemake ran."""

import csv
import json
import re
import shlex
from pathlib import Path

import pytest

from difftables.commands import explain, verify
from difftables.config.job_specs import complete
from difftables.planning import explanation
from difftables.provenance import fingerprint
from difftables.provenance.files import load, matches
from difftables.report import find_cell

STORE, TABLES = "results/smoke/store", "results/smoke/tables"


@pytest.fixture
def inside(finished, monkeypatch):
    """The finished checkout, this process in it."""
    monkeypatch.chdir(finished.path)
    return finished


def cells():
    with open(f"{TABLES}/cells.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_provenance_is_what_snakemake_ran(inside):
    """The rule of every file of the store and the tables, and the bytes that lie there."""
    known, seen = load(STORE), set()
    summary = inside.run("snakemake", "--detailed-summary", "--config", "scale=smoke").stdout
    for line in summary.splitlines()[1:]:
        path, _, rule, *_ = line.split("\t")
        if path.startswith((f"{STORE}/provenance/", f"{STORE}/benchmarks/")) or not path.startswith((f"{STORE}/", f"{TABLES}/")):
            continue
        if Path(path).is_dir():
            path = next(each for each in known if each.startswith(f"{path}/"))
        assert known[path].rule == rule.removeprefix("plain_"), path  # a table without a picture has a rule of its own
        assert path not in known[path].written() or matches(path, known[path].written()[path]), path
        seen.add(rule)
    assert seen >= {"data", "reference", "levels", "train", "train_estimator", "search", "sample", "measure", "errors"}
    assert seen >= {"robustness", "likelihood", "gradients", "variance", "table", "report"}


def test_every_input_was_made_by_a_job_or_lies_in_the_repository(inside):
    """And is what the job that read it saw."""
    known = load(STORE)
    for job in {id(job): job for job in known.values()}.values():
        for path, value in job.read().items():
            assert path in known or not path.startswith("results/"), (job.name, path)
            assert known[path].written()[path] == value if path in known else matches(path, value), (job.name, path)


def test_jobs_ran_the_code_that_lies_here(inside):
    for job in load(STORE).values():
        assert fingerprint.code(job.rule, complete(job.rule, job.spec)) == job.code, job.name
        assert job.packages, job.name
        assert job.seconds > 0, job.name


def test_a_cell_of_every_table_leads_to_its_records_and_data(inside):
    known = load(STORE)
    one = {(cell["paper"], cell["table"], cell["status"]): cell for cell in cells()}
    measured = [cell for cell in one.values() if cell["status"] == "measured"]
    assert len(measured) > 20
    for cell in one.values():
        text = "\n".join(explanation.history("smoke", cell))
        assert "CHANGED" not in text, find_cell.full_name(cell)
        assert "Missing" not in text, find_cell.full_name(cell)
        if cell["status"] == "measured":
            table = known[f"{TABLES}/{cell['paper']}/{cell['table']}.md"]
            files, unknown = explanation.recorded(known, cell, table)
            assert unknown == [], find_cell.full_name(cell)
            assert len(files) >= len(cell["run"].split()), find_cell.full_name(cell)
            for path in files:
                assert f"{known[path].written()[path]}  {path}" in text
            assert f"  {STORE}/data/" in text, find_cell.full_name(cell)
        if cell["status"] == "not-run":
            assert re.search(r"is null|there is no run ", text), (find_cell.full_name(cell), text)


CELL = ["noise/T2/DDIM, adjusted/5", "smoke"]


def explained(capsys):
    assert explain.command(CELL) == 0
    return capsys.readouterr().out


def test_the_commands_that_explain_prints_do_what_they_say(checkout, monkeypatch, capsys):
    monkeypatch.chdir(checkout.path)
    missing, (removal, anew) = (
        line[line.index(word) :].split("; ") for line, word in zip(explained(capsys).splitlines()[-2:], ("snakemake", "rm"), strict=True)
    )
    assert "Nothing to be done" in checkout.run(*shlex.split(missing[0]), "-n").text
    for path in shlex.split(removal)[2:]:
        (checkout.path / path).unlink()
    started = re.findall(r"^(?:local)?rule (\w+):", checkout.run(*shlex.split(anew), "-n").text, re.MULTILINE)
    assert sorted(started) == ["measure", "sample", "table"]


def test_a_changed_number_and_a_changed_file_leave_the_history_as_it_was(checkout, monkeypatch, capsys):
    """Records tell what was, whatever params.yaml says now; a file that is another is named."""
    monkeypatch.chdir(checkout.path)
    before = explained(capsys)
    checkout.change("scales/smoke.yaml", {"evaluation/images/kid_subsets": 3})
    assert explained(capsys) == before
    assert "CHANGED" not in before
    net = f"{STORE}/nets/noise_estimation/digits/s0/net.safetensors"
    (checkout.path / net).write_bytes(b"other")
    assert [line.split()[-1] for line in explained(capsys).splitlines() if "CHANGED" in line].count(net) >= 2  # its maker, and who read it


def test_one_bit_of_a_net_is_found_before_what_came_of_it(checkout, finished, capsys, monkeypatch):
    monkeypatch.chdir(finished.path)
    folders = [str(place.path / "results/smoke") for place in (finished, checkout)]
    assert verify.command(folders) == 0
    same = capsys.readouterr().out
    assert len(same.splitlines()) == 1
    assert re.search(r"\b\d{3,} cells .*\b\d{2,} files", same)
    net, samples = "store/nets/noise_estimation/digits/s0/net.safetensors", "store/samples/noise_estimation/digits/s0"
    for path in (Path(folders[1]) / net, *(Path(folders[1]) / samples).rglob("*.safetensors")):
        path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    assert verify.command(folders) == 1
    said = capsys.readouterr().out.splitlines()
    assert "job train/noise_estimation/digits/0:" in said[0]
    assert f"{net} " in said[0]
    assert said[1].split()[1] == f"{folders[1]}/{net}"


def test_a_run_without_the_provenance_of_one_job_is_said_to_lack_it(checkout, finished, capsys, monkeypatch):
    monkeypatch.chdir(finished.path)
    path = next((checkout.path / STORE / "provenance/measure/noise_estimation/digits").rglob("*.json"))
    name = path.relative_to(checkout.path / STORE / "provenance").with_suffix("").as_posix()
    assert json.loads(path.read_text())["rule"] == "measure"
    path.unlink()
    assert verify.command([str(place.path / "results/smoke") for place in (finished, checkout)]) == 1
    assert f"job {name}:" in capsys.readouterr().out.splitlines()[0]
