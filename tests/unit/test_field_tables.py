"""Tables of Stable Target Field from hand-made records: units, columns, what is selected, what was not run."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch

from difftables.common.errors import ConfigError
from difftables.common.files import save_tensors
from difftables.config.params_file import Params
from difftables.diffusion.level import Level
from difftables.papers.numbers import Number
from difftables.papers.reported import ReportedNumbers
from difftables.planning import params, plan
from difftables.report.kinds import KINDS
from difftables.report.kinds.phases import CLEAN, SHARE
from difftables.report.kinds.progress import LAST, SELECTED
from difftables.report.latex import tabular
from difftables.report.make_page import banner
from difftables.report.printing import markdown
from difftables.report.sources import Sources
from difftables.report.statistics import mark_best
from difftables.studies.target_by_level import mean_and_error, part_means, sigmas
from difftables.studies.target_phases import Curve, gaussians

ROOT = Path(__file__).parents[2]
METRIC = "FD-effnetlite0@32"


def sources(layout, rows, records=(), about=None, **more):
    spec = {
        "paper": "p", "table": "F", "layout": {"title": "t", "foot": ["A note."], **layout}, "rows": rows, "steps": [18], "run": "dsm",
        "dataset": "digits", "scale": "laptop", "metric": {"net": "efficientnet-lite0", "pixels": 32}, "n": 200, "seeds": 3,
        "train_seeds": 1, "about": about or {},
    }  # fmt: skip
    return Sources(spec, None, list(records), **more)


def level_record(sigma, variance, denoiser, bias=None, alpha=1.0, spread=0.1):
    parts = {
        "variance": [variance * (1 + spread * s) for s in (-1, 0, 1)],
        "denoiser": [denoiser * (1 + spread * s) for s in (-1, 0, 1)],
    }
    return {
        "sigma": sigma, "alpha": alpha, "std": alpha * sigma, "variance": [variance, 0.1 * variance], "denoiser": [denoiser, 0.0],
        "bias2": bias and [0.0, bias], "bias2_without_source": bias and [bias, bias], "parts": parts,
    }  # fmt: skip


def study(run, rows, references=1, seed=0):
    shared = {"run": run, "train_seed": seed, "dataset": "digits", "points": 40, "references": references, "samples": 32}
    return {"shared": shared | {"fingerprint": f"f-{run}-{seed}"}, "records": rows}


def row(label, run, **more):
    return {"id": slug(label), "label": label, "run": run, "part": run or "gone", "steps": []} | more


def slug(label):
    return label.lower().replace(" ", "-")


def test_variance_is_in_units_of_the_noise_and_in_scores():
    """sigma = 2: V / 4 and V / 16; alpha = 1/2, std = 1 is sigma = 2 as well, and V alpha^2 / std^4 = V / 4."""
    records = [
        study("dsm", [level_record(2.0, 8.0, 4.0), level_record(0.1, 1e-9, 1.0)]),
        study("stf", [level_record(2.0, 4.0, 2.0, bias=0.5, alpha=0.5), level_record(0.1, 1e-9, 2.0, bias=0.1)], 16),
    ]
    rows = [row("DSM", "dsm"), row("STF", "stf"), row("gone", None)]
    rendered = KINDS["variance"](sources({"kind": "variance"}, rows, records))
    cells = {(c.row, c.metric, c.column): c for c in rendered.cells}
    assert rendered.grid.head == ["", "0.1", "2"]
    dsm, stf = cells["DSM", "V", "2"], cells["STF", "V", "2"]
    assert (dsm.value, dsm.sd, dsm.n, dsm.seeds, dsm.run) == (2.0, pytest.approx(0.2), 32, "1x1", "f-dsm-0")
    assert dsm.values == pytest.approx([1.8, 2.0, 2.2])
    assert (cells["DSM", "V score", "2"].value, cells["STF", "V score", "2"].value) == (0.5, 1.0)
    assert (stf.value, cells["DSM", "D", "2"].value, cells["STF", "D", "2"].value) == (1.0, 1.0, 0.5)
    assert (cells["STF", "bias2", "2"].value, cells["STF", "bias2", "2"].sd) == (0.0, 0.125)
    assert cells["STF", "bias2 without source", "0.1"].value == pytest.approx(10.0)
    assert ("DSM", "bias2", "2") not in cells
    assert {(c.better, len(c.values)) for c in rendered.cells if "bias" in c.metric} == {("", 0)}
    assert {c.status for c in rendered.cells if c.row == "gone"} == {"not-run"}
    mark_best(rendered.cells)
    assert [cells[name, "V", "2"].verdict for name in ("DSM", "STF")] == ["", "best"]
    assert [cells[name, "D", "0.1"].verdict for name in ("DSM", "STF")] == ["best", ""]
    text = markdown(rendered.grid)
    assert "| DSM: variance of the target | < 1e-06 | 2.00 ± 0.20 |" in text
    assert "| STF: bias², source included | 0.000 ± 10.000 | 0.000 ± 0.125 |" in text
    assert "| gone: variance of the target | not run | not run |" in text
    assert "all 40 training images, never flipped; 32 noisy samples" in text
    assert r"\toprule" in tabular(rendered.grid)
    assert rendered.draw() is not None


def test_variance_over_training_seeds_is_their_mean_and_no_surer_than_one():
    records = [study("dsm", [level_record(1.0, 8.0, found)], seed=seed) for seed, found in enumerate((2.0, 4.0))]
    cells = {c.metric: c for c in KINDS["variance"](sources({"kind": "variance"}, [row("DSM", "dsm")], records)).cells}
    assert (cells["D"].value, cells["D"].seeds, cells["D"].run) == (3.0, "2x1", "f-dsm-0 f-dsm-1")
    assert cells["D"].values == pytest.approx([2.0, 4.0])
    assert cells["V"].sd == pytest.approx(0.8)
    # The variance of a target asks no net: two trainings are no two measurements of it.
    assert (cells["V"].seeds, cells["V"].values) == ("1x1", pytest.approx([7.2, 8.0, 8.8]))


def test_variance_without_runs_has_no_figure():
    rendered = KINDS["variance"](sources({"kind": "variance"}, [row("DSM", None)]))
    assert rendered.draw is None
    assert {c.status for c in rendered.cells} == {"not-run"}


def test_levels_of_the_study_stay_within_the_schedule():
    ends = {(0.01, 100.0): (0.05, 20.0), (0.2, 5.0): (0.2, 5.0), (1e-3, math.inf): (0.05, 20.0)}
    for (lowest, highest), wanted in ends.items():
        schedule = Level.variance_exploding(torch.tensor([highest, lowest, 0.0], dtype=torch.float64))
        found = sigmas(schedule, 5)
        assert (found[0].item(), found[-1].item()) == pytest.approx(wanted)
        torch.testing.assert_close(found[1:] / found[:-1], (found[1] / found[0]).expand(4))


def test_means_of_parts_average_to_the_mean():
    values = torch.arange(64.0)
    assert len(part_means(values)) == 16
    assert sum(part_means(values)) / 16 == mean_and_error(values)[0] == 31.5
    assert part_means(values[:9]) == values[:9].tolist()


@pytest.fixture
def digits(tmp_path):
    """Twenty images of one pixel, black or white, and four held out."""
    path = tmp_path / "d.safetensors"
    images = (255 * (torch.arange(24) % 2)).to(torch.uint8).reshape(24, 1, 1, 1)
    save_tensors(path, {"images": images, "labels": torch.zeros(24), "held_out": torch.arange(24) >= 20}, {"kind": "data"})
    return path


PHASES = [row("two points", "dsm", points="two"), row("Gaussians", "dsm", points="gaussians"), row("digits", "dsm", points="data")]


def test_phases_of_two_points_and_of_images_that_are_two_points(digits):
    """V in x0 space is E sech^2(x / sigma^2); the largest in scores is 1.1305 at 0.5465. Black and white pixels are -1 and 1."""
    problem = {"points": 40, "dimensions": 3, "width": 1e-4}
    rendered = KINDS["phases"](sources({"kind": "phases", "problem": problem}, PHASES, data=digits))
    cells = {(c.row, c.metric_id, c.column): c for c in rendered.cells}
    one = cells["two points", CLEAN, "1"]
    assert (one.value, one.status, one.sd, one.run) == (pytest.approx(0.4496, abs=1e-5), "closed-form", None, "")
    assert cells["two points", SHARE, "1"].value == pytest.approx(0.4496 / 1.1305, abs=1e-4)
    for label in ("Gaussians", "digits"):
        found = cells[label, CLEAN, "1"]
        assert found.value == pytest.approx(0.4496, abs=4 * found.sd)
        assert (found.status, found.n, found.seeds, len(found.run)) == ("estimated", 512, "1x1", 16)
    assert (cells["digits", SHARE, "1"].dataset, cells["Gaussians", SHARE, "1"].dataset) == ("digits", "")
    text = markdown(rendered.grid)
    assert "two points (2 points): V is largest at σ = 0.546, 1.13; the middle phase begins at σ = 0.287 and ends at σ = 1.58." in text
    assert "digits (20 points)" in text
    assert "Shaded in the plot: the phases of digits." in text
    assert len(rendered.grid.head) == 10
    assert rendered.draw() is not None


def test_phases_without_data_say_so():
    rendered = KINDS["phases"](sources({"kind": "phases"}, [PHASES[0], PHASES[2]]))
    assert {c.status for c in rendered.cells if c.row == "digits"} == {"not-run"}


def test_a_maximum_at_the_end_has_no_phase_beyond():
    """Shares 1, 1/16, ...: a tenth is 0.96 of the way to the second."""
    sigma = torch.tensor([1.0, 2.0, 4.0, 8.0], dtype=torch.float64)
    assert Curve(sigma, torch.ones(4, dtype=torch.float64)).edges() == (None, pytest.approx(2**0.96))


def test_gaussians_are_around_two_opposite_points():
    data = gaussians(1000, 4, 0.01)
    assert data[:500].mean(0).tolist() == pytest.approx([-0.5] * 4, abs=0.002)
    assert data[500:].mean(0).tolist() == pytest.approx([0.5] * 4, abs=0.002)
    assert data[:500].std(0).tolist() == pytest.approx([0.01] * 4, rel=0.1)


def test_the_banner_of_phases_speaks_of_data_alone():
    spec = sources({"kind": "phases"}, PHASES).spec
    assert banner(spec).startswith("**Measured on the training images of `digits`, scale `laptop`**")
    assert "Nothing is trained" in banner(spec)
    assert "made points alone" in banner(spec | {"run": None})


def checkpoint(run, values):
    records = [
        {"steps": 18, "id": "fd", "metric": METRIC, "value": v, "nfe": 35, "unit": "", "better": "lower", "n": 200, "failed": None}
        for v in values
    ]
    return {"shared": {"run": run, "sampler": "heun", "fingerprint": f"f-{run}", "machine": "here"}, "records": records}


def progress(**more):
    runs = {"dsm-150": [9.0, 8.0, 10.0], "dsm-300": [7.0, 4.0, 7.0], "dsm": [5.0, 6.0, 7.0], "stf-300": [3.0, 3.5, 4.0], "stf": [2, 3, 1]}
    about = {run: {"steps": {"150": 150, "300": 300}.get(run[4:], 600), "schedule": "ve", "lr": 0.001} for run in runs}
    rows = [row(run[:3].upper(), run, sampler="heun", steps=[18]) for run in runs]
    rows += [row("gone", None, sampler="heun", steps=[18], at=150), row("lost", None, sampler="heun", steps=[])]
    rows = [each | {"line": each["id"]} for each in rows]
    files = [checkpoint(run, values) for run, values in runs.items()]
    floor = {"values": [1.0, 2.0], "reference": {"samples": 1437}, "n": 200}
    return KINDS["progress"](sources({"kind": "progress"}, rows, files, about, floor=floor, **more))


def test_progress_has_the_mean_of_the_last_checkpoint_beside_the_smallest_of_all():
    rendered = progress()
    cells = {(c.row, c.column): c for c in rendered.cells}
    assert rendered.grid.head == ["", "150", "300", "600", LAST, SELECTED]
    assert [line[0] for line in rendered.grid.lines] == ["DSM", "STF", "gone", "lost"]
    assert [cells["DSM", column].value for column in ("150", "300", "600", LAST)] == [9, 6, 6, 6]
    best = cells["DSM", SELECTED]
    assert (best.value, best.metric, best.better, best.sd, best.values) == (4.0, f"{METRIC}, selected", "", None, [])
    assert (best.run, best.status, best.seeds) == ("f-dsm-300", "measured", "1x1")
    assert cells["DSM", LAST].values == [5.0, 6.0, 7.0]
    mark_best(rendered.cells)
    # log 2/5, log 3/6, log 1/7: t = -3.1 with two degrees of freedom, which tells nothing; a selected value is never judged.
    assert (cells["STF", LAST].verdict, cells["STF", SELECTED].verdict, cells["DSM", "150"].verdict) == ("", "", "")
    text = markdown(rendered.grid)
    assert "| gone | not run |  |  | not run | not run |" in text
    assert "| lost |  |  |  | not run | not run |" in text
    assert "never compared: DSM, step 300, value 2 of 3; STF, step 600, value 3 of 3." in text
    assert "Nets: schedule ve, lr 0.001." in text
    assert "Real against real at the same N: 1.50" in text
    assert rendered.draw() is not None


def test_progress_quotes_the_paper(tmp_path):
    (tmp_path / "r.csv").write_text(f"{','.join(Number.model_fields)}\np,F4,STF,CIFAR-10,,,,heun,35,FID,1.9,,lower,printed\n")
    found = sources({"kind": "progress", "quotes": [{"id": "stf", "label": "STF", "paper": {"table": "F4", "row": "STF"}}]}, [])
    found.reported = ReportedNumbers(tmp_path / "r.csv")
    rendered = KINDS["progress"](found)
    assert rendered.grid.notes[-1] == "Paper, STF: 1.9 (CIFAR-10)."
    assert [c.paper_value for c in rendered.cells] == ["1.9"]
    assert rendered.draw is None


def test_the_plan_knows_the_tables_and_the_study(rewritten, monkeypatch, tmp_path):
    shutil.copytree(ROOT / "workflow", tmp_path / "workflow")
    monkeypatch.chdir(tmp_path)
    sampler = "momentum"
    rows = {
        "variance": {"run": "exploding"},
        "phases": {"points": "data"},
        "progress": {"run": "exploding", "sampler": sampler, "line": "a"},
    }
    layouts = {kind: {"title": "t", "kind": kind, "rows": [{"id": "a", "label": "a"} | row], "foot": []} for kind, row in rows.items()}
    layouts["phases"]["problem"] = {"points": 40, "dimensions": 3, "width": 1e-4}
    bound = {kind: {"run": "exploding", "steps": [8]} for kind in layouts}
    Path("workflow/papers/soft_diffusion/tables.yaml").write_text(json.dumps(layouts))
    Path("workflow/papers/soft_diffusion/claims.yaml").write_text("[]")
    found = plan.Workflow(params.load(rewritten(("soft_diffusion/tables", bound)), "laptop"))
    store = "results/laptop/store"
    files = {kind: found.table_inputs("soft_diffusion", kind) for kind in layouts}
    assert files["variance"]["records"] == [f"{store}/studies/soft_diffusion/exploding/s0/variance.json"]
    assert files["phases"]["data"] == [f"{store}/data/digits.safetensors"]
    assert files["progress"]["records"] == [f"{store}/records/soft_diffusion/exploding/s0/{sampler}.json"]
    assert files["progress"]["floor"] == [f"{store}/records/reference/digits.json"]
    for kind in ("variance", "progress"):
        assert list(found.table_spec("soft_diffusion", kind).about) == ["soft_diffusion/exploding"]
    spec = found.variance_spec("soft_diffusion/exploding", "0")
    assert spec.evaluation.model_dump() == {"variance_levels": 10, "variance_n": 512}
    assert "target" in type(spec.run).model_fields


def test_the_study_takes_some_levels_and_samples(rewritten):
    for key, least in (("variance_levels", 2), ("variance_n", 8)):
        with pytest.raises(ConfigError, match=f"evaluation.images.{key}"):
            params.load(rewritten((f"evaluation/images/{key}", least - 1)), "laptop")
    assert isinstance(params.load(ROOT / "params.yaml", "paper"), Params)
