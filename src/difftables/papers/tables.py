"""Models of a paper's tables, one for each kind: its keys, and what of it a claim may name."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from difftables.metrics import catalogue
from difftables.papers.exact_tables import ExactDistances, ExactDistributions, ExactSchedules, ExactSearches
from difftables.papers.rows import (
    ChainsRow,
    Column,
    GaussianProblem,
    GaussianRow,
    GridRow,
    LineRow,
    ListenRow,
    MetricId,
    ProgressRow,
    Quoted,
    RobustnessRow,
    SampledRow,
    Slug,
    SpeechRow,
    StepsRow,
    SummaryRow,
    SweepRow,
    TermsRow,
    Text,
    TrainedRow,
)
from difftables.papers.study_tables import GradientCourse, Gradients, Phases, References, Variance
from difftables.papers.table import Table, TableOfRows

STATISTICS = ("best", "median", "tenth", "spread")
QUARTERS = ("first-quarter", "second-quarter", "third-quarter", "last-quarter")
TERMS = ("decoder", "first-tenth", "rest", "prior", "nll")


class Grid(TableOfRows):
    """Samples of images at several step counts."""

    METRICS = tuple(catalogue.IMAGE_METRICS)

    about: bool = False
    quotes: list[Quoted] = Field(default_factory=list)


class Steps(Grid):
    """A metric against steps."""

    kind: Literal["steps"]
    panels: list[Text] = Field(default_factory=list)  # titles; a figure without them has one panel
    paper_panel: Text | None = None  # title of the panel with the paper's own curves
    rows: list[StepsRow]
    literature: list[Quoted] = Field(default_factory=list)


class Images(Grid):
    """Pictures of samples."""

    kind: Literal["images"]
    rows: list[GridRow]


class Speech(TableOfRows):
    """All metrics of speech at one step count."""

    METRICS = tuple(catalogue.SPEECH_METRICS)

    kind: Literal["speech"]
    shown: PositiveInt
    metrics: list[MetricId]
    rows: list[SpeechRow]
    literature: list[Quoted] = Field(default_factory=list)


class Listen(TableOfRows):
    """WAV files."""

    kind: Literal["listen"]
    rows: list[ListenRow]


class Errors(Table):
    """Errors of the noise-level estimators."""

    METRICS = ("mse-alpha-bar", "mse-log-noise")

    kind: Literal["errors"]
    literature: list[Quoted] = Field(default_factory=list)

    def row_ids(self) -> list[str]:
        """The estimators."""
        return ["estimator", "oracle", "known-mel"]


class Robustness(TableOfRows):
    """A metric over random schedules."""

    METRICS = ("fd", "pesq")

    kind: Literal["robustness"]
    rows: list[RobustnessRow]

    def row_ids(self) -> list[str]:
        """Each row twice."""
        return [f"{row.id}-{method}" for row in self.rows for method in ("fixed", "adjusted")]

    def column_ids(self) -> list[str]:
        """Statistics over schedules."""
        return list(STATISTICS)


class Summary(TableOfRows):
    """Rows by nets, a column for each metric."""

    kind: Literal["summary"]
    about: bool = False
    columns: list[Column]
    rows: list[SummaryRow] = Field(default_factory=list)
    literature: list[Quoted] = Field(default_factory=list)
    quotes: list[Quoted] = Field(default_factory=list)
    ratio: Annotated[list[Slug], Field(min_length=2, max_length=2)] | None = None  # rows whose bounds are compared term by term
    dots: Annotated[list[Slug], Field(min_length=1, max_length=2)] | None = None  # a column that is drawn, and one of the paper's beside it

    def _measured(self) -> dict[str, str]:
        return {column.id: column.metric for column in self.columns if column.metric and not (column.dataset or column.select)}

    def metric_ids(self) -> tuple[str, ...]:
        return tuple(self._measured().values())

    def column_ids(self) -> list[str]:
        return list(self._measured())


class Compute(TableOfRows):
    """Quality against training compute."""

    METRICS = ("fd", "nll")

    kind: Literal["compute"]
    rows: list[LineRow]
    quotes: list[Quoted] = Field(default_factory=list)

    def column_ids(self) -> list[str]:
        return list(self.METRICS)


class Terms(TableOfRows):
    """Terms of the bound."""

    METRICS = ("nll",)

    kind: Literal["terms"]
    rows: list[TermsRow]

    def column_ids(self) -> list[str]:
        return list(TERMS)


class Chains(TableOfRows):
    """Bounds of shorter chains."""

    METRICS = ("nll",)

    kind: Literal["chains"]
    rows: list[ChainsRow]


class OfSchedules(Table):
    """Closed forms of training schedules."""

    METRICS = ("alpha-bar", "share")

    kind: Literal["noised", "schedules"]
    schedules: Annotated[list[Text], Field(min_length=1)]

    def row_ids(self) -> list[str]:
        return self.schedules


class Learning(TableOfRows):
    """The bound of the training batches."""

    METRICS = ("bound",)

    kind: Literal["learning"]
    rows: list[TrainedRow]

    def column_ids(self) -> list[str]:
        """Quarters of the shortest training."""
        return list(QUARTERS)


class Course(TableOfRows):
    """What corrupts samples against time."""

    METRICS = ("std", "strength")

    kind: Literal["course"]
    rows: list[TrainedRow]


class Gaussian(TableOfRows):
    """Samplers on the exact Gaussian problem."""

    METRICS = ("frechet",)

    kind: Literal["gaussian"]
    problem: GaussianProblem
    rows: list[GaussianRow]


class Progress(TableOfRows):
    """Quality during training."""

    METRICS = ("fd",)

    kind: Literal["progress"]
    rows: list[ProgressRow]
    quotes: list[Quoted] = Field(default_factory=list)

    def row_ids(self) -> list[str]:
        return list(dict.fromkeys(row.line for row in self.rows))


class Sweep(TableOfRows):
    """Quality against a number that samplers differ in, or against network calls."""

    METRICS = ("fd",)

    kind: Literal["sweep"]
    about: bool = False
    axis: Text  # of the number, in the figure
    rows: list[SweepRow]
    quotes: list[Quoted] = Field(default_factory=list)

    def row_ids(self) -> list[str]:
        return list(dict.fromkeys(row.line for row in self.rows))


class Calls(TableOfRows):
    """Several metrics against network calls."""

    METRICS = (*catalogue.IMAGE_METRICS, *catalogue.PAIRED_METRICS, "search-evaluations")

    kind: Literal["against-calls"]
    about: bool = False
    metrics: Annotated[list[MetricId], Field(min_length=1)]
    rows: list[SampledRow]
    literature: list[Quoted] = Field(default_factory=list)


TABLES: dict[str, type[Table]] = {
    "steps": Steps, "images": Images, "speech": Speech, "listen": Listen, "errors": Errors, "robustness": Robustness,
    "summary": Summary, "compute": Compute, "terms": Terms, "chains": Chains, "noised": OfSchedules, "schedules": OfSchedules,
    "learning": Learning, "gradients": Gradients, "course": Course, "gaussian": Gaussian, "variance": Variance, "phases": Phases,
    "progress": Progress, "sweep": Sweep, "gradient-course": GradientCourse,
    "references": References, "exact-distances": ExactDistances, "exact-distributions": ExactDistributions,
    "exact-schedules": ExactSchedules, "exact-searches": ExactSearches, "against-calls": Calls,
}  # fmt: skip
