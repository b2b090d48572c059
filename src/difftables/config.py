"""Models of params.yaml: frozen, strict, no unknown keys. `params` reads the file."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from difftables import registry
from difftables.names import nearest

SCALES = ("smoke", "laptop", "gpu", "paper")
Fraction = Annotated[float, Field(gt=0, lt=1)]
Ratio = Annotated[float, Field(ge=0, lt=1)]
GIVEN_TO_NETS = ("size", "channels")  # what the data set decides


def one_of(where: str) -> AfterValidator:
    """Annotation of a name that must be a key of a dict of variants, e.g. one_of("steps.RULES")."""

    def known(name: str) -> str:
        if name not in registry.names(where):
            raise ValueError(f"is {name!r}{nearest(name, registry.names(where))}")
        return name

    return AfterValidator(known)


class Frozen(BaseModel):
    """Base of all models: immutable, no coercion, no unknown keys."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Data(Frozen):
    """A data set and its split."""

    reader: Annotated[str, one_of("data.READERS")]
    size: PositiveInt  # px
    channels: Literal[1, 3]
    held_out: PositiveInt  # samples kept from training, for the search and the estimator's error
    seed: NonNegativeInt = 0  # of the split
    root: str | None = None  # of `folder`: where the images lie
    crop: list[NonNegativeInt] | None = None  # of `folder`: centre x, centre y, half side in px, before the resize

    @model_validator(mode="after")
    def _folder_has_root(self) -> "Data":
        if self.reader == "folder" and self.root is None:
            raise ValueError("reader folder needs `root`, the folder with the images")
        return self


class Features(Frozen):
    """A feature network for Frechet distance, KID, precision, recall and inception score."""

    net: Annotated[str, one_of("metrics.features.NETS")]
    pixels: PositiveInt  # side of the network's input
    batch: PositiveInt
    url: str | None = None
    sha256: str | None = None


class Betas(Frozen):
    """A training schedule, by its rates."""

    family: Annotated[str, one_of("schedules.FAMILIES")]
    steps: Annotated[int, Field(ge=2)]
    first: Fraction
    last: Fraction  # of linear: the last rate; of fibonacci: the second


