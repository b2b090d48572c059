"""Soft Diffusion in params.yaml: what is refused before any job, what shares a file, and the parts of its tables."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml

from difftables.common.errors import ConfigError
from difftables.diffusion.level import Level
from difftables.diffusion.schedule_file import check_schedule
from difftables.papers.reported import ReportedNumbers, source_of
from difftables.planning import params, plan
from difftables.report.cells import Cell
from difftables.report.figures import STYLES, Line, colours_of
from difftables.report.kinds.steps import elsewhere, steps
from difftables.report.kinds.summary import summary
from difftables.report.latex import tabular
from difftables.report.printing import markdown
from difftables.report.sources import Sources

ROOT = Path(__file__).parents[2]
PAPER = ROOT / "workflow/papers/soft_diffusion"
METRIC = "FD-effnetlite0@32"


@pytest.fixture
def edited(rewritten, monkeypatch):
    """The plan of params.yaml with some places, "a/b/c", changed, made in the repository's root."""
    monkeypatch.chdir(ROOT)
    return lambda *changes, scale="laptop": plan.Workflow(params.load(rewritten(*changes), scale))


def refused(make, *changes):
    """The one line that a plan is refused with."""
    with pytest.raises(ConfigError, match=r"^[^\n]*$") as error:
        make(*changes)
    return str(error.value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("blur/lowest", 0.0, "schedules.blur has lowest = 0.0, which is no Positive"),
        ("exploding/lowest", 0.0, "schedules.exploding has lowest = 0.0, which is no Positive"),
        ("blur/highest", -0.2, "schedules.blur has highest = -0.2, which is no Positive"),
        ("uniform/reached", 0.0, "schedules.uniform has reached = 0.0, which is no Rate"),
        ("blur/epsilon", 0.0, "schedules.blur has epsilon = 0.0, which is no Positive | None"),
        ("blur/lowest", 0.2, "schedules.blur has lowest = 0.2 and highest = 0.2; the noise must grow with time"),
        ("exploding/lowest", 30.0, "schedules.exploding has lowest = 30 and highest = 20; the noise must grow with time"),
        ("blur/weakest", 2.875, "schedules.blur has weakest = 2.875 and strongest = 2.875; the operator must grow with time"),
        ("uniform/weakest", 3.0, "schedules.uniform has weakest = 3 and strongest = 2.875; the operator must grow with time"),
        ("blur/nodes", 257, "schedules.blur has nodes = 257, which is not between 2 and its 256 candidates"),
        ("blur/nodes", 1, "schedules.blur has nodes = 1, which is not between 2 and its 256 candidates"),
        ("blur/candidates", 31, "schedules.blur has nodes = 32, which is not between 2 and its 31 candidates"),
        ("blur/node", 32, "schedules.blur has no argument 'node'; did you mean 'nodes'?"),
        ("uniform/nodes", 32, "schedules.uniform has no argument 'nodes'; there is lowest"),
        ("blur/images", KeyError, "schedules.blur lacks the argument 'images'"),
        ("blur/levels", "my.csv", "schedules.blur has no argument 'levels'; there is lowest"),
        ("blur/strongest", 9.0, "schedules.blur.strongest is 9 px, but the images of run 'blur' are 8 px wide; lower it"),
        ("mask/strongest", 8.1, "schedules.mask.strongest is 8.1 px, but the images of run 'mask' are 8 px wide; lower it"),
    ],
)
def test_a_soft_schedule_that_cannot_be_is_one_line(edited, key, value, message):
    assert message in refused(edited, (f"soft_diffusion/schedules/{key}", value))


