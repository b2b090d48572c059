"""The files of a paper: what is wrong in them is one line, before any job; what joins them is ids."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from difftables.common.errors import ConfigError
from difftables.metrics import catalogue
from difftables.metrics.metric import Measurement, scores
from difftables.papers.folder import read_paper
from difftables.papers.reported import ReportedNumbers
from difftables.planning import plan
from difftables.report.cells import Cell
from difftables.report.kinds.steps import cells_of
from difftables.report.kinds.summary import measured_cell
from difftables.report.sources import Sources

ROOT = Path(__file__).parents[2]
PAPERS = ROOT / "workflow/papers"
NOISE, IMPROVED, SOFT, EDM = "noise_estimation", "improved_ddpm", "soft_diffusion", "edm"
SCALES = ("smoke", "laptop", "study", "paper")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of the papers, and params.yaml, to spoil: paper, file, old text, new text."""
    shutil.copytree(ROOT / "workflow", tmp_path / "workflow")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)

    def spoil(paper, file, old, new):
        path = tmp_path / "workflow/papers" / paper / file
        text = path.read_text()
        assert old in text, f"{old!r} is not in {path}"
        path.write_text(text.replace(old, new, 1))

    return spoil


def refused(scale="laptop"):
    with pytest.raises(ConfigError) as error:
        plan.read(scale)
    assert "\n" not in str(error.value)
    return str(error.value)


