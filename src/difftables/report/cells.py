"""From records to cells, and from cells to CSV, Markdown and LaTeX, the paper's value beside ours."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from difftables.common.arithmetic import sum_in_order
from difftables.papers.folder import read_numbers
from difftables.papers.numbers import Number

HEADER = [
    "paper",
    "table",
    "row",
    "column",
    "dataset",
    "method",
    "sampler",
    "steps",
    "nfe",
    "metric",
    "unit",
    "better",
    "value",
    "sd",
    "seeds",
    "n",
    "paper_value",
    "paper_source",
    "status",
    "run",
    "failed",
    "row_id",
    "column_id",
    "metric_id",
]


@dataclass
class Cell:
    """One cell of a table: what cells.csv has a line of, and the value of each seed behind it."""

    paper: str
    table: str
    row: str
    column: str
    dataset: str = ""
    method: str = ""
    sampler: str = ""
    steps: int | str = ""
    nfe: int | str = ""
    metric: str = ""
    unit: str = ""
    better: str = ""
    value: float | None = None
    sd: float | None = None
    seeds: str = ""  # training seeds x sampling seeds
    n: int | str = ""  # samples per seed
    paper_value: str = ""
    paper_source: str = ""
    status: str = "measured"  # measured; estimated, by the table itself, of data alone; literature, closed-form or not-run
    run: str = ""  # fingerprints of what made it
    failed: int | None = None  # samples that could not be scored, over all seeds; None where that cannot happen
    values: list[float] = field(default_factory=list)  # in one order for all rows, so that seeds pair up
    draws: bool = False  # values are bootstrap draws, not independent repetitions
    part: str = ""  # of the table's runs that the row names, if any
    row_id: str = ""  # what joins cells: ids never change, names may
    column_id: str = ""
    metric_id: str = ""  # a key of METRICS, with its variant
    paper_metric: str = ""  # what paper_value is of, and on which data
    paper_dataset: str = ""
    verdict: str = ""  # best, same (not distinguishable from the best) or empty

    @property
    def series(self) -> str:
        """What tells a row's values apart from others: its sampler, after the part that its run plays, if it names one."""
        return f"{self.part}-{self.sampler}" if self.part else self.sampler

    def line(self) -> list[str]:
        """The cell as a line of cells.csv."""
        fields = asdict(self)
        return [_number(fields[name]) for name in HEADER]


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def mean_sd(values: list[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation; None for a single value."""
    mean = sum_in_order(values) / len(values)
    if len(values) < 2:
        return mean, None
    return mean, (sum_in_order((v - mean) ** 2 for v in values) / (len(values) - 1)) ** 0.5


def interval(a: Cell, b: Cell) -> tuple[float, float] | None:
    """95 % interval of value(a) - value(b) from paired seeds: Student's t, or percentiles of bootstrap draws.

    None where there is nothing to tell: fewer than two pairs, or different numbers of them.
    """
    from scipy.special import stdtrit  # scipy.stats takes a second to import

    if len(a.values) != len(b.values) or len(a.values) < 2:
        return None
    gaps = sorted(x - y for x, y in zip(a.values, b.values, strict=True))
    if a.draws:
        return gaps[int(0.025 * len(gaps))], gaps[min(len(gaps) - 1, int(0.975 * len(gaps)))]
    mean, sd = mean_sd(gaps)
    half = float(stdtrit(len(gaps) - 1, 0.975)) * (sd or 0.0) / len(gaps) ** 0.5
    return mean - half, mean + half


def differ(a: Cell, b: Cell) -> bool:
    """Whether the interval of the difference leaves out zero; what cannot be told does not differ."""
    found = interval(a, b)
    return found is not None and not found[0] <= 0 <= found[1]


def judge(cells: list[Cell]) -> None:
    """Mark, in each column and metric, the best measured cell and those not distinguishable from it."""
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        if cell.status == "measured" and cell.better and len(cell.values) > 1:
            groups.setdefault((cell.column_id, cell.metric_id), []).append(cell)
    for group in (group for group in groups.values() if len(group) > 1):
        best = (min if group[0].better == "lower" else max)(group, key=lambda cell: cell.value or 0.0)
        for cell in group:
            cell.verdict = "best" if cell is best else "" if differ(cell, best) else "same"


class Reported:
    """The numbers of a paper's folder, each with its source.

    Raises: ConfigError for a file that is not as it should be.
    """

    def __init__(self, path: Path | None) -> None:
        self.numbers = list(read_numbers(path).values()) if path else []

    def find(self, where: dict[str, str], steps: int | None = None) -> list[Number]:
        """Numbers of the given table, row and data set, and of a step count if one is given."""
        return [
            number for number in self.numbers
            if all(vars(number)[key] == value for key, value in where.items()) and steps in (None, number.steps_or_nfe)
        ]  # fmt: skip


def source_of(number: Number) -> str:
    """The source of a reported number; 'unverified' in front where it was only recalled, or quoted by others."""
    return f"unverified: {number.source}" if "memory" in number.source or "second-hand" in number.source else number.source


def quote(cell: Cell, number: Number) -> Cell:
    """Write a reported number into a cell; its source starts with [metric, data set]."""
    cell.paper_value, cell.paper_metric, cell.paper_dataset = number.value, number.metric, number.dataset
    cell.paper_source = f"[{number.metric}, {number.dataset}] {source_of(number)}"
    return cell


def fill(cell: Cell, records: list[Any], files: list[Any]) -> None:
    """Put what was measured into a cell: the mean over all seeds.  Args: records: of one metric and step count; files: they come from."""
    cell.status, cell.values = "measured", [r["value"] for r in records if r["value"] is not None]
    if cell.values:
        cell.value, cell.sd = mean_sd(cell.values)
    if records[0].get("failed") is not None:  # samples that could not be scored are counted, and are in no mean
        cell.failed = sum(r["failed"] for r in records)
    cell.nfe, cell.unit, cell.better, cell.n = (records[0][key] for key in ("nfe", "unit", "better", "n"))
    cell.seeds = f"{len(files)}x{len(records) // len(files)}"
    cell.run = " ".join(file["shared"]["fingerprint"] for file in files)


def cells_text(cells: Iterable[Cell]) -> str:
    """Cells as CSV with HEADER."""
    from difftables.common.files import csv_text

    return csv_text(HEADER, (cell.line() for cell in cells))


def short(value: float | None, sd: float | None = None) -> str:
    """A value to three digits, its sd to the same place: 1.27 ± 0.05."""
    if value is None:
        return ""
    if isinstance(value, int):
        return str(value)
    if abs(value) >= 1e5:
        return f"{value:.1e}" + (f" ± {sd:.1e}" if sd is not None else "")
    digits = 3 if abs(value) < 1 else 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    if value and abs(value) < 0.01:
        return f"{value:.1e}" + (f" ± {sd:.1e}" if sd is not None else "")
    return f"{value:.{digits}f}" + (f" ± {sd:.{digits}f}" if sd is not None else "")


@dataclass
class Grid:
    """A table as text: column heads, then lines of (label, cells, kind); kind is own, paper, literature or rule."""

    title: str
    head: list[str]
    lines: list[tuple[str, list[Any], str]]
    notes: list[str]


def steps_grid(title: str, metric_id: str, steps: list[int], cells: list[Cell], notes: list[str]) -> Grid:
    """Rows by samplers, columns by step counts; under a row with reported numbers a line with those."""
    lines: list[tuple[str, list[Any], str]] = []
    for status in ("own", "literature"):
        rows = {c.row_id: c.row for c in cells if (c.status == "literature") == (status == "literature")}
        for row, name in rows.items():
            mine = {c.steps: c for c in cells if c.row_id == row and c.metric_id in (metric_id, "fid") and c.steps in steps}
            if status == "own":
                lines.append((name, [mine.get(s) for s in steps], "own"))
            reported = [mine[s] if s in mine and mine[s].paper_value else None for s in steps]
            first = next((cell for cell in reported if cell is not None), None)
            if first is not None and status == "own":
                lines.append((f"paper: {first.paper_metric}, {first.paper_dataset}", reported, "paper"))
            elif first is not None:
                lines.append((name, reported, "literature"))
    return Grid(title, ["", *map(str, steps)], lines, notes)


def markdown(grid: Grid) -> str:
    """A grid as a Markdown table with its notes; the best of a column is bold, † is not distinguishable from it."""
    out = [f"| {' | '.join(grid.head)} |", f"|{'---|' * len(grid.head)}"]
    for label, cells, kind in grid.lines:
        texts = []
        for cell in cells:
            text = _text(cell, kind)
            if kind in ("paper", "literature") and text:
                text = f"*{text}*"
            elif _of(cell, "verdict") == "best":
                text = f"**{text}**"
            elif _of(cell, "verdict") == "same":
                text += " †"
            texts.append(text)
        name = {"own": label, "literature": f"*{label}*"}.get(kind, f"&nbsp;&nbsp;*{label}*")
        out.append(f"| {name} | {' | '.join(texts)} |")
    return "\n".join([*out, "", *(f"- {note}" for note in grid.notes)]) + "\n"


def _of(cell: Any, name: str) -> str:
    """A text that cells have; text in a cell's place has none."""
    return str(vars(cell)[name]) if isinstance(cell, Cell) else ""


def _text(cell: Any, kind: str) -> str:
    if cell is None:
        return ""
    if kind in ("paper", "literature"):
        return cell.paper_value + (" (unverified)" if "unverified" in cell.paper_source else "")
    if isinstance(cell, str):
        return cell
    lost = f"{cell.failed}/{failures_of(cell)} failed" if cell.failed else ""
    measured = f"{short(cell.value, cell.sd)} ({lost})" if lost and cell.value is not None else lost or short(cell.value, cell.sd)
    return "not run" if cell.status == "not-run" else measured


def failures_of(cell: Cell) -> int:
    """How many samples a cell was to be measured on: training seeds x sampling seeds x n."""
    train, sampling = cell.seeds.split("x")
    return int(train) * int(sampling) * int(cell.n)


ESCAPES = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "±": r"$\pm$", "†": r"$^\dagger$", "~": r"\textasciitilde{}"}


def tex(text: str) -> str:
    """Text with LaTeX's special characters escaped."""
    return "".join(ESCAPES.get(character, character) for character in text)


def latex(grid: Grid, label: str) -> str:
    """A grid as a booktabs table for \\input; needs the packages booktabs and xcolor."""
    out = [
        "% generated by difftables; needs \\usepackage{booktabs,xcolor}", r"\begin{table}", r"\centering", r"\small",
        f"\\caption{{{tex(grid.title)}}}", f"\\label{{{label}}}", f"\\begin{{tabular}}{{l{'r' * (len(grid.head) - 1)}}}", r"\toprule",
        " & ".join(tex(h) for h in grid.head) + r" \\", r"\midrule",
    ]  # fmt: skip
    previous = "own"
    for name, cells, kind in grid.lines:
        if kind == "literature" != previous:
            out.append(r"\midrule")
        previous = kind
        texts = []
        for cell in cells:
            text = "" if isinstance(cell, str) and "](" in cell else tex(_text(cell, kind))  # links are of no use on paper
            if kind in ("paper", "literature") and text:
                text = f"\\textit{{{text}}}"
            elif _of(cell, "verdict") == "best":
                text = f"\\textbf{{{text}}}"
            elif _of(cell, "verdict") == "same":
                text += r"$^\dagger$"
            elif kind == "own" and text:
                text = f"\\textcolor{{gray}}{{{text}}}" if _of(cell, "status") == "not-run" else text
            texts.append(text)
        out.append(f"{'' if kind == 'own' else chr(92) + 'quad '}{tex(name)} & {' & '.join(texts)} \\\\")
    out += [r"\bottomrule", r"\end{tabular}"]
    out += [r"\par\smallskip\raggedright\footnotesize " + " ".join(tex(note) for note in grid.notes)]
    return "\n".join([*out, r"\end{table}"]) + "\n"
