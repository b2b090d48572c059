"""params.yaml, read once: frozen, strict models that forbid unknown keys and name the nearest right one."""

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from difftables import registry

SCALES = ("smoke", "laptop", "gpu", "paper")
Fraction = Annotated[float, Field(gt=0, lt=1)]
Ratio = Annotated[float, Field(ge=0, lt=1)]
GIVEN_TO_NETS = ("size", "channels")  # what the data set decides


class ConfigError(ValueError):
    """One line that names the key and the mend."""


def nearest(word: str, known: Any) -> str:
    """'; did you mean x?' or the list of what there is."""
    close = difflib.get_close_matches(str(word), [str(k) for k in known], 1)
    return f"; did you mean {close[0]!r}?" if close else f"; there is {', '.join(map(str, known)) or 'none'}"


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
    """Size of the exact estimator."""

    references: PositiveInt
    levels: PositiveInt


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
    adapt: Literal["estimator", "oracle"] | None = None
    clip: PositiveFloat | None = None  # bound on the predicted clean sample
    estimate_on: Literal["after_noise", "before_noise"] | None = None  # in place of the run's

    @model_validator(mode="after")
    def _known_schedule(self) -> "Sampler":
        if self.schedule not in ("strided", "fitted", "searched", "frozen") and not self.schedule.endswith(".csv"):
            raise ValueError(f"schedule is strided, fitted, searched, frozen or a .csv file, not {self.schedule!r}")
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
                if table.run is not None:
                    _need(table.run, self.runs, f"tables.{paper}.{name}.run")
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


def merge(base: Any, override: Any) -> Any:
    """Mappings are merged key by key; everything else is replaced."""
    if isinstance(base, dict) and isinstance(override, dict):
        return {**base, **{key: merge(base.get(key), value) for key, value in override.items()}}
    return override


def load(path: Path | str = "params.yaml", scale: str | None = None) -> Params:
    """Read params.yaml at a scale (its own `scale` unless given).

    Raises: ConfigError, one line naming the key and the mend.
    """
    try:
        raw = yaml.safe_load(Path(path).read_text())
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist; run in the repository's root") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{path} is empty")
    scales = raw.pop("scales", {}) or {}
    raw["scale"] = scale if scale is not None else raw.get("scale")
    if raw["scale"] not in SCALES:
        raise ConfigError(f"{path}: scale is {raw['scale']!r}{nearest(raw['scale'], SCALES)}")
    unknown = [name for name in scales if name not in SCALES]
    if unknown:
        raise ConfigError(f"{path}: scales.{unknown[0]} is no scale{nearest(unknown[0], SCALES)}")
    raw = merge(raw, scales.get(raw["scale"]) or {})
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{path}: {explain(error, Params)}") from None


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The first problem of a failed validation as one line."""
    problems = error.errors()
    # A misspelt key is both unknown and missing: the unknown one says more.
    problem = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"{where} is no known key{nearest(str(problem['loc'][-1]), _fields(model, problem['loc'][:-1]))}"
    if problem["type"] == "missing":
        return f"{where} is missing"
    message = problem["msg"].removeprefix("Value error, ")
    if not where:
        return message
    if message.startswith(("is ", "has ", "lacks ")):
        return f"{where} {message}"
    value = problem["input"]
    if problem["type"] == "literal_error":
        expected = [e.strip("' ") for e in str(problem["ctx"]["expected"]).replace(" or ", ", ").split(",")]
        return f"{where} is {value!r}{nearest(str(value), expected)}"
    hint = f" (YAML reads {value} as text; write {float(value)!r})" if _looks_numeric(value) else ""
    return f"{where}: {message[0].lower()}{message[1:]}, not {value!r}{hint}" if not isinstance(value, dict) else f"{where}: {message}"


def _looks_numeric(value: Any) -> bool:
    try:
        return isinstance(value, str) and float(value) is not None
    except ValueError:
        return False


def _fields(model: Any, location: tuple[Any, ...]) -> list[str]:
    """Keys known at a place of the tree, for the nearest-key hint."""
    for part in location:
        field = getattr(model, "model_fields", {}).get(part)
        model = field.annotation if field is not None else model
        arguments = [a for a in getattr(model, "__args__", ()) if a is not type(None) and a is not str]
        while arguments and not hasattr(model, "model_fields"):
            model = arguments[-1]
            arguments = [a for a in getattr(model, "__args__", ()) if a is not type(None) and a is not str]
    return list(getattr(model, "model_fields", {}))
