"""Targets: what the denoiser regresses on."""

from collections.abc import Callable

import torch
from torch import Tensor

from difftables.common.variants import Variants
from difftables.diffusion.level import Level, shape

CHUNK = 512  # references at once in double precision


def clean(x: Tensor, level: Level, x0: Tensor) -> Tensor:
    """The sample that x came from, [B, ...]: denoising score matching.  Source: Vincent 2011; Ho et al. 2020."""
    return x0


def stable_field(x: Tensor, level: Level, x0: Tensor, references: Tensor, allowed: Tensor | None = None) -> Tensor:
    """The mean of the references, each weighted by the likelihood that x came from it, [B, ...].

    xhat = sum_k w_k r_k,  w = softmax_k(-|x - alpha r_k|^2 / (2 std^2))

    With x0 among the references its expectation is E[x0 | x] for any n: a target of less variance and no bias.

    Args: references: r, [n, ...], the first B of them x0; allowed: whether sample i may use reference k, [B, n], e.g. one of its class;
        None: all.
    Raises: ValueError when the references do not begin with x0.
    Source: Xu et al. 2023 (Stable Target Field), for x = x0 + sigma n and for x = alpha x0 + std n. In float64: at sigma = 0.002 the
        exponents differ by 1e7, and float32 errors would be dozens.
    """
    if len(references) < len(x0) or not torch.equal(references[: len(x0)], x0):
        raise ValueError("the references of a stable target must begin with the batch; pass x0 first, and n of at least the batch")
    weights = field_weights(x, level, references, allowed)
    flat = sum(w.to(x.dtype) @ r.flatten(1) for w, r in zip(weights.split(CHUNK, dim=1), references.split(CHUNK), strict=True))
    return torch.as_tensor(flat).reshape(x.shape)


def stable_field_official(x: Tensor, level: Level, x0: Tensor, references: Tensor, allowed: Tensor | None = None) -> Tensor:
    """`stable_field` as in the authors' code: `allowed` is ignored, and all is in the precision of x.

    It serves to repeat their numbers. For a net with classes or augmentation labels it is biased: it is the target of a net without.

    Source: Xu et al. 2023 (Stable Target Field), released code.
    """
    flat = x.flatten(1)
    distance = torch.cdist(flat / shape(level.alpha, flat), references.flatten(1), compute_mode="donot_use_mm_for_euclid_dist")
    weights = (-(distance**2) / (2 * shape(level.sigma, flat) ** 2)).softmax(dim=1)
    return (weights @ references.flatten(1)).reshape(x.shape)


def field_weights(x: Tensor, level: Level, references: Tensor, allowed: Tensor | None = None) -> Tensor:
    """w of `stable_field`, [B, n], float64; rows sum to one.  Raises: ValueError for sigma = 0."""
    return field_logs(x, level, references, allowed).exp()


def field_logs(x: Tensor, level: Level, references: Tensor, allowed: Tensor | None = None) -> Tensor:
    """log w of `stable_field`, [B, n], float64: where weights underflow, their ratios remain.  Raises: ValueError for sigma = 0."""
    if bool((level.std <= 0).any()):
        raise ValueError("a stable target weights references by noise, but a sample has sigma = 0; draw levels without the clean one")
    flat = x.flatten(1).double()
    alpha, std = (shape(each, flat) for each in (level.alpha, level.std))
    square = torch.empty(len(x), len(references), dtype=torch.float64, device=x.device)
    for start in range(0, len(references), CHUNK):
        part = references[start : start + CHUNK].flatten(1).double()
        square[:, start : start + CHUNK] = alpha**2 * part.square().sum(1) - 2 * alpha * (flat @ part.T)
    logits = -square / (2 * std**2)  # |x|^2 is the same for all references
    if allowed is not None:
        logits = logits.masked_fill(~allowed, float("-inf"))
    return logits.log_softmax(dim=1)


TARGETS: Variants[Callable[..., Tensor]] = {
    "clean": clean, "stable_field": stable_field, "stable_field_official": stable_field_official,
}  # fmt: skip
