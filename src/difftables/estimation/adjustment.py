"""The schedule of a sampler, adjusted step by step to the estimated noise of each sample."""

from collections.abc import Callable

from torch import Tensor

from difftables.config.run import Adjustment
from difftables.diffusion.beta_families import refit, sample_schedules
from difftables.diffusion.level import Level


class Adjust:
    """The `adapt` of a solver: refits the remaining levels of each sample to its estimated noise.

    Args:
        estimate: x, [B, ...], and `cond` where the samples have a condition, to alpha_bar, [B].
        first, family, mode: of `refit`.
        on: "after_noise" estimates on the sample that the net receives next; "before_noise" on the step's mean.
        update: remaining step counts after which to adjust; None adjusts after every step.
    Attributes: evaluations counts estimates, one a sample; clips counts clipped rates.
    Raises: ValueError for another `on`.
    Source: San-Roman et al. 2021, inference algorithm; that `before_noise` is theirs is not confirmed.
    """

    def __init__(
        self, estimate: Callable[..., Tensor], *, first: float, family: str, mode: str,
        on: str = "after_noise", update: list[int] | None = None,
    ) -> None:  # fmt: skip
        if on not in ("after_noise", "before_noise"):
            raise ValueError(f"estimate_on is after_noise or before_noise, not {on!r}")
        self.estimate, self.first, self.family, self.mode = estimate, first, family, mode
        self.on, self.update = on, update
        self.evaluations, self.clips = 0, 0

    def __call__(self, mean: Tensor, x: Tensor, levels: list[Level], **cond: Tensor) -> list[Level]:
        steps = len(levels) - 1
        if self.update is not None and steps not in self.update:
            return levels
        alpha_bar = self.estimate(x if self.on == "after_noise" else mean, **cond)
        self.evaluations += len(x)
        betas, clips = refit(alpha_bar.double(), steps, self.first, self.family, self.mode)
        self.clips += int(clips.sum())
        return sample_schedules(betas)


def make_adjustment(
    adjust: Adjustment, estimate: Callable[..., Tensor], estimate_on: str | None = None, family: str | None = None
) -> Adjust:  # fmt: skip
    """The adjustment of a run around an estimate of alpha_bar.  Args: estimate_on, family: in place of the run's."""
    return Adjust(
        estimate, first=adjust.first_beta, family=family or adjust.family, mode=adjust.mode, on=estimate_on or adjust.estimate_on,
        update=adjust.update,
    )  # fmt: skip
