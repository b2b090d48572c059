"""Models of tables of studies: gradients, and what training targets vary by."""

from typing import Literal

from difftables.papers.rows import GradientRow, PhasesProblem, PhasesRow, ReferencesRow, TrainedRow
from difftables.papers.table import TableOfRows

STUDIED = ("vlb-uniform", "vlb-importance", "hybrid-uniform")  # objective and density of the study of gradients


class Gradients(TableOfRows):
    """How noisy gradients are."""

    METRICS = ("gradient-trace", "gradient-norm", "noise-scale")

    kind: Literal["gradients"]
    rows: list[TrainedRow]

    def row_ids(self) -> list[str]:
        """Each net with each objective and density."""
        return [f"{row.id}-{studied}" for row in self.rows for studied in STUDIED]

    def column_ids(self) -> list[str]:
        """The trace of each net and objective, which compares only with itself, and one for each other metric."""
        objectives = dict.fromkeys(studied.split("-")[0] for studied in STUDIED)
        return [*(f"{row.id}-{objective}" for row in self.rows for objective in objectives), *self.METRICS[1:]]


class GradientCourse(TableOfRows):
    """How noisy gradients are during training."""

    METRICS = ("noise-scale",)

    kind: Literal["gradient-course"]
    rows: list[GradientRow]

    def row_ids(self) -> list[str]:
        return list(dict.fromkeys(row.line for row in self.rows))


class Variance(TableOfRows):
    """Variance and bias of training targets."""

    METRICS = ("v", "d", "v-score", "bias2", "bias2-without-source")

    kind: Literal["variance"]
    rows: list[TrainedRow]


class Phases(TableOfRows):
    """Where the training target varies most."""

    METRICS = ("v-share", "v-clean")

    kind: Literal["phases"]
    problem: PhasesProblem
    rows: list[PhasesRow]


class References(TableOfRows):
    """Variance of the training target by the number of references."""

    METRICS = ("v",)

    kind: Literal["references"]
    problem: PhasesProblem
    rows: list[ReferencesRow]
