"""Families of transition rates with one free number, which is fitted to a signal level: schedules that follow an estimate."""

from collections.abc import Callable

import torch
from torch import Tensor

from difftables.common.variants import Variants
from difftables.diffusion.betas import schedule_from_betas
from difftables.diffusion.level import Level

LARGEST_BETA = 0.999


def _fibonacci_weights(steps: int) -> tuple[Tensor, Tensor]:
    """Weights of beta_0 and beta_1 in beta_i: beta_i = F_{i-1} beta_0 + F_i beta_1."""
    first, second = [1.0, 0.0], [0.0, 1.0]
    for weights in (first, second):
        while len(weights) < steps:
            weights.append(weights[-1] + weights[-2])
    return torch.tensor(first[:steps], dtype=torch.float64), torch.tensor(second[:steps], dtype=torch.float64)


def _linear_weights(steps: int) -> tuple[Tensor, Tensor]:
    """Weights of beta_0 and of the increment x in beta_i = beta_0 + i x."""
    return torch.ones(steps, dtype=torch.float64), torch.arange(steps, dtype=torch.float64)


# beta_i = w_i beta_0 + g_i x with one free number x: the weights (w, g) of a family, and its least x / beta_0, below which rates fall.
BETA_FAMILIES: Variants[tuple[Callable[[int], tuple[Tensor, Tensor]], float]] = {
    "linear": (_linear_weights, 0.0),
    "fibonacci": (_fibonacci_weights, 1.0),
}


def refit(alpha_bar: Tensor, steps: int, first: float, family: str = "linear", mode: str = "exact") -> tuple[Tensor, Tensor]:
    """Rates of `steps` remaining steps whose product is the estimated alpha_bar, one schedule per sample.

    prod_i (1 - beta_i) = alpha_bar,  beta_i = w_i beta_0 + g_i x

    taylor: log(1 - beta) ~ -beta, so x = -(log alpha_bar + beta_0 sum w) / sum g, rates clipped at 0.999
    exact: x by bisection of sum log(1 - beta_i) = log alpha_bar, 64 halvings in float64

    One remaining step takes beta = 1 - alpha_bar. A sample too clean for non-decreasing rates from beta_0 takes the
    family's smallest rates from beta_0 scaled down; in the linear family those are constant, 1 - alpha_bar^(1/steps).

    Args: alpha_bar: [B]; first: beta_0; family: of BETA_FAMILIES; mode: taylor or exact.
    Returns: rates [B, steps], least noisy first, and how many rates of each sample were clipped, [B].
    Raises: ValueError for another mode.
    Source: San-Roman et al. 2021, linear and Fibonacci formulas (taylor).
    Departs: `exact` is ours; the first-order form leaves (0, 1) for image schedules of few steps.
    """
    log_target = alpha_bar.double().log()[:, None]
    constant = -torch.expm1(log_target / steps).expand(-1, steps)
    if steps == 1:
        return constant, torch.zeros(len(alpha_bar), dtype=torch.int64)
    weights_of, smallest = BETA_FAMILIES[family]
    weight, slope = (weights.to(alpha_bar.device) for weights in weights_of(steps))
    base, lowest = weight * first, smallest * first
    x = -(log_target + base.sum()) / slope.sum()
    clips = torch.zeros(len(alpha_bar), dtype=torch.int64)
    if mode == "taylor":
        # In the Fibonacci family beta_1 is x and the weights of beta_0 follow, so that one formula serves both families.
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
    """The schedule of a family whose noisiest level has this alpha_bar, N + 1 levels, noisiest first.  Args: of `refit`."""
    return schedule_from_betas(refit(torch.tensor([alpha_bar], dtype=torch.float64), steps, first, family, mode)[0][0])


def sample_schedules(betas: Tensor) -> list[Level]:
    """A schedule for each sample: rates, [B, N], least noisy first, to N + 1 levels of [B], noisiest first, the clean one last."""
    log_alpha_bar = torch.log1p(-betas).cumsum(dim=1).flip(1)
    levels = [Level((each / 2).exp(), (-torch.expm1(each)).sqrt(), process="vp") for each in log_alpha_bar.unbind(1)]
    return [*levels, Level.clean(len(betas)).to(betas.device)]
