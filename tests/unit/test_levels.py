"""Chosen levels as a schedule file, how they are chosen, and the table that shows them."""

import re
from pathlib import Path

import pytest
import torch
from job_files import run_job

from difftables.common import registry
from difftables.common.files import read_json, save_tensors
from difftables.config.job_specs import LevelsSpec, TableSpec
from difftables.data import READERS
from difftables.diffusion import operator_levels
from difftables.diffusion.level import Level
from difftables.diffusion.schedule_file import read_nodes, read_schedules, write_schedules
from difftables.diffusion.training_schedules import TRAINING_SCHEDULES
from difftables.papers.numbers import Number
from difftables.planning import plan
from difftables.report.kinds import KINDS
from difftables.report.kinds.course import TIMES, at_time, course, tiled
from difftables.report.make_page import make_page
from difftables.report.sources import Sources

ROOT = Path(__file__).parents[2]
SCHEDULE = {
    "family": "soft-scheduled", "steps": 40, "lowest": 0.02, "highest": 0.2, "reached": 0.25, "weakest": 0.01, "strongest": 2.875,
    "candidates": 48, "nodes": 8, "images": 60,
}  # fmt: skip
UNIFORM = {"family": "soft", "steps": 40, "lowest": 0.02, "highest": 0.2, "reached": 0.25, "weakest": 1.0, "strongest": 5.0}
VP = {"family": "linear", "steps": 1000, "first": 1e-4, "last": 0.02}


def soft_levels():
    return operator_levels.schedule_of_nodes(torch.tensor([0.1, 1 / 3, 2.0], dtype=torch.float64), 0.02, 0.2, 0.25)


def test_a_schedule_file_with_operators_round_trips(tmp_path):
    found = soft_levels()
    write_schedules(tmp_path / "s.csv", {3: found})
    lines = (tmp_path / "s.csv").read_text().splitlines()
    assert lines[0] == "steps,level,alpha,std,strength,beta"
    assert lines[1] == "3,0,1,0.20000000000000001,2,"
    assert lines[-1] == "3,3,1,0,0,"
    (again,) = read_schedules(tmp_path / "s.csv").values()
    for name in ("alpha", "std", "strength"):
        assert torch.equal(getattr(again, name), getattr(found, name))


def test_a_schedule_file_without_operators_is_what_it_was(tmp_path):
    schedule = Level(*(torch.tensor(values, dtype=torch.float64) for values in ([0.25, 0.5, 1.0], [0.875, 0.5, 0.0])))
    write_schedules(tmp_path / "s.csv", {2: schedule})
    assert (tmp_path / "s.csv").read_text() == "steps,level,alpha,std,beta\n2,0,0.25,0.875,0.75\n2,1,0.5,0.5,0.75\n2,2,1,0,\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alpha,std,strength\n1,0.2,-1\n1,0,0\n", "strength not negative"),
        ("alpha,std,strength\n1,0.2,nan\n1,0,0\n", "finite"),
        ("alpha,std,strength\n1,0.2,2\n1,0,1\n", "last level"),
        ("alpha,std,strength\n1,0.2,1\n1,0.2,2\n1,0,0\n", "level 1"),
        ("alpha,std\n1,0.2\n1,0\n", "column strength"),
    ],
)
def test_bad_files_of_levels_are_named(tmp_path, text, message):
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(ValueError, match=rf"bad\.csv.*{message}"):
        read_nodes(tmp_path / "bad.csv")


def test_nodes_lie_evenly_in_time_between_the_ends():
    """t = 1, 1/2, 0; noise is at its maximum from t = 1/4 on."""
    found = soft_levels()
    torch.testing.assert_close(found.strength, torch.tensor([2.0, 1 / 3, 0.1, 0.0], dtype=torch.float64), rtol=0, atol=0)
    torch.testing.assert_close(found.std, torch.tensor([0.2, 0.2, 0.02, 0.0], dtype=torch.float64))


DISTANCES = torch.tensor(
    [[0.0, 0.1, 0.3, 0.9], [0.1, 0.0, 0.5, 0.14315], [0.3, 0.5, 0.0, 0.2], [0.9, 0.14315, 0.2, 0.0]], dtype=torch.float64
)


def test_the_smallest_longest_edge_of_any_path():
    """0-1-3: max(0.1, 0.14315); 0-2-3: 0.3; 0-1-2-3: 0.5; 0-3: 0.9."""
    assert operator_levels.smallest_edge(DISTANCES) == 0.14315
    assert operator_levels.shortest_path(DISTANCES, 0.14315) == [0, 1, 3]
    assert operator_levels.shortest_path(DISTANCES, 0.1431) == []
    assert operator_levels.smallest_edge(torch.tensor([[0.0, 2.0], [2.0, 0.0]])) == 2


