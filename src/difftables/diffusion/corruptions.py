"""Corruptions: what a level does to a sample before noise is added, x = A x0 + std n.

An operator is a function of (x, level), linear in x, that keeps the shape; it may use the level's `alpha` and `strength`.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from difftables.common.variants import Variants
from difftables.diffusion.level import Level

Corruption = Callable[[Tensor, Level], Tensor]


def scale(x: Tensor, level: Level) -> Tensor:
    """A = alpha I: x, [B, ...], times the signal gain.  Source: Ho et al. 2020, Eq. 4."""
    return level.like(x).alpha * x


@lru_cache(maxsize=16)
def cosines(size: int, device: torch.device | str, dtype: torch.dtype) -> Tensor:
    """The orthonormal DCT-II, [size, size]: row k is sqrt((2 - [k = 0]) / size) cos(pi (i + 1/2) k / size)."""
    k, i = torch.arange(size, dtype=torch.float64)[:, None], torch.arange(size, dtype=torch.float64)[None]
    basis = (2 / size) ** 0.5 * torch.cos(math.pi * (i + 0.5) * k / size)
    basis[0] /= 2**0.5
    return basis.to(device, dtype)


def dct(x: Tensor) -> Tensor:
    """Orthonormal two-dimensional DCT-II of the last two dimensions of x, [..., H, W]."""
    rows, columns = (cosines(n, x.device, x.dtype) for n in x.shape[-2:])
    return rows @ x @ columns.T


def inverse_dct(c: Tensor) -> Tensor:
    """The inverse of `dct`."""
    rows, columns = (cosines(n, c.device, c.dtype) for n in c.shape[-2:])
    return rows.T @ c @ columns


def blur_gain(strength: Tensor, height: int, width: int) -> Tensor:
    """exp(-s^2 / 2 pi^2 (i^2 / H^2 + j^2 / W^2)) of a Gaussian blur of std s pixels at frequency (i, j); [K] to [K, H, W]."""
    i = torch.arange(height, device=strength.device, dtype=torch.float64)[:, None] / height
    j = torch.arange(width, device=strength.device, dtype=torch.float64)[None] / width
    return torch.exp(-0.5 * math.pi**2 * strength.double()[:, None, None] ** 2 * (i**2 + j**2))


def blur(x: Tensor, level: Level) -> Tensor:
    """A = alpha x Gaussian blur of std `strength` pixels, diagonal in the DCT: symmetric, and a semigroup in strength^2; [B, C, H, W].

    Source: Soft Diffusion (Daras et al. 2022), which does not state kernel and borders; the operator is that of Rissanen et al. 2023.
    """
    gain = blur_gain(level.strength, *x.shape[-2:])[:, None].to(x.device, x.dtype)
    return level.like(x).alpha * inverse_dct(gain * dct(x))


MASK_FLOOR = 0.01  # least gain of a masked pixel: the operator stays invertible, and the loss sees every pixel


def mask_gain(strength: Tensor, height: int, width: int) -> Tensor:
    """A soft mask growing from the centre: 1 - (1 - MASK_FLOOR) exp(-r^2 / (2 s^2)) with r in pixels; 1 where s = 0; [K] to [K, H, W]."""
    i = torch.arange(height, device=strength.device, dtype=torch.float64)[:, None] - (height - 1) / 2
    j = torch.arange(width, device=strength.device, dtype=torch.float64)[None] - (width - 1) / 2
    s = strength.double().clamp(min=1e-12)[:, None, None]
    return -(MASK_FLOOR - 1) * -torch.expm1(-(i**2 + j**2) / (2 * s**2)) + MASK_FLOOR


def mask(x: Tensor, level: Level) -> Tensor:
    """A = alpha x a soft mask of radius `strength` pixels around the centre, the same for all channels; [B, C, H, W].

    Source: ours; the paper does not specify its mask. The fade is Cold Diffusion's (Bansal et al. 2022).
    """
    gain = mask_gain(level.strength, *x.shape[-2:])[:, None].to(x.device, x.dtype)
    return level.like(x).alpha * gain * x


def check_corruption(name: str, corrupt: Corruption, noisiest: Level, shape: tuple[int, ...], loss_through: bool) -> None:
    """Try an operator on random samples of a shape before anything trains on it.

    Args: noisiest: the level where it is strongest, [1]; shape: of one sample; loss_through: whether the loss sees the error through it.
    Raises: ValueError, in one line, unless it keeps the shape, is linear, is the identity at a clean level, and, with `loss_through`,
        hides no value completely: the net would learn nothing of that value, and samplers read it.
    """
    x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    y = corrupt(x, noisiest.expand(2))
    if y.shape != x.shape:
        raise ValueError(f"corruption {name!r} makes {list(y.shape)} of {list(x.shape)}; it must keep the shape")
    if not torch.allclose(corrupt(2 * x[:1] - x[1:], noisiest), 2 * y[:1] - y[1:], rtol=1e-3, atol=1e-4):
        raise ValueError(f"corruption {name!r} is not linear; the loss and the samplers hold only for linear ones")
    if not torch.allclose(corrupt(x, Level.clean(2)), x, rtol=1e-3, atol=1e-4):
        raise ValueError(f"corruption {name!r} changes a clean sample; at alpha = 1 and strength 0 it must be the identity")
    hidden = int((y == 0).all(0).sum())
    if loss_through and hidden:
        raise ValueError(
            f"corruption {name!r} is singular: it hides {hidden} of {y[0].numel()} values at its strongest; the loss never sees them, "
            "but samplers read them; keep a little of each, as `mask` does, or set loss_through: plain"
        )


CORRUPTIONS: Variants[Corruption] = {"scale": scale, "blur": blur, "mask": mask}
