"""Which cell a name means, and what is said of it."""

import csv
import subprocess
from pathlib import Path

import pytest

from difftables.commands import explain
from difftables.config.job_specs import complete
from difftables.planning import explanation
from difftables.provenance import fingerprint
from difftables.provenance import record as provenance
from difftables.provenance.files import load, parse
from difftables.report import find_cell
from difftables.report.cells import HEADER

ROOT = Path(__file__).parents[2]
STORE, TABLES = "results/smoke/store", "results/smoke/tables"


def cell(row, column="5", metric="FD", status="measured", **more):
    known = dict.fromkeys(HEADER, "") | {"paper": "noise_estimation", "table": "T2", "value": "1.5", "seeds": "1x2", "n": "24"}
    return known | {"row": row, "row_id": row.lower(), "column": column, "metric": metric, "status": status} | more


CELLS = [
    cell("DDIM, adjusted"), cell("DDIM, adjusted", metric="KID"), cell("DDIM, adjusted", "50"), cell("DDIM, fixed", status="not-run"),
    cell("DDIM, fixed", metric="KID"), cell("a / b", "t = 2 .. T/10", paper="improved_ddpm", table="F2"),
    cell("DDPM", table="T20"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("noise_estimation/T2/DDIM, adjusted/5", [("DDIM, adjusted", "5", "FD")]),
        ("NOISE/t2/adj/50", [("DDIM, adjusted", "50", "FD")]),
        ("noise/T2/adj/5/kid", [("DDIM, adjusted", "5", "KID")]),
        ("noise/T2/fixed/5", [("DDIM, fixed", "5", "KID")]),  # the first that was measured
        ("noise/T20", [("DDPM", "5", "FD")]),
        ("improved/F2/a / b/t = 2 .. T/10", [("a / b", "t = 2 .. T/10", "FD")]),
        ("improved/F2/a / b/t = 2 .. T/10/FD", [("a / b", "t = 2 .. T/10", "FD")]),
        ("noise/T2/zork/5", []),
        ("noise/T2/adj/5/zork", []),
    ],
)
def test_parts_are_beginnings_and_rows_may_be_inside(text, found):
    assert [(each["row"], each["column"], each["metric"]) for each in find_cell.matching_cells(CELLS, text)] == found


def test_several_cells_are_named_in_full_and_each_name_leads_to_one():
    names = [find_cell.full_name(each) for each in find_cell.matching_cells(CELLS, "noise/T2/DDIM")]
    assert names == ["noise_estimation/T2/DDIM, adjusted/5", "noise_estimation/T2/DDIM, adjusted/50", "noise_estimation/T2/DDIM, fixed/5"]
    assert all(len(find_cell.matching_cells(CELLS, each)) == 1 for each in names)


def test_every_committed_cell_is_found_by_its_full_name():
    with open(ROOT / "results/laptop/tables/cells.csv", newline="") as file:
        cells = list(csv.DictReader(file))
    for each in cells[::20]:
        assert find_cell.matching_cells(cells, find_cell.full_name(each)) == [each]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("nose/T2", ("paper", "'nose'", "noise_estimation")),
        ("noise/T3/adj/5", ("table", "'T3'", "T2, T20")),
        ("noise/T2/DDIM, adjustd/5", ("row", "'DDIM, adjustd'", "'DDIM, adjusted'")),
        ("noise/T2/DDIM, adjusted/500", ("column", "'500'", "'50'")),
        ("noise/T2/DDIM, adjusted/5/KUD", ("metric", "'KUD'", "'KID'")),
    ],
)
def test_a_name_that_fits_nothing_ends_in_one_line_with_the_nearest(text, line):
    assert find_cell.matching_cells(CELLS, text) == []
    said = find_cell.what_is_missing(CELLS, text)
    assert all(word in said for word in line), said
    assert "\n" not in said


def test_ids_are_names_too():
    cells = [cell("DDIM, adjusted", row_id="ddim-a", metric_id="fd"), cell("x / y", row_id="xy", metric_id="fd", column_id="five")]
    assert find_cell.matching_cells(cells, "noise/T2/xy/five/fd") == [cells[1]]
    assert find_cell.matching_cells(cells, "noise/T2/DDIM-A") == [cells[0]]
    assert find_cell.matching_cells(cells, "noise/T2/x / y/5/FD") == [cells[1]]
    assert "'ddim-a'" in find_cell.what_is_missing(cells, "noise/T2/ddim-b/5")


