import csv

import pytest

from difftables.common.errors import ConfigError
from difftables.papers.numbers import Number
from difftables.papers.reported import ReportedNumbers, source_of
from difftables.report.cells import HEADER, Cell
from difftables.report.latex import notes, tabular, tex
from difftables.report.printing import cells_csv, markdown, short, steps_grid
from difftables.report.statistics import mark_best, mean_sd


def cell(row, column, values, **more):
    value, sd = mean_sd(values)
    ids = {"row_id": row, "column_id": column, "metric_id": "fd"}
    return Cell("p", "T", row, column, metric="FD", better="lower", steps=int(column), value=value, sd=sd, values=values, **ids | more)


def test_header_is_the_promised_one():
    lines = cells_csv([cell("a", "3", [1.0, 2.0, 3.0], paper_value="17.33", run="f00")]).splitlines()
    assert lines[0] == (
        "paper,table,row,column,dataset,method,sampler,steps,nfe,metric,unit,better,value,sd,spread_kind,seeds,n,paper_value,paper_nfe,"
        "paper_source,status,run,failed,row_id,column_id,metric_id"
    )
    assert lines[0].split(",") == HEADER
    (row,) = csv.DictReader(lines)
    assert (row["value"], row["sd"], row["paper_value"], row["status"]) == ("2", "1", "17.33", "measured")


def test_pairs_tell_apart_what_means_and_sds_do_not():
    found = [cell("a", "3", [1.0, 5.0, 9.0]), cell("b", "3", [1.2, 6.01, 10.8])]
    mark_best(found)
    assert [c.verdict for c in found] == ["best", ""]
    found = [cell("a", "3", [1.0, 5.0, 9.0]), cell("b", "3", [9.0, 1.0, 5.3])]
    mark_best(found)
    assert [c.verdict for c in found] == ["", ""]


def test_best_is_told_from_all_and_the_dagger_is_shown_equivalence():
    """Three units show no equivalence; five that differ by 1 % do, and then nothing is best of all."""
    base = [1.0, 1.1, 0.9, 1.05, 0.95]
    cells = [cell("a", "3", base), cell("b", "3", [v * f for v, f in zip(base, (1.02, 0.995, 1.01, 1.015, 0.99), strict=True)])]
    cells.append(cell("c", "3", [5.0, 5.1, 4.9, 5.05, 4.95]))
    mark_best(cells)
    assert [c.verdict for c in cells] == ["", "same", ""]
    few = [cell("a", "3", base[:3]), cell("b", "3", [v * f for v, f in zip(base, (1.02, 0.995, 1.01), strict=False)])]
    mark_best(few)
    assert [c.verdict for c in few] == ["", ""]
    higher = [cell("a", "3", [1.0, 1.1]), cell("b", "3", [5.0, 5.5001])]
    for c in higher:
        c.better = "higher"
    mark_best(higher)
    assert higher[1].verdict == "best"


def test_a_single_seed_is_never_judged():
    cells = [cell("a", "3", [1.0]), cell("b", "3", [2.0])]
    mark_best(cells)
    assert [c.verdict for c in cells] == ["", ""]
    assert cells[0].sd is None


@pytest.mark.parametrize(
    ("value", "sd", "text"),
    [(1.234, 0.05, "1.23 ± 0.05"), (12.34, 0.5, "12.3 ± 0.5"), (299.71, None, "300"), (None, None, ""), (0.00012, None, "1.2e-04")],
)
def test_short(value, sd, text):
    assert short(value, sd) == text


def grid():
    own = [
        cell("DDIM_a", "3", [1.0, 1.1, 0.9], paper_value="17.33", paper_metric="FID", paper_dataset="CelebA"),
        cell("b", "3", [9.0, 9.1, 9.2]),
    ]
    missing = Cell("p", "T", "c", "3", metric="FD", steps=3, status="not-run", row_id="c", column_id="3", metric_id="fd")
    quoted = Cell(
        "p", "T", "other", "3", metric="FID", steps=3, paper_value="5", paper_source="[FID, CelebA] unverified: memory",
        status="literature", row_id="other", column_id="3", metric_id="fid",
    )  # fmt: skip
    mark_best(own)
    return steps_grid("Title", "fd", [3], [*own, missing, quoted], ["50 % & more"])


def test_markdown_shows_ours_the_papers_and_what_was_not_run():
    text = markdown(grid())
    assert "| DDIM_a | **1.00 ± 0.10** |" in text
    assert "*paper: FID, CelebA* | *17.33* |" in text
    assert "| c | not run |" in text
    assert "| *other* | *5 (unverified)* |" in text


def test_latex_is_booktabs_and_escaped():
    text = tabular(grid())
    for part in (
        r"\toprule",
        r"\bottomrule",
        r"DDIM\_a & \textbf{1.00 $\pm$ 0.10} \\",
        r"\textit{17.33}",
    ):
        assert part in text
    assert text.count(r"\begin{tabular}{lr}") == 1
    assert r"50 \% \& more" in notes("T", "banner", [grid()])
    assert tex("a_b") == r"a\_b"


def test_numbers_from_memory_are_unverified(tmp_path):
    (tmp_path / "r.csv").write_text(
        f"{','.join(Number.model_fields)}\np,T,a,D,,,,,10,FID,3,,,recalled (memory)\np,T,a,D,,,,,20,FID,4,,,printed\n"
    )
    reported = ReportedNumbers(tmp_path / "r.csv")
    where = {"table": "T", "row": "a", "dataset": "D"}
    assert [source_of(row) for row in reported.find(where)] == ["unverified: recalled (memory)", "printed"]
    assert [row.value for row in reported.find(where, 20)] == ["4"]
    (tmp_path / "r.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError, match=r"r\.csv: line 1: 'a'"):
        ReportedNumbers(tmp_path / "r.csv")


def test_failed_items_stand_in_the_cell_and_a_cell_of_failures_has_no_number():
    """2 of 3 seeds x 6 utterances: shown, not averaged in."""
    some = cell("a", "6", [1.0, 2.0, 3.0], n=6, seeds="1x3", failed=2)
    none = Cell("p", "T", "b", "6", metric="FD", better="lower", n=6, seeds="1x3", failed=18, row_id="b", column_id="6", metric_id="fd")
    text = markdown(steps_grid("t", "fd", [6], [Cell(**vars(c) | {"steps": 6}) for c in (some, none)], []))
    assert "2.00 ± 1.00 (2/18 failed)" in text
    assert "| b | 18/18 failed |" in text


def test_a_row_alone_in_its_column_is_not_called_the_best():
    alone, pair = cell("full", "1000", [1.0, 1.1, 1.2]), [cell("a", "6", [1.0, 1.1, 1.2]), cell("b", "6", [5.0, 5.1, 5.2])]
    mark_best([alone, *pair])
    assert [c.verdict for c in (alone, *pair)] == ["", "best", ""]
