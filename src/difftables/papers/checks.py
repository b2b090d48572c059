"""What a paper's files say of each other: ids, references to reported.csv, and the tables that claims are about."""

from collections.abc import Iterable, Iterator
from typing import Any

from difftables.common.errors import nearest
from difftables.metrics import catalogue
from difftables.papers.numbers import Claim, Number
from difftables.papers.table import Table
from difftables.papers.tables import TABLES

Spec = dict[str, Any]
Problem = tuple[str, str]  # place in a table, and what is wrong there
MEASURED = (
    *catalogue.IMAGE_METRICS,
    *catalogue.SPEECH_METRICS,
    *catalogue.PAIRED_METRICS,
    "nll",
    *catalogue.OF_CHAIN,
)  # what a column of a summary may have


def twice(names: Iterable[str]) -> list[str]:
    """The names that come more than once."""
    seen = list(names)
    return sorted({name for name in seen if seen.count(name) > 1})


def problems_of(layout: Spec, numbers: list[Number]) -> Iterator[Problem]:
    """All that is wrong in a table whose keys are right.  Args: layout: as Paper.layouts has it; numbers: of the paper."""
    yield from _ids(layout)
    yield from _panels(layout)
    yield from _columns(layout, numbers)
    yield from _quoted(layout, numbers)
    for metric in layout.get("metrics", []):
        measured = TABLES[layout["kind"]].METRICS
        if catalogue.split(metric) not in [(known, "") for known in measured]:
            yield "", f"metrics has {metric!r}, which {layout['kind']} is not measured by{nearest(metric, measured)}"
    names = [row["id"] for row in layout.get("rows", []) if "run" in row]
    for row in layout.get("ratio", []):
        if row not in names:
            yield "", f"ratio names row {row!r}, which has no run here{nearest(row, names)}"


def _ids(layout: Spec) -> Iterator[Problem]:
    rows = layout.get("rows", [])
    for name in twice(each["id"] for key in ("rows", "literature", "quotes") for each in layout.get(key, [])):
        yield f"row {name}", "two rows or quoted lines have this id; change one"
    labels: dict[str, str] = {}
    for row in rows:
        line = row.get("line", row["id"])
        if labels.setdefault(row["label"], line) != line:
            yield f"row {row['id']}", f"label {row['label']!r} is also that of {labels[row['label']]!r}; change one"
        if "line" in row and {other["label"] for other in rows if other["line"] == line} != {row["label"]}:
            yield f"row {row['id']}", f"its label {row['label']!r} is not that of the other rows of line {line!r}"


def _panels(layout: Spec) -> Iterator[Problem]:
    panels = layout.get("panels", [])
    for row in layout.get("rows", []):
        if "panel" in row and row["panel"] not in panels:
            yield f"row {row['id']}", f"panel is {row['panel']!r}, which panels has not{nearest(row['panel'], panels)}"
        if "panel" not in row and len(panels) > 1:
            yield f"row {row['id']}", f"'panel' is missing; there is {', '.join(panels)}"


def _columns(layout: Spec, numbers: list[Number]) -> Iterator[Problem]:
    columns = layout.get("columns", [])
    for key in ("id", "head"):
        for name in twice(column[key] for column in columns):
            yield f"column {name}", f"two columns have this {key}; change one"
    for column in columns:
        place = f"column {column['id']}"
        metric = column["metric"]
        if "dataset" not in column and not any(catalogue.fits(metric, known) for known in MEASURED):
            yield place, f"metric is {metric!r}, which is not measured here{nearest(metric, MEASURED)}"
        known: dict[str, list[str]] = {key: list(dict.fromkeys(vars(each)[key] for each in numbers)) for key in ("dataset", "metric")}
        for key, value in (("dataset", column.get("dataset")), ("metric", column.get("paper"))):
            if value is not None and value not in known[key]:
                named = "dataset" if key == "dataset" else "paper"
                yield place, f"{named} is {value!r}, which is no {key} in reported.csv{nearest(value, known[key])}"
        for row in layout.get("rows", []):
            if "sampler" not in row and "metric" in column and "dataset" not in column and metric != "nll":
                yield f"row {row['id']}", f"'sampler' is missing, which column {column['id']!r} needs"


def _quoted(layout: Spec, numbers: list[Number]) -> Iterator[Problem]:
    for each in (each for key in ("rows", "literature", "quotes") for each in layout.get(key, []) if "paper" in each):
        found, before = numbers, ""
        for key, value in each["paper"].items():
            known = list(dict.fromkeys(vars(number)[key] for number in found))
            if value not in known:
                yield f"row {each['id']}", f"paper.{key} is {value!r}, which reported.csv has not{before}{nearest(value, known)}"
                break
            found, before = [number for number in found if vars(number)[key] == value], f" at {key} {value!r}"


def claim_problems(claim: Claim, tables: dict[str, Table]) -> Iterator[str]:
    """All that is wrong in a claim whose keys are right."""
    if claim.table not in tables:
        yield f"table is {claim.table!r}{nearest(claim.table, tables)}"
        return
    table = tables[claim.table]
    for side in ("better", "than"):
        row = getattr(claim, side)
        if row not in table.row_ids():
            yield f"{side} is {row!r}, which is no row of {claim.table}{nearest(row, table.row_ids())}"
    if claim.better == claim.than:
        yield f"better and than are both {claim.better!r}"
    own = table.metric_ids()
    if claim.metric is not None and not any(catalogue.fits(claim.metric, known) or catalogue.fits(known, claim.metric) for known in own):
        yield f"metric is {claim.metric!r}, which {claim.table} has not{nearest(claim.metric, own)}"
    columns = table.column_ids()
    if claim.column is not None and columns is not None and claim.column not in columns:
        yield f"column is {claim.column!r}, which {claim.table} has not{nearest(claim.column, columns)}"
    if claim.column is not None and columns is None and not claim.column.replace(".", "", 1).isdigit():
        yield f"column is {claim.column!r}, but the columns of {claim.table} are numbers"
