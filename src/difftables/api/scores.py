"""Metrics of images, on tensors."""

import torch
from torch import Tensor

from difftables.common.errors import nearest
from difftables.config.job_specs import Measures
from difftables.data.image_files import to_uint8
from difftables.metrics import features
from difftables.metrics.catalogue import IMAGE_METRICS
from difftables.metrics.image_metrics import ImageReference, ImageSamples
from difftables.metrics.metric import scores
from difftables.sampling.generate import Generated

NET, PIXELS, BATCH = "efficientnet-lite0", 32, 32  # of the tables at scale laptop


def score(
    samples: Tensor | Generated, real: Tensor, *, metrics: list[str] | None = None, net: str = NET, pixels: int = PIXELS,
    neighbours: tuple[int, ...] = (5, 3), kid_subset_size: int = 100, device: torch.device | str = "cpu",
) -> dict[str, float | None]:  # fmt: skip
    """Metrics of images against real ones, by the ids of the tables: fd, kid, precision-k5, recall-k5, ..., is.

    Args:
        samples, real: [N, C, H, W] and [M, C, H, W], uint8 or in [-1, 1].
        metrics: keys of IMAGE_METRICS; None: all.
        net, pixels: the feature network of metrics.features.NETS and the side of its input; `inception` needs weights that a job fetches.
        neighbours: the k of precision and recall; kid_subset_size: at most N and M.
    Raises: ValueError, one line, for an unknown name, too few samples, or values that are not finite.
    """
    wanted = list(IMAGE_METRICS) if metrics is None else metrics
    for name in wanted:
        if name not in IMAGE_METRICS:
            raise ValueError(f"metrics has {name!r}{nearest(name, IMAGE_METRICS)}")
    if net not in features.NETS:
        raise ValueError(f"net is {net!r}{nearest(net, features.NETS)}")
    images, reference = (_stored(each) for each in (samples.x if isinstance(samples, Generated) else samples, real))
    settings = Measures(
        n=len(images), kid_subsets=10, kid_subset_size=min(kid_subset_size, len(images), len(reference)), neighbours=list(neighbours),
        is_splits=1,
    )  # fmt: skip
    place = torch.device(device)
    network = features.load(net, pixels, None, None, place)
    of_real = features.extract(network, reference, BATCH, place)[0]
    of_samples = ImageSamples(images, *features.extract(network, images, BATCH, place), ImageReference(of_real, net, settings))
    return {each.id: each.value for each in scores({name: IMAGE_METRICS[name] for name in wanted}, of_samples)}


def _stored(images: Tensor) -> Tensor:
    """Images as metrics read them: uint8, [N, C, H, W].  Raises: ValueError for another shape."""
    if images.dim() != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"images are [N, C, H, W] with 1 or 3 channels, not {list(images.shape)}")
    return images if images.dtype == torch.uint8 else to_uint8(images.cpu())
