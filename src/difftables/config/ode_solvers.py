"""Models of params.yaml: deterministic solvers of few steps. No torch in here."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveFloat, model_validator

from difftables.config.solver_base import Solver

QUANTILE = Annotated[float, Field(gt=0, le=1)]


class FewSteps(Solver):
    """Base of the solvers of few steps, with the conventions that move their numbers."""

    threshold: QUANTILE | None = None  # dynamic thresholding: the quantile of |D| that bounds it; published with 0.995
    first: Literal["analytic"] | None = None  # the first network call replaced by eps = x / sqrt(alpha^2 + std^2)

    def calls(self, steps: int) -> int | None:
        """One a step, but for an analytic first; of a schedule that ends clean, as of all others."""
        return steps - self.saved_at_first

    @property
    def saved_at_first(self) -> int:
        """Calls that an analytic first step saves."""
        return 0 if self.first is None else 1

    def saved_at_clean(self, steps: int) -> int:
        """Calls that the last step saves where it ends clean: a schedule that ends at a noisy level costs so many more."""
        return 0


class Multistep(FewSteps):
    """Base of the solvers with a history."""

    final_order: Literal["lowered", "kept"]  # lowered: at most the number of steps left; libraries keep it from 15 steps on


class Lowered(Multistep):
    """Base of the solvers in lambda, which is infinite at a clean level: order 1 there in any case."""

    final_order: Literal["lowered", "kept"] = "lowered"

    @property
    def operators(self) -> bool:  # type: ignore[override]
        """Whether all its predictions are clean samples: an analytic first call is one of the noise."""
        return self.first is None


class Kept(Multistep):
    """Base of the solvers that are finite at a clean level."""

    final_order: Literal["lowered", "kept"] = "kept"
    operators: ClassVar[bool] = False  # they follow x / alpha, which has no meaning where alpha is an operator


class Dpmpp(Lowered):
    """DPM-Solver++, several steps; with predictions of the noise, DPM-Solver."""

    kind: Literal["dpmpp"]
    order: Literal[1, 2, 3]
    prediction: Literal["clean", "noise"] = "clean"
    second: Literal["midpoint", "heun"] = "midpoint"  # steps of order 2: the slope times a half, or as it is integrated
    second_difference: Literal["whole", "halved"] = "whole"  # of order 3; halved as in the released code, which leaves order 2

    @property
    def operators(self) -> bool:  # type: ignore[override]
        """As of `Lowered`; the noise of an operator's level is that of no x / alpha."""
        return self.first is None and self.prediction == "clean"

    @model_validator(mode="after")
    def _setting_is_used(self) -> "Dpmpp":
        if self.second_difference == "halved" and self.order < 3:
            raise ValueError(f"has second_difference: halved, but order {self.order} has none; leave it out, or use order 3")
        return self


class Unipc(Lowered):
    """UniPC: a predictor of this order, corrected by the call of the next step."""

    kind: Literal["unipc"]
    order: Literal[1, 2, 3]
    variant: Literal["bh1", "bh2"] = "bh2"  # B of steps through two predictions: h, or 1 - e^-h


class Lms(Kept):
    """Linear multistep in sigma: rho-AB-DEIS."""

    kind: Literal["lms"]
    order: Literal[1, 2, 3, 4]


class Deis(Kept):
    """Linear multistep in the time of a linear variance-preserving process: t-AB-DEIS."""

    kind: Literal["deis"]
    order: Literal[1, 2, 3, 4]
    highest: PositiveFloat = 80.0  # sigma at time 1
    lowest: PositiveFloat = 0.002  # sigma at time `earliest`
    earliest: Annotated[float, Field(gt=0, lt=1)] = 1e-3


class Ipndm(Kept):
    """Linear multistep in sigma with the coefficients of even steps."""

    kind: Literal["ipndm"]
    order: Literal[1, 2, 3, 4]


class Pndm(FewSteps):
    """PNDM: F-PNDM (runge-kutta, 4), S-PNDM (improved-euler, 2), PLMS (improved-euler, 4)."""

    kind: Literal["pndm"]
    start: Literal["runge-kutta", "improved-euler"]
    order: Literal[2, 4] = 4
    half: Literal["sigma", "timestep"] = "sigma"  # where half a step of Runge-Kutta is
    operators: ClassVar[bool] = False  # as of `Kept`

    def _begun(self, steps: int) -> int:
        """Steps of the start."""
        return min(steps, 3 if self.start == "runge-kutta" else 1)

    def calls(self, steps: int) -> int | None:
        """One a step, three more for each of three Runge-Kutta steps or one more for improved Euler, none of these to a clean level."""
        extra = 3 if self.start == "runge-kutta" else 1
        return steps + extra * self._begun(steps) - self.saved_at_clean(steps) - self.saved_at_first

    def saved_at_clean(self, steps: int) -> int:
        """The stages of the last step, where it is one of the start."""
        extra = 3 if self.start == "runge-kutta" else 1
        return extra if steps == self._begun(steps) else 0


class Singlestep(FewSteps):
    """DPM-Solver (noise; order 2 is DPM-2 in sigma) or DPM-Solver++ (clean; order 2 is 2S), `order` calls a step."""

    kind: Literal["singlestep"]
    order: Literal[2, 3]
    prediction: Literal["clean", "noise"]
    second: Literal["midpoint", "heun"] = "midpoint"  # of order 2
    operators: ClassVar[bool] = False  # the operator has no level inside a step

    def calls(self, steps: int) -> int | None:
        """`order` a step, one for the last, which ends clean."""
        return self.order * steps - self.saved_at_clean(steps) - self.saved_at_first

    def saved_at_clean(self, steps: int) -> int:
        """All stages but the first."""
        return self.order - 1
