"""Models of params.yaml: stochastic solvers of few steps. No torch in here."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from difftables.config.data import Fraction, Frozen, OneOf, Some
from difftables.config.ode_solvers import FewSteps, Lowered
from difftables.config.solver_base import Solver

TEMPERATURE = Annotated[float, Field(ge=0)]  # of the reverse process: 0 is the ODE, 1 the process of DDPM


class Noised(Lowered):
    """Base of the stochastic solvers with a history: no noise is added at a clean level."""

    euler_at_final: bool = False  # the last step is DDIM's, without noise, wherever it ends


class SdeDpmpp(Noised):
    """SDE-DPM-Solver++ 1, 2M, 3M."""

    kind: Literal["sde-dpmpp"]
    order: Literal[1, 2, 3]
    eta: TEMPERATURE = 1.0
    second: Literal["midpoint", "heun"] = "midpoint"  # of order 2; the second-order steps of order 3 are heun
    second_difference: Literal["whole", "halved"] = "whole"  # of order 3; halved as in the released code, which leaves order 2

    @model_validator(mode="after")
    def _setting_is_used(self) -> "SdeDpmpp":
        for name, value, order in (("second", "heun", 2), ("second_difference", "halved", 3)):
            if getattr(self, name) == value and self.order != order:
                raise ValueError(f"has {name}: {value}, which order {self.order} does not read; leave it out, or use order {order}")
        return self


class ErSde(Noised):
    """ER-SDE-Solver 1 to 3, with a noise function."""

    kind: Literal["er-sde"]
    order: Literal[1, 2, 3]
    noise_function: Annotated[str, OneOf("sampling.er_sde.NOISE_FUNCTIONS")] = "recommended"
    integrals: Annotated[str, OneOf("sampling.er_sde.INTEGRALS")] = "quadrature"
    differences: Literal["newton", "taylor"] = "newton"  # of order 3; taylor as in the released code, which leaves order 2

    @model_validator(mode="after")
    def _setting_is_used(self) -> "ErSde":
        if self.differences == "taylor" and self.order < 3:
            raise ValueError(f"has differences: taylor, which order {self.order} does not read; leave it out, or use order 3")
        return self


class Seeds(FewSteps):
    """SEEDS-2: two network calls a step."""

    kind: Literal["seeds"]
    eta: TEMPERATURE = 1.0
    middle: Fraction = 0.5  # r, where in the step, in lambda, the second call is
    operators: ClassVar[bool] = False  # the operator has no level inside a step

    def calls(self, steps: int) -> int | None:
        """Two a step, one for the last, which ends clean."""
        return 2 * steps - self.saved_at_clean(steps) - self.saved_at_first

    def saved_at_clean(self, steps: int) -> int:
        """The second stage."""
        return 1


class Jump(Frozen):
    """Jumps back of Restart: from the level of the schedule nearest to `lowest` up to `highest`, and down again."""

    stamps: Annotated[int, Field(ge=2)]  # n, levels of the way down, both ends among them
    repeats: PositiveInt  # K
    lowest: PositiveFloat  # sigma; replaced by the nearest noisy level of the schedule but the first
    highest: PositiveFloat  # sigma

    @model_validator(mode="after")
    def _range_is_one(self) -> "Jump":
        if not self.lowest < self.highest:
            raise ValueError(f"has lowest = {self.lowest:g} and highest = {self.highest:g}; lowest has to be below highest")
        return self


class Restart(Solver):
    """Heun's method with jumps back."""

    kind: Literal["restart"]
    jumps: Annotated[list[Jump], Some]
    noise: PositiveFloat = 1.0  # S_noise, the std of the noise of a jump
    rho: PositiveFloat = 7.0  # of the grid of levels after a jump
    operators: ClassVar[bool] = False

    @property
    def per_sample(self) -> bool:
        """The samples of a batch jump at one level."""
        return False

    def calls(self, steps: int) -> int | None:
        """2 N - 1 + sum 2 K (n - 1), of a schedule that ends clean."""
        return 2 * steps - 1 + 2 * sum(jump.repeats * (jump.stamps - 1) for jump in self.jumps)
