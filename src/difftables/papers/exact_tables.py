"""Models of tables of exact problems: solvers by distance to the exact end and by distribution, schedules and searches."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt, TypeAdapter, ValidationError, model_validator

from difftables.common import registry
from difftables.common.errors import nearest
from difftables.config.data import Frozen
from difftables.config.solvers import AnySolver
from difftables.papers.rows import Row
from difftables.papers.table import TableOfRows

PROBLEMS = "studies.exact_problems.PROBLEMS"
CENTRED = ("gaussian", "anisotropic")  # where solvers are linear in the start and the noise


def _problem(name: str) -> str:
    if name not in registry.names(PROBLEMS):
        raise ValueError(f"is {name!r}{nearest(name, registry.names(PROBLEMS))}")
    return name


def _centred(name: str) -> str:
    if name not in CENTRED:
        raise ValueError(f"is {name!r}, where no distribution is closed; use {' or '.join(CENTRED)}")
    return name


def _search(name: str) -> str:
    known = registry.names("studies.exact_schedules.SEARCHES")
    if name not in known:
        raise ValueError(f"is {name!r}{nearest(name, known)}")
    return name


def _solver(given: dict[str, Any]) -> dict[str, Any]:
    """A solver as a sampler of params.yaml has it, checked by the same model, and kept as it is written."""
    try:
        TypeAdapter[AnySolver](AnySolver).validate_python(given)
    except ValidationError as error:
        problem = error.errors()[0]
        key = problem["loc"][-1] if problem["loc"] else "solver"
        raise ValueError(f"has {key}: {problem['msg'].removeprefix('Value error, ')}; config/solvers.py has all solvers") from None
    return given


Problem = Annotated[str, AfterValidator(_problem)]
Centred = Annotated[str, AfterValidator(_centred)]
Solver = Annotated[dict[str, Any], AfterValidator(_solver)]


class Levels(Frozen):
    """Ends in sigma of chains with even steps in log sigma."""

    highest: PositiveFloat
    lowest: PositiveFloat
    clean: bool = False  # whether the last step goes on to the clean sample

    @model_validator(mode="after")
    def _levels_fall(self) -> "Levels":
        if self.lowest >= self.highest:
            raise ValueError(f"has lowest = {self.lowest:g} and highest = {self.highest:g}; lowest has to be below highest")
        return self


class ExactRow(Row):
    """A solver on exact problems."""

    solver: Solver
    drawn: bool = False  # whether the figure has it


class OfExactProblems(TableOfRows):
    """A table of solvers on exact problems, whose columns are network calls: a scale's `steps` choose among them, [] is all."""

    problems: Annotated[list[Problem], Field(min_length=1)]
    levels: Levels
    calls: Annotated[list[PositiveInt], Field(min_length=1)]
    rows: list[ExactRow]


class ExactDistances(OfExactProblems):
    """Distance of deterministic solvers to the exact end of the same start, and their order."""

    METRICS = ("end-distance", "order")

    kind: Literal["exact-distances"]
    order_steps: PositiveInt  # of the shorter of two chains that the order is measured on

    def column_ids(self) -> list[str]:
        return [f"{problem}-{column}" for problem in self.problems for column in (*self.calls, "order")]


class ScheduleRow(Row):
    """A schedule, or a search for one, of studies.exact_schedules.SEARCHES."""

    search: Annotated[str, AfterValidator(_search)]


class ExactSchedules(TableOfRows):
    """Schedules on a centred Gaussian: variance of the samples, and the bound on the KL of the path."""

    METRICS = ("variance-ratio", "klub")

    kind: Literal["exact-schedules"]
    problem: Centred
    levels: Levels  # clean: not of the bound, which is infinite there
    jumps: Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=1)]
    rows: list[ScheduleRow]

    def column_ids(self) -> list[str]:
        return [f"{jumps}-{measure}" for jumps in self.jumps for measure in ("ddim", "ancestral", "klub")]


class ExactSearches(TableOfRows):
    """Searches for schedules on exact problems: distance to the exact end, and what they cost."""

    METRICS = ("end-distance", "evaluations")

    kind: Literal["exact-searches"]
    problems: Annotated[list[Problem], Field(min_length=1)]
    solver: Solver
    levels: Levels
    jumps: Annotated[int, Field(ge=2, le=4)]  # brute force tries all subsets of a grid
    rows: list[ScheduleRow]

    def column_ids(self) -> list[str]:
        return [*self.problems, "evaluations"]


class ExactDistributions(OfExactProblems):
    """Distribution of the samples of solvers, also with noise, on centred Gaussians."""

    METRICS = ("variance-ratio", "kl", "w2")

    kind: Literal["exact-distributions"]
    problems: Annotated[list[Centred], Field(min_length=1)]

    def column_ids(self) -> list[str]:
        return [f"{problem}-{calls}" for problem in self.problems for calls in self.calls]