# Paper, old text, new text, and what the line must have in it: the place, the bad word and the nearest right one.
TABLES = [
    # keys
    (NOISE, "label: \"1000 iterations\", sampler", 'label: "1000 iterations", samplr', ("T1, row full", "'samplr'", "'sampler'")),
    (NOISE, "  shown: 6", "  show: 6", ("T1", "'show'", "'shown'")),
    (NOISE, "  shown: 6", "", ("T1", "'shown'")),
    (NOISE, "  shown: 6", "  shown: six", ("T1", "shown", "'six'")),
    (NOISE, "paper: {table: T1, row: Our method", "paper: {tabel: T1, row: Our method", ("T1, row adjusted", "'tabel'", "'table'")),
    (NOISE, "{id: full, label", "{label", ("T1, row 1", "'id'")),
    (NOISE, "{id: full, label", "{id: Full Steps, label", ("T1, row Full Steps", "'Full Steps'")),
    (NOISE, "label: \"1000 iterations\"", "label: 1000", ("T1, row full", "label", "1000")),
    (IMPROVED, "stride: even", "stride: evn", ("few-step-NLL, row cosine-learned-even", "'evn'", "'even'")),
    (NOISE, "method: searched", "method: serched", ("T1, row searched", "'serched'", "'searched'")),
    (SOFT, "rule: momentum}", "rule: momentun}", ("gaussian, row momentum", "'momentun'", "'momentum'")),
    (SOFT, "size: 16", "sise: 16", ("gaussian, problem", "'sise'", "'size'")),
    # kinds
    (NOISE, "kind: speech", "kind: speach", ("T1", "'speach'", "'speech'")),
    (NOISE, "  kind: speech\n", "", ("T1", "kind")),
    # runs, samplers, schedules
    (IMPROVED, "run: linear-simple", "run: linear-simpel", ("T1, row linear-simple", "'linear-simpel'", "'linear-simple'")),
    (NOISE, "sampler: wavegrad-searched", "sampler: wavegrad-serched", ("T1, row searched", "'wavegrad-serched'", "'wavegrad-searched'")),
    (NOISE, "adjusted: ddim-adjusted", "adjusted: ddim-ajusted", ("F3-images, row ddim", "'ddim-ajusted'", "'ddim-adjusted'")),
    (IMPROVED, "schedules: [linear-long", "schedules: [linear-lang", ("F3", "'linear-lang'", "'linear-long'")),
    # references to reported.csv
    (NOISE, "row: Our method", "row: Our methods", ("T1, row adjusted", "'Our methods'", "'Our method'")),
    (NOISE, "{table: EXT-DDGM-T2", "{table: EXT-DDGN-T2", ("T2, row ddgm-gamma-ddpm", "'EXT-DDGN-T2'", "'EXT-DDGM-T2'")),
    (NOISE, "dataset: LJSpeech", "dataset: LJSpeach", ("T1, row full", "'LJSpeach'", "'LJSpeech'")),
    (EDM, 'backbone: "VP (DDPM++)"', 'backbone: "VP (DDPM+)"', ("T2, row ddpmpp-a", "'VP (DDPM+)'", "'VP (DDPM++)'")),
    (EDM, 'dataset: CIFAR-10 cond', 'dataset: CIFAR-10 kond', ("T2, column cifar-cond", "'CIFAR-10 kond'", "'CIFAR-10 cond'")),
    (IMPROVED, "paper: Precision", "paper: Precission", ("T4, column precision-k5", "'Precission'", "'Precision'")),
    # metrics and columns
    (IMPROVED, "metric: nll", "metric: nlll", ("T1, column nll", "'nlll'", "'nll'")),
    (IMPROVED, "metric: recall-k5", "metric: recall-k7", ("T1", "'recall-k7'", "'recall-k5'")),
    (IMPROVED, "metric: fd}", "metric: fid}", ("T1, column fd", "'fid'", "'fd'")),
    (NOISE, "metrics: [mcd, pesq", "metrics: [mcd, pesk", ("T1", "'pesk'", "'pesq'")),
    (IMPROVED, "{id: fd, head", "{id: nll, head", ("T1, column nll",)),
    # ids, labels, panels
    (NOISE, "{id: searched,", "{id: full,", ("T1, row full",)),
    (NOISE, 'label: "grid-searched"', 'label: "1000 iterations"', ("T1, row searched", "'1000 iterations'")),
    (NOISE, "levels: true", "level: true", ("T2, row ddpm-strided", "'level'", "'levels'")),
    (NOISE, "panel: DDPM,", "panel: DDMP,", ("T2, row ddpm-strided", "'DDMP'", "'DDPM'")),
    (NOISE, "panel: DDPM, ", "", ("T2, row ddpm-strided", "'panel'")),
    (IMPROVED, "ratio: [cosine-vlb-long", "ratio: [cosine-vbl-long", ("A-D", "'cosine-vbl-long'", "'cosine-vlb-long'")),
    # the file itself
    (NOISE, "\nT2:\n", "\nT1:\n", ("line 35", "'T1'")),
    (NOISE, "\nT2:\n", "\nT2: [\n", ("tables.yaml",)),
]  # fmt: skip
CLAIMS = [
    (NOISE, "better: adjusted\n", "better: ajusted\n", ("adjusted-over-searched-pesq", "better", "'ajusted'", "'adjusted'")),
    (NOISE, "than: searched\n", "than: serched\n", ("adjusted-over-searched-pesq", "than", "'serched'", "'searched'")),
    (NOISE, "table: T1\n", "table: T11\n", ("adjusted-over-searched-pesq", "'T11'", "'T1'")),
    (NOISE, "metric: pesq\n", "metric: pesk\n", ("adjusted-over-searched-pesq", "'pesk'", "'pesq'")),
    (NOISE, "metric: stoi\n", "metric: nll\n", ("adjusted-over-searched-stoi", "'nll'")),
    (NOISE, 'column: "6"', 'column: six', ("adjusted-over-searched-pesq", "'six'")),
    (NOISE, "column: spread", "column: spred", ("wavegrad-adjusted-over-wavegrad-fixed", "'spred'", "'spread'")),
    (NOISE, "  better: adjusted\n  than: searched", "  beter: adjusted\n  than: searched", ("-over-searched-pesq", "'beter'", "'better'")),
    (NOISE, "  table: T1\n", "", ("adjusted-over-searched-pesq", "'table'")),
    (NOISE, "id: adjusted-over-searched-stoi", "id: adjusted-over-searched-pesq", ("adjusted-over-searched-pesq",)),
    (NOISE, "better: adjusted\n  than: searched", "better: searched\n  than: searched", ("adjusted-over-searched-pesq", "'searched'")),
    ("stable_target_field", "  direction: lower", "  direction: low", ("ve-stf-rk45-over-ve-dsm-rk45-nfe", "'low'", "'lower'")),
    (IMPROVED, "metric: recall-k5", "metric: recall-k7", ("'recall-k7'", "'recall-k5'")),
]  # fmt: skip
FIRST = "noise_estimation,T1,1000 iterations,LJSpeech,22.05kHz,WaveGrad,WaveGrad linear 1000-step schedule,DDPM ancestral,1000,MCD,2.65,,"
REPORTED = [
    (NOISE, "steps_or_nfe,metric", "steps_or_nfes,metric", ("line 1", "'steps_or_nfes'", "'steps_or_nfe'")),
    (NOISE, ",better,source", ",source", ("line 1", "'better'")),
    (NOISE, FIRST + "lower", FIRST + "lowr", ("line 2", "'lowr'", "'lower'")),
    (NOISE, ",MCD,2.65,", ",MCD,2.6S,", ("line 2", "value", "'2.6S'")),
    (NOISE, ",MCD,2.65,", ",MCD,,", ("line 2", "value", "''")),
    (NOISE, ",MCD,2.65,", ",MDC,2.65,", ("line 2", "'MDC'", "'MCD'")),
    (NOISE, ",1000,MCD,", ",1k,MCD,", ("line 2", "steps_or_nfe", "'1k'")),
    (NOISE, ",1000,PESQ,3.29", ",1000,MCD,3.29", ("line 3", "line 2")),
    (NOISE, ",MCD,2.65,,", ",MCD,2,65,,", ("line 2", "15", "14")),
    (NOISE, "\nnoise_estimation,T1,", "\nnoise_estimaton,T1,", ("line 2", "'noise_estimaton'", "'noise_estimation'")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "paper", "old", "new", "words"),
    [(file, *bad) for file, each in (("tables", TABLES), ("claims", CLAIMS), ("reported", REPORTED)) for bad in each],
)
def test_a_bad_line_is_told_before_any_job(folder, file, paper, old, new, words):
    name = {"tables": "tables.yaml", "claims": "claims.yaml", "reported": "reported.csv"}[file]
    folder(paper, name, old, new)
    found = refused()
    assert f"workflow/papers/{paper}/{name}: " in found
    assert [word for word in words if word not in found] == []


