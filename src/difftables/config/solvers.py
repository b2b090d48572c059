"""Models of params.yaml: solvers. No torch in here.

A solver is a model here, whose defaults are the only ones, and a function of the same kind in `sampling.solvers.SOLVERS`.
"""

from functools import reduce
from operator import or_
from typing import Annotated, ClassVar, Literal

from pydantic import Field, GetPydanticSchema, PositiveFloat, model_validator

from difftables.common import registry
from difftables.common.variants import Variants
from difftables.config.data import Frozen, OneOf
from difftables.config.ode_solvers import Deis, Dpmpp, Ipndm, Lms, Pndm, Singlestep, Unipc
from difftables.config.solver_base import Solver
from difftables.config.stochastic_solvers import ErSde, Restart, SdeDpmpp, Seeds

RULE = Annotated[str, OneOf("sampling.rules.RULES")]


class Churn(Frozen):
    """Noise added before each step, of EDM's stochastic sampler."""

    amount: PositiveFloat
    lowest: Annotated[float, Field(ge=0)]
    highest: PositiveFloat
    noise: PositiveFloat

    @model_validator(mode="after")
    def _range_is_one(self) -> "Churn":
        if not self.lowest < self.highest:
            raise ValueError(f"has lowest = {self.lowest:g} and highest = {self.highest:g}; lowest has to be below highest")
        return self


class Walk(Solver):
    """One network call and one step of a rule (a, b) per level."""

    kind: Literal["walk"]
    rule: RULE
    noisy_end: bool = False  # whether the last step adds its noise as the others do
    churn: Churn | None = None
    eta: Annotated[float, Field(ge=0, le=1)] | None = None  # of a rule that takes it: 0 adds no noise, 1 that of the posterior

    @model_validator(mode="after")
    def _rule_takes_eta(self) -> "Walk":
        if self.eta is not None and not registry.takes("sampling.rules.RULES", self.rule, "eta"):
            taking = [name for name in registry.names("sampling.rules.RULES") if registry.takes("sampling.rules.RULES", name, "eta")]
            raise ValueError(f"has eta, which rule {self.rule} does not take; leave it out, or use rule {' or '.join(taking)}")
        return self

    @property
    def per_sample(self) -> bool:
        """Without churn: its noise is drawn where the level of any sample asks for it, and would depend on the batch."""
        return self.churn is None

    @property
    def needs_variance(self) -> bool:
        """Whether the rule reads v."""
        return registry.takes("sampling.rules.RULES", self.rule, "v")


class Heun(Solver):
    """DDIM steps corrected by the slope at their end, at the price of a second network call."""

    kind: Literal["heun"]
    churn: Churn | None = None
    operators: ClassVar[bool] = False

    @property
    def per_sample(self) -> bool:
        """As of `Walk`."""
        return self.churn is None

    def calls(self, steps: int) -> int | None:
        """Two a step, but one for the last."""
        return 2 * steps - 1


class InTime(Solver):
    """Euler's or Heun's method in the time of a process, at whatever levels."""

    kind: Literal["in-time"]
    clock: Annotated[str, OneOf("sampling.clocks.CLOCKS")]
    order: Literal[1, 2]  # Euler, Heun
    operators: ClassVar[bool] = False

    @property
    def process(self) -> str | None:
        """That of its clock."""
        return registry.text("sampling.clocks.PROCESS", self.clock)

    def calls(self, steps: int) -> int | None:
        """One a step, and of Heun's method another but for the last step."""
        return steps if self.order == 1 else 2 * steps - 1


class PredictorCorrector(Solver):
    """A Langevin step before each step of a rule."""

    kind: Literal["predictor-corrector"]
    rule: RULE
    snr: PositiveFloat  # of the Langevin step
    operators: ClassVar[bool] = False

    @property
    def needs_variance(self) -> bool:
        """Whether the rule reads v."""
        return registry.takes("sampling.rules.RULES", self.rule, "v")

    def calls(self, steps: int) -> int | None:
        """Two a step."""
        return 2 * steps


class Weighted(Solver):
    """DDIM steps whose prediction is a sum of the last ones, with weights that the schedule holds: of method s4s, or of a file."""

    kind: Literal["weighted"]
    order: Literal[1, 2, 3] = 3  # predictions in a sum
    prediction: Literal["clean", "noise"] = "clean"  # what is summed
    operators: ClassVar[bool] = False
    planned: ClassVar[bool] = True

    @property
    def per_sample(self) -> bool:
        """The weights of a step are those of its levels."""
        return False


class PathSolver(Solver):
    """Base of solvers that follow a path in continuous time, whatever levels the schedule has."""

    path: Annotated[str, OneOf("sampling.ode.PATHS")]
    walks: ClassVar[bool] = False
    operators: ClassVar[bool] = False

    @property
    def per_sample(self) -> bool:
        """All samples of a batch are at one time."""
        return False

    @property
    def process(self) -> str | None:
        """That of its path."""
        return registry.text("sampling.ode.PROCESS", self.path)

    def calls(self, steps: int) -> int | None:
        """As many as the tolerance takes."""
        return None


class Rk45(PathSolver):
    """The probability flow by SciPy's adaptive Runge-Kutta."""

    kind: Literal["rk45"]
    tolerance: PositiveFloat = 1e-5  # absolute and relative


class SdeHeun(Solver):
    """The improved Euler method for the reverse SDE of a path, down the levels of a schedule."""

    kind: Literal["sde-heun"]
    path: Annotated[str, OneOf("sampling.ode.PATHS")]
    operators: ClassVar[bool] = False

    @property
    def process(self) -> str | None:
        """That of its path."""
        return registry.text("sampling.ode.PROCESS", self.path)

    def calls(self, steps: int) -> int | None:
        """Two a step, but one for the last."""
        return 2 * steps - 1


class AdaptiveSde(PathSolver):
    """The reverse SDE in steps that each sample chooses for itself."""

    kind: Literal["adaptive-sde"]
    relative: PositiveFloat = 0.05  # tolerance of a step, as a share of the sample
    absolute: PositiveFloat = 0.0078  # and its floor: a grey level of eight bits in [-1, 1]
    first: Annotated[float, Field(gt=0, le=1)] = 0.01  # length of the first attempt, of a path of length 1
    chooses: ClassVar[bool] = True

    @property
    def on_levels(self) -> Solver:
        """Its steps, at given levels."""
        return SdeHeun(kind="sde-heun", path=self.path)


MODELS: Variants[type[Solver]] = {
    "walk": Walk, "heun": Heun, "in-time": InTime, "predictor-corrector": PredictorCorrector, "rk45": Rk45,
    "adaptive-sde": AdaptiveSde, "sde-heun": SdeHeun,
    "dpmpp": Dpmpp, "unipc": Unipc, "lms": Lms, "deis": Deis, "ipndm": Ipndm, "pndm": Pndm, "singlestep": Singlestep,
    "sde-dpmpp": SdeDpmpp, "seeds": Seeds, "er-sde": ErSde, "restart": Restart,
    "weighted": Weighted,
}  # fmt: skip
# Made from MODELS, so that a new solver changes no code that other samplers' jobs reach.
AnySolver = Annotated[Solver, GetPydanticSchema(lambda _, handler: handler.generate_schema(_union()))]


def _union() -> object:
    """The models of all solvers, distinguished by `kind`."""
    return Annotated[reduce(or_, MODELS.values()), Field(discriminator="kind")]