def test_an_operator_as_wide_as_the_image_and_as_many_nodes_as_candidates_will_do(edited):
    found = edited(
        ("soft_diffusion/schedules/blur/strongest", 8.0),
        ("soft_diffusion/schedules/mask/nodes", 256),
        ("soft_diffusion/schedules/quiet/nodes", 2),
    )
    assert [found.train_spec(f"soft_diffusion/{name}", "0").run.schedule.nodes for name in ("blur", "mask", "quiet")] == [32, 256, 2]
    wide = edited(("soft_diffusion/schedules/exploding/highest", 180.0))  # no operator, so nothing to fit into the image
    assert wide.train_spec("soft_diffusion/exploding", "0").run.schedule.highest == 180.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([("soft_diffusion/runs/blur/corruption", "blurr")], "runs.blur.corruption is 'blurr'; did you mean 'blur'?"),
        ([("soft_diffusion/runs/blur/loss_through", "corrupt")], "runs.blur.loss_through is 'corrupt'; did you mean 'corrupted'?"),
        ([("soft_diffusion/runs/blur/prior", "smooth_gausian")], "runs.blur.prior is 'smooth_gausian'; did you mean 'smooth_gaussian'?"),
        ([("soft_diffusion/samplers/from-noise/prior", "noise")], "samplers.from-noise.prior is 'noise'; did you mean 'noise_alone'?"),
        (
            [("soft_diffusion/samplers/naive/schedule", "trailling")],
            "samplers.naive has schedule 'trailling', neither a .csv file nor known; did",
        ),
        (
            [("soft_diffusion/runs/blur/objective", {"kind": "hybrid"}), ("soft_diffusion/runs/blur/net", "improved_ddpm/width-3")],
            "runs.blur has objective hybrid, a bound of plain noise; with corruption blur set it to simple",
        ),
        (
            [("soft_diffusion/runs/mask/objective", "vlb"), ("soft_diffusion/runs/mask/net", "improved_ddpm/width-3")],
            "runs.mask has objective vlb, a bound of plain noise; with corruption mask set it to simple",
        ),
        (
            [("soft_diffusion/runs/exploding/schedule", "soft_diffusion/uniform")],
            "runs.exploding has corruption 'scale', but the operator grows with its schedule 'uniform'; change one of them",
        ),
        (
            [("soft_diffusion/runs/mask/schedule", "exploding")],
            "runs.mask has corruption 'mask', but the operator stays the identity with its schedule 'exploding'; change one of them",
        ),
        ([("soft_diffusion/schedules/blur/images", 0)], "schedules.blur has images = 0, which is no Count"),
        ([("noise_estimation/runs/voice/prior", "smooth_gaussian")], "runs.voice.prior is smooth_gaussian, which is made from images"),
    ],
)
def test_a_soft_run_or_sampler_that_cannot_be_is_one_line(edited, changes, message):
    assert message in refused(edited, *changes)


@pytest.mark.parametrize(
    ("key", "value"),
    [("schedule", "fitted"), ("schedule", "searched"), ("schedule", "frozen"), ("adapt", "oracle"), ("adapt", "estimator")],
)
def test_noise_is_not_adjusted_where_an_operator_acts(edited, key, value):
    """Though the run has all that an adjustment needs."""
    own = yaml.safe_load((ROOT / "workflow/papers/noise_estimation/params.yaml").read_text())["runs"]["digits"]
    runs = [(f"soft_diffusion/runs/blur/{part}", own[part]) for part in ("estimator", "adjust", "oracle")]
    message = refused(edited, *runs, (f"soft_diffusion/samplers/naive/{key}", value))
    assert all(name in message for name in ("samplers.naive", "'blur'", "trailing", "strided", "even"))
    edited(*runs)


def test_a_table_whose_row_adjusts_noise_on_a_soft_run_is_refused(edited):
    """Bound to the wrong run: the table's samplers are others'."""
    message = refused(edited, ("noise_estimation/tables/T2", {"run": "soft_diffusion/blur", "steps": [3]}))
    assert all(name in message for name in ("-fitted", "corruption 'blur'", "'soft_diffusion/blur'"))


@pytest.mark.parametrize(
    ("rule", "message"),
    [("momentun", "rule is 'momentun'; did you mean 'momentum'?"), ("ddpm-learned", "rule is 'ddpm-learned'; did")],
)
def test_a_row_of_the_gaussian_problem_with_an_unknown_rule_is_refused(monkeypatch, tmp_path, rule, message):
    shutil.copytree(ROOT / "workflow", tmp_path / "workflow")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "workflow/papers/soft_diffusion/tables.yaml"
    layout = yaml.safe_load(path.read_text())
    layout["gaussian"]["rows"][1]["rule"] = rule
    path.write_text(yaml.safe_dump(layout))
    found = refused(plan.Workflow, params.load(ROOT / "params.yaml", "laptop"))
    assert "workflow/papers/soft_diffusion/tables.yaml: " in found
    assert message in found


def test_a_level_without_noise_before_the_end_is_refused():
    """Its operator alone would leave sigma 0 to divide by."""
    std, strength = (torch.tensor(values, dtype=torch.float64) for values in ([0.2, 0.1, 0.0, 0.0], [3.0, 2.0, 1.0, 0.0]))
    with pytest.raises(ValueError, match=r"^mine: level 2 has std = 0 before the end; every corrupted level needs some noise$"):
        check_schedule(Level.variance_exploding(std, strength), "mine")
    check_schedule(Level.variance_exploding(std + torch.tensor([0, 0, 1e-9, 0]), strength), "mine")


