"""Models of params.yaml: runs and everything that trains a net."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from difftables.common import registry
from difftables.config.data import Fraction, Frozen, Once, OneOf, Ratio, Seeds, Some
from difftables.config.nets import CheckpointNet, Net, arguments_fit


class Schedule(BaseModel):
    """A training schedule by its family; the other keys are arguments of its function."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")
    family: Annotated[str, OneOf("diffusion.training_schedules.TRAINING_SCHEDULES")]
    steps: Annotated[int, Field(ge=2)]

    @model_validator(mode="after")
    def _arguments_fit(self) -> "Schedule":
        arguments_fit(
            self.model_extra or {}, "diffusion.training_schedules.TRAINING_SCHEDULES", self.family, ("steps", *registry.SET_BY_JOB)
        )
        if self.family == "scaled-linear" and self.steps <= 20:
            raise ValueError(f"has steps = {self.steps}; scaled-linear ends at the rate 20 / steps, which must stay below 1")
        given = self.model_extra or {}
        for low, high, what in (("lowest", "highest", "noise"), ("weakest", "strongest", "operator")):
            if low in given and given[low] >= given[high]:
                raise ValueError(f"has {low} = {given[low]:g} and {high} = {given[high]:g}; the {what} must grow with time")
        if "nodes" in given and not 2 <= given["nodes"] <= given["candidates"]:
            raise ValueError(f"has nodes = {given['nodes']}, which is not between 2 and its {given['candidates']} candidates")
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
    half_life: PositiveInt | None = None  # of the average, in images, in place of `ema`; shorter at first
    from_zero: bool = False  # whether the warm-up begins at a learning rate of zero, as EDM's
    flip: bool = False  # mirror images at random
    distinct: bool = False  # no image twice in a batch
    augment: Annotated[float, Field(ge=0, le=1)] = 0.0  # probability of each operation of the non-leaky augmentation of images
    precision: Literal["float32", "bfloat16"] = "float32"
    save_every: PositiveInt  # steps between states that a killed run resumes from
    checkpoints: Annotated[list[PositiveInt], Once] = Field(
        default_factory=list
    )  # steps whose averaged weights are kept beside the last ones

    @model_validator(mode="after")
    def _within_its_steps(self) -> "Training":
        late = [step for step in self.checkpoints if step >= self.steps]
        if late:
            raise ValueError(f"has a checkpoint at {late[0]}, but ends after {self.steps} steps, whose weights are kept anyhow")
        if self.warmup > self.steps:
            raise ValueError(f"has warmup = {self.warmup}, longer than its {self.steps} steps")
        return self


class Adjustment(Frozen):
    """How the schedule follows the estimate while sampling."""

    family: Annotated[str, OneOf("diffusion.beta_families.BETA_FAMILIES")] = "linear"
    mode: Literal["taylor", "exact"] = "exact"
    first_beta: Fraction
    estimate_on: Literal["after_noise", "before_noise"] = "after_noise"
    update: Annotated[list[PositiveInt], Some, Once] | None = None  # remaining step counts; null adjusts after every step


class Oracle(Frozen):
    """The exact estimator of a kernel density."""

    references: Annotated[int, Field(ge=3)]  # training samples that carry the density
    levels: PositiveInt  # of the training schedule, in the sum over levels
    kernel: Literal["full", "diagonal"]  # whether the kernel follows the correlation of pixels
    shrinkage: Fraction  # of the kernel's covariance towards a sphere


class EstimatorNet(Frozen):
    """The noise-level estimator of a run, as far as one needs it who asks it."""

    net: Net


class EstimatorConfig(EstimatorNet):
    """The noise-level estimator of a run."""

    density: Annotated[str, OneOf("training.level_densities.DENSITIES")]
    penalty: Annotated[str, OneOf("training.losses.PENALTIES")]
    train: Training


