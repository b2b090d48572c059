"""Which cell a name means, and what is said of it."""

import csv
from pathlib import Path

import pytest

from difftables import lineage, told
from difftables.cli import explain
from difftables.io import sha256, write_json
from difftables.plan import read
from difftables.tables import HEADER

ROOT = Path(__file__).parents[2]


def cell(row, column="5", metric="FD", status="measured", **more):
    known = dict.fromkeys(HEADER, "") | {"paper": "noise_estimation", "table": "T2", "value": "1.5", "seeds": "1x2", "n": "24"}
    return known | {"row": row, "column": column, "metric": metric, "status": status} | more


CELLS = [
    cell("DDIM, adjusted"), cell("DDIM, adjusted", metric="KID"), cell("DDIM, adjusted", "50"), cell("DDIM, fixed", status="not-run"),
    cell("DDIM, fixed", metric="KID"), cell("a / b", "t = 2 .. T/10", paper="improved_ddpm", table="F2"),
    cell("DDPM", table="T20"),
]  # fmt: skip


@pytest.fixture(scope="module")
def plan():
    return read("smoke")


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
    assert [(each["row"], each["column"], each["metric"]) for each in explain.choose(CELLS, text)] == found


def test_several_cells_are_named_in_full_and_each_name_leads_to_one():
    names = [explain.name(each) for each in explain.choose(CELLS, "noise/T2/DDIM")]
    assert names == ["noise_estimation/T2/DDIM, adjusted/5", "noise_estimation/T2/DDIM, adjusted/50", "noise_estimation/T2/DDIM, fixed/5"]
    assert all(len(explain.choose(CELLS, each)) == 1 for each in names)


def test_every_committed_cell_is_found_by_its_full_name():
    with open(ROOT / "results/laptop/tables/cells.csv", newline="") as file:
        cells = list(csv.DictReader(file))
    for each in cells[::20]:
        assert explain.choose(cells, explain.name(each)) == [each]


def test_a_measured_cell_leads_to_as_many_records_as_it_has_fingerprints():
    """Without a store; rows of one name that play several runs lead to the records of all."""
    plan = read("laptop")
    known = lineage.makers(plan)
    with open(ROOT / "results/laptop/tables/cells.csv", newline="") as file:
        rows = {(each["paper"], each["table"], each["row"], each["metric"]): each for each in csv.DictReader(file)}
    measured = [each for each in rows.values() if each["status"] == "measured"]
    assert len(measured) > 100
    for each in measured:
        found = explain.candidates(plan, each, known)
        several = len({row["run"] for row in explain.rows_of(plan, each)}) > 1
        assert len(found) >= len(each["run"].split()), explain.name(each)
        assert several or len(found) == len(each["run"].split()), explain.name(each)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("nose/T2", "there is no paper 'nose'; there is noise_estimation, improved_ddpm"),
        ("noise/T3/adj/5", "there is no table 'T3'; there is T2, T20"),
        ("noise/T2/DDIM, adjustd/5", "there is no row 'DDIM, adjustd'; did you mean 'DDIM, adjusted'?"),
        ("noise/T2/DDIM, adjusted/500", "there is no column '500'; did you mean '50'?"),
        ("noise/T2/DDIM, adjusted/5/KUD", "there is no metric 'KUD'; did you mean 'KID'?"),
    ],
)
def test_a_name_that_fits_nothing_ends_in_one_line(text, line):
    assert explain.choose(CELLS, text) == []
    assert explain.missed(CELLS, text) == line


def test_what_cells_csv_says():
    said = dict(explain.about(cell("a", sd="0.1", unit="dB", better="lower", paper_value="2.9", paper_source="[FD, CelebA] http://x")))
    assert said == {
        "cell": "noise_estimation/T2/a/5", "metric": "FD, lower is better", "value": "1.5 ± 0.1 dB", "seeds": "1 training x 2 sampling",
        "N": "24", "status": "measured", "paper": "2.9  [FD, CelebA] http://x",
    }  # fmt: skip


