"""One model a job: built where the job is planned, read again where it runs. No torch in here.

A spec is written and hashed without the values that equal a default, so that a new optional key changes no job.
"""

import json
from typing import Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from difftables.common.variants import Verbs
from difftables.config.data import Data, ExtractSpec, Features, FetchSpec, Frozen, Speech
from difftables.config.nets import CheckpointSpec
from difftables.config.run import Schedule
from difftables.config.run_spec import EstimatedRun, EstimatorRun, Names, RunSpec, TrainedRun
from difftables.config.sampling import Compared, Learned, Sampling


class DataSpec(Frozen):
    """Of rule data."""

    data: Data


class Floor(Frozen):
    """How real images are measured against real ones."""

    n: PositiveInt
    floor_repeats: PositiveInt
    neighbours: list[PositiveInt]


class ReferenceSpec(Frozen):
    """Of rule reference."""

    features: Features
    evaluation: Floor


class LevelsSpec(Frozen):
    """Of rule levels."""

    data: Data
    schedule: Schedule
    corruption: str
    levels: str
    dataset: str


class TrainSpec(Frozen):
    """Of rule train."""

    run: TrainedRun
    seed: NonNegativeInt


class TrainEstimatorSpec(Frozen):
    """Of rule train_estimator."""

    run: EstimatorRun
    seed: NonNegativeInt


class SearchNumbers(Frozen):
    """The numbers of a search that its method reads, of `search` in params.yaml."""

    seed: NonNegativeInt
    grid: str | None = None
    decades: list[float] | None = None
    digits: int | None = None
    groups: int | None = None
    samples: int | None = None
    draws: int | None = None
    budget: int | None = None
    batch: int | None = None
    frozen_samples: int | None = None
    grid_levels: int | None = None
    curve_samples: int | None = None
    starts: int | None = None
    teacher: str | None = None
    jump_cost: str | None = None
    gamma: float | None = None
    lowest_visited: bool | None = None
    refined_scores: int | None = None
    learned: Learned | None = None


class SearchSpec(Frozen):
    """Of rule search."""

    run: RunSpec
    sampler: Sampling
    method: str
    steps: list[PositiveInt]
    search: SearchNumbers
    batch: PositiveInt
    features: Features | None = None


class SampleSpec(Frozen):
    """Of rule sample."""

    run: RunSpec
    sampler: Sampling
    steps: list[PositiveInt]
    n: PositiveInt
    seeds: list[NonNegativeInt]
    batch: PositiveInt


class Measures(Frozen):
    """How samples are measured; what speech does not need is left out there."""

    n: PositiveInt
    smaller: list[PositiveInt] = Field(default_factory=list)  # further n: the first so many samples of a seed are measured too
    kid_subsets: PositiveInt | None = None
    kid_subset_size: PositiveInt | None = None
    neighbours: list[PositiveInt] | None = None
    is_splits: PositiveInt | None = None


class MeasureSpec(Frozen):
    """Of rule measure."""

    names: Names
    evaluation: Measures
    medium: Literal["images", "speech"]
    speech: Speech | None = None
    features: Features | None = None
    ends: PositiveInt | None = None  # the step count of the samples that these are compared with


class ErrorLevels(Frozen):
    """At how many levels estimators are studied, on how many samples."""

    error_levels: PositiveInt
    error_n: PositiveInt


class ErrorsSpec(Frozen):
    """Of rule errors."""

    run: EstimatedRun
    estimates: list[str]
    evaluation: ErrorLevels
    names: Names


class RandomSchedules(Frozen):
    """How many random schedules of how many steps, and the samples of each."""

    robustness_schedules: PositiveInt
    robustness_n: PositiveInt
    robustness_steps: PositiveInt


class RobustnessSpec(Frozen):
    """Of rule robustness."""

    run: RunSpec
    samplers: list[Compared]
    search: SearchNumbers
    names: Names
    evaluation: RandomSchedules
    batch: PositiveInt
    features: Features | None = None


class Likelihoods(Frozen):
    """How many held-out images, and how many at once."""

    likelihood_n: PositiveInt
    batch: PositiveInt


class Budget(Frozen):
    """What a net was trained on."""

    steps: PositiveInt
    batch: PositiveInt


class LikelihoodSpec(Frozen):
    """Of rule likelihood."""

    run: RunSpec
    steps: list[PositiveInt]
    evaluation: Likelihoods
    trained: Budget
    variance: str
    names: Names


class GradientBatches(Frozen):
    """How many batches of how many samples."""

    gradient_batch: PositiveInt
    gradient_batches: PositiveInt


class GradientsSpec(Frozen):
    """Of rule gradients."""

    run: RunSpec
    evaluation: GradientBatches
    names: Names


class TargetLevels(Frozen):
    """How many noise levels, and noisy samples at each."""

    variance_levels: PositiveInt
    variance_n: PositiveInt


class VarianceSpec(Frozen):
    """Of rule variance."""

    run: RunSpec
    evaluation: TargetLevels
    names: Names


class ListenSpec(Frozen):
    """Of rule listen."""

    data: Speech
    listen: PositiveInt
    samplers: list[str]
    steps: list[PositiveInt]


class Course(Frozen):
    """What corrupts the samples of a run, and the name of its chosen levels, if any."""

    schedule: Schedule
    corruption: str
    levels: str


class TableSpec(Frozen):
    """Of rule table: the layout, what runs it, and the words for its foot."""

    paper: str
    table: str
    layout: dict[str, Any]
    rows: list[dict[str, Any]]
    steps: list[PositiveInt]
    metric: dict[str, Any]
    scale: str
    n: PositiveInt
    seeds: NonNegativeInt
    run: str | None = None
    dataset: str | None = None
    train_seeds: NonNegativeInt = 0
    speech: Speech | None = None
    model: dict[str, Any] | None = None
    about: dict[str, dict[str, Any]] = Field(default_factory=dict)
    courses: dict[str, Course] = Field(default_factory=dict)
    schedules: dict[str, Schedule] = Field(default_factory=dict)


class ReportSpec(Frozen):
    """Of rule report."""

    scale: str
    claims: dict[str, Any]
    tables: list[tuple[str, list[str]]]  # pairs, not a mapping: a page has an order
    lengths: list[str] = Field(default_factory=list)  # of shorter training, the shortest first


SPECS: Verbs[type[Frozen]] = {
    "weights": FetchSpec,
    "download": FetchSpec,
    "extract": ExtractSpec,
    "data": DataSpec,
    "checkpoint": CheckpointSpec,
    "reference": ReferenceSpec,
    "levels": LevelsSpec,
    "train": TrainSpec,
    "train_estimator": TrainEstimatorSpec,
    "search": SearchSpec,
    "sample": SampleSpec,
    "measure": MeasureSpec,
    "errors": ErrorsSpec,
    "robustness": RobustnessSpec,
    "likelihood": LikelihoodSpec,
    "gradients": GradientsSpec,
    "variance": VarianceSpec,
    "listen": ListenSpec,
    "table": TableSpec,
    "report": ReportSpec,
}


def complete(verb: str, written: Any) -> Frozen:
    """The spec of a job from its JSON values, with the defaults that those leave out.  Raises: KeyError, ValueError."""
    return SPECS[verb].model_validate_json(json.dumps(written))
