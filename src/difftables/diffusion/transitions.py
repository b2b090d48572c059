"""Variances of one step between two levels, which samplers and the variational bound share."""

from torch import Tensor

from difftables.diffusion.level import Level


def step_variances(now: Level, nxt: Level) -> tuple[Tensor, Tensor]:
    """Variances of the step from `now` down to `nxt`, [B]: (beta of the transition, beta~ of the posterior).

    beta = std^2 - (alpha / alpha' std')^2,  beta~ = beta (std' / std)^2

    Source: Ho et al. 2020, Eq. 7, from pairs of levels, so that a strided schedule needs nothing else.
    """
    beta = now.std**2 - (now.alpha / nxt.alpha * nxt.std) ** 2
    return beta.clamp(min=0), beta.clamp(min=0) * (nxt.std / now.std) ** 2