def test_cells_that_were_not_measured_say_why(plan):
    def told_of(*arguments, **more):
        return " ".join(explain.history(plan, cell(*arguments, **more)))

    assert "Quoted" in told_of("x", status="literature")
    assert "no longer has the table noise_estimation.T99" in told_of("x", table="T99")
    assert "Not run: samplers.ddpm-oracle is null in params.yaml at scale smoke." in told_of("DDPM, oracle level", status="not-run")
    assert "tables.noise_estimation.T3.run is null" in told_of("DDPM, adjusted", table="T3", status="not-run")
    closed = told_of("linear-long", paper="improved_ddpm", table="F5", status="closed-form")
    assert "In closed form" in closed
    assert "snakemake results/smoke/tables/improved_ddpm/F5.md --config scale=smoke" in closed
    estimated = told_of("digits", paper="stable_target_field", table="F2", status="estimated", run="0" * 16)
    assert "Estimated" in estimated
    assert "results/smoke/store/data/" in estimated


def test_a_clone_that_pulled_nothing_names_what_is_missing(plan, tmp_path, monkeypatch):
    found = explain.history(plan, cell("DDIM, adjusted", run="0" * 16))
    store = "results/smoke/store"
    for name in ("records/digits/s0/ddim-adjusted.json", "samples/digits/s0/ddim-adjusted.safetensors", "nets/digits/s0/net.safetensors"):
        assert f"  {store}/{name}" in found
    assert not [line for line in found if "ddim-strided" in line]  # another row's
    assert "dvc.lock has no run of this scale" in " ".join(found)
    for name in ("workflow", "params.yaml"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "dvc.lock").write_text(store)
    monkeypatch.chdir(tmp_path)
    assert "dvc pull brings them" in " ".join(explain.history(plan, cell("DDIM, adjusted", run="0" * 16)))


def test_records_are_those_of_the_fingerprint_or_may_be(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_json("a.json", {"shared": {"fingerprint": "a"}})
    write_json("b.json", {"fingerprint": "b"})
    assert explain.recorded(["b"], ["a.json", "b.json"]) == (["b.json"], [])
    assert explain.recorded(["a", "c"], ["a.json", "b.json"]) == (["a.json"], ["c"])
    assert explain.recorded(["a", "c"], ["a.json", "gone.json"]) == (["a.json", "gone.json"], [])
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ValueError, match=r"a\.json is damaged"):
        explain.recorded(["a"], ["a.json"])


def test_numbers_stand_under_their_keys(plan):
    job = next(each for each in lineage.jobs(plan) if each.rule == "sample" and each.of == ("digits", "ddim-adjusted"))
    lines = dict(told.keyed(job.spec(plan), told.places(plan, job.run, job.sampler)))
    assert "rule: ddim" in lines["samplers.ddim-adjusted.solver"]
    assert lines["runs.digits.adjust"].startswith("{")
    assert lines[f"nets.{plan.params.runs['digits'].net}"].startswith("{")
    assert "steps: [3, 5]" in lines["the job"]
    assert "null" not in " ".join(lines.values())


def test_a_fingerprint_is_checked_against_numbers_and_inputs(plan, tmp_path, monkeypatch):
    """As the job itself hashes them; a changed number or byte is seen."""
    from difftables.cli.job import Job

    monkeypatch.chdir(tmp_path)
    job = next(each for each in lineage.jobs(plan) if each.rule == "measure" and each.sampler == "ddim-strided")
    inputs = {name: [Path(path) for path in paths] for name, paths in job.inputs.items() if paths}
    for paths in inputs.values():
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(path.name)
    spec = job.spec(plan)
    found = {"code": "c", "fingerprint": Job("measure", None, spec, "c", 1, 0, inputs).fingerprint}
    assert told.checked(job, spec, found) == "that of the numbers and inputs below"
    assert "NOT" in told.checked(job, spec | {"scale": "laptop"}, found)
    samples = inputs["samples"][0]
    assert f"  {sha256(samples)}  {samples}" in told.hashed(job)
    samples.write_text("other")
    assert "NOT" in told.checked(job, spec, found)
    samples.unlink()
    assert "not checked" in told.checked(job, spec, found)
    assert any(line.split() == ["missing", str(samples)] for line in told.hashed(job))


def test_jobs_come_after_what_they_are_made_from(plan):
    seen = set()
    for job in lineage.jobs(plan):
        needed = {path for paths in job.inputs.values() for path in paths if path.startswith(plan.store)}
        assert needed <= seen, job
        seen |= {*job.outputs, job.record}


def test_a_wrong_call_is_told_how(capsys):
    assert explain.command([]) == 2
    assert "usage" in capsys.readouterr().err
    assert explain.command(["noise/T2", "smok"]) == 1
    assert "did you mean 'smoke'?" in capsys.readouterr().out
