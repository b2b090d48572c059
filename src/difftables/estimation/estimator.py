"""Noise estimation (San-Roman et al. 2021): the estimator's loss, and the schedule refitted to its estimate."""

from collections.abc import Callable

import torch
from torch import Tensor

from difftables.common.variants import Variants
from difftables.diffusion.level import Level
from difftables.diffusion.schedules import from_betas

FLOOR = 1e-7  # of 1 - alpha_bar: a draw between the clean level and its neighbour comes as near to 0 as it likes
LARGEST_BETA = 0.999


def log_noise(level: Level) -> Tensor:
    """u = log(1 - alpha_bar), what the estimator is trained to say, in nats, [B]; held above log(FLOOR)."""
    return (1 - level.alpha_bar).clamp(min=FLOOR).log()


def estimator_loss(u: Tensor, level: Level, penalty: Callable[[Tensor], Tensor] = torch.square) -> Tensor:
    """penalty(u - log(1 - alpha_bar)) per sample, [B].

    Departs: the paper prints the 2-norm, |u - u*| for one number; its square is the smooth variant.
    Source: San-Roman et al. 2021, loss of P_theta.
    """
    return penalty(u - log_noise(level).to(u.device, u.dtype))


def alpha_bar_of(u: Tensor, lowest: float) -> Tensor:
    """alpha_bar = 1 - exp(u), [B], held in [lowest, 1 - FLOOR]; lowest is the noisiest level of the training schedule.

    Beyond it no net was trained, and the division by alpha there sends a sample away for good.
    """
    return (1 - u.double().exp()).clamp(lowest, 1 - FLOOR)


def _fibonacci_numbers(steps: int) -> tuple[Tensor, Tensor]:
    """Weights of beta_0 and beta_1 in beta_i: beta_i = F_{i-1} beta_0 + F_i beta_1."""
    first, second = [1.0, 0.0], [0.0, 1.0]
    for weights in (first, second):
        while len(weights) < steps:
            weights.append(weights[-1] + weights[-2])
    return torch.tensor(first[:steps], dtype=torch.float64), torch.tensor(second[:steps], dtype=torch.float64)


def _linear_numbers(steps: int) -> tuple[Tensor, Tensor]:
    """Weights of beta_0 and of the increment x in beta_i = beta_0 + i x."""
    return torch.ones(steps, dtype=torch.float64), torch.arange(steps, dtype=torch.float64)


# A family is beta_i = w_i beta_0 + g_i x with one free number x, and the smallest x that keeps the rates from falling.
FAMILIES: Variants[tuple[Callable[[int], tuple[Tensor, Tensor]], float]] = {
    "linear": (_linear_numbers, 0.0),
    "fibonacci": (_fibonacci_numbers, 1.0),
}


