"""`check` on a made-up results folder: every file that is edited is named, with the cell or line."""

import json
import os
import re
from pathlib import Path

import pytest

from difftables.commands import check
from difftables.common.files import sha256, write_json, write_text
from difftables.planning.plan import read
from difftables.report import recompute
from difftables.report.cells import Cell
from difftables.report.page import Page, from_plain
from difftables.report.printing import Grid
from difftables.report.statistics import mark_best

ROOT = Path(__file__).parents[2]
TABLES = Path("results/smoke/tables")
T2 = TABLES / "noise_estimation/T2"
ERRORS = Path("results/smoke/store/studies/noise_estimation/digits/s0/errors.json")  # what F2-images is made from


def page(paper, table, figure):
    """Two rows at two step counts, three seeds each."""
    values = {("a", 3): [1.0, 1.1, 1.2], ("b", 3): [2.0, 2.1, 2.3], ("a", 5): [3.0, 3.1, 3.2], ("b", 5): [3.0, 3.2, 3.1]}
    cells = [
        Cell(paper, table, row, str(steps), sampler=row, steps=steps, metric="FD", better="lower", values=found, seeds="1x3")
        for (row, steps), found in values.items()
    ]
    for cell in cells:
        cell.value, cell.run = sum(cell.values) / 3, f"{paper}-{table}-{cell.row}"
    mark_best(cells)
    lines = [(row, [cell for cell in cells if cell.row == row], "own") for row in ("a", "b")]
    return Page(paper, table, "A & B", "**Made up** by `a test`.", figure, cells, [Grid("A & B", ["", "3", "5"], lines, ["50 % and more"])])