def test_a_missing_file_of_tables_is_named(folder):
    Path("workflow/papers", EDM, "tables.yaml").unlink()
    assert f"workflow/papers/{EDM}/tables.yaml: " in refused()


def test_a_paper_needs_no_claims(folder):
    Path("workflow/papers", EDM, "claims.yaml").unlink()
    assert not read_paper(EDM).claims


def test_what_another_scale_plays_is_not_run_and_no_mistake(folder):
    """At laptop nothing plays `extra`; at scale paper a run does, though it is null."""
    path = Path(f"workflow/papers/{IMPROVED}/params.paper.yaml")
    text = path.read_text()
    first = '    - {id: cosine-vlb-long, label: "L_vlb, importance sampling"'
    folder(IMPROVED, "tables.yaml", first, '    - {id: extra, label: "extra", run: extra}\n' + first)
    assert "'extra'" in refused()
    raw = text.replace("\nruns:\n", "\nruns:\n  extra: null\n", 1)
    assert raw != text
    path.write_text(raw)
    rows = {each["id"]: each["run"] for each in plan.read("laptop").rows(IMPROVED, "F6")}
    assert (rows["extra"], rows["cosine-vlb-long"]) == (None, "improved_ddpm/cosine-vlb-long")


@pytest.mark.parametrize("scale", SCALES)
def test_all_papers_are_right_at_every_scale(monkeypatch, scale):
    monkeypatch.chdir(ROOT)
    found = plan.read(scale)
    assert set(found.papers) == {NOISE, IMPROVED, SOFT, EDM, "stable_target_field", "few_step"}
    assert all(paper.claims and paper.numbers and paper.tables for paper in found.papers.values())


def test_every_claim_finds_its_cells_at_scale_laptop(monkeypatch):
    """A claim's rows are played, sampled at its column, and have its metric."""
    monkeypatch.chdir(ROOT)
    found = plan.read("laptop")
    for name, paper in found.papers.items():
        for claim in paper.claims:
            table, bound = paper.tables[claim.table], found.params.tables[name].get(claim.table)
            assert bound is not None, claim
            rows = {row["id"]: row for row in found.rows(name, claim.table)}
            for side in (claim.better, claim.than):
                assert side in table.row_ids()
                own = [row for key, row in rows.items() if side == key or side == row.get("line") or side.startswith(f"{key}-")]
                assert own, (claim, side)
                assert all(row["run"] for row in own) or table.kind == "gaussian", claim
                if claim.column is not None and claim.column.isdigit():
                    shown = {n for row in own for n in row["steps"]}
                    if table.kind in ("sweep", "against-calls"):  # of its numbers, or of network calls
                        points = [(row, n) for row in own for n in row["steps"]]
                        calls = [found.params.samplers[row["sampler"]].solver.calls(n) for row, n in points]
                        shown = {row.get("at", made) for (row, _), made in zip(points, calls, strict=True)}
                    assert int(claim.column) in shown, claim


def test_ids_in_one_table_name_one_thing(monkeypatch):
    monkeypatch.chdir(ROOT)
    for name in (NOISE, IMPROVED, SOFT, EDM, "stable_target_field"):
        for table in read_paper(name).layouts.values():
            ids = [each["id"] for key in ("rows", "literature", "quotes") for each in table.get(key, [])]
            assert len(ids) == len(set(ids))


def test_reading_all_papers_takes_no_torch_and_no_time():
    import subprocess
    import sys
    import time

    asked = (
        "import sys; from difftables.papers.folder import read_paper; import time; start = time.process_time(); "
        f"[read_paper(name) for name in {[NOISE, IMPROVED, SOFT, EDM, 'stable_target_field']}]; "
        "sys.exit('torch' in sys.modules or time.process_time() - start > 1.0)"
    )
    start = time.monotonic()
    assert subprocess.run([sys.executable, "-c", asked], cwd=ROOT).returncode == 0
    assert time.monotonic() - start < 30