class Net(BaseModel):
    """A network by its kind; the other keys are arguments of its class or function."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")
    kind: Annotated[str, one_of("nets.NETS")]

    @model_validator(mode="after")
    def _arguments_fit(self) -> "Net":
        given = self.model_extra or {}
        wanted = {k: v for k, v in registry.arguments("nets.NETS", self.kind).items() if k not in GIVEN_TO_NETS}
        for name, value in given.items():
            if name not in wanted:
                raise ValueError(f"has no argument {name!r}{nearest(name, wanted)}")
            if not registry.fits(wanted[name][0], value):
                raise ValueError(f"has {name} = {value!r}, which is no {wanted[name][0]}")
        for name, (_, optional) in wanted.items():
            if not optional and name not in given:
                raise ValueError(f"lacks the argument {name!r}")
        return self


class Training(Frozen):
    """One training loop."""

    steps: PositiveInt
    batch: PositiveInt
    lr: PositiveFloat
    warmup: NonNegativeInt  # steps of linear warm-up
    cosine: bool = False  # decay the learning rate to zero along a half cosine after the warm-up
    clip: PositiveFloat | None = None  # of the gradient's norm
    ema: Ratio  # decay per step
    flip: bool = False  # mirror images at random
    precision: Literal["float32", "bfloat16"] = "float32"
    save_every: PositiveInt  # steps between states that a killed run resumes from


class Adjustment(Frozen):
    """How the schedule follows the estimate while sampling."""

    family: Annotated[str, one_of("estimator.FAMILIES")] = "linear"
    mode: Literal["taylor", "exact"] = "exact"
    first: Fraction  # beta_0
    estimate_on: Literal["after_noise", "before_noise"] = "after_noise"
    update: list[PositiveInt] | None = None  # remaining step counts; null adjusts after every step


class Oracle(Frozen):
    """The exact estimator of a kernel density."""

    references: Annotated[int, Field(ge=3)]  # training samples that carry the density
    levels: PositiveInt  # of the training schedule, in the sum over levels
    kernel: Literal["full", "diagonal"]  # whether the kernel follows the correlation of pixels
    shrinkage: Fraction  # of the kernel's covariance towards a sphere


class EstimatorConfig(Frozen):
    """The noise-level estimator of a run."""

    net: Net
    density: Annotated[str, one_of("densities.DENSITIES")]
    penalty: Annotated[str, one_of("losses.PENALTIES")]
    train: Training


class Run(Frozen):
    """A trained net with everything that made it."""

    data: str
    net: str
    schedule: str
    corruption: Annotated[str, one_of("corruptions.CORRUPTIONS")]
    prior: Annotated[str, one_of("corruptions.PRIORS")]
    precondition: Annotated[str, one_of("precond.PRECONDITIONINGS")]
    conditioning: Annotated[str, one_of("precond.CONDITIONINGS")]
    density: Annotated[str, one_of("densities.DENSITIES")]
    target: Annotated[str, one_of("targets.TARGETS")]
    weight: Annotated[str, one_of("losses.WEIGHTS")]
    penalty: Annotated[str, one_of("losses.PENALTIES")]
    train: Training
    seeds: list[NonNegativeInt]  # of training
    estimator: EstimatorConfig
    adjust: Adjustment
    oracle: Oracle


class Sampler(Frozen):
    """A row of a table: how samples are drawn from a trained net."""

    rule: Annotated[str, one_of("steps.RULES")]
    schedule: str  # strided, fitted, searched, frozen, or the path of a schedule file
    adapt: Annotated[str, one_of("estimates.ESTIMATES")] | None = None
    clip: PositiveFloat | None = None  # bound on the predicted clean sample
    estimate_on: Literal["after_noise", "before_noise"] | None = None  # in place of the run's

    @model_validator(mode="after")
    def _known_schedule(self) -> "Sampler":
        known = [*registry.names("assemble.SCHEDULES"), *registry.names("cli.search.METHODS")]
        if self.schedule not in known and not self.schedule.endswith(".csv"):
            raise ValueError(f"has schedule {self.schedule!r}, neither a .csv file nor known{nearest(self.schedule, known)}")
        return self


class Search(Frozen):
    """The grid search and the frozen mean schedule."""

    decades: Annotated[list[float], Field(min_length=2, max_length=2)]  # log10 of the ladder's ends
    digits: Annotated[int, Field(ge=1, le=9)]  # mantissas 1 .. digits
    groups: PositiveInt  # steps beyond this many share mantissas in neighbouring groups
    samples: Annotated[int, Field(ge=2)]  # per candidate
    budget: PositiveInt  # network evaluations per step count
    batch: PositiveInt  # samples at once
    frozen_samples: PositiveInt  # trajectories behind the frozen mean schedule
    seed: NonNegativeInt


class Evaluation(Frozen):
    """How every cell is measured."""

    features: str
    n: Annotated[int, Field(ge=2)]  # samples per seed
    seeds: list[NonNegativeInt]  # of sampling
    batch: PositiveInt
    kid_subsets: PositiveInt
    kid_subset_size: Annotated[int, Field(ge=2)]
    neighbours: PositiveInt  # k of precision and recall
    is_splits: PositiveInt
    floor_repeats: Annotated[int, Field(ge=2)]
    robustness_schedules: Annotated[int, Field(ge=2)]
    robustness_n: Annotated[int, Field(ge=2)]
    robustness_steps: PositiveInt
    error_levels: Annotated[int, Field(ge=2)]
    error_n: Annotated[int, Field(ge=2)]


class Table(Frozen):
    """What a table runs on at this scale; null runs nothing and shows the literature alone."""

    run: str | None
    steps: list[PositiveInt]


class Resources(Frozen):
    """What a job asks of the machine."""

    gpu: NonNegativeInt
    threads: PositiveInt
    train_mb: PositiveInt
    train_minutes: PositiveInt
    sample_minutes: PositiveInt


class Params(Frozen):
    """params.yaml with the overrides of one scale applied."""

    scale: Literal["smoke", "laptop", "gpu", "paper"]
    data: dict[str, Data]
    features: dict[str, Features]
    schedules: dict[str, Betas]
    nets: dict[str, Net]
    runs: dict[str, Run]
    samplers: dict[str, Sampler]
    search: Search
    evaluation: Evaluation
    tables: dict[str, dict[str, Table]]
    resources: Resources

    @model_validator(mode="after")
    def _references_exist(self) -> "Params":
        for name, run in self.runs.items():
            for key, known in (("data", self.data), ("net", self.nets), ("schedule", self.schedules)):
                _need(getattr(run, key), known, f"runs.{name}.{key}")
        _need(self.evaluation.features, self.features, "evaluation.features")
        for paper, tables in self.tables.items():
            for name, table in tables.items():
                if table.run is None:
                    continue
                _need(table.run, self.runs, f"tables.{paper}.{name}.run")
                longest = self.schedules[self.runs[table.run].schedule].steps
                if max(table.steps, default=0) > longest:
                    raise ValueError(
                        f"tables.{paper}.{name}.steps asks for {max(table.steps)} steps, but the training schedule of run "
                        f"{table.run!r} has {longest}"
                    )
        for name, sampler in self.samplers.items():
            if sampler.schedule.endswith(".csv") and not Path(sampler.schedule).is_file():
                raise ValueError(f"samplers.{name}.schedule: {sampler.schedule} does not exist")
        if len(self.evaluation.seeds) < 3 and self.scale != "smoke":
            raise ValueError("evaluation.seeds needs at least three seeds for error bars")
        if self.evaluation.kid_subset_size > self.evaluation.n:
            raise ValueError(f"evaluation.kid_subset_size is larger than evaluation.n = {self.evaluation.n} samples")
        if self.evaluation.neighbours >= self.evaluation.n:
            raise ValueError(f"evaluation.neighbours needs more than evaluation.n = {self.evaluation.n} samples")
        return self


def _need(name: str, known: dict[str, Any], key: str) -> None:
    if name not in known:
        raise ValueError(f"{key} names {name!r}, which is not defined{nearest(name, known)}")
