"""Models of what a paper's tables consist of: rows, by kind of table; columns; what is quoted."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt, StringConstraints

from difftables.common import registry
from difftables.common.errors import nearest
from difftables.config.data import Frozen
from difftables.config.params_file import SCALES
from difftables.metrics import catalogue

Text = Annotated[str, Field(min_length=1)]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+([-.][a-z0-9]+)*$")]
Method = Literal["fixed", "searched", "adjusted", "frozen", "oracle"]
# How a row's line is drawn where its method does not say it: figures.STYLES has colours and dashes.
Style = Literal["fitted", "adjusted-before", "ddim", "small", "large", "learned"]


def _metric(name: str) -> str:
    if catalogue.split(name) is None:
        raise ValueError(f"is {name!r}{nearest(name, catalogue.METRICS)}")
    return name


def _rule(name: str) -> str:
    known = [rule for rule in registry.names("sampling.rules.RULES") if not registry.takes("sampling.rules.RULES", rule, "v")]
    if name not in known:
        raise ValueError(f"is {name!r}{nearest(name, known)}")
    return name


def _scale(name: str) -> str:
    if name not in SCALES:
        raise ValueError(f"is {name!r}{nearest(name, SCALES)}")
    return name


MetricId = Annotated[str, AfterValidator(_metric)]


class Reference(Frozen):
    """Where numbers stand in reported.csv."""

    table: Text
    row: Text
    dataset: Text | None = None
    backbone: Text | None = None


class Quoted(Frozen):
    """A line of a paper's numbers that is no row of ours."""

    id: Slug
    label: Text
    paper: Reference


class Row(Frozen):
    """A row of a table, by its id; what else it has depends on the table's kind."""

    id: Slug
    label: Text


class TrainedRow(Row):
    """A row of a trained net: the part, played by run PARTS-part of params.yaml."""

    run: Text


class TermsRow(TrainedRow):
    """Terms of a net's bound."""

    variance: Literal["learned", "large", "small"] | None = None  # in place of the net's


class GradientRow(TrainedRow):
    """The gradient of one objective at the weights of a net, a point of a line."""

    line: Slug
    studied: Literal["vlb-uniform", "vlb-importance", "hybrid-uniform"]


class ChainsRow(TrainedRow):
    """Bounds of shorter chains."""

    stride: Literal["even", "dense"]
    variance: Literal["learned", "large", "small"]


class SampledRow(Row):
    """A row that is sampled."""

    run: Text | None = None  # a part, in place of the table's run
    sampler: Text


class GridRow(SampledRow):
    """A row of samples at several step counts."""

    method: Method | None = None
    paper: Reference | None = None


class StepsRow(GridRow):
    """A row of samples at several step counts, a line of the figure."""

    style: Style | Method | None = None  # of its line, in place of its method's
    panel: Text | None = None  # of the figure, by title
    levels: bool = False  # whether the figure shows the noise levels told to its net


class SpeechRow(Row):
    """A row of speech, at the steps of its sampler."""

    sampler: Text
    method: Method
    paper: Reference | None = None


class ListenRow(Row):
    """A row of audio."""

    sampler: Text


class RobustnessRow(Row):
    """A sampler as it is and adjusted, on random schedules."""

    adjusted: Text


class SummaryRow(Row):
    """A row of metrics of one net and sampler."""

    run: Text | None = None
    sampler: Text | None = None
    steps: Literal["full"] | None = None
    variance: Literal["learned", "large", "small"] | None = None
    paper: Reference | None = None


class LineRow(SampledRow):
    """A net that is one point of a line; rows of a line have one label."""

    run: Text
    line: Slug


class ProgressRow(LineRow):
    """A net after some steps of training."""

    at: PositiveInt | None = None  # the column of a row that is not run


class SweepRow(LineRow):
    """A sampler at one number of its line, or at several step counts."""

    at: Annotated[float, Field(ge=0)] | None = None  # the number; without one, a point is a step count, at its network calls


class GaussianRow(Row):
    """A sampler of the exact Gaussian problem."""

    rule: Annotated[str, AfterValidator(_rule)]
    noisy_end: bool = False


class PhasesRow(Row):
    """Points whose posterior is exact."""

    points: Literal["two", "gaussians", "data"]


class ReferencesRow(Row):
    """A number of references."""

    references: PositiveInt


class Column(Frozen):
    """A column of a summary: a metric measured here, or the paper's number on a data set."""

    id: Slug
    head: Text
    metric: MetricId
    dataset: Text | None = None  # of the paper; only the paper has a number then
    paper: Text | None = None  # what reported.csv calls the metric; null quotes nothing
    select: Literal["best"] | None = None
    scales: list[Annotated[str, AfterValidator(_scale)]] | None = None  # that have the column; null: all


class GaussianProblem(Frozen):
    """Numbers of the exact Gaussian problem, as gaussian.Problem has them."""

    size: PositiveInt
    variance: PositiveFloat
    weakest: PositiveFloat
    strongest: PositiveFloat
    lowest: PositiveFloat
    highest: PositiveFloat
    reached: Annotated[float, Field(gt=0, le=1)]


class PhasesProblem(Frozen):
    """Points around two centres."""

    points: Annotated[int, Field(ge=2)]
    dimensions: PositiveInt
    width: PositiveFloat
