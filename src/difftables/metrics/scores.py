"""KID and inception score, by torch-fidelity's functions on features and logits; precision and recall."""

from collections.abc import Sequence

import torch
from torch import Tensor

from difftables.metrics.torchvision_stub import torchvision_operators


def kernel_distance(features: Tensor, reference: Tensor, subsets: int, size: int, seed: int) -> float:
    """KID: mean over random subsets of the unbiased squared MMD with a cubic polynomial kernel.

    Raises: ValueError for fewer samples than a subset needs.
    Source: Binkowski et al. 2018; torch-fidelity.
    """
    torchvision_operators()
    from torch_fidelity.metric_kid import kid_features_to_metric

    if (fewest := min(len(features), len(reference))) < size:
        raise ValueError(f"KID subsets of {size} need as many samples, and there are {fewest}; lower evaluation.kid_subset_size")
    result = kid_features_to_metric(features, reference, kid_subsets=subsets, kid_subset_size=size, rng_seed=seed, verbose=False)
    return float(result["kernel_inception_distance_mean"])


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared Euclidean distances in float64, [len(a), len(b)]."""
    a, b = a.double(), b.double()
    return (a.square().sum(1)[:, None] + b.square().sum(1)[None] - 2 * a @ b.T).clamp(min=0)


class Manifold:
    """Balls around features: each reaches to the k-th nearest other feature of the set.

    Args: features: [N, d]; neighbours: the k.
    Raises: ValueError for too few samples for k neighbours.
    Source: Kynkaanniemi et al. 2019.
    """

    def __init__(self, features: Tensor, neighbours: Sequence[int], rows: int = 2048) -> None:
        if len(features) <= max(neighbours):
            raise ValueError(f"precision with k = {max(neighbours)} needs more than {max(neighbours)} samples; raise evaluation.n")
        self.features, most = features, max(neighbours) + 1
        near = torch.cat([_distances(part, features).topk(most, largest=False, sorted=True).values for part in features.split(rows)])
        self.radii = {k: near[:, k] for k in neighbours}

    def holds(self, others: Tensor, rows: int = 2048) -> dict[int, float]:
        """Share of other features, [M, d], that lie in at least one ball, for each k."""
        inside = dict.fromkeys(self.radii, 0)
        for part in others.split(rows):
            distances = _distances(part, self.features)
            for k, radius in self.radii.items():
                inside[k] += int((distances <= radius).any(dim=1).sum())
        return {k: count / len(others) for k, count in inside.items()}


def precision_recall(features: Tensor, reference: Manifold) -> dict[int, tuple[float, float]]:
    """Improved precision and recall for each k of the reference: the shares of features inside the balls of the other set.

    Not by torch-fidelity, which computes the balls of the reference again for each set and each k.
    """
    precision, generated = reference.holds(features), Manifold(features, list(reference.radii))
    recall = generated.holds(reference.features)
    return {k: (precision[k], recall[k]) for k in reference.radii}


def inception_score(logits: Tensor, splits: int, seed: int) -> float:
    """exp E KL(p(y | x) || p(y)), the mean over splits.

    Raises: ValueError for fewer samples than splits.
    Source: Salimans et al. 2016; torch-fidelity.
    """
    torchvision_operators()
    from torch_fidelity.metric_isc import isc_features_to_metric

    if len(logits) < splits:
        raise ValueError(f"an inception score over {splits} splits needs as many samples, and there are {len(logits)}; raise evaluation.n")
    result = isc_features_to_metric(logits.to(torch.float32), splits=splits, shuffle=True, rng_seed=seed)
    return float(result["inception_score_mean"])
