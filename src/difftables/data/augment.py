"""Non-leaky augmentation: the net receives the transform of each training image as labels, and samples are drawn with zero labels."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LABELS = 9  # x-flip, y-flip, scale, rotation (2), stretch (2), translation (2)
SIZES = 0.2  # standard deviation of the log2 factors of scale and stretch
SHIFTS = 0.125  # standard deviation of a translation over the image's size


def rotation(angle: Tensor) -> Tensor:
    """[[cos a, -sin a], [sin a, cos a]], [B] to [B, 2, 2]: from x towards y, which is clockwise in an image, whose y points down."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos, -sin, sin, cos], dim=-1).unflatten(-1, (2, 2))


def stretching(log2: Tensor, axis: Tensor) -> Tensor:
    """R(r) diag(2^w, 2^-w) R(-r) for w, [B], and the angle r of the axis, [B]; [B, 2, 2].

    = [[cosh v + sinh v cos 2r, sinh v sin 2r], [sinh v sin 2r, cosh v - sinh v cos 2r]],  v = w ln 2

    The second form is exactly the identity for w = 0, whatever the axis; its inverse has -w.
    """
    cosh, sinh = (log2 * math.log(2)).cosh(), (log2 * math.log(2)).sinh()
    cos, sin = sinh * (2 * axis).cos(), sinh * (2 * axis).sin()
    return torch.stack([cosh + cos, sin, sin, cosh - cos], dim=-1).unflatten(-1, (2, 2))


def inverse(scale: Tensor, turn: Tensor, stretch: Tensor, axis: Tensor, shift: Tensor) -> Tensor:
    """The inverse [L, -L t] of y = A R(turn) 2^scale x + t, with A of `stretching`, about the image's centre, [B, 2, 3].

    L = 2^-scale R(-turn) A^-1

    Args: scale, turn, stretch, axis: [B]; shift: t in pixels to the right and down, [B, 2].
    """
    linear = torch.exp2(-scale)[:, None, None] * (rotation(-turn) @ stretching(-stretch, axis))
    return torch.cat([linear, -linear @ shift[:, :, None]], dim=2)


def random_transforms(count: int, probability: float, size: tuple[int, int], stream: torch.Generator) -> tuple[Tensor, Tensor]:
    """A random transform for each of `count` images: flips, then an affine map, and the labels that encode both.

    | operation, in this order | chance        | what                                            | labels           |
    |--------------------------|---------------|-------------------------------------------------|------------------|
    | x-flip                   | 1/2           |                                                 | 1                |
    | y-flip                   | p / 2         |                                                 | 1                |
    | scale                    | p             | by 2^(0.2 w), w ~ N(0, 1)                       | w                |
    | rotation                 | p             | by w ~ U(-pi, pi)                               | cos w - 1, sin w |
    | stretch                  | p             | 2^(0.2 w) along r, its inverse across it;       | w cos r, w sin r |
    |                          |               | r ~ U(-pi, pi) with probability 1/2, else r = 0 |                  |
    | translation              | p             | by 0.125 size (w, w'), w and w' ~ N(0, 1)       | w, w'            |

    An operation that is not applied has labels of zero. The random numbers are the same for each p, so that the operations at a small p
    are among those at a larger one. As in the paper, (w, r) and (-w, r + pi) have the same labels, though one stretches where the other
    shrinks.

    Args: probability: p; size: height and width in pixels.
    Returns: the inverse of each map, from positions in the augmented image to positions in the image, in pixels (right, down) from the
        centre, float64, [count, 2, 3]; labels, float32, [count, 9]. Both on the device of the stream.
    Raises: ValueError when p is no probability.
    Source: Karras et al. 2022 (EDM), App. F; Karras et al. 2020 (StyleGAN2-ADA).
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"the probability of an augmentation is in [0, 1], not {probability}")
    # All numbers at once, so that the stream advances by a number that depends only on the count.
    uniform = torch.rand(10, count, generator=stream, dtype=torch.float64, device=stream.device)
    normal = torch.randn(4, count, generator=stream, dtype=torch.float64, device=stream.device)
    flip_allowed, scaled, turned, stretched, shifted = uniform[:5] < probability
    mirrored, upturned, tilted = uniform[5:8] < 0.5
    turn, axis = math.pi * (2 * uniform[8:] - 1)
    scale = torch.where(scaled, normal[0], 0.0)
    turn = torch.where(turned, turn, 0.0)
    stretch = torch.where(stretched, normal[1], 0.0)
    axis = torch.where(tilted, axis, 0.0)
    shift = torch.where(shifted, normal[2:], 0.0)
    labels = torch.stack(
        [mirrored, flip_allowed & upturned, scale, turn.cos() - 1, turn.sin(), stretch * axis.cos(), stretch * axis.sin(), *shift], dim=1
    )
    scale, stretch = SIZES * scale, SIZES * stretch
    height, width = size
    pixels = SHIFTS * torch.stack([width * shift[0], height * shift[1]], dim=1)
    return inverse(scale, turn, stretch, axis, pixels), labels.float()


def resampled(x: Tensor, matrix: Tensor) -> Tensor:
    """Images, [B, C, H, W], resampled: y(p) = x(M [p, 1]), p in pixels (right, down) from the centre; bicubic, reflected at the borders.

    Args: matrix: M, [B, 2, 3], the inverse of the transform.
    """
    height, width = x.shape[-2:]
    matrix = matrix.to(x)[:, None, None]
    right = torch.arange(width, device=x.device, dtype=x.dtype)[None, :, None] - (width - 1) / 2
    down = torch.arange(height, device=x.device, dtype=x.dtype)[:, None, None] - (height - 1) / 2
    # Written out rather than as a product of matrices, which a GPU may round to ten bits: a visible fraction of a pixel.
    positions = matrix[..., 0] * right + matrix[..., 1] * down + matrix[..., 2]
    grid = positions * torch.tensor([2 / width, 2 / height], device=x.device, dtype=x.dtype)
    return F.grid_sample(x, grid, mode="bicubic", padding_mode="reflection", align_corners=False)


def augment(x: Tensor, probability: float, stream: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images, [B, C, H, W], transformed as in `random_transforms`, and their labels, [B, 9]; x is not changed.

    Images that are at most flipped are not resampled, so that those with labels of zero keep their bits.

    Args: probability: p of `random_transforms`; stream: of all random numbers, on any device.
    Raises: ValueError when p is no probability.
    Source: Karras et al. 2022 (EDM), App. F; Karras et al. 2020 (StyleGAN2-ADA).
    Departs: one bicubic resampling, which may leave [-1, 1] by a little; theirs samples images that a sym6 wavelet filter has doubled
        in size, and filters again on the way back, and so blurs less when it enlarges and aliases less when it shrinks.
    """
    matrices, labels = random_transforms(len(x), probability, (x.shape[-2], x.shape[-1]), stream)
    mirrored, upturned = (labels[:, i, None, None, None].to(x.device) > 0 for i in (0, 1))
    x = torch.where(mirrored, x.flip(-1), x)
    x = torch.where(upturned, x.flip(-2), x)
    which = labels[:, 2:].any(dim=1).nonzero()[:, 0]
    if len(which):  # grid_sample refuses an empty batch
        x[which.to(x.device)] = resampled(x[which.to(x.device)], matrices[which])
    return x, labels.to(x.device)