def test_an_epsilon_stands_in_place_of_bisection():
    assert operator_levels.choose_path(DISTANCES, 4, 0.2) == ([0, 1, 3], 0.2)
    with pytest.raises(ValueError) as error:
        operator_levels.choose_path(DISTANCES, 4, 0.01)
    numbers = [float(number) for number in re.findall(r"\d+\.\d+", str(error.value))]
    assert numbers == [0.01, 0.1432]
    typed = numbers[1]
    assert operator_levels.choose_path(DISTANCES, 4, typed) == ([0, 1, 3], typed)
    with pytest.raises(ValueError, match=r"epsilon.* 0\.00001432 "):
        operator_levels.choose_path(DISTANCES * 1e-4, 4, 1e-9)


@pytest.mark.parametrize(
    ("annotation", "value", "fits"),
    [
        ("Positive", 1, True), ("Positive", 0.5, True), ("Positive", 0, False), ("Positive", -0.1, False), ("Positive", True, False),
        ("Positive", "1", False), ("Positive", None, False), ("Positive", float("inf"), False), ("Positive", float("nan"), False),
        ("Positive | None", None, True), ("Positive | None", 0.5, True), ("Positive | None", 0.0, False),
    ],
)  # fmt: skip
def test_numbers_above_zero(annotation, value, fits):
    assert registry.fits(annotation, value) is fits


