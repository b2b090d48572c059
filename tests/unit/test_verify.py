"""Two results folders, compared."""

import csv
from pathlib import Path

import pytest

from difftables.__main__ import main
from difftables.cli import verify
from difftables.tables import HEADER


def line(row, value="1.5", **more):
    return dict.fromkeys(HEADER, "") | {"paper": "p", "table": "T", "row": row, "column": "5", "metric": "FD", "value": value} | more


def folder(path, lines):
    (path / "tables").mkdir(parents=True)
    with open(path / "tables/cells.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, HEADER)
        writer.writeheader()
        writer.writerows(lines)
    return path


def run(tmp_path, capsys, first, second):
    folders = [str(folder(tmp_path / name, lines)) for name, lines in (("a", first), ("b", second))]
    code = verify.command(folders)
    return code, capsys.readouterr().out.replace(f"{tmp_path}/", "").splitlines()


def test_the_same_is_one_line_and_seconds_do_not_count(tmp_path, capsys):
    found = run(tmp_path, capsys, [line("x"), line("y", real_time_factor="1")], [line("x"), line("y", real_time_factor="2")])
    assert found == (0, ["verify: the same; 2 cells compared, no stores; a and b"])


def test_the_first_difference_is_named_with_both_values(tmp_path, capsys):
    code, said = run(tmp_path, capsys, [line("x"), line("y"), line("z")], [line("x"), line("y", "1.6"), line("z", run="f")])
    assert code == 1
    assert said[0] == "verify: p/T/y/5/FD: value is '1.5' against '1.6'; it is the first of 2 cells that differ"
    assert said[-1] == "verify: NOT the same; 3 cells compared, no stores; a and b"


def test_missing_lines_are_named(tmp_path, capsys):
    code, said = run(tmp_path, capsys, [line("x"), line("y")], [line("x"), line("z"), line("u")])
    assert code == 1
    assert said[:2] == [
        "verify: 1 cells are in the first alone, e.g. p/T/y/5/FD",
        "verify: 2 cells are in the second alone, e.g. p/T/z/5/FD",
    ]


def test_another_order_is_a_difference(tmp_path, capsys):
    code, said = run(tmp_path, capsys, [line("x"), line("y")], [line("y"), line("x")])
    assert (code, said[0]) == (1, "verify: the cells are the same, but in another order")


@pytest.mark.parametrize(("lines", "said"), [([], "is empty"), ([line("x"), line("x")], "has two cells p/T/x/5/FD")])
def test_files_that_cannot_be_compared(tmp_path, capsys, lines, said):
    code, out = run(tmp_path, capsys, [line("x")], lines)
    assert code == 1
    assert said in out[0]


def test_a_missing_file_and_a_wrong_call(tmp_path, capsys):
    assert verify.command([str(tmp_path), str(tmp_path)]) == 1
    assert "cells.csv is missing" in capsys.readouterr().out
    assert verify.command(["one"]) == 2


def test_the_first_job_that_differs_is_named_in_the_order_of_the_dag(tmp_path, capsys):
    """A net that differs is named before the samples made with it; what tells of seconds is not compared."""
    made = {
        "nets/digits/s0/net.safetensors": "net", "nets/digits/s0/net.json": "seconds",
        "samples/digits/s0/ddim-strided.safetensors": "samples", "samples/digits/s0/ddim-strided.cost.json": "seconds",
    }  # fmt: skip
    folders = [folder(tmp_path / name / "smoke", [line("x")]) for name in ("a", "b")]

    def told(**changed):
        for place in folders:
            for name, text in made.items():
                (place / "store" / name).parent.mkdir(parents=True, exist_ok=True)
                (place / "store" / name).write_text(text + changed.get(Path(name).stem, "") * (place == folders[1]))
        return verify.command([str(place) for place in folders]), capsys.readouterr().out.splitlines()

    code, said = told(**{"ddim-strided.cost": "more"})
    assert (code, len(said)) == (0, 1)
    assert "1 cells compared and 2 files of the stores" in said[0]
    code, said = told(net="other", **{"ddim-strided": "other"})
    assert code == 1
    assert said[0].startswith("verify: job train: store/nets/digits/s0/net.safetensors differs, sha256 ")
    code, said = told(**{"ddim-strided": "other"})
    assert said[0].startswith("verify: job sample: store/samples/digits/s0/ddim-strided.safetensors differs")
    (folders[1] / "store/nets/digits/s0/net.safetensors").unlink()
    assert verify.command([str(place) for place in folders]) == 1
    assert "store/nets/digits/s0/net.safetensors is in" in capsys.readouterr().out


def test_a_store_of_no_scale_has_no_order(tmp_path, capsys):
    for name in ("a", "b"):
        (folder(tmp_path / name, [line("x")]) / "store").mkdir()
    assert verify.command([str(tmp_path / "a"), str(tmp_path / "b")]) == 1
    assert "is not named after a scale" in capsys.readouterr().out


def test_help_lists_the_commands_for_people(capsys):
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out.split("verbs: ")[1].strip().split(", ")
    assert {"check", "explain", "verify", "where"} <= set(listed)
