"""LaTeX of tables: what needs escaping, and whether all committed tables compile where TeX is installed."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from difftables.report import latex
from difftables.report.page import Page, from_plain
from difftables.report.printing import Grid

ROOT = Path(__file__).parents[2]
SCALES = ("laptop", "study")


def pages(scale):
    return [from_plain(json.loads(path.read_text())) for path in sorted((ROOT / f"results/{scale}/tables").glob("*/*.json"))]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("50 % & a_b #1 $", r"50 \% \& a\_b \#1 \$"),
        ("σ^2 < 1/ρ", r"$\sigma$\textasciicircum{}2 \textless{} 1/$\rho$"),
        ("10⁻⁴", "10$^-$$^4$"),
        ("x₀", "x$_0$"),
        ("ᾱ, Fréchet", r"$\bar\alpha$, Fr\'{e}chet"),
        ("run `a_b`, [F2](x_y.md)", r"run \texttt{a\_b}, F2"),
        ("**bold** {set}", r"bold \{set\}"),
    ],
)
def test_text_is_escaped(text, written):
    assert latex.tex(text) == written


@pytest.mark.parametrize("scale", SCALES)
def test_no_committed_table_has_a_character_that_pdflatex_lacks(scale):
    """Nothing outside ASCII, no float, one tabular a grid."""
    found = pages(scale)
    assert len(found) > 50
    for page in found:
        texts = page.texts()
        assert (texts["tex"] + texts["notes"]).isascii(), page.table
        assert texts["tex"].count(r"\begin{tabular}") == len(page.grids)
        assert r"\begin{table}" not in texts["tex"]


def test_a_lines_cells_are_as_many_as_its_columns():
    for page in pages("laptop"):
        for grid, text in zip(page.grids, map(latex.tabular, page.grids), strict=True):
            rows = [line for line in text.splitlines() if line.endswith(r"\\")]
            assert len(rows) == len(grid.lines) + 1
            assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(grid.head) - 1}


@pytest.mark.parametrize("tool", ["pdflatex", "lualatex"])
@pytest.mark.parametrize("scale", SCALES)
def test_all_committed_tables_compile(scale, tool, tmp_path):
    if shutil.which(tool) is None:
        pytest.skip(f"no {tool} here")
    found = pages(scale)
    for page in found:
        for path, text in page.files(tmp_path).items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    listed = [(f"{page.paper}/{page.table}", f"{page.paper}-{page.table}", page.title) for page in found]
    (tmp_path / "paper.tex").write_text(latex.document(listed))
    said = subprocess.run([tool, "-interaction=nonstopmode", "-halt-on-error", "paper.tex"], cwd=tmp_path, capture_output=True)
    assert said.returncode == 0, said.stdout.decode(errors="replace")[-2000:]
    assert (tmp_path / "paper.pdf").stat().st_size > 10_000


def test_notes_stand_apart():
    grid = Grid("G", ["", "3"], [("a", ["1"], "own")], ["N = 3."], ["ρ is 7."])
    page = Page("p", "T", "title", "**Made up.**", False, [], [grid])
    assert "N = 3" not in page.texts()["tex"]
    assert page.texts()["notes"].split("\n\n")[1:] == ["N = 3.", "$\\rho$ is 7.\n"]
