"""What solvers of few steps make of a denoiser: its estimate thresholded, its first call replaced, the noise that it stands for."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from difftables.diffusion.denoiser import Denoiser, split_variance
from difftables.diffusion.level import Level, shape
from difftables.sampling.descent import Corrupt

Predict = Callable[[Tensor, Level], Tensor]  # x, [B, ...], and its level, [B], to a prediction, [B, ...]


def thresholded(predict: Predict, quantile: float) -> Predict:
    """D with the values of each sample held in [-s, s] and divided by s, s = max(1, the quantile of |D|).

    Source: Saharia et al. 2022 (Imagen), dynamic thresholding; DPM-Solver++ and UniPC report their few-step numbers with quantile 0.995.
    """

    def threshold(x: Tensor, level: Level) -> Tensor:
        x0 = predict(x, level)
        bound = shape(torch.quantile(x0.flatten(1).abs().double(), quantile, dim=1).clamp(min=1), x0)
        return torch.maximum(torch.minimum(x0, bound), -bound) / bound

    return threshold


def analytic_first(predict: Predict) -> Predict:
    """D whose first call costs no network call: eps = x / sqrt(alpha^2 + std^2), the noise of a sample that is nearly all noise.

    D = x (1 - std / sqrt(alpha^2 + std^2)) / alpha

    Source: Dockhorn et al. 2022 (GENIE), analytical first step.
    """
    begun = False

    def first(x: Tensor, level: Level) -> Tensor:
        nonlocal begun
        if begun:
            return predict(x, level)
        begun = True
        return shape((1 - level.std / (level.alpha**2 + level.std**2).sqrt()) / level.alpha, x) * x

    return first


def clean_prediction(denoise: Denoiser, threshold: float | None, first: Literal["analytic"] | None) -> Predict:
    """The estimate of the clean sample, as a solver's settings `threshold` and `first` have it; for one batch only."""

    def clean(x: Tensor, level: Level) -> Tensor:
        return split_variance(denoise(x, level))[0]

    predict = clean if first is None else analytic_first(clean)
    return predict if threshold is None else thresholded(predict, threshold)


def noise_prediction(clean: Predict, corrupt: Corrupt) -> Predict:
    """eps = (x - A D) / std."""
    return lambda x, level: (x - corrupt(clean(x, level), level)) / level.like(x).std