def test_epsilon_is_an_argument_that_may_be_left_out():
    assert registry.arguments("diffusion.training_schedules.TRAINING_SCHEDULES", "soft-scheduled")["epsilon"] == ("Positive | None", True)
    assert registry.arguments("diffusion.training_schedules.TRAINING_SCHEDULES", "exploding")["lowest"] == ("Positive", False)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A data set of 80 digits, 20 of them held out."""
    images, labels = READERS["digits"](8, 1)
    path = tmp_path_factory.mktemp("data") / "digits.safetensors"
    held = torch.arange(80) >= 60
    save_tensors(path, {"images": images[:80], "labels": labels[:80], "held_out": held}, {"kind": "data"})
    return path


def choose(folder, digits, **changes):
    """Run the job, as its rule does; the folder of what it wrote."""
    spec = LevelsSpec(
        data={"reader": "digits", "size": 8, "channels": 1, "held_out": 20}, schedule=SCHEDULE | changes, corruption="blur",
        levels="digits-blur-blur", dataset="digits",
    )  # fmt: skip
    out = {name: f"{folder}/levels.{suffix}" for name, suffix in (("levels", "csv"), ("record", "json"), ("png", "png"), ("svg", "svg"))}
    run_job("levels", spec, {"data": digits}, out)
    return folder


def test_the_job_writes_a_schedule_its_record_and_the_same_plot_twice(tmp_path, digits, capsys):
    folder, again = (choose(tmp_path / name / "soft_diffusion/blur", digits) for name in ("one", "two"))
    assert capsys.readouterr().out.startswith("8 of 48 levels, edges up to ")
    record = read_json(folder / "levels.json")["record"]
    nodes = read_nodes(folder / "levels.csv")
    assert nodes.tolist() == record["nodes"]
    assert (nodes[0], nodes[-1], len(nodes), len(record["edges"])) == (0.01, 2.875, 8, 7)
    assert max(record["edges"]) <= record["longest"]
    (schedule,) = read_schedules(folder / "levels.csv").values()
    assert torch.equal(schedule.strength[:-1].flip(0), nodes)
    assert (schedule.std[0].item(), schedule.std[-2].item()) == pytest.approx((0.2, 0.02))
    for suffix in ("csv", "png", "svg"):
        assert (folder / f"levels.{suffix}").read_bytes() == (again / f"levels.{suffix}").read_bytes()


def test_the_job_takes_an_epsilon_or_says_what_would_do(tmp_path, digits, capsys):
    longest = read_json(choose(tmp_path, digits) / "levels.json")["record"]["longest"]
    capsys.readouterr()
    record = read_json(choose(tmp_path, digits, epsilon=longest) / "levels.json")["record"]
    assert (len(record["nodes"]), record["longest"]) == (8, longest)
    with pytest.raises(ValueError, match=r"epsilon = 0\.001\b.* 0\.\d+ "):
        choose(tmp_path, digits, epsilon=0.001)


def test_training_on_chosen_levels_is_linear_between_the_candidates_themselves(tmp_path, digits):
    folder = choose(tmp_path, digits)
    grid = torch.linspace(0.01, 2.875, 48, dtype=torch.float64)
    nodes = grid[[int((grid - node).abs().argmin()) for node in read_json(folder / "levels.json")["record"]["nodes"]]]
    options = {key: value for key, value in SCHEDULE.items() if key != "family"}
    found = TRAINING_SCHEDULES["soft-scheduled"](**options, levels=folder / "levels.csv")
    wanted = operator_levels.interpolated_schedule(nodes, 40, 0.02, 0.2, 0.25)
    assert torch.equal(found.strength, wanted.strength)
    assert torch.equal(found.std, wanted.std)


def test_times_of_a_schedule_begin_at_its_least_corrupted_level():
    schedule = Level.variance_exploding(torch.tensor([4.0, 3.0, 2.0, 1.0, 0.0]))
    assert [at_time(schedule, t).std.item() for t in (0.0, 0.25, 0.5, 1.0)] == [1, 1, 2, 4]


def spec_of(runs):
    rows = [{"id": name, "label": f"row {name}", "run": name if name in runs else None, "part": name} for name in ("blur", "vp", "gone")]
    courses = {name: {"schedule": schedule, "corruption": how, "levels": name} for name, (schedule, how) in runs.items()}
    return {
        "paper": "p", "table": "F6", "layout": {"title": "Noise and blur", "kind": "course", "foot": ["A note."]}, "rows": rows,
        "courses": courses, "run": next(iter(runs), None), "dataset": "digits", "scale": "laptop", "steps": [], "seeds": 1,
        "train_seeds": 1, "metric": {}, "n": 1,
    }  # fmt: skip


def test_a_course_has_noise_and_strength_of_each_row(digits):
    """Strength 1 + 4 t, t = i / 40; noise 0.02 (10)^min(4 t, 1); VP at t = 1/2: alpha_bar = 0.0785872."""
    rendered = KINDS["course"](Sources(spec_of({"blur": (UNIFORM, "blur"), "vp": (VP, "scale")}), None, data=digits))
    cells = {(c.row, c.column, c.metric): c for c in rendered.cells}
    assert len(cells) == 3 * len(TIMES) * 2
    blur = [cells["row blur", name, "strength"].value for name in TIMES]
    assert blur == pytest.approx([1.1, 1.5, 2.0, 3.0, 4.0, 5.0])
    assert cells["row blur", "t = 1/8", "std"].value == pytest.approx(0.02 * 10**0.5)
    assert cells["row vp", "t = 1/2", "std"].value == pytest.approx((1 - 0.0785872) ** 0.5, rel=1e-5)
    assert cells["row vp", "t = 1", "strength"].value == 0
    assert {c.status for c in rendered.cells} == {"closed-form", "not-run"}
    assert {c.status for c in rendered.cells if c.row == "row gone"} == {"not-run"}
    assert not any(c.better for c in rendered.cells)
    assert [line[0] for line in rendered.grid.lines[:2]] == ["row blur: noise", "row blur: strength"]
    assert rendered.draw() is not None


def test_a_course_without_runs_has_no_figure():
    rendered = course(Sources(spec_of({}), None))
    assert rendered.draw is None
    assert {c.status for c in rendered.cells} == {"not-run"}


def test_the_table_finds_a_runs_levels_by_their_folder(tmp_path, digits):
    folder = choose(tmp_path / "levels" / "soft" / "blur", digits)
    (tmp_path / "reported.csv").write_text(f"{','.join(Number.model_fields)}\np,T,r,d,,,,,,FID,1,,,s\n")
    spec = spec_of({"blur": (SCHEDULE, "blur")})
    spec["courses"]["blur"]["levels"] = "soft/blur"
    spec = TableSpec.model_validate(spec)
    made, _ = make_page(spec, {"reported": [tmp_path / "reported.csv"], "data": [digits], "levels": [folder / "levels.csv"]})
    text = made.markdown()
    assert "Measured at scale" not in text
    assert "nothing is measured but levels chosen on `digits`" in text
    assert "row blur: 8 strengths chosen on the data" in text
    assert "| row gone: noise | not run |" in text


def test_tiles_of_images_in_grey_and_in_colour():
    grey, colour = (torch.zeros(2, 3, channels, 8, 8, dtype=torch.uint8) for channels in (1, 3))
    assert tiled(grey).shape == (2 * 52, 3 * 52)
    assert tiled(colour).shape == (2 * 52, 3 * 52, 3)
    assert tiled(grey)[0, 0] == 255
    assert tiled(grey)[10, 10] == 0


def test_a_plan_gives_the_table_each_file_of_levels_once(monkeypatch):
    monkeypatch.chdir(ROOT)
    found = plan.read("laptop")
    courses = [
        (paper, name) for paper, tables in found.params.tables.items() for name in tables if found.layouts[paper][name]["kind"] == "course"
    ]
    files = {table: found.table_inputs(*table) for table in courses}
    wanted = {table: [path for row in found.rows(*table) for path in found.level_inputs(row["run"]).get("levels", [])] for table in courses}
    assert {table: each["levels"] for table, each in files.items()} == {table: list(dict.fromkeys(each)) for table, each in wanted.items()}
    assert any(files[table]["levels"] for table in courses)
    assert all(each["data"] == ["results/laptop/store/data/digits.safetensors"] for each in files.values())
