"""Where sampling starts: draws from the noisiest level's distribution, or from what is known of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from difftables.common.variants import Variants
from difftables.diffusion.corruptions import Corruption, dct, inverse_dct
from difftables.diffusion.level import Level

Randn = Callable[[Tensor], Tensor]
LEAST = 1e-3  # coefficients that vary less than this share of the one that varies most are their mean alone
CHUNK = 1024  # images at once


@dataclass
class Known:
    """What a start may be made from: the operator, and images where FROM_DATA says so; `fitted` remembers what was made of them."""

    corrupt: Corruption
    images: Tensor | None = None
    fitted: dict[tuple[float, ...], Any] = field(default_factory=dict)


def standard_normal(randn: Randn, like: Tensor, level: Level, known: Known) -> Tensor:
    """x_T ~ N(0, I), whatever the first level of the schedule says.  Source: Ho et al. 2020, Algorithm 2."""
    return randn(like)


def noise_alone(randn: Randn, like: Tensor, level: Level, known: Known) -> Tensor:
    """x_T ~ N(0, std^2 I), the image neglected beside the noise.  Source: Song et al. 2021 (score SDE), variance exploding."""
    return level.like(like).std * randn(like)


def smooth_gaussian(randn: Randn, like: Tensor, level: Level, known: Known) -> Tensor:
    """The Gaussian with the mean and covariance of the corrupted training images, and the level's noise.

    In DCT coefficients, of which a strong blur leaves few; those that vary less than LEAST of the largest are their mean.
    Source: ours; no source we read says where Soft Diffusion starts.
    """
    key = tuple(value.item() for value in (level.alpha[0], level.std[0], level.strength[0]))
    if key not in known.fitted:
        known.fitted[key] = _moments(_images(known), level[:1], known.corrupt)
    mean, kept, root = known.fitted[key]
    found = mean.expand(len(like), -1).clone()
    found[:, kept] += randn(like).flatten(1).double()[:, kept] @ root.T
    return inverse_dct(found.to(like.dtype).reshape(like.shape)) + level.like(like).std * randn(like)


def _moments(images: Tensor, level: Level, corrupt: Corruption) -> tuple[Tensor, Tensor, Tensor]:
    """Mean of all DCT coefficients, [D], which of them are kept, [D], and the root of those ones' covariance, [k, k]."""
    chunks = images.split(CHUNK)

    def coefficients(chunk: Tensor) -> Tensor:
        return dct(corrupt(chunk, level.to(chunk.device).expand(len(chunk)))).flatten(1).double()

    mean = torch.stack([coefficients(chunk).sum(0) for chunk in chunks]).sum(0) / len(images)
    spread = torch.stack([(coefficients(chunk) - mean).square().sum(0) for chunk in chunks]).sum(0).sqrt()
    kept = spread > LEAST * spread.max()
    centred = [(coefficients(chunk) - mean)[:, kept] for chunk in chunks]
    covariance = torch.stack([each.T @ each for each in centred]).sum(0) / max(1, len(images) - 1)
    values, vectors = torch.linalg.eigh(covariance)
    return mean, kept, vectors * values.clamp(min=0).sqrt()


def corrupted_images(randn: Randn, like: Tensor, level: Level, known: Known) -> Tensor:
    """A real image for each sample, picked by its own noise, corrupted at the noisiest level.

    Of training images it is a kernel density of q(x_T), whose kernel is the level's noise, and how Rissanen et al. 2023 (inverse
    heat dissipation) start; of held-out ones it is the best start there can be, since it knows what is to be generated.
    """
    images = _images(known)
    picks = (torch.special.ndtr(randn(like).flatten(1)[:, 0].double()) * len(images)).long().clamp(max=len(images) - 1)
    return known.corrupt(images[picks].to(like), level.expand(len(like))) + level.like(like).std * randn(like)


def _images(known: Known) -> Tensor:
    if known.images is None:
        raise ValueError("this start of sampling is made from images, and the job was given none")
    return known.images


PRIORS: Variants[Callable[[Randn, Tensor, Level, Known], Tensor]] = {
    "standard_normal": standard_normal, "noise_alone": noise_alone, "smooth_gaussian": smooth_gaussian,
    "corrupted_training": corrupted_images, "corrupted_held_out": corrupted_images,
}  # fmt: skip
FROM_DATA: Variants[str] = {
    "smooth_gaussian": "training",
    "corrupted_training": "training",
    "corrupted_held_out": "held_out",
}  # which images