def test_runs_with_one_data_set_schedule_and_corruption_share_their_levels(edited):
    found = edited()
    shared = found.level_inputs("soft_diffusion/blur")
    assert shared == {"levels": ["results/laptop/store/schedules/levels/soft_diffusion/digits-blur-blur/levels.csv"]}
    assert found.level_inputs("soft_diffusion/direct") == found.level_inputs("soft_diffusion/plain-loss") == shared
    assert found.level_inputs("soft_diffusion/mask") == {
        "levels": ["results/laptop/store/schedules/levels/soft_diffusion/digits-mask-mask/levels.csv"]
    }
    assert found.level_inputs("soft_diffusion/uniform") == found.level_inputs("soft_diffusion/exploding") == {}
    for files in (
        found.train_inputs("soft_diffusion/direct"),
        found.sample_inputs("soft_diffusion/direct", "0", "soft_diffusion/momentum"),
    ):
        assert files["levels"] == shared["levels"]
    assert "levels" not in found.train_inputs("soft_diffusion/uniform")


def test_levels_are_chosen_again_for_what_they_depend_on_alone(edited):
    name, own = "soft_diffusion/digits-blur-blur", edited().levels_spec("soft_diffusion/digits-blur-blur")
    assert (own.schedule.nodes, own.corruption, own.levels, own.dataset) == (32, "blur", name, "digits")
    for change in (
        ("soft_diffusion/runs/blur/train/lr", 0.5),
        ("soft_diffusion/runs/blur/loss_through", "plain"),
        ("soft_diffusion/schedules/mask/nodes", 5),
    ):
        assert edited(change).levels_spec(name) == own
    assert edited(("soft_diffusion/schedules/blur/nodes", 5)).levels_spec(name) != own


@pytest.mark.parametrize(
    ("styles", "in_turn"),
    [
        (["fixed"] * 4, True),
        (["fixed", "ddim", "fixed", "fixed"], True),
        (["fixed", "fitted", "adjusted", "adjusted-before"], False),
        (["ddim", "large", "small", "learned"], False),
    ],
)
def test_styles_give_colours_unless_they_tell_no_rows_apart(styles, in_turn):
    lines = [Line("a label", style, [1], [1.0], [0.0]) for style in styles]
    own = [STYLES[style][0] for style in styles]
    assert (colours_of(lines) != own) == in_turn
    assert len(set(colours_of(lines))) == (len(lines) if in_turn else len(set(own)))


def quote(row, value, count, where="p"):
    """A cell that quotes a paper."""
    cell = Cell("p", "T", row, str(count), steps=count, metric="FID", status="literature", row_id=row, metric_id="fid")
    cell.paper_value, cell.paper_source = str(value), f"[FID, CelebA] {where}"
    return cell


def test_what_a_paper_reports_at_other_step_counts_is_noted():
    cells = [
        quote("ours", 29.5, 50),
        quote("theirs", 14.6, 333),
        quote("theirs", 435, 67),
        quote("theirs", 3.9, 1000),
        quote("none", 1, ""),
    ]
    assert elsewhere(cells, [50, 1000]) == ["theirs: 435 at 67, 14.6 at 333."]
    assert elsewhere(cells, [50, 67, 333, 1000]) == []
    assert elsewhere(cells, []) == ["ours: 29.5 at 50.", "theirs: 435 at 67, 14.6 at 333, 3.9 at 1000."]


def record(run, sampler, values, calls):
    """A record of a run's sampler: a Frechet distance for each seed.  Args: values, calls: by step count, the latter of the net."""
    rows = [
        {"id": "fd", "metric": METRIC, "steps": count, "value": value, "nfe": calls[count], "unit": "", "better": "lower", "n": 50}
        for count, seeds in values.items() for value in seeds
    ]  # fmt: skip
    return {"shared": {"run": run, "sampler": sampler, "fingerprint": "f0", "machine": "m"}, "records": rows}


def sources(layout, rows, count, records=()):
    """A table of the paper on digits."""
    spec = {
        "paper": "soft_diffusion", "table": "T", "layout": {"title": "A title", "foot": ["A note."], **layout}, "rows": rows,
        "steps": count, "dataset": "digits", "metric": {"net": "efficientnet-lite0", "pixels": 32}, "n": 50, "seeds": 2,
    }  # fmt: skip
    floor = {"values": [0.5, 0.6], "reference": {"samples": 90}, "n": 90}
    return Sources(spec, ReportedNumbers(PAPER / "reported.csv"), list(records), floor=floor)