def record(shift=0.0):
    """The errors of two estimators at two levels."""
    entries = [
        {"estimator": name, "alpha_bar": level, "mse_alpha_bar": 0.25 * level + shift, "mse_log_noise": 0.5, "n": 60}
        for name in ("estimator", "oracle") for level in (0.25, 0.75)
    ]  # fmt: skip
    return {"shared": {}, "records": entries}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """All tables of scale smoke as a run would write them, but for what they say; one is made from a record that is here."""
    folder = tmp_path_factory.mktemp("results")
    for name in ("params.yaml", "scales", "workflow"):
        (folder / name).symlink_to(ROOT / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        plan = read("smoke")
        write_json(ERRORS, record())
        outputs = {"record": {str(ERRORS): sha256(ERRORS)}}
        write_json(
            plan.provenance_file("errors", "noise_estimation/digits", 0),
            {"rule": "errors", "machine": "a card", "inputs": {}, "outputs": outputs},
        )
        pages = []
        for paper, names in plan.params.tables.items():
            for name in names:
                made = recompute.recomputed_page(plan, paper, name) or page(paper, name, plan.has_figure(paper, name))
                pages.append(made)
                stem = TABLES / paper / name
                for path, text in made.files(TABLES).items():
                    write_text(path, text)
                for suffix in ("png", "svg") if made.figure else ():
                    write_text(f"{stem}.{suffix}", f"picture of {name}")
        for name, text in recompute.texts_of_all(plan, pages).items():
            write_text(TABLES / name, text)
        outputs = {path.suffix[1:]: {str(path): sha256(path)} for path in sorted(T2.parent.glob("T2.*"))}
        inputs = {"reported": {"workflow/papers/noise_estimation/reported.csv": "0"}}
        write_json("results/smoke/store/provenance/table/noise_estimation/T2.json", {"rule": "table", "inputs": inputs, "outputs": outputs})
    return folder


@pytest.fixture
def folder(written, tmp_path, monkeypatch):
    """A copy that a test may spoil, as the working directory."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for top, _, names in os.walk(written / "results"):
        for name in names:
            path = Path(top, name)
            write_text(copy / path.relative_to(written), path.read_text())
    for name in ("params.yaml", "scales", "workflow"):
        (copy / name).symlink_to(ROOT / name)
    monkeypatch.chdir(copy)
    return copy


def wrong():
    plan, found = read("smoke"), recompute.Findings()
    recompute.check_tables(plan, found)
    recompute.check_hashes(plan, found)
    return found.wrong


def edit(path, old, new):
    text = Path(path).read_text()
    assert old in text
    write_text(path, text.replace(old, new, 1))


def test_an_untouched_folder_has_nothing_wrong(folder):
    plan, found = read("smoke"), recompute.Findings()
    recompute.check_tables(plan, found)
    recompute.check_hashes(plan, found)
    assert found.wrong == []
    assert found.recomputed >= 2
    assert found.recomputed + found.printed == len(plan.table_files())
    assert found.hashed == {f"{T2}.png", f"{T2}.svg", str(ERRORS)}


# A file, what is edited in it, and what is named: the cell, or the place in a text.
EDITS = {
    "cells.csv": (TABLES / "cells.csv", "noise_estimation,T2,b,5,,,b,5,,FD,,lower,3.1", "noise_estimation,T2,b,5,,,b,5,,FD,,lower,2.1",
                  ["noise_estimation/T2/b/5/FD: value", "'2.1'", "'3.1'"]),
    "Markdown": (f"{T2}.md", "**1.10**", "**0.10**", ["row 'a'", "column '3'", "0.10"]),
    "a note in Markdown": (f"{T2}.md", "50 % and more", "60 % and more", ["line "]),
    "LaTeX": (f"{T2}.tex", r"\textbf{1.10}", r"\textbf{0.10}", ["row 'a'", "column '3'", "0.10"]),
    "a table's CSV": (f"{T2}.csv", "a,3,,,a,3,,FD,,lower,1.1", "a,3,,,a,3,,FD,,lower,0.1", ["noise_estimation/T2/a/3/FD: value", "'0.1'"]),
    "a note in LaTeX": (T2.parent / "notes/T2.tex", r"50 \% and more", r"60 \% and more", ["line "]),
    "the index": (TABLES / "README.md", "not run.", "not invented.", ["line 3"]),
    "a paper's page": (TABLES / "edm/README.md", "not tested", "tested", ["line "]),
    "how it is made": (TABLES / "how-it-is-made.md", "It is not FID", "It is FID", ["line "]),
    "the LaTeX document": (TABLES / "paper.tex", "{article}", "{book}", ["line 2"]),
    "metrics.json": (TABLES / "metrics.json", '"3": 1.1', '"3": 0.1', ["/a: 3 is 0.1, should be 1.1"]),
    "a plot": (TABLES / "plots/noise_estimation-T2.csv", "3,1.1", "3,0.1", ["3: a is '0.1', should be '1.1'"]),
    "a picture": (f"{T2}.png", "picture", "painting", ["job table"]),
}  # fmt: skip


@pytest.mark.parametrize("name", EDITS)
def test_each_edit_is_named_and_nothing_else(folder, name):
    path, old, new, named = EDITS[name]
    edit(path, old, new)
    (line,) = wrong()
    assert line.startswith(str(path))
    assert all(part in line for part in named), line


def test_an_edited_json_contradicts_all_that_is_printed_from_it(folder):
    edit(f"{T2}.json", "1.1,\n    1.2", "1.1,\n    9.2")
    edit(f"{T2}.json", '"value": 1.0999999999999999', '"value": 3.0')
    found = wrong()
    for path in (f"{T2}.md", f"{T2}.tex", f"{T2}.csv", TABLES / "cells.csv", TABLES / "metrics.json"):
        assert any(line.startswith(str(path)) for line in found), path


def test_a_verdict_edited_in_all_files_contradicts_the_values(folder):
    edit(f"{T2}.json", '"verdict": "best"', '"verdict": ""')
    assert any(line.startswith(f"{T2}.json") and "verdict" in line for line in wrong())


def test_a_table_is_made_again_from_its_record(folder):
    """An edit that agrees in all files of a table, and in the index, is no measurement."""
    write_json(ERRORS, record(shift=0.5))
    plan = read("smoke")
    for path, text in recompute.recomputed_page(plan, "noise_estimation", "F2-images").files(TABLES).items():
        write_text(path, text)
    write_json(ERRORS, record())
    found = [line for line in wrong() if line.startswith(str(TABLES / "noise_estimation/F2-images.csv"))]
    assert any(
        "noise_estimation/F2-images/estimator/alpha_bar=0.25/mse_alpha_bar: value is '0.5625', should be '0.0625'" in f for f in found
    )


def test_what_is_missing_damaged_or_of_no_table_is_named(folder):
    write_text(TABLES / "improved_ddpm/T1.png", "not run at this scale")
    Path(f"{T2}.svg").unlink()
    write_text(f"{T2.with_name('T1')}.json", "[]")
    write_text("results/smoke/store/provenance/broken.json", "{")
    found = "\n".join(wrong())
    for name in ("improved_ddpm/T1.png", "T2.svg", "T1.json", "broken.json"):
        assert name in found, name


def test_an_input_that_was_made_again_is_named(folder):
    path = Path("results/smoke/store/provenance/report.json")
    write_json(path, {"rule": "report", "outputs": {"cells": {str(TABLES / "cells.csv"): "0"}}, "inputs": {"tables": {f"{T2}.png": "0"}}})
    (line,) = wrong()
    assert str(T2) in line and "report.json" in line


def test_without_a_store_it_says_what_cannot_be_checked(folder, capsys):
    ERRORS.unlink()
    os.rename("results/smoke/store", "elsewhere")
    assert check.command(["smoke"]) == 2
    said = capsys.readouterr().out
    for part in (" of nets", " of records", " of samples", ".png", "dvc pull"):
        assert part in said, part
    edit(f"{T2}.md", "**1.10**", "**0.10**")
    assert check.command(["smoke"]) == 1
    assert f"{T2}.md" in capsys.readouterr().out


def test_a_page_is_the_same_out_of_its_json():
    made = page("p", "T", True)
    again = from_plain(json.loads(made.texts()["json"]))
    assert again.texts() == made.texts()
    assert again.grids[0].lines[0][1][0] is again.cells[0]


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        ("noise_estimation/T2", True),
        ("noise_estimation/T3", False),  # no run
        ("improved_ddpm/T2", False),  # a summary without a ratio
        ("improved_ddpm/F3", True),  # images of the run's data
        ("improved_ddpm/F5", True),  # closed forms
        ("soft_diffusion/gaussian", True),
        ("stable_target_field/F2", True),  # two points and Gaussians, whatever is run
    ],
)
def test_the_plan_knows_which_tables_have_a_picture(folder, name, drawn):
    plan = read("smoke")
    assert plan.has_figure(*name.split("/")) == drawn
    for figure in (True, False):
        pattern = rf"(?P<paper>{plan.paper_pattern(figure)})/(?P<table>[\w-]+)\.png"
        assert bool(re.fullmatch(pattern, f"{name}.png")) == (figure == drawn)