# -- what made it: a made-up store of a data set, a net, two samples and their records ------------------------------------


DATA, NET, RECORD = f"{STORE}/data/digits", f"{STORE}/nets/digits/s0/net", f"{STORE}/records/digits/s0/ddim.json"
SPEC = {"names": {"run": "digits", "train_seed": 0, "dataset": "digits"}, "medium": "images", "evaluation": {"n": 1717}}


@pytest.fixture
def tree(job, tmp_path, monkeypatch):
    """The same job of each rule, so that only their files differ; the table reads one of two records. Returns: sha256 by path."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sentences").write_text("s")
    made = {
        "code": fingerprint.code("measure", complete("measure", SPEC)),
        "spec": SPEC,
        "seeds": {"sampling": [4, 6]},
        "packages": {"numpy": "9.8.7"},
    }
    hashes = job("data", "digits", {DATA: "d"}, ["sentences"], code="0" * 16)
    hashes |= job("train", "digits/0", {NET: "n"}, [DATA], code="0" * 16)
    for name in ("ddim", "ddpm"):
        samples, record = f"{STORE}/samples/digits/s0/{name}", f"{STORE}/records/digits/s0/{name}.json"
        hashes |= job("sample", f"digits/0/{name}", {samples: name}, [NET], code="0" * 16)
        hashes |= job("measure", f"digits/0/{name}", {record: f"{name}: 1.5"}, [samples, DATA], **made)
    rows = [{"id": "ddim", "label": "DDIM", "run": "digits", "sampler": "ddim"}]
    hashes |= job("table", "noise_estimation/T2", {f"{TABLES}/noise_estimation/T2.md": "t"}, [RECORD], spec={"rows": rows})
    return hashes


def of(tree, path=RECORD, **more):
    return cell("DDIM", run=tree[path][:16], **more)


def jobs_in(lines):
    """Names of the jobs that are described, in order."""
    return [line.removesuffix(":") for line in lines if line.endswith(":") and "/" in line and not line.startswith(" ")]


def test_a_cell_leads_to_all_jobs_behind_it_and_no_other(tree):
    """Without params.yaml: nothing of this is planned anew."""
    said = explanation.history("smoke", of(tree))
    assert jobs_in(said) == ["data/digits", "train/digits/0", "sample/digits/0/ddim", "measure/digits/0/ddim"]
    text = "\n".join(said)
    for word in ("4 6", "numpy 9.8.7", "n: 1717", fingerprint.code("measure", complete("measure", SPEC)), provenance.machine()):
        assert word in text
    assert "ddpm" not in text
    assert f"rm -f {STORE}/provenance/measure/digits/0/ddim.json;" in said[-1]  # without which the job runs anew


def test_sha256sum_checks_what_is_printed(tree, tmp_path):
    said = explanation.history("smoke", of(tree))
    lines = [line for line in said if len(line.split()) == 2 and len(line.split()[0]) == 64]
    assert {line.split()[1] for line in lines} == {"sentences", DATA, NET, f"{STORE}/samples/digits/s0/ddim", RECORD}
    assert subprocess.run(["sha256sum", "--check", "--strict"], input="\n".join(lines), text=True, capture_output=True).returncode == 0


def changed(tree):
    """The words after CHANGED, by job."""
    found, name = {}, ""
    for line in explanation.history("smoke", of(tree)):
        name = line.removesuffix(":") if line and not line.startswith(" ") else name
        if "CHANGED" in line:
            found.setdefault(name, []).append(line.split()[0])
    return found


def test_code_that_changed_since_is_seen(tree):
    """Only the record's job has the code that lies here."""
    assert changed(tree) == {name: ["code"] for name in ("data/digits", "train/digits/0", "sample/digits/0/ddim")}


def test_a_changed_file_is_named_by_who_made_it_and_by_who_read_it(tree, tmp_path):
    before = changed(tree)
    (tmp_path / NET).write_text("other")
    now = changed(tree)
    assert {name for name in now if now[name] != before.get(name)} == {"train/digits/0", "sample/digits/0/ddim"}


def test_a_clone_that_pulled_nothing_but_provenance_names_what_is_missing(tree, tmp_path):
    for path in (NET, RECORD):
        (tmp_path / path).unlink()
    said = explanation.history("smoke", of(tree))
    assert [line for line in said if line in (f"  {DATA}", f"  {NET}", f"  {RECORD}")] == [f"  {NET}", f"  {RECORD}"]
    assert len(jobs_in(said)) == 4


