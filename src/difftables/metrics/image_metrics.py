"""Metrics of images: each a function of a set of samples with their features. No torch until a function runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from difftables.metrics.metric import Measurement, Metric

if TYPE_CHECKING:
    from torch import Tensor

    from difftables.metrics.frechet import Moments
    from difftables.metrics.scores import KernelSubsets, Manifold


@dataclass
class ImageReference:
    """Real images that samples are compared with, and what is computed of them once.

    Args: features: [M, d]; name: of the Frechet distance on these features; settings: job_specs.Measures, None where only that
        distance is measured; summary: what rule reference computed of the features, by the names of `feature_summary`; empty to compute it.
    """

    features: "Tensor"
    name: str
    settings: Any = None
    summary: "Mapping[str, Tensor]" = field(default_factory=dict)

    @cached_property
    def moments(self) -> "Moments":
        """The Gaussian fitted to the features."""
        from difftables.metrics import frechet

        if self.summary:
            return frechet.Moments(self.summary["mean"], self.summary["factor"])
        return frechet.moments(self.features)

    @cached_property
    def manifold(self) -> "Manifold":
        """The balls around the features, for precision and recall."""
        from difftables.metrics import scores

        return scores.Manifold(self.features, self.settings.neighbours, self.summary.get("nearest"))

    @cached_property
    def kernel_subsets(self) -> "KernelSubsets":
        """The subsets that KID takes of `n` samples and of the features."""
        from difftables.metrics import scores

        s = self.settings
        return scores.KernelSubsets(self.features, s.n, s.kid_subsets, s.kid_subset_size, 0)


def feature_summary(features: "Tensor", neighbours: "Sequence[int]") -> "dict[str, Tensor]":
    """What ImageReference needs of the features of real images, [M, d]: mean and factor of `frechet.Moments`, and `scores.nearest`.

    Raises: ValueError for fewer features than neighbours.
    """
    from difftables.metrics import frechet, scores

    moments = frechet.moments(features)
    return {"mean": moments.mean, "factor": moments.factor, "nearest": scores.nearest(features, max(neighbours) + 1)}


@dataclass
class ImageSamples:
    """A set of images as metrics read it.  Args: images: uint8, [N, C, H, W]; features: [N, d]; logits: [N, k]."""

    images: "Tensor"
    features: "Tensor"
    logits: "Tensor"
    reference: ImageReference

    @cached_property
    def precision_recall(self) -> "dict[int, tuple[float, float]]":
        """Precision and recall for each k."""
        from difftables.metrics import scores

        return scores.precision_recall(self.features, self.reference.manifold)


def frechet_distance(samples: ImageSamples) -> list[Measurement]:
    """Frechet distance to the reference."""
    from difftables.metrics import frechet

    value = frechet.distance(frechet.moments(samples.features), samples.reference.moments)
    return [Measurement(value, settings={"features": samples.reference.name})]


def kernel_distance(samples: ImageSamples) -> list[Measurement]:
    """KID to the reference."""
    from difftables.metrics import scores

    value = scores.kernel_distance(samples.features, samples.reference.kernel_subsets)
    return [Measurement(value, settings={"features": samples.reference.name.replace("FID", "KID").replace("FD-", "KID-")})]


def precision(samples: ImageSamples) -> list[Measurement]:
    """The share of samples that lie among the reference, for each k."""
    return [Measurement(value, variant=f"k{k}", settings={"k": k}) for k, (value, _) in samples.precision_recall.items()]


def recall(samples: ImageSamples) -> list[Measurement]:
    """The share of the reference that lies among the samples, for each k."""
    return [Measurement(value, variant=f"k{k}", settings={"k": k}) for k, (_, value) in samples.precision_recall.items()]


def inception_score(samples: ImageSamples) -> list[Measurement]:
    """Inception score, without a reference."""
    from difftables.metrics import scores

    splits = samples.reference.settings.is_splits
    return [Measurement(scores.inception_score(samples.logits, splits, 0), settings={"splits": splits})]


@dataclass
class Paired:
    """Samples and those of another sampler from the same starting noise.  Args: samples, ends: uint8 images, [N, ...], paired by index."""

    samples: "Tensor"
    ends: "Tensor"


def distance_to_ends(paired: Paired) -> list[Measurement]:
    """RMS difference over samples and pixels, sqrt(mean (x - e)^2), in units of images on [-1, 1]: a step of uint8 is 2 / 255.

    Raises: ValueError where the two differ in shape.
    """
    if paired.samples.shape != paired.ends.shape:
        raise ValueError(f"samples are {tuple(paired.samples.shape)} and their ends {tuple(paired.ends.shape)}; draw as many of both")
    difference = (paired.samples.double() - paired.ends.double()) * (2 / 255)
    return [Measurement(difference.square().mean().sqrt().item())]


# A constant: searches and the study of robustness take this metric only, and a change of METRICS does not run them again.
FRECHET_DISTANCE = Metric("FD", "{features}", "squared feature units", "lower", frechet_distance)
