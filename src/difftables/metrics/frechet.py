"""Frechet distance between Gaussians fitted to two sets of features, in float64, without a matrix square root."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from difftables.common.clock import timed

BLOCK = 2**17  # features that are held at once


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
def moments(features: Tensor, rows: Tensor | None = None, block: int = BLOCK) -> Moments:
    """The Gaussian fitted to features, [N, d], which are centred before they are squared.

    Args: rows: indices of the features to take, [n], None for all; block: how many are held at once. More than a block are read twice,
        for the mean and for the factor, which differs from that of one block by rounding, 1e-12 of its size.
    Raises: ValueError for fewer than two samples or features that are not finite.
    """
    count, width = len(features) if rows is None else len(rows), features.shape[1]
    if count < 2:
        raise ValueError(f"a Frechet distance needs at least two samples, not {count}; raise evaluation.n")

    def blocks() -> Iterator[Tensor]:
        for first in range(0, count, block):
            part = slice(first, min(first + block, count))
            yield (features[part] if rows is None else features[rows[part]]).double()

    means, sizes = [], []
    for part in blocks():
        if not torch.isfinite(part).all():
            raise ValueError("features of the samples are not finite; look at the samples and at the weights of the feature network")
        means.append(part.mean(dim=0))
        sizes.append(len(part))
    mean = means[0]
    if len(means) > 1:
        mean = (torch.stack(means) * torch.tensor(sizes, dtype=torch.float64)[:, None]).sum(dim=0) / count
    factor = torch.zeros(0, width, dtype=torch.float64)
    for part in blocks():
        centred = (part - mean) / (count - 1) ** 0.5
        factor = torch.cat([factor, centred]) if len(factor) else centred
        if count > width:
            factor = torch.linalg.qr(factor, mode="r").R
    return Moments(mean, factor)


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