@pytest.mark.parametrize("gone", [True, False])
def test_a_record_that_no_job_wrote_is_named(tree, tmp_path, gone):
    if gone:
        for path in (tmp_path / STORE / "provenance").rglob("*.json"):
            path.unlink()
    wanted = tree[RECORD][:16] if gone else "0123456789abcdef"
    said = explanation.history("smoke", cell("DDIM", run=wanted))
    assert wanted in " ".join(said)
    assert jobs_in(said) == []
    assert f"snakemake {TABLES}/noise_estimation/T2.md --config scale=smoke" in "\n".join(said)


def test_a_row_made_under_other_names_says_which(job, tree):
    rows = [{"id": "ddim", "label": "DDIM", "run": "twin", "sampler": "ddim", "recorded": {"run": "digits", "sampler": "ddim"}}]
    job("table", "noise_estimation/T2", {f"{TABLES}/noise_estimation/T2.md": "t"}, [RECORD], spec={"rows": rows})
    said = explanation.history("smoke", of(tree))
    assert [line for line in said if "digits ddim" in line]
    assert "measure/digits/0/ddim" in jobs_in(said)


def test_of_records_with_the_same_bytes_those_of_the_table_and_row_count(job, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = [f"{STORE}/nets/{run}/s0/net.json" for run in ("a", "b", "c")]
    for run, path in zip("abc", paths, strict=True):
        hashes = job("train", f"{run}/0", {path: "the same"})
    rows = [{"id": run, "label": "one label", "run": run} for run in ("a", "b", "c")]
    page = f"{TABLES}/noise_estimation/T2.md"
    job("table", "noise_estimation/T2", {page: "t"}, paths[:2], spec={"rows": rows})
    known = load(STORE)

    def found(row, table=page):
        return explanation.recorded(known, cell(row, run=hashes[paths[2]][:16]), known.get(table))

    assert found("A") == (paths[:1], [])
    assert found("B") == (paths[1:2], [])
    assert found("another") == (paths[:2], [])
    assert found("A", table="gone") == (paths, [])


def test_a_damaged_provenance_file_is_one_line(tree, tmp_path, capsys):
    (tmp_path / TABLES / "cells.csv").write_text(",".join(HEADER) + "\n" + ",".join(of(tree)[name] for name in HEADER) + "\n")
    assert explain.command(["noise/T2/DDIM", "smoke"]) == 0
    assert "measure/digits/0/ddim" in capsys.readouterr().out
    path = f"{STORE}/provenance/train/digits/0.json"
    (tmp_path / path).write_text("{")
    assert explain.command(["noise/T2/DDIM", "smoke"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 1
    assert path in said[0]


# -- what was not measured --------------------------------------------------------------------------------------------


def test_a_number_of_the_data_alone_leads_to_the_data(job, tree):
    hashes = {"data": {DATA: tree[DATA]}}
    job("table", "stable_target_field/F2", {f"{TABLES}/stable_target_field/F2.md": "t"}, inputs=[])
    path = Path(f"{STORE}/provenance/table/stable_target_field/F2.json")
    path.write_text(parse(path).model_copy(update={"inputs": hashes}).model_dump_json())
    estimated = cell("digits", paper="stable_target_field", table="F2", status="estimated", run="0" * 16)
    assert jobs_in(explanation.history("smoke", estimated)) == ["data/digits"]
    assert jobs_in(explanation.history("smoke", estimated | {"run": "", "status": "closed-form"})) == []


def test_cells_that_were_not_run_say_why():
    def said(*arguments, **more):
        return " ".join(explanation.history("smoke", cell(*arguments, status="not-run", **more)))

    assert "noise_estimation.T99" in said("x", table="T99")
    assert "samplers.ddpm-oracle is null" in said("any name", row_id="ddpm-oracle")
    assert "tables.T3.run is null" in said("DDPM, adjusted", table="T3")
    assert "nothing was run" in " ".join(explanation.history("smoke", cell("x", status="literature")))


def test_a_wrong_call_exits_with_a_line(capsys, tmp_path, monkeypatch):
    assert explain.command([]) == 2
    assert "usage" in capsys.readouterr().err
    assert explain.command(["noise/T2", "smok"]) == 1
    assert "'smoke'" in capsys.readouterr().out
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("{scale: laptop, zork: 1}")  # whatever else is wrong with it
    assert explain.command(["noise/T2"]) == 1
    assert "results/laptop/tables/cells.csv" in capsys.readouterr().out
