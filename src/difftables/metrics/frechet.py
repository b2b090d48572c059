"""Frechet distance between Gaussians fitted to two sets of features, in float64, without a matrix square root."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from difftables.common.clock import timed


@dataclass(frozen=True)
class Moments:
    """Mean [d] and a factor A, [r, d], of the covariance A^T A of N features; r = min(N, d)."""

    mean: Tensor
    factor: Tensor

    @cached_property
    def trace(self) -> Tensor:
        """tr A^T A."""
        return self.factor.square().sum()


@timed("metrics")
def moments(features: Tensor) -> Moments:
    """The Gaussian fitted to features, [N, d], which are centred before they are squared.

    Raises: ValueError for fewer than two samples or features that are not finite.
    """
    count, width = features.shape
    if count < 2:
        raise ValueError(f"a Frechet distance needs at least two samples, not {count}; raise evaluation.n")
    if not torch.isfinite(features).all():
        raise ValueError("features of the samples are not finite; look at the samples and at the weights of the feature network")
    mean = features.double().mean(dim=0)
    centred = (features.double() - mean) / (count - 1) ** 0.5
    return Moments(mean, torch.linalg.qr(centred, mode="r").R if count > width else centred)


@timed("metrics")
def distance(a: Moments, b: Moments) -> float:
    """|m_a - m_b|^2 + tr S_a + tr S_b - 2 tr (S_a S_b)^(1/2), in squared feature units.

    The last trace is the sum of the singular values of A B^T with S_a = A^T A and S_b = B^T B: exact for few
    samples, where the square root of a singular product loses digits.
    Source: Heusel et al. 2017 (FID); the identity is tr (S_a S_b)^(1/2) = |A B^T|_*.
    """
    cross = torch.linalg.svdvals(a.factor @ b.factor.T).sum()
    value = (a.mean - b.mean).square().sum() + a.trace + b.trace - 2 * cross
    return max(value.item(), 0.0)
