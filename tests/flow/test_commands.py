"""What `explain` and `verify` say of a finished run, and that their plan of it is Snakemake's."""

import csv
import re
import shlex

import pytest

from difftables import lineage
from difftables.cli import explain, job, verify
from difftables.plan import read

TABLES = "results/smoke/tables"


@pytest.fixture
def inside(finished, monkeypatch):
    """The finished checkout, this process in it."""
    monkeypatch.chdir(finished.path)
    return finished


def cells():
    with open(f"{TABLES}/cells.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_the_lineage_is_what_snakemake_ran(inside):
    """Rule, numbers, inputs and outputs of every job but those of tables and audio."""
    plan = read("smoke")
    known, seen = lineage.makers(plan), set()
    summary = inside.run("snakemake", "--detailed-summary", "--config", "scale=smoke").stdout
    for line in summary.splitlines()[1:]:
        path, _, rule, _, _, shell, *_ = line.split("\t")
        if rule in ("table", "report", "listen") or path.endswith((".png", ".svg")) or path.startswith(TABLES):
            continue
        made = known[path]
        verb, *arguments = shlex.split(shell.split(" > ")[0])[3:]
        ran = job.parse(verb, arguments)
        assert (made.rule, made.verb, made.spec(plan)) == (rule, verb, ran.raw), path
        assert {name: paths for name, paths in made.inputs.items() if paths} == {
            name: [str(each) for each in paths] for name, paths in ran.inputs.items()
        }, path
        assert {*made.outputs, made.record} - {""} <= {str(each) for paths in ran.outputs.values() for each in paths}
        seen.add(rule)
    assert seen >= {"data", "reference", "levels", "train", "train_estimator", "search_schedule", "sample", "measure", "errors"}
    assert seen >= {"robustness", "likelihood", "gradients", "variance"}


def test_a_cell_of_every_table_leads_to_records_that_its_numbers_and_inputs_made(inside):
    """Each job's fingerprint is worked out again from what `explain` prints of it."""
    plan = read("smoke")
    one = {(cell["paper"], cell["table"], cell["status"]): cell for cell in cells()}
    measured = [cell for cell in one.values() if cell["status"] == "measured"]
    assert len(measured) > 20
    for cell in one.values():
        text = "\n".join(explain.history(plan, cell))
        for word in ("NOT that", "not checked", "No record", "Missing", "no longer", "here it is"):
            assert word not in text, (explain.name(cell), word)
        if cell["status"] == "measured":
            for wanted in cell["run"].split():
                assert f"fingerprint  {wanted}, that of the numbers and inputs below" in text
            assert "\ndata: results/smoke/store/data/" in text
        if cell["status"] == "not-run":
            assert re.search(r"is null|params\.yaml has no runs\.", text), (explain.name(cell), text)


def test_the_commands_that_explain_prints_do_what_they_say(inside):
    said = inside.run("difftables", "explain", "noise/T2/DDIM, adjusted/5", "smoke").text
    missing, anew = (shlex.split(line[line.index("snakemake") :])[1:] for line in said.splitlines()[-2:])
    assert "Nothing to be done" in inside.run("snakemake", *missing, "-n").text
    started = re.findall(r"^rule (\w+):", inside.run("snakemake", *anew, "-n").text, re.MULTILINE)
    assert sorted(started) == ["measure", "sample", "table"]


def test_a_changed_number_is_told(checkout):
    checkout.edit("params.yaml", "scale: laptop", "scale: smoke")
    text = (checkout.path / "params.yaml").read_text()
    (checkout.path / "params.yaml").write_text(re.sub(r"kid_subsets: \d+", "kid_subsets: 3", text))
    said = checkout.run("difftables", "explain", "noise/T2/DDIM, adjusted/5").text
    assert said.count("NOT that of the numbers and inputs below") == 1


def test_one_bit_of_a_net_is_found_before_what_came_of_it(checkout, finished, capsys, monkeypatch):
    monkeypatch.chdir(finished.path)
    folders = [str(place.path / "results/smoke") for place in (finished, checkout)]
    assert verify.command(folders) == 0
    assert re.match(r"verify: the same; \d{3,} cells compared and \d{2,} files of the stores; .*\n$", capsys.readouterr().out)
    for name in ("samples/digits/s0/ddim-adjusted", "nets/digits/s0/net"):
        path = checkout.path / f"results/smoke/store/{name}.safetensors"
        path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    assert verify.command(folders) == 1
    assert "verify: job train: store/nets/digits/s0/net.safetensors differs" in capsys.readouterr().out