# -- metrics by id -----------------------------------------------------------------------------------------------


def test_a_variant_is_its_metric_and_a_choice_of_values_is_not():
    assert catalogue.fits("pesq-nb", "pesq")
    assert catalogue.fits("recall-k5", "recall-k5")
    assert not catalogue.fits("recall-k5", "recall-k3")
    assert not catalogue.fits("estoi", "stoi")
    assert not any(catalogue.fits(other, "fd") for other in ("fd:best", "fd:selected", "fid", "kid"))
    assert not catalogue.fits("bias2-without-source", "bias2")
    assert catalogue.split("pesq-ub") is None


def measured(metric_id, value, variants=("",), **settings):
    """A metric of METRICS whose function measures one value, for each variant."""
    return replace(
        catalogue.METRICS[metric_id], function=lambda _: [Measurement(value, variant=each, settings=settings) for each in variants]
    )


def score(metric_id, value, variant="", **settings):
    """The score of a metric that measures one value."""
    return scores({metric_id: measured(metric_id, value, (variant,), **settings)}, None)[0]


def test_names_have_the_settings_in_them():
    assert catalogue.short_name("recall-k5") == "recall (k=5)"
    assert score("precision", 0.5, "k3", k=3).metric == "precision (k=3)"
    assert score("pesq", None, "nb", band="nb", rate=8).metric == "PESQ-nb@8k"
    assert (score("is", 2.0, splits=10).metric, score("is", 2.0, splits=10).better) == ("IS (10 splits)", "higher")
    with pytest.raises(LookupError, match="'ub'"):
        score("pesq", 1.0, "ub", band="ub", rate=8)
    with pytest.raises(LookupError, match="'fdd'"):
        catalogue.metric("fdd")


def test_a_score_for_each_variant_in_turn():
    """Precision and recall of one k stand together."""
    found = scores(
        {key: measured(key, 0.5, ("k5", "k3"), k=1) for key in ("precision", "recall")} | {"is": measured("is", 2.0, splits=1)}, None
    )
    assert [each.id for each in found] == ["precision-k5", "recall-k5", "precision-k3", "recall-k3", "is"]


def test_each_reported_metric_is_a_metric():
    assert set(catalogue.REPORTED.values()) <= set(catalogue.METRICS)
    assert catalogue.reported_name("fd") == "FID"
    assert catalogue.reported_name("recall-k5") == ""


def table(rows, layout):
    spec = {
        "paper": SOFT, "table": "F3", "layout": {"title": "t", "foot": []} | layout, "rows": rows, "steps": [50], "dataset": "digits",
        "metric": {"net": "efficientnet-lite0", "pixels": 32}, "n": 5, "seeds": 2,
    }  # fmt: skip
    found = [vars(score(key, value, variant, **more)) for key, value, variant, more in MEASURED for value in (value, value + 1)]
    record = {
        "shared": {"run": "blur", "sampler": "s", "fingerprint": "f0"},
        "records": [each | {"steps": 50, "nfe": 50, "n": 5, "seed": i % 2} for i, each in enumerate(found)],
    }
    return Sources(spec, ReportedNumbers(PAPERS / SOFT / "reported.csv"), [record])


# A metric, a value, its variant, and what its name has in it; names are no real ones.
MEASURED = [
    ("kid", 1.0, "", {"features": "a"}), ("fd", 3.0, "", {"features": "b"}),
    ("recall", 5.0, "k3", {"k": 3}), ("recall", 7.0, "k5", {"k": 5}),
]  # fmt: skip


def test_cells_of_records_have_ids_whatever_the_names():
    row = {"id": "blur", "label": "Any words, DDIM: FD", "run": "blur", "sampler": "s", "steps": [50]}
    sources = table([row], {"kind": "steps"})
    cells = {cell.metric_id: cell for cell in cells_of(sources, "unused")}
    assert {key: cell.value for key, cell in cells.items()} == {"kid": 1.5, "fd": 3.5, "recall-k3": 5.5, "recall-k5": 7.5}
    assert {(cell.row_id, cell.column_id) for cell in cells.values()} == {("blur", "50")}
    assert cells["fd"].metric == "b"
    column = {"id": "c", "head": "FD", "metric": "recall-k5"}
    found = measured_cell(sources, row, column)
    assert (found.value, found.metric_id, found.column_id, found.column) == (7.5, "recall-k5", "c", "FD")


def test_the_ids_of_a_cell_are_the_last_columns_of_its_line():
    cell = Cell("p", "T", "a name", "a head", row_id="a", column_id="6", metric_id="pesq-nb")
    assert cell.line()[-3:] == ["a", "6", "pesq-nb"]
