"""What a level does to a sample, x = A x0 + std n, and where sampling starts."""

from torch import Tensor

from difftables.level import Level


def scale(x0: Tensor, level: Level) -> Tensor:
    """A = alpha I: x0, [B, ...], times the signal gain.  Source: Ho et al. 2020, Eq. 4."""
    return level.like(x0).alpha * x0


CORRUPTIONS = {"scale": scale}


def standard_normal(noise: Tensor, level: Level) -> Tensor:
    """x_T ~ N(0, I), whatever the first level of the schedule says.  Source: Ho et al. 2020, Algorithm 2."""
    return noise


PRIORS = {"standard_normal": standard_normal}