def test_a_layout_names_its_panels_and_gives_the_papers_curves_one():
    panels = {"blur": "here", "mask": "masks"}
    rows = [{"id": name, "label": f"{name}, row", "run": name, "sampler": "s", "steps": [50], "panel": panels[name]} for name in panels]
    theirs = {"id": "theirs", "label": "paper, NCSN++ (VE)", "paper": {"table": "F3", "row": "ncsn++ (digitised, +-3%)"}}
    layout = {"kind": "steps", "panels": ["here", "masks"], "paper_panel": "the paper", "literature": [theirs]}
    values = {50: [2.0, 2.2], 100: [1.0, 1.2]}
    records = [record(row["run"], "s", values, {50: 50, 100: 100}) for row in rows]
    rendered = steps(sources(layout, rows, [50, 100, 1000], records))
    here, masks, paper = rendered.draw().axes
    assert [axis.get_title() for axis in (here, masks, paper)] == ["here", "masks", "the paper"]
    curves = [
        {line.get_label(): line.get_xydata().tolist() for line in axis.lines if line.get_label()[0] != "_"} for axis in (here, masks, paper)
    ]
    assert set(curves[0]) == {"row", "real against real"}
    assert [len(axis.get_legend_handles_labels()[0]) for axis in (here, masks)] == [2, 2]  # rows, and real against real
    assert curves[1]["row"] == [[50, 2.1], [100, 1.1]]
    assert curves[2] == {"NCSN++ (VE)": [[67, 435], [333, 14.6], [1000, 3.9]]}
    assert rendered.grid.notes[-1] == "paper, NCSN++ (VE): 435 at 67, 14.6 at 333."
    text = markdown(rendered.grid)
    assert "| *paper, NCSN++ (VE)* |  |  | *3.9* |" in text
    assert "| blur, row | 2.10 ± 0.14 | 1.10 ± 0.14 |  |" in text.replace("not run", "")


def test_a_summary_shows_the_measured_number_of_calls():
    """99 calls in 50 steps, as a second-order sampler would make; the paper's numbers below."""
    runs = {"blur": "blur", "gone": None, "unmeasured": "mask"}
    rows = [{"id": name, "label": name, "run": run, "part": name, "sampler": "s", "steps": [50]} for name, run in runs.items()]
    rows[0]["paper"] = {"table": "T1", "row": "Ours (VE SDE + Blur)", "dataset": "CelebA"}
    columns = [{"id": "nfe", "head": "NFE", "metric": "nfe"}, {"id": "fd", "head": "FD", "metric": "fd"}]
    records = [record("blur", "s", {10: [9.0, 9.0], 50: [2.0, 2.2]}, {10: 200, 50: 99})]
    rendered = summary(sources({"kind": "summary", "columns": columns}, rows, [50], records))
    cells = {(cell.row, cell.metric): cell for cell in rendered.cells}
    calls = cells["blur", "NFE"]
    assert (calls.value, calls.status, calls.sd, calls.better, calls.paper_value) == (99, "measured", None, "", "")
    assert cells["blur", METRIC].nfe == 99
    assert {(cells[row, "NFE"].status, cells[row, "NFE"].value) for row in ("gone", "unmeasured")} == {("not-run", None)}
    text = markdown(rendered.grid)
    assert "| blur | 99 | 2.10 ± 0.14 |" in text
    assert "*paper: CelebA* |  | *1.85* |" in text
    assert "| gone | not run | not run |" in text
    assert "Real against real at N = 90: 0.55" in text


def test_a_summary_shows_how_the_calls_and_levels_of_samples_differ():
    """The same for all seeds: no sd over seeds, and no best row."""
    rows = [{"id": "blur", "label": "blur", "run": "blur", "part": "blur", "sampler": "s", "steps": [50]}]
    columns = [{"id": name, "head": name, "metric": name} for name in ("nfe-sd", "nfe-max", "level-sd", "level-floor", "fd")]
    found = record("blur", "s", {50: [2.0, 2.2]}, {50: 33.5})
    found["records"] = [each | {"nfe_sd": 4.5, "nfe_max": 51, "level_sd": 0.11, "level_floor": 0.088} for each in found["records"]]
    rendered = summary(sources({"kind": "summary", "columns": columns}, rows, [50], [found]))
    assert [(cell.metric_id, cell.value, cell.sd, cell.better) for cell in rendered.cells[:4]] == [
        ("nfe-sd", 4.5, None, ""), ("nfe-max", 51, None, ""), ("level-sd", 0.11, None, ""), ("level-floor", 0.088, None, ""),
    ]  # fmt: skip


def test_a_second_hand_number_is_unverified_wherever_it_stands(edited):
    reported = ReportedNumbers(PAPER / "reported.csv")
    told = {(each.table, each.value): source_of(each) for each in reported.numbers}
    assert [key for key, source in told.items() if source.startswith("unverified: second-hand")] == [("CIFAR-10", "3.86")]
    assert sum(source.startswith("unverified") for source in told.values()) == 1
    rendered = summary(Sources(edited().table_spec("soft_diffusion", "CIFAR-10").model_dump(), reported))
    (cell,) = [cell for cell in rendered.cells if cell.paper_value]
    assert cell.paper_source.startswith("[FID, CIFAR-10] unverified: second-hand")
    assert "*3.86 (unverified)*" in markdown(rendered.grid)
    assert r"\textit{3.86 (unverified)}" in tabular(rendered.grid)