def refit(alpha_bar: Tensor, steps: int, first: float, family: str = "linear", mode: str = "exact") -> tuple[Tensor, Tensor]:
    """Rates of `steps` remaining steps whose product is the estimated alpha_bar, one schedule per sample.

    prod_i (1 - beta_i) = alpha_bar,  beta_i = w_i beta_0 + g_i x

    taylor: log(1 - beta) ~ -beta, so x = -(log alpha_bar + beta_0 sum w) / sum g, rates clipped at 0.999
    exact: x by bisection of sum log(1 - beta_i) = log alpha_bar, 64 halvings in float64

    One remaining step takes beta = 1 - alpha_bar. A sample too clean for non-decreasing rates from beta_0 takes the
    family's smallest rates from beta_0 scaled down; in the linear family those are constant, 1 - alpha_bar^(1/steps).

    Args: alpha_bar: [B]; first: beta_0; family: linear or fibonacci; mode: taylor or exact.
    Returns: rates [B, steps], least noisy first, and how many of each sample's were clipped, [B].
    Source: San-Roman et al. 2021, linear and Fibonacci formulas (taylor).
    Departs: `exact` is ours; the first-order form leaves (0, 1) for image schedules of few steps.
    """
    log_target = alpha_bar.double().log()[:, None]
    constant = -torch.expm1(log_target / steps).expand(-1, steps)
    if steps == 1:
        return constant, torch.zeros(len(alpha_bar), dtype=torch.int64)
    numbers, smallest = FAMILIES[family]
    weight, slope = (each.to(alpha_bar.device) for each in numbers(steps))
    base, lowest = weight * first, smallest * first
    x = -(log_target + base.sum()) / slope.sum()
    clips = torch.zeros(len(alpha_bar), dtype=torch.int64)
    if mode == "taylor":
        # beta_1 of the Fibonacci family carries beta_0 in its weights as well, hence the same formula for both.
        betas = base + slope * x
        clips = (betas > LARGEST_BETA).sum(dim=1).cpu()
    elif mode == "exact":
        low = torch.full_like(log_target, lowest)
        high = ((1 - base) / slope.clamp(min=1e-300)).min().expand_as(low).clone()
        for _ in range(64):
            x = (low + high) / 2
            below = torch.log1p(-(base + slope * x).clamp(max=1 - 1e-16)).sum(dim=1, keepdim=True) < log_target
            low, high = torch.where(below, low, x), torch.where(below, x, high)
        x = (low + high) / 2
        betas = base + slope * x
    else:
        raise ValueError(f"refit mode {mode!r} is neither taylor nor exact")
    smallest_total = torch.log1p(-(base + slope * lowest).clamp(max=1 - 1e-16)).sum()
    too_clean = (x < lowest) | (log_target > smallest_total)
    if bool(too_clean.any()):
        constant = _scaled(base + slope * lowest, log_target, constant)
    return torch.where(too_clean, constant, betas.clamp(max=LARGEST_BETA if mode == "taylor" else 1.0)), clips


def _scaled(smallest: Tensor, log_target: Tensor, constant: Tensor) -> Tensor:
    """c smallest with sum log(1 - c smallest_i) = log_target, [B, N]; `constant` where the smallest rates all agree."""
    if bool((smallest == smallest[0]).all()):
        return constant
    low, high = torch.zeros_like(log_target), (1 / smallest.max()).clamp(max=1).expand_as(log_target)
    for _ in range(64):
        c = (low + high) / 2
        below = torch.log1p(-(c * smallest).clamp(max=1 - 1e-16)).sum(dim=1, keepdim=True) < log_target
        low, high = torch.where(below, low, c), torch.where(below, c, high)
    return (low + high) / 2 * smallest


def fitted(alpha_bar: float, steps: int, first: float, family: str = "linear", mode: str = "exact") -> Level:
    """One schedule of a family that ends at a given alpha_bar, N + 1 levels, noisiest first."""
    return from_betas(refit(torch.tensor([alpha_bar], dtype=torch.float64), steps, first, family, mode)[0][0])


def levels_of(betas: Tensor) -> list[Level]:
    """Per-sample schedules: rates [B, N], least noisy first, to N + 1 levels of [B], noisiest first."""
    log_alpha_bar = torch.log1p(-betas).cumsum(dim=1).flip(1)
    steps = [Level((each / 2).exp(), (-torch.expm1(each)).sqrt(), process="vp") for each in log_alpha_bar.unbind(1)]
    return [*steps, Level.clean(len(betas)).to(betas.device)]


class Adjust:
    """The `adapt` of a solver: refit the levels still to come to the estimated noise of the sample.

    Args:
        estimate: x, [B, ...], and what else is known of the samples, to alpha_bar, [B].
        first, family, mode: of `refit`.
        on: "after_noise" estimates on what the net meets next; "before_noise" on the step's mean.
        update: remaining step counts after which to adjust; None adjusts after every step.
    Attributes: evaluations counts estimates (samples, not calls); clips counts clipped rates.
    Raises: ValueError for an `on` that is neither.
    Source: San-Roman et al. 2021, inference algorithm; `before_noise` is how it was remembered, not confirmed.
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
        return levels_of(betas)
