"""Models of params.yaml: samplers and the search for their schedules. No torch in here."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from difftables.common import registry
from difftables.common.errors import nearest
from difftables.config.data import Frozen, Once, OneOf, Seeds, Some
from difftables.config.solvers import AnySolver


class PowerLaw(Frozen):
    """The grid of schedule `power-law`: its exponent, bounds of its ends, in sigma, and whether it ends clean.

    Of a schedule that a search makes between two ends, all but the exponent.
    """

    rho: PositiveFloat = 7.0
    lowest: PositiveFloat | None = None  # the last noisy level is no lower
    highest: PositiveFloat | None = None  # the first level is no higher
    clean: bool = True  # whether the clean level follows the last noisy one, or the schedule ends at that

    @model_validator(mode="after")
    def _range_is_one(self) -> "PowerLaw":
        if self.lowest is not None and self.highest is not None and self.lowest >= self.highest:
            raise ValueError(f"has lowest = {self.lowest:g} and highest = {self.highest:g}; lowest has to be below highest")
        return self


class Sampling(Frozen):
    """How samples are drawn from a trained net: what a job reads of a row."""

    solver: AnySolver
    schedule: str  # strided, fitted, ..., a search method, transferred from another run, or the path of a schedule file
    adapt: Annotated[str, OneOf("estimation.level_sources.ESTIMATES")] | None = None
    clip: PositiveFloat | None = None  # bound on the predicted clean sample
    estimate_on: Literal["after_noise", "before_noise"] | None = None  # in place of the run's
    remaining: Literal["refit", "stretch"] = "refit"  # of `adapt`: rates fitted anew, VP only; or the levels themselves, stretched
    shuffled: bool = False  # whether each sample walks the levels that another one of its seed found
    sections: Annotated[list[PositiveInt], Some] | None = None  # section counts in place of `schedule`; they add up to the steps
    grid: PowerLaw | None = None  # of schedule power-law
    skip: Annotated[float, Field(gt=0, lt=1)] | None = None  # share of the chain that is left out at its noisy end

    @property
    def refits(self) -> bool:
        """Whether rates are fitted anew to the estimates of levels."""
        return self.adapt is not None and self.remaining == "refit"


def takes_grid(schedule: str) -> bool:
    """Whether a schedule is one with a grid, computed or searched."""
    where, searches = "sampling.sampling_schedules.SCHEDULES", "search.methods.METHODS"
    if schedule in registry.names(searches):
        return bool(registry.keywords(searches, "grid").get(schedule))
    return schedule in registry.names(where) and registry.takes(where, schedule, "grid")


class MeanOf(Frozen):
    """The adaptive sampler whose mean schedule is frozen, where it differs from the row."""

    solver: AnySolver | None = None
    schedule: str = "fitted"
    adapt: Annotated[str, OneOf("estimation.level_sources.ESTIMATES")] | None = "estimator"
    remaining: Literal["refit", "stretch"] = "refit"


class FoundOn(Frozen):
    """The search behind schedule `transferred`: a run, on whose first training it was done, and the sampler that asked for it."""

    run: str
    sampler: str


def schedules_with_weights() -> list[str]:
    """The search methods whose schedules hold weights of their steps."""
    return [name for name, weights in registry.keywords("search.methods.METHODS", "weights").items() if weights]


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
    mean_of: MeanOf | None = None  # of schedule frozen; null: the row's solver, adjusted by the estimator
    seeds: Seeds | None = None  # in place of the evaluation's
    ends: str | None = None  # the sampler whose samples of the same noise the row's are compared with, metric `distance`

    found_on: FoundOn | None = None  # of schedule transferred

    @model_validator(mode="after")
    def _fits(self) -> "Sampler":
        methods = registry.names("search.methods.METHODS")
        known = [*registry.names("sampling.sampling_schedules.SCHEDULES"), *methods, "transferred"]
        if (self.schedule == "transferred") != (self.found_on is not None):
            raise ValueError(f"has schedule {self.schedule!r} and found_on: {self.found_on}; set both schedule: transferred and found_on")
        if self.schedule not in known and not self.schedule.endswith(".csv"):
            raise ValueError(f"has schedule {self.schedule!r}, neither a .csv file nor known{nearest(self.schedule, known)}")
        if self.grid is not None and not takes_grid(self.schedule):
            raise ValueError(f"has grid, but schedule {self.schedule!r} has none; leave grid out, or use schedule power-law")
        planned = schedules_with_weights()
        if self.solver.planned and self.schedule not in planned and not self.schedule.endswith(".csv"):
            raise ValueError(
                f"has solver {self.solver.kind}, but schedule {self.schedule!r} has no weights; use {', '.join(planned)} or a file"
            )
        if self.schedule in planned and not self.solver.planned:
            raise ValueError(f"has schedule {self.schedule!r}, whose weights solver {self.solver.kind} does not read; use solver weighted")
        if not self.solver.walks and self.steps != [1]:
            raise ValueError(f"has solver {self.solver.kind}, which takes as many steps as it needs; set steps: [1], and look at the NFE")
        if not self.solver.walks and self.schedule in methods:
            raise ValueError(f"has schedule {self.schedule!r}, but solver {self.solver.kind} visits no schedule; use one that does")
        if self.adapt and not self.solver.per_sample:
            churn = " with churn" if self.solver.walks else ""
            raise ValueError(
                f"has adapt: {self.adapt}, but solver {self.solver.kind}{churn} takes one level for all samples; leave one out"
            )
        if self.shuffled and self.adapt is None and not self.solver.chooses:
            raise ValueError("has shuffled: true, but its samples have no levels of their own; set adapt, or leave shuffled out")
        if self.mean_of is not None and self.schedule != "frozen":
            raise ValueError(f"has mean_of, but schedule {self.schedule!r} is no mean; set schedule: frozen, or leave mean_of out")
        strides = [name for name in registry.names("sampling.sampling_schedules.SCHEDULES") if name != "fitted"]
        if self.skip and (self.sections or not self.solver.walks or self.schedule not in strides):
            raise ValueError(
                f"has skip: {self.skip:g}, which only a walk down schedule {', '.join(strides)} can leave out; change one of them"
            )
        if self.sections and self.steps != [sum(self.sections)]:
            raise ValueError(f"has sections {self.sections}; set steps: [{sum(self.sections)}], their sum")
        return self


class Learned(Frozen):
    """A schedule that is learned by gradient, and its budget: of methods ld3, ld3-levels and s4s."""

    pairs: Annotated[int, Field(ge=2)] = 24  # starts with a teacher's ends to learn from, and as many to check on
    batch: PositiveInt = 8  # pairs of an update
    updates: PositiveInt = 112  # of the parameters
    check_every: PositiveInt = 4  # updates
    teacher_steps: Annotated[int, Field(ge=2)] = 12  # of Heun's method down a power law
    radius: Annotated[float, Field(ge=0)] = 1.0  # of the ball of unit noise in which a start may move while it is learned from
    rate: PositiveFloat = 5.0e-3  # of RMSprop, for levels and weights
    conditioned_rate: PositiveFloat = 0.1  # of gradient descent, for conditioned levels
    blocks: PositiveInt = 4  # of updates of the weights and of the levels, in turn


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
    grid_levels: Annotated[int, Field(ge=3)] = 61  # of the power law, rho = 7, that loss curves and trajectories are measured at
    curve_samples: PositiveInt = 256  # clean samples behind a loss curve
    starts: PositiveInt = 256  # trajectories behind costs of jumps
    teacher: Literal["euler", "ipndm"] = "ipndm"  # the solver of these trajectories
    jump_cost: Annotated[str, OneOf("search.trajectories.COSTS")] = "dev"
    gamma: PositiveFloat = 1.15  # weight of what follows a jump; above 1 it moves levels down
    lowest_visited: bool = False  # whether the lowest level is visited on the way to the clean one, as the power law's is
    refined_scores: PositiveInt = 65  # candidates that the cheap search scores at most: 1 % of a grid of 9^4
    learned: Learned = Learned()

    @model_validator(mode="after")
    def _ladder_rises(self) -> "Search":
        if not self.decades[0] < self.decades[1] <= 0:
            raise ValueError(f"has decades {self.decades}, log10 of the lowest and of the highest rate, which has to stay below 1")
        return self


class Searches(Frozen):
    """The search by medium."""

    images: Search
    speech: Search
