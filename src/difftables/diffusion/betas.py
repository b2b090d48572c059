"""Transition rates beta_0 .. beta_{N-1}, least noisy first as in the papers, and the variance-preserving schedule that they define."""

import torch
from torch import Tensor

from difftables.diffusion.level import Level


def schedule_from_betas(betas: Tensor) -> Level:
    """The schedule of transition rates: alpha_bar_n = prod_{i<n} (1 - beta_i).

    Args: betas: [N], least noisy first.  Returns: N + 1 levels, noisiest first, the last one clean.
    Raises: ValueError for a rate outside (0, 1).
    """
    bad = ~((betas > 0) & (betas < 1))
    if bad.any():
        i = int(bad.nonzero()[0])
        raise ValueError(f"beta_{i} = {betas[i].item():g} is outside (0, 1)")
    log_alpha_bar = torch.log1p(-betas.double()).cumsum(0).flip(0)
    alpha = torch.cat([(log_alpha_bar / 2).exp(), torch.ones(1, dtype=torch.float64)])
    std = torch.cat([(-torch.expm1(log_alpha_bar)).sqrt(), torch.zeros(1, dtype=torch.float64)])
    return Level(alpha, std, process="vp")


def betas_of(schedule: Level) -> Tensor:
    """Transition rates of a variance-preserving schedule, beta = 1 - alpha_bar / alpha_bar', least noisy first, [N]."""
    alpha_bar = schedule.alpha_bar
    return (1 - alpha_bar[:-1] / alpha_bar[1:]).flip(0)
