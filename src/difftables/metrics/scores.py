"""KID, precision and recall, inception score: torch-fidelity's functions on features and logits we already have."""

import torch
from torch import Tensor

from difftables.compat import torchvision_operators


def kernel_distance(features: Tensor, reference: Tensor, subsets: int, size: int, seed: int) -> float:
    """KID: mean over random subsets of the unbiased squared MMD with a cubic polynomial kernel.

    Raises: ValueError for fewer samples than a subset needs.
    Source: Binkowski et al. 2018; torch-fidelity.
    """
    torchvision_operators()
    from torch_fidelity.metric_kid import kid_features_to_metric

    if min(len(features), len(reference)) < size:
        raise ValueError(
            f"KID subsets of {size} need as many samples, here are {min(len(features), len(reference))}; lower evaluation.kid_subset_size"
        )
    found = kid_features_to_metric(features, reference, kid_subsets=subsets, kid_subset_size=size, rng_seed=seed, verbose=False)
    return float(found["kernel_inception_distance_mean"])


def precision_recall(features: Tensor, reference: Tensor, neighbours: int) -> tuple[float, float]:
    """Improved precision and recall: the share of samples inside the k-nearest-neighbour balls of the other set.

    Raises: ValueError for too few samples for k neighbours.
    Source: Kynkaanniemi et al. 2019; torch-fidelity.
    """
    torchvision_operators()
    from torch_fidelity.metric_prc import prc_features_to_metric

    if min(len(features), len(reference)) <= neighbours:
        raise ValueError(f"precision with k = {neighbours} needs more than {neighbours} samples; raise evaluation.n")
    # Only comparisons of distances matter here: float32 halves the time.
    found = prc_features_to_metric(features.float(), reference.float(), prc_neighborhood=neighbours, verbose=False)
    return float(found["precision"]), float(found["recall"])


def inception_score(logits: Tensor, splits: int, seed: int) -> float:
    """exp E KL(p(y | x) || p(y)), the mean over splits.

    Raises: ValueError for fewer samples than splits.
    Source: Salimans et al. 2016; torch-fidelity.
    """
    torchvision_operators()
    from torch_fidelity.metric_isc import isc_features_to_metric

    if len(logits) < splits:
        raise ValueError(f"an inception score over {splits} splits needs more than {len(logits)} samples; raise evaluation.n")
    found = isc_features_to_metric(logits.to(torch.float32), splits=splits, shuffle=True, rng_seed=seed)
    return float(found["inception_score_mean"])
