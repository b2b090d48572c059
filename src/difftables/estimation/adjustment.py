"""The schedule of a sampler, adjusted step by step to the estimated noise of each sample."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from difftables.config.run import Adjustment
from difftables.diffusion.beta_families import refit, sample_schedules
from difftables.diffusion.denoiser import Denoiser
from difftables.diffusion.level import PROCESSES, Level


class FollowEstimate:
    """The `adapt` of a solver: estimates the noise of each sample, and lets the remaining levels follow.

    Args:
        estimate: x, [B, ...], and `cond` where the samples have a condition, to alpha_bar, [B]: that of the variance-preserving level of
            the sample's sigma, whatever the process. One with a true `reads_prediction` also receives `level`, that of the schedule, and
            `denoise`, which answers again without a call where the solver asks it about the same sample next.
        on: "after_noise" estimates on the sample that the net receives next; "before_noise" on the step's mean.
        update: remaining step counts after which to adjust; None adjusts after every step.
    Attributes: evaluations counts evaluations of a level estimator, one a sample; clips counts clipped rates.
    Raises: ValueError for another `on`.
    """

    def __init__(self, estimate: Callable[..., Tensor], *, on: str = "after_noise", update: list[int] | None = None) -> None:
        if on not in ("after_noise", "before_noise"):
            raise ValueError(f"estimate_on is after_noise or before_noise, not {on!r}")
        self.estimate, self.on, self.update = estimate, on, update
        self.evaluations, self.clips = 0, 0

    @property
    def reads_prediction(self) -> bool:
        """Whether the estimate is read off what the net predicts, so that no other net is asked."""
        return bool(getattr(self.estimate, "reads_prediction", False))

    def __call__(self, mean: Tensor, x: Tensor, levels: list[Level], *, denoise: Denoiser | None = None, **cond: Tensor) -> list[Level]:
        if self.update is not None and len(levels) - 1 not in self.update:
            return levels
        further: dict[str, Any] = {"level": levels[0], "denoise": denoise} if self.reads_prediction else {}
        alpha_bar = self.estimate(x if self.on == "after_noise" else mean, **further, **cond)
        self.evaluations += 0 if self.reads_prediction else len(x)
        return self.follow(alpha_bar.double(), levels)

    def follow(self, alpha_bar: Tensor, levels: list[Level]) -> list[Level]:
        """As many levels in place of those that remain.  Args: alpha_bar: [B]; levels: from that of the sample on."""
        raise NotImplementedError


class Adjust(FollowEstimate):
    """Refits the rates of the remaining steps of each sample to its estimated noise.

    Args: first, family, mode: of `refit`; the others: of FollowEstimate.
    Source: San-Roman et al. 2021, inference algorithm; that `before_noise` is theirs is not confirmed.
    """

    def __init__(
        self, estimate: Callable[..., Tensor], *, first: float, family: str, mode: str,
        on: str = "after_noise", update: list[int] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(estimate, on=on, update=update)
        self.first, self.family, self.mode = first, family, mode

    def follow(self, alpha_bar: Tensor, levels: list[Level]) -> list[Level]:
        """The levels of the refitted rates."""
        betas, clips = refit(alpha_bar, len(levels) - 1, self.first, self.family, self.mode)
        self.clips += int(clips.sum())
        return sample_schedules(betas)


class Stretch(FollowEstimate):
    """Stretches the remaining levels of each sample, whatever its process, so that they begin at its estimated noise."""

    def follow(self, alpha_bar: Tensor, levels: list[Level]) -> list[Level]:
        """The levels of `stretched`."""
        return stretched(levels, ((1 - alpha_bar) / alpha_bar).sqrt())


def stretched(levels: list[Level], sigma: Tensor) -> list[Level]:
    """Levels stretched in log sigma so that the first becomes sigma, [B], and the last noisy one stays, as many as before.

    log sigma_i' = log sigma_end + (log sigma_i - log sigma_end) (log sigma - log sigma_end) / (log sigma_0 - log sigma_end)

    A sample that is no noisier than the last noisy level takes all levels times sigma / sigma_0, and so does the only noisy level.
    """
    noisy = [level for level in levels if bool((level.std > 0).all())]
    logs, start = [level.sigma.log().to(sigma.device) for level in noisy], sigma.log()
    span, wanted = logs[0] - logs[-1], start - logs[-1]
    above = (span > 0) & (wanted > 0)
    ratio = wanted / torch.where(span > 0, span, 1.0)
    moved = [torch.where(above, logs[-1] + (each - logs[-1]) * ratio, each - logs[0] + start).exp() for each in logs]
    process = noisy[0].process or ("ve" if bool((noisy[0].alpha == 1).all()) else "vp")
    return [PROCESSES[process](each) for each in moved] + [level.expand(len(sigma)) for level in levels[len(noisy) :]]


def make_adjustment(
    adjust: Adjustment, estimate: Callable[..., Tensor], estimate_on: str | None = None, family: str | None = None
) -> Adjust:  # fmt: skip
    """The adjustment of a run around an estimate of alpha_bar.  Args: estimate_on, family: in place of the run's."""
    return Adjust(
        estimate, first=adjust.first_beta, family=family or adjust.family, mode=adjust.mode, on=estimate_on or adjust.estimate_on,
        update=adjust.update,
    )  # fmt: skip
