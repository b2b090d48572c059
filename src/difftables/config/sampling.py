"""Models of params.yaml: solvers, samplers and the search for their schedules. No torch in here.

A solver is a model here, whose defaults are the only ones, and a function of the same kind in `solvers.SOLVERS`.
"""

from functools import reduce
from operator import or_
from typing import Annotated, ClassVar, Literal

from pydantic import Field, GetPydanticSchema, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from difftables.common import registry
from difftables.common.errors import nearest
from difftables.common.variants import Variants
from difftables.config.data import Frozen, Once, OneOf, Seeds, Some

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


class Solver(Frozen):
    """Base of all solvers: what the plan asks of a solver, as each answers where it differs."""

    kind: str
    walks: ClassVar[bool] = True  # visits the levels of the schedule, one step each; else its cost is known only once it is done
    operators: ClassVar[bool] = True  # goes through an operator; else it divides by alpha and is for noise only

    @property
    def per_sample(self) -> bool:
        """Whether the samples of a batch may be at different levels, as those of an adjusted schedule are."""
        return True

    @property
    def needs_variance(self) -> bool:
        """Whether the net must predict the variance."""
        return False

    @property
    def process(self) -> str | None:
        """The process that the solver is for, a key of level.PROCESSES; None for any."""
        return None

    def calls(self, steps: int) -> int | None:
        """Network calls of a chain of so many steps; None where only a run tells."""
        return steps


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


MODELS: Variants[type[Solver]] = {
    "walk": Walk, "heun": Heun, "in-time": InTime, "predictor-corrector": PredictorCorrector, "rk45": Rk45,
}  # fmt: skip
# Made from MODELS, so that a new solver changes no code that other samplers' jobs reach.
AnySolver = Annotated[Solver, GetPydanticSchema(lambda _, handler: handler.generate_schema(_union()))]


def _union() -> object:
    """The models of all solvers, distinguished by `kind`."""
    return Annotated[reduce(or_, MODELS.values()), Field(discriminator="kind")]


class PowerLaw(Frozen):
    """The grid of schedule `power-law`: its exponent, and bounds of its ends, in sigma."""

    rho: PositiveFloat = 7.0
    lowest: PositiveFloat | None = None  # the last noisy level is no lower
    highest: PositiveFloat | None = None  # the first level is no higher

    @model_validator(mode="after")
    def _range_is_one(self) -> "PowerLaw":
        if self.lowest is not None and self.highest is not None and self.lowest >= self.highest:
            raise ValueError(f"has lowest = {self.lowest:g} and highest = {self.highest:g}; lowest has to be below highest")
        return self


class Sampling(Frozen):
    """How samples are drawn from a trained net: what a job reads of a row."""

    solver: AnySolver
    schedule: str  # strided, fitted, ..., a search method, or the path of a schedule file
    adapt: Annotated[str, OneOf("estimation.level_sources.ESTIMATES")] | None = None
    clip: PositiveFloat | None = None  # bound on the predicted clean sample
    estimate_on: Literal["after_noise", "before_noise"] | None = None  # in place of the run's
    sections: Annotated[list[PositiveInt], Some] | None = None  # section counts in place of `schedule`; they add up to the steps
    grid: PowerLaw | None = None  # of schedule power-law
    skip: Annotated[float, Field(gt=0, lt=1)] | None = None  # share of the chain that is left out at its noisy end


def takes_grid(schedule: str) -> bool:
    """Whether a schedule is one with a grid."""
    where = "sampling.sampling_schedules.SCHEDULES"
    return schedule in registry.names(where) and registry.takes(where, schedule, "grid")


class Compared(Sampling):
    """A sampler of the study of robustness, by its name in params.yaml, as it is or adjusted."""

    name: str
    method: Literal["fixed", "adjusted"]
    family: str  # of refitted rates


class Sampler(Sampling):
    """A row of a table: how samples are drawn, how many steps and seeds, and what it takes in place of its run's."""

    prior: Annotated[str, OneOf("diffusion.priors.PRIORS")] | None = None  # where sampling starts
    family: Annotated[str, OneOf("diffusion.beta_families.BETA_FAMILIES")] | None = None  # of fitted and refitted rates
    steps: Annotated[list[PositiveInt], Some, Once] | None = None  # in place of the table's
    seeds: Seeds | None = None  # in place of the evaluation's

    @model_validator(mode="after")
    def _fits(self) -> "Sampler":
        methods = registry.names("search.methods.METHODS")
        known = [*registry.names("sampling.sampling_schedules.SCHEDULES"), *methods]
        if self.schedule not in known and not self.schedule.endswith(".csv"):
            raise ValueError(f"has schedule {self.schedule!r}, neither a .csv file nor known{nearest(self.schedule, known)}")
        if self.grid is not None and not takes_grid(self.schedule):
            raise ValueError(f"has grid, but schedule {self.schedule!r} has none; leave grid out, or use schedule power-law")
        if not self.solver.walks and self.steps != [1]:
            raise ValueError(f"has solver {self.solver.kind}, which takes as many steps as it needs; set steps: [1], and look at the NFE")
        if not self.solver.walks and self.schedule in methods:
            raise ValueError(f"has schedule {self.schedule!r}, but solver {self.solver.kind} visits no schedule; use one that does")
        if self.adapt and not self.solver.per_sample:
            churn = " with churn" if self.solver.walks else ""
            raise ValueError(
                f"has adapt: {self.adapt}, but solver {self.solver.kind}{churn} takes one level for all samples; leave one out"
            )
        strides = [name for name in registry.names("sampling.sampling_schedules.SCHEDULES") if name != "fitted"]
        if self.skip and (self.sections or not self.solver.walks or self.schedule not in strides):
            raise ValueError(
                f"has skip: {self.skip:g}, which only a walk down schedule {', '.join(strides)} can leave out; change one of them"
            )
        if self.sections and self.steps != [sum(self.sections)]:
            raise ValueError(f"has sections {self.sections}; set steps: [{sum(self.sections)}], their sum")
        return self


class Search(Frozen):
    """Numbers of the search methods; each entry of METHODS says which it reads."""

    grid: Annotated[str, OneOf("search.grids.GRIDS")]
    decades: Annotated[list[float], Field(min_length=2, max_length=2)]  # log10 of the ladder's ends
    digits: Annotated[int, Field(ge=1, le=9)]  # mantissas 1 .. digits
    groups: PositiveInt  # steps beyond this many share mantissas in neighbouring groups
    samples: Annotated[int, Field(ge=2)]  # per candidate
    draws: PositiveInt = 1  # of noise for each sample; of use where samples are given something, as utterances are
    budget: PositiveInt  # network evaluations per step count
    batch: PositiveInt  # samples at once
    frozen_samples: PositiveInt  # trajectories behind the frozen mean schedule
    seed: NonNegativeInt

    @model_validator(mode="after")
    def _ladder_rises(self) -> "Search":
        if not self.decades[0] < self.decades[1] <= 0:
            raise ValueError(f"has decades {self.decades}, log10 of the lowest and of the highest rate, which has to stay below 1")
        return self


class Searches(Frozen):
    """The search by medium."""

    images: Search
    speech: Search
