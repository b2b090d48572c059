"""Models of a paper's claims and reported numbers."""

from math import isfinite
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from difftables.common.errors import nearest
from difftables.config.data import Frozen
from difftables.metrics import catalogue
from difftables.papers.rows import MetricId, Slug, Text


class Claim(Frozen):
    """A sentence of a paper as a test on cells: row `better` beats row `than`."""

    id: Slug
    claim: Text
    source: Text
    table: Text
    better: Slug
    than: Slug
    metric: MetricId | None = None  # the table's first metric, unless given
    column: Text | None = None  # all columns, unless given
    direction: Literal["lower", "higher"] | None = None  # which way is better, where the metric does not say
    between: Literal["trainings", "samplers"] = "samplers"  # what the rows differ in; training seeds are the unit of the first
    kind: Literal["better", "equivalent"] = "better"  # equivalent: the rows are claimed to be about the same
    margin: Annotated[float, Field(gt=0, lt=1)] = 0.1  # within which two values are equivalent, as a part of the second
    primary: Text | None = None  # the column that decides; the middle one, unless given
    asked_by: Literal["paper", "ours"] = "paper"
    reported: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None  # the paper's values of the two rows
    would_need: Text | None = None  # where ours has the other sign: what would have to be true for both to be right


def _number(text: Any) -> Any:
    try:
        finite = isfinite(float(text))
    except ValueError:
        finite = False
    if not finite:
        raise ValueError(f"is {text!r}, no number")
    return text


def _count(text: Any) -> Any:
    if text == "":
        return None
    if isinstance(text, str) and not (text.isdigit() and int(text)):
        raise ValueError(f"is {text!r}; write a whole number above zero, or nothing")
    return int(text) if isinstance(text, str) else text


def _reported(name: str) -> str:
    if name not in catalogue.REPORTED:
        raise ValueError(f"is {name!r}{nearest(name, catalogue.REPORTED)}")
    return name


class Number(Frozen):
    """A line of reported.csv: one number of a paper, as printed, and its source."""

    paper: Text
    table: Text
    row: Text
    dataset: str
    resolution: str
    backbone: str
    method: str
    sampler: str
    steps_or_nfe: Annotated[int | None, BeforeValidator(_count)]
    metric: Annotated[str, AfterValidator(_reported)]
    value: Annotated[str, BeforeValidator(_number)]  # text: 1.90 keeps its last digit
    unit: str
    better: Literal["lower", "higher", ""]
    source: Text

    @property
    def metric_id(self) -> str:
        """The metric's key in METRICS."""
        return catalogue.REPORTED[self.metric]
