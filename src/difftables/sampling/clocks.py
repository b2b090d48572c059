"""Clocks: the time in which a process was first stepped, as a function of its noise level.

A step in another time goes another way: Euler's and Heun's methods are straight in the time in which they are taken.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from difftables.common.variants import Variants
from difftables.diffusion.linear_process import SONG, LinearRates


@dataclass(frozen=True)
class Clock:
    """Time and its rates as functions of sigma, [K] float64 to [K]; time falls with sigma and is 0 at sigma = 0."""

    time: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]  # d sigma / dt, for sigma > 0
    fading: Callable[[Tensor], Tensor]  # d log alpha / dt


def sigma_squared(rates: LinearRates = SONG) -> Clock:
    """t = sigma^2 with alpha = 1.

    Source: Karras et al. 2022 (EDM), Table 1, column VE, after Song et al. 2021 (score SDE).
    """
    return Clock(torch.square, lambda sigma: 0.5 / sigma, torch.zeros_like)


def preserving(rates: LinearRates = SONG) -> Clock:
    """t with sigma^2 = exp(beta_d t^2 / 2 + beta_min t) - 1, alpha^2 = 1 / (1 + sigma^2).

    t = (rate - beta_min) / beta_d,  rate = sqrt(beta_min^2 + 2 beta_d log(1 + sigma^2)),
    d sigma / dt = rate (1 + sigma^2) / (2 sigma),  d log alpha / dt = -rate / 2

    Source: Karras et al. 2022 (EDM), Table 1, column VP, after Song et al. 2021 (score SDE).
    """
    beta_d, beta_min = rates.beta_d, rates.beta_min

    def rate(sigma: Tensor) -> Tensor:
        return (beta_min**2 + 2 * beta_d * torch.log1p(sigma**2)).sqrt()

    return Clock(
        lambda sigma: (rate(sigma) - beta_min) / beta_d, lambda sigma: 0.5 * rate(sigma) * (1 + sigma**2) / sigma,
        lambda sigma: -0.5 * rate(sigma),
    )  # fmt: skip


CLOCKS: Variants[Callable[..., Clock]] = {"sigma-squared": sigma_squared, "linear": preserving}
# The process of each clock; the plan compares it with that of the run's schedule.
PROCESS: Variants[str] = {"sigma-squared": "ve", "linear": "vp"}
