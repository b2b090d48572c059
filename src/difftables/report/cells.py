"""The cell of a table, and its line of cells.csv."""

from dataclasses import asdict, dataclass, field
from typing import Any

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
    "spread_kind",
    "seeds",
    "n",
    "paper_value",
    "paper_nfe",
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
    status: str = "measured"  # measured; estimated, by the table itself, of data only; literature, closed-form or not-run
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
    paper_nfe: int | str = ""  # steps or network calls of paper_value, where its source says
    verdict: str = ""  # best (told from all others), same (equivalent to the lowest mean) or empty

    @property
    def series(self) -> str:
        """What tells a row's values apart from others: its sampler, after the part that its run plays, if it names one."""
        return f"{self.part}-{self.sampler}" if self.part else self.sampler

    def line(self) -> list[str]:
        """The cell as a line of cells.csv."""
        from difftables.report.units import spread_kind  # which knows cells

        fields = asdict(self) | {"spread_kind": spread_kind(self)}
        return [_number(fields[name]) for name in HEADER]


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
