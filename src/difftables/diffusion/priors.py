"""Priors: where sampling starts, the distribution of the noisiest level or an approximation of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from difftables.common.variants import Variants
from difftables.diffusion.corruptions import Corruption, dct, inverse_dct
from difftables.diffusion.level import Level

Randn = Callable[[Tensor], Tensor]
LEAST_SPREAD = 1e-3  # of the largest spread of a coefficient: those that vary less are set to their mean
CHUNK = 1024  # images at once


@dataclass
class PriorInputs:
    """What a prior may use: the operator, and clean images, [N, C, H, W], where IMAGES_OF_PRIOR asks for them; `fitted` caches moments."""

    corrupt: Corruption
    images: Tensor | None = None
    fitted: dict[tuple[float, ...], Any] = field(default_factory=dict)


def standard_normal(randn: Randn, like: Tensor, level: Level, inputs: PriorInputs) -> Tensor:
    """x_T ~ N(0, I), whatever the noisiest level.  Source: Ho et al. 2020, Algorithm 2."""
    return randn(like)


def noise_only(randn: Randn, like: Tensor, level: Level, inputs: PriorInputs) -> Tensor:
    """x_T ~ N(0, std^2 I), which neglects the image.  Source: Song et al. 2021 (score SDE), variance exploding."""
    return level.like(like).std * randn(like)


def smooth_gaussian(randn: Randn, like: Tensor, level: Level, inputs: PriorInputs) -> Tensor:
    """The Gaussian with the mean and covariance of the corrupted training images, plus the level's noise.

    It is fitted to DCT coefficients, of which a strong blur leaves few; those that spread less than LEAST_SPREAD of the largest are set
    to their mean.
    Source: ours; no source that we read specifies the prior of Soft Diffusion.
    """
    key = tuple(value.item() for value in (level.alpha[0], level.std[0], level.strength[0]))
    if key not in inputs.fitted:
        inputs.fitted[key] = _moments(_images(inputs), level[:1], inputs.corrupt)
    mean, kept, root = inputs.fitted[key]
    coefficients = mean.expand(len(like), -1).clone()
    coefficients[:, kept] += randn(like).flatten(1).double()[:, kept] @ root.T
    return inverse_dct(coefficients.to(like.dtype).reshape(like.shape)) + level.like(like).std * randn(like)


def _moments(images: Tensor, level: Level, corrupt: Corruption) -> tuple[Tensor, Tensor, Tensor]:
    """Mean of all DCT coefficients, [D], which of them vary, [D], and the root of the covariance of those, [k, k]."""
    chunks = images.split(CHUNK)

    def coefficients(chunk: Tensor) -> Tensor:
        return dct(corrupt(chunk, level.to(chunk.device).expand(len(chunk)))).flatten(1).double()

    mean = torch.stack([coefficients(chunk).sum(0) for chunk in chunks]).sum(0) / len(images)
    spread = torch.stack([(coefficients(chunk) - mean).square().sum(0) for chunk in chunks]).sum(0).sqrt()
    kept = spread > LEAST_SPREAD * spread.max()
    centred = [(coefficients(chunk) - mean)[:, kept] for chunk in chunks]
    covariance = torch.stack([each.T @ each for each in centred]).sum(0) / max(1, len(images) - 1)
    values, vectors = torch.linalg.eigh(covariance)
    return mean, kept, vectors * values.clamp(min=0).sqrt()


def corrupted_images(randn: Randn, like: Tensor, level: Level, inputs: PriorInputs) -> Tensor:
    """A real image for each sample, chosen by the sample's noise, corrupted at the noisiest level.

    With training images it is a kernel density estimate of q(x_T), whose kernel is the level's noise, and the start of Rissanen et al.
    2023 (inverse heat dissipation); with held-out images it is the best possible start, since it holds what is to be generated.
    """
    images = _images(inputs)
    picks = (torch.special.ndtr(randn(like).flatten(1)[:, 0].double()) * len(images)).long().clamp(max=len(images) - 1)
    return inputs.corrupt(images[picks].to(like), level.expand(len(like))) + level.like(like).std * randn(like)


def _images(inputs: PriorInputs) -> Tensor:
    if inputs.images is None:
        raise ValueError("this prior is made from images, but there are none; choose another `prior` for the run")
    return inputs.images


PRIORS: Variants[Callable[[Randn, Tensor, Level, PriorInputs], Tensor]] = {
    "standard_normal": standard_normal, "noise_alone": noise_only, "smooth_gaussian": smooth_gaussian,
    "corrupted_training": corrupted_images, "corrupted_held_out": corrupted_images,
}  # fmt: skip
IMAGES_OF_PRIOR: Variants[str] = {
    "smooth_gaussian": "training",
    "corrupted_training": "training",
    "corrupted_held_out": "held_out",
}  # which part of the images a prior is made from
