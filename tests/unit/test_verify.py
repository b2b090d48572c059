"""Two results folders, compared."""

import csv
import shutil

import pytest

from difftables.__main__ import main
from difftables.commands import verify
from difftables.report.cells import HEADER


def line(row, value="1.5", **more):
    return dict.fromkeys(HEADER, "") | {"paper": "p", "table": "T", "row": row, "column": "5", "metric": "FD", "value": value} | more


def folder(path, lines):
    (path / "tables").mkdir(parents=True, exist_ok=True)
    with open(path / "tables/cells.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, HEADER)
        writer.writeheader()
        writer.writerows(lines)
    return path


def run(tmp_path, capsys, first, second):
    folders = [str(folder(tmp_path / name, lines)) for name, lines in (("a", first), ("b", second))]
    code = verify.command(folders)
    return code, capsys.readouterr().out.replace(f"{tmp_path}/", "").splitlines()


def test_the_same_is_one_line(tmp_path, capsys):
    code, said = run(tmp_path, capsys, [line("x"), line("y")], [line("x"), line("y")])
    assert (code, len(said)) == (0, 1)
    assert "2 cells" in said[0]


def test_the_first_difference_is_named_with_both_values(tmp_path, capsys):
    code, said = run(tmp_path, capsys, [line("x"), line("y"), line("z")], [line("x"), line("y", "1.6"), line("z", run="f")])
    assert (code, len(said)) == (1, 2)
    assert all(word in said[0] for word in ("p/T/y/5/FD", "value", "'1.5'", "'1.6'", "2 cells"))
    assert "3 cells" in said[1]


def test_missing_lines_are_named(tmp_path, capsys):
    code, said = run(tmp_path, capsys, [line("x"), line("y")], [line("x"), line("z"), line("u")])
    assert (code, len(said)) == (1, 3)
    assert "p/T/y/5/FD" in said[0]
    assert "p/T/z/5/FD" in said[1]


def test_another_order_is_a_difference(tmp_path, capsys):
    code, said = run(tmp_path, capsys, [line("x"), line("y")], [line("y"), line("x")])
    assert (code, len(said)) == (1, 2)


@pytest.mark.parametrize(("lines", "said"), [([], "is empty"), ([line("x"), line("x")], "has two cells p/T/x/5/FD")])
def test_files_that_cannot_be_compared(tmp_path, capsys, lines, said):
    code, out = run(tmp_path, capsys, [line("x")], lines)
    assert code == 1
    assert said in out[0]


def test_a_missing_file_and_a_wrong_call(tmp_path, capsys):
    assert verify.command([str(tmp_path), str(tmp_path)]) == 1
    assert "cells.csv is missing" in capsys.readouterr().out
    assert verify.command(["one"]) == 2


# -- stores: of two folders that are named after no scale --------------------------------------------------------------


STORE = "results/smoke/store"
DATA, NET, OTHER, SAMPLES = (f"{STORE}/{name}" for name in ("data/d", "nets/d/s0/net", "nets/e/s0/net", "samples/d/s0/ddim"))
PAGE = "results/smoke/tables/README.md"


@pytest.fixture
def both(job, tmp_path, monkeypatch, capsys):
    """What verify answers of two repositories, by the text of outputs in the second and fields of its provenance."""

    def make(name, texts, **fields):
        root = tmp_path / name
        root.mkdir()
        monkeypatch.chdir(root)
        (root / "sentences").write_text(texts.get("sentences", ""))
        job("data", "d", {DATA: "d" + texts.get("sentences", "")}, ["sentences"], root=root)
        job("train", "d/0", {NET: texts.get("net", "")}, [DATA], root=root, **fields)
        job("train", "e/0", {OTHER: texts.get("other", "")}, [DATA], root=root)
        job("sample", "d/0/ddim", {SAMPLES: texts.get("net", "") + texts.get("samples", "")}, [NET], root=root)
        job("report", "all", {PAGE: name}, [SAMPLES, OTHER], root=root)  # names its machine, so that it is another on each
        folder(root / "results/smoke", [line("x")])
        (root / "results/smoke").rename(root / name)
        return root / name

    def answer(spoil=lambda a, b: None, fields=None, **texts):
        folders = [make("a", {}), make("b", texts, **fields or {})]
        spoil(*folders)
        code = verify.command(list(map(str, folders)))
        return code, capsys.readouterr().out.splitlines()

    return answer


def test_the_same_stores(both):
    code, said = both()
    assert (code, len(said)) == (0, 1)
    assert "4 files" in said[0]


def test_the_first_job_that_differs_is_named_and_what_follows_from_it_is_not(both):
    code, said = both(net="1")
    assert (code, len(said)) == (1, 2)
    assert "train/d/0" in said[0]
    assert "nets/d/s0/net" in said[0]
    assert "2 files" in said[0]
    assert "samples" not in said[0]


def test_a_source_that_differs_is_a_reason(both):
    code, said = both(sentences="1")
    assert (code, len(said)) == (1, 2)
    assert "data/d" in said[0]
    assert "inputs" in said[0]


def test_a_job_with_other_numbers_says_so(both):
    code, said = both(net="1", fields={"spec": {"steps": 7}, "threads": 2})
    assert code == 1
    assert "spec, threads" in said[0]
    assert "code" not in said[0]


def test_a_bit_that_flipped_since_is_found(both):
    """The jobs recorded the same hashes."""

    def spoil(a, b):
        (b / "store/nets/d/s0/net").write_text("flipped")

    code, said = both(spoil)
    assert (code, len(said)) == (1, 3)
    assert "train/d/0" in said[0]
    assert "b/store/nets/d/s0/net" in said[1]


def test_a_file_that_was_not_pulled_counts_as_its_job_recorded_it(both):
    def spoil(a, b):
        (b / "store/nets/d/s0/net").unlink()

    assert both(spoil)[0] == 0


def test_a_job_of_one_store_is_named(both):
    def spoil(a, b):
        (b / "store/provenance/sample/d/0/ddim.json").unlink()

    code, said = both(spoil)
    assert code == 1
    assert "sample/d/0/ddim" in said[0]


def test_leftovers_that_no_page_was_made_from_are_not_compared(both, job):
    """E.g. of a run that params.yaml has no more."""

    def spoil(a, b):
        job("train", "old/0", {f"{STORE}/nets/old": "o"}, root=b.parent)
        (b.parent / f"{STORE}/provenance/train/old").rename(b / "store/provenance/train/old")

    assert both(spoil)[0] == 0


@pytest.mark.parametrize("which", ["a", "b"])
def test_without_provenance_only_cells_are_compared_and_that_is_said(both, which):
    def spoil(a, b):
        shutil.rmtree({"a": a, "b": b}[which] / "store/provenance")

    code, said = both(spoil, net="1")
    assert (code, len(said)) == (0, 1)
    assert f"{which}/store/provenance" in said[0]
    assert "files of the stores" not in said[0]


def test_a_damaged_provenance_file_is_one_line(both):
    def spoil(a, b):
        (b / "store/provenance/train/d/0.json").write_text("{")

    code, said = both(spoil)
    assert (code, len(said)) == (1, 1)
    assert "b/store/provenance/train/d/0.json" in said[0]


def test_help_lists_the_commands_for_people(capsys):
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out.split("commands: ")[1].splitlines()[0].split(", ")
    assert {"check", "explain", "verify", "where"} <= set(listed)