class Variant(Frozen):
    """A variant with its arguments; a text is the variant of that name with its defaults."""

    @model_validator(mode="before")
    @classmethod
    def _of_name(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value


class Target(Variant):
    """What the net learns to predict."""

    kind: Annotated[str, OneOf("training.targets.TARGETS")]
    references: PositiveInt | None = None  # n of stable_field, the batch among them; 1 is the source only

    @model_validator(mode="after")
    def _references_belong_to_it(self) -> "Target":
        if self.kind.startswith("stable_field") != (self.references is not None):
            raise ValueError("has one of `kind: stable_field` and `references` without the other; write both")
        return self


class Objective(Variant):
    """What training makes of the weighed error."""

    kind: Annotated[str, OneOf("training.variational_bound.OBJECTIVES")]
    vlb_weight: PositiveFloat = 0.001  # lambda of `hybrid`

    @model_validator(mode="after")
    def _weight_belongs_to_it(self) -> "Objective":
        if "vlb_weight" in self.model_fields_set and self.kind != "hybrid":
            raise ValueError(f"has vlb_weight, which objective {self.kind} does not take; leave it out, or set kind: hybrid")
        return self


Prior = Annotated[str, OneOf("diffusion.priors.PRIORS")]


class Execution(Frozen):
    """How each call of the net is computed, in training, sampling and studies. All but the defaults change last digits, or more."""

    precision: Literal["float32", "bfloat16"] = "float32"  # inside the net; `train.precision` is that of the whole loss
    layout: Literal["channels_first", "channels_last"] = "channels_first"  # of images inside the net
    compile: bool = False  # by torch.compile, about a minute at the first call
    tf32: bool = False  # round the inputs of float32 products and convolutions to ten bits, on a GPU, in the whole job


class Backbone(Frozen):
    """A net's task: what corrupts its samples, what it predicts and what its loss is."""

    corruption: Annotated[str, OneOf("diffusion.corruptions.CORRUPTIONS")]
    precondition: Annotated[str, OneOf("diffusion.denoiser.PRECONDITIONINGS")]
    conditioning: Annotated[str, OneOf("diffusion.denoiser.CONDITIONINGS")]
    density: Annotated[str, OneOf("training.level_densities.DENSITIES")]
    target: Target
    weight: Annotated[str, OneOf("training.losses.WEIGHTS")]
    penalty: Annotated[str, OneOf("training.losses.PENALTIES")]
    loss_through: Literal["plain", "corrupted"] = "plain"  # whether the loss takes the error as it is, or through the corruption
    sigma_data: PositiveFloat = 0.5  # std of the data, of `edm` and its weights
    objective: Objective = Objective(kind="simple")
    execution: Execution = Execution()


class Checkpoint(Frozen):
    """What a run evaluates that trains nothing: another run's net at a training step, or two nets, each at its levels."""

    run: str
    step: PositiveInt | None = None  # one of its checkpoints; null: the last step
    edge_run: str | None = None  # the run whose net takes the noisiest and the cleanest levels
    edge_fraction: Annotated[float, Field(gt=0, le=0.5)] | None = None  # of the training levels, at each end

    @model_validator(mode="after")
    def _edge_is_whole(self) -> "Checkpoint":
        if (self.edge_run is None) != (self.edge_fraction is None):
            raise ValueError("has one of `edge_run` and `edge_fraction` without the other; write both")
        return self


class Run(Backbone):
    """A trained net with everything that made it, and what its samples start from."""

    data: str
    net: str | CheckpointNet
    schedule: str
    prior: Prior
    condition_on: Literal["labels"] | None = None  # a further input of the net, of images
    train: Training
    seeds: Seeds  # of training
    estimator: EstimatorConfig | None = None
    adjust: Adjustment | None = None
    oracle: Oracle | None = None  # of images; the exact estimator of speech has no numbers
    checkpoint_of: Checkpoint | None = None  # this run trains nothing: it evaluates another one

    @property
    def checkpoint(self) -> str | None:
        """The checkpoint whose net this run evaluates; None for a run whose net is trained here."""
        return self.net.checkpoint if isinstance(self.net, CheckpointNet) else None

    @property
    def net_key(self) -> str:
        """The key of its net in params, for messages."""
        return f"nets.{self.net}" if isinstance(self.net, str) else f"checkpoints.{self.net.checkpoint}.net"

    @property
    def trained(self) -> str | None:
        """The run whose net this one evaluates; None for a run that is trained."""
        return self.checkpoint_of.run if self.checkpoint_of else None

    @property
    def step(self) -> int | None:
        """The training step whose net is evaluated; None for the last."""
        return self.checkpoint_of.step if self.checkpoint_of else None

    @property
    def edge_run(self) -> str | None:
        """The run whose net takes the noisiest and the cleanest levels, if any."""
        return self.checkpoint_of.edge_run if self.checkpoint_of else None

    @model_validator(mode="after")
    def _a_checkpoint_is_kept(self) -> "Run":
        if self.checkpoint is not None and len(self.seeds) > 1:
            raise ValueError(f"has {len(self.seeds)} seeds of training, but the one net of checkpoint {self.checkpoint!r}; set seeds: [0]")
        if self.checkpoint is not None and self.step is not None:
            raise ValueError(
                f"has checkpoint_of.step = {self.step}, but its net is checkpoint {self.checkpoint!r}, which keeps no steps; leave step out"
            )
        if self.step is not None and self.step not in [*self.train.checkpoints, self.train.steps]:
            raise ValueError(
                f"has checkpoint_of.step = {self.step}, which is not among the checkpoints {self.train.checkpoints} of run "
                f"{self.trained!r}; choose one of them"
            )
        if self.estimator is not None and self.estimator.density == "loss_aware":
            raise ValueError("has an estimator with density loss_aware, which is for backbones")
        if self.objective.kind != "simple" and self.density not in ("index", "loss_aware"):
            raise ValueError(f"has objective {self.objective.kind}, whose terms belong to the levels of the schedule; set density: index")
        return self

    @model_validator(mode="after")
    def _references_fit(self) -> "Run":
        references = self.target.references
        if references is None:
            return self
        if 1 < references < self.train.batch:
            raise ValueError(
                f"has target.references = {references}, fewer than the batch of {self.train.batch}, which is among them; raise it"
            )
        if not self.train.distinct:
            raise ValueError("has target.references, which are drawn without replacement; set train.distinct: true")
        if self.corruption != "scale":
            raise ValueError(f"has target {self.target.kind}, whose weights hold only for corruption scale, not {self.corruption}")
        if self.train.augment and self.target.kind == "stable_field" and references > 1:
            raise ValueError(
                "has target.references and train.augment, but references are augmented otherwise than the sample whose augmentation "
                "the net receives; set augment to 0, or target.kind to stable_field_official, which does so all the same"
            )
        return self
