"""KID and inception score with the bits of torch-fidelity, whose import takes longer than they do; precision and recall."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

BLOCK = 2**17  # features that are held at once
DISTANCES = 2**28  # distances that are held at once, 2 GB


class KernelSubsets:
    """Random subsets of a reference, and the sums over its part of their kernels, which are the same for all samples.

    Args: reference: [M, d]; count: N of the samples; subsets, size: how many, and samples in each; seed: of torch-fidelity's stream.
    Raises: ValueError for fewer samples than a subset needs.
    """

    def __init__(self, reference: Tensor, count: int, subsets: int, size: int, seed: int) -> None:
        if (fewest := min(count, len(reference))) < size:
            raise ValueError(f"KID subsets of {size} need as many samples, and there are {fewest}; lower evaluation.kid_subset_size")
        stream = np.random.RandomState(seed)
        self.reference = reference.numpy()
        self.rows = [[stream.choice(n, size, replace=False) for n in (count, len(reference))] for _ in range(subsets)]
        self.sums = [_off_diagonal(_kernel(part, part)) for part in (self.reference[rows] for _, rows in self.rows)]


def _kernel(a: Any, b: Any) -> Any:
    return (np.matmul(a, b.T) * (1.0 / a.shape[1]) + 1) ** 3


def _off_diagonal(kernel: Any) -> Any:
    return (kernel.sum(axis=1) - np.diagonal(kernel)).sum()


def kernel_distance(features: Tensor, subsets: KernelSubsets) -> float:
    """KID: mean over random subsets of the unbiased squared MMD with a cubic polynomial kernel.

    Source: Binkowski et al. 2018; torch-fidelity, metric_kid.
    """
    distances, of_samples = [], features.numpy()
    for (rows, reference_rows), reference_sum in zip(subsets.rows, subsets.sums, strict=True):
        part, m = of_samples[rows], len(rows)
        own_sum = _off_diagonal(_kernel(part, part))
        cross_sum = _kernel(part, subsets.reference[reference_rows]).sum(axis=0).sum()
        distances.append((own_sum + reference_sum) / (m * (m - 1)) - 2 * cross_sum / (m * m))
    return float(np.mean(distances))


def _squares(features: Tensor) -> Tensor:
    return torch.cat([part.double().square().sum(1) for part in features.split(BLOCK)])


def _rows(rows: int, others: int) -> int:
    """How many rows of distances to so many others are held at once."""
    return max(1, min(rows, DISTANCES // others))


def _distances(a: Tensor, b: Tensor, squares_of_b: Tensor) -> Tensor:
    """Squared Euclidean distances in float64, [len(a), len(b)]."""
    return (_squares(a)[:, None] + squares_of_b[None] - 2 * a.double() @ b.double().T).clamp(min=0)


def nearest(features: Tensor, count: int, rows: int = 2048) -> Tensor:
    """Squared distances from each feature to its nearest ones, itself included, ascending: [N, d] to [N, count].

    Raises: ValueError for too few features.
    """
    if len(features) < count:
        raise ValueError(f"precision with k = {count - 1} needs more than {count - 1} samples; raise evaluation.n")
    squares = _squares(features)
    found = features.split(_rows(rows, len(features)))
    parts = [_distances(part, features, squares).topk(count, largest=False, sorted=True).values for part in found]
    return torch.cat(parts)


class Manifold:
    """Balls around features: each reaches to the k-th nearest other feature of the set.

    Args: features: [N, d]; neighbours: the k; near: of `nearest` for the largest k or more, None to compute it.
    Raises: ValueError for too few samples for k neighbours.
    Source: Kynkaanniemi et al. 2019.
    """

    def __init__(self, features: Tensor, neighbours: Sequence[int], near: Tensor | None = None) -> None:
        near = nearest(features, max(neighbours) + 1) if near is None else near
        self.features, self.squares = features, _squares(features)
        self.radii = {k: near[:, k] for k in neighbours}


def precision_recall(features: Tensor, reference: Manifold, rows: int = 2048) -> dict[int, tuple[float, float]]:
    """Improved precision and recall for each k of the reference: the shares of features inside the balls of the other set.

    Not by torch-fidelity, which computes the balls of the reference again for each set and each k. Distances between the sets are
    computed once for both shares.
    """
    generated = Manifold(features, list(reference.radii))
    precise = dict.fromkeys(reference.radii, 0)
    recalled = {k: torch.zeros(len(reference.features), dtype=torch.bool) for k in reference.radii}
    rows = _rows(rows, len(reference.features))
    for i in range(0, len(features), rows):
        distances = _distances(features[i : i + rows], reference.features, reference.squares)
        for k, radius in reference.radii.items():
            precise[k] += int((distances <= radius).any(dim=1).sum())
            recalled[k] |= (distances <= generated.radii[k][i : i + rows, None]).any(dim=0)
    return {k: (precise[k] / len(features), int(recalled[k].sum()) / len(reference.features)) for k in reference.radii}


def inception_score(logits: Tensor, splits: int, seed: int) -> float:
    """exp E KL(p(y | x) || p(y)), the mean over splits.

    Raises: ValueError for fewer samples than splits.
    Source: Salimans et al. 2016; torch-fidelity, metric_isc.
    """
    if len(logits) < splits:
        raise ValueError(f"an inception score over {splits} splits needs as many samples, and there are {len(logits)}; raise evaluation.n")
    count, order = len(logits), np.random.RandomState(seed).permutation(len(logits))
    shuffled = logits.float()[order].double()
    p, log_p = shuffled.softmax(dim=1), shuffled.log_softmax(dim=1)
    scores = []
    for i in range(splits):
        part = slice(i * count // splits, (i + 1) * count // splits)
        divergence = p[part] * (log_p[part] - p[part].mean(dim=0, keepdim=True).log())
        scores.append(divergence.sum(dim=1).mean().exp().item())
    return float(np.mean(scores))
