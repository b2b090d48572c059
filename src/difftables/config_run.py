"""Models of params.yaml: runs and everything that trains a net."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from difftables import registry
from difftables.config_data import Fraction, Frozen, Ratio, one_of
from difftables.names import nearest


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
        wanted = {k: v for k, v in registry.arguments("nets.NETS", self.kind).items() if k not in registry.GIVEN_TO_NETS}
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
    sigma_data: PositiveFloat = 0.5  # std of the data, of `edm` and its weights
    train: Training
    seeds: list[NonNegativeInt]  # of training
    estimator: EstimatorConfig
    adjust: Adjustment
    oracle: Oracle | None = None  # of images; the exact estimator of speech has no numbers
