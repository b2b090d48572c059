"""NCSN++ and DDPM++ (Song et al. 2021, score SDE; Karras et al. 2022, EDM), as one net F(x, c_noise, cond)."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from difftables.nets.attention import attend
from difftables.nets.unet import precision, sinusoid

FOURIER_SCALE = 16.0
FOURIER_SEED = 0  # of the fixed frequencies: the same for all nets of one width
SMALL = 1e-5  # Xavier gain of last layers, almost zero
Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


class Fourier(nn.Module):
    """Embed a scalar per sample at random, fixed frequencies.

    e = [sin(2 pi c f_k), cos(2 pi c f_k)],  f_k ~ N(0, 16^2),  k = 0 .. width - 1

    Args: stored: whether the f_k are a parameter, which no gradient changes, and so part of a checkpoint.
    In a call: c_noise: [B].  Returns: [B, 2 width].
    Source: Song et al. 2021.
    Departs: the f_k come from a fixed seed instead of the run's; unless `stored` they are not in checkpoints.
    """

    frequencies: Tensor

    def __init__(self, width: int, stored: bool = False) -> None:
        super().__init__()
        drawn = torch.randn(width, generator=torch.Generator().manual_seed(FOURIER_SEED), device="cpu")
        frequencies = torch.empty(width).copy_(FOURIER_SCALE * drawn)
        if stored:
            self.frequencies = nn.Parameter(frequencies, requires_grad=False)
        else:
            self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, c_noise: Tensor) -> Tensor:
        dtype = torch.promote_types(self.frequencies.dtype, torch.float32)
        angle = 2 * math.pi * c_noise.to(dtype)[:, None] * self.frequencies
        return torch.cat([angle.sin(), angle.cos()], dim=1)


def join(x: Tensor, y: Tensor, rescale: bool) -> Tensor:
    """x + y, or (x + y) / sqrt(2) with `rescale`, which keeps the variance of independent inputs.  Source: Song et al. 2021."""
    return (x + y) * math.sqrt(0.5) if rescale else x + y


class _Filter(nn.Module):
    """A fixed separable kernel that sums to one: a a^T / (sum a)^2, a = (1, 3, 3, 1) with `fir`, else (1, 1)."""

    kernel: Tensor

    def __init__(self, fir: bool) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0] if fir else [1.0, 1.0])
        self.register_buffer("kernel", torch.outer(taps, taps) / taps.sum() ** 2, persistent=False)

    def depthwise(self, channels: int) -> Tensor:
        """The kernel as weights of a depthwise convolution, [channels, 1, K, K]."""
        return self.kernel.expand(channels, 1, -1, -1)


class HalveChannels(_Filter):
    """Halve height and width of each channel.

    y[i] = sum_j a_j x[2i + j - (K/2 - 1)], in both directions, x = 0 outside; without `fir` the mean of 2 x 2 pixels.

    Args: x: [B, C, H, W].  Returns: [B, C, H/2, W/2].
    Source: Song et al. 2021 (the filter of StyleGAN2).
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.depthwise(x.shape[1]), stride=2, padding=len(self.kernel) // 2 - 1, groups=x.shape[1])


class DoubleChannels(_Filter):
    """Double height and width of each channel: four times the transpose of `HalveChannels`.

    y[m] = 2 sum_i a_(m + K/2 - 1 - 2i) x[i], in both directions; without `fir` the nearest neighbour.

    Args: x: [B, C, H, W].  Returns: [B, C, 2H, 2W].
    Source: Song et al. 2021 (the filter of StyleGAN2).
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.conv_transpose2d(x, 4 * self.depthwise(x.shape[1]), stride=2, padding=len(self.kernel) // 2 - 1, groups=x.shape[1])


class HalveConv(_Filter):
    """Filter, then a convolution of stride 2; [B, C, H, W] to [B, C', H/2, W/2].

    Source: Song et al. 2021.
    Departs: without `fir` it filters by the 2 x 2 mean, as in EDM's code; score SDE's then has only the strided convolution.
    """

    def __init__(self, inner: int, outer: int, fir: bool) -> None:
        super().__init__(fir)
        self.conv = _xavier(nn.Conv2d(inner, outer, 3, stride=2))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.conv2d(x, self.depthwise(x.shape[1]), padding=len(self.kernel) // 2, groups=x.shape[1]))


def _xavier(layer: Layer, gain: float = 1.0) -> Layer:
    """Xavier-uniform weights and zero biases, as in both code bases."""
    nn.init.xavier_uniform_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _norm(channels: int) -> nn.GroupNorm:
    """32 groups, or fewer such that each has at least 4 channels."""
    groups = min(32, max(1, channels // 4))
    while channels % groups:
        groups -= 1
    return nn.GroupNorm(groups, channels, eps=1e-6)


class SpatialAttention(nn.Module):
    """Self-attention over pixels with one head and a residual connection, [B, C, H, W] to the same.

    x <- join(x, W_o softmax(q k^T / sqrt(C)) v),  [q, k, v] = W norm(x)

    Source: Song et al. 2021.
    """

    def __init__(self, channels: int, rescale: bool) -> None:
        super().__init__()
        self.rescale, self.norm = rescale, _norm(channels)
        self.qkv = _xavier(nn.Conv2d(channels, 3 * channels, 1), math.sqrt(0.2))  # variance 0.1 / C of each of q, k and v
        self.out = _xavier(nn.Conv2d(channels, channels, 1), SMALL)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, dim=2)
        h = attend(q, k, v)
        return join(x, self.out(h.transpose(1, 2).reshape(x.shape)), self.rescale)


class Block(nn.Module):
    """The residual block of DDPM or, with `resample`, of BigGAN: [B, C, H, W] to [B, C', H', W'], then `attention`.

    h = conv(r(silu(norm(x)))) + W silu(e);  x <- join(skip(r(x)), conv(dropout(silu(norm(h)))))

    Args: resample: r, which halves or doubles height and width; None leaves them.
    Source: Song et al. 2021; Brock et al. 2019 for the resampling inside.
    """

    def __init__(
        self, inner: int, outer: int, embedding: int, dropout: float, rescale: bool,
        resample: nn.Module | None = None, attention: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.rescale, self.resample = rescale, nn.Identity() if resample is None else resample
        self.norm1, self.conv1 = _norm(inner), _xavier(nn.Conv2d(inner, outer, 3, padding=1))
        self.project = _xavier(nn.Linear(embedding, outer))
        self.norm2, self.conv2 = _norm(outer), _xavier(nn.Conv2d(outer, outer, 3, padding=1), SMALL)
        self.drop = nn.Dropout(dropout)
        alike = inner == outer and resample is None
        self.skip = nn.Identity() if alike else _xavier(nn.Conv2d(inner, outer, 1))
        self.attend = SpatialAttention(outer, rescale) if attention else nn.Identity()

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        h = self.conv1(self.resample(F.silu(self.norm1(x))))
        h = h + self.project(F.silu(e))[:, :, None, None]
        h = self.conv2(self.drop(F.silu(self.norm2(h))))
        return self.attend(join(self.skip(self.resample(x)), h, self.rescale))


class NCSNpp(nn.Module):
    """F(x, c_noise, cond): [B, channels, size, size] and [B] to [B, channels, size, size].

    Both names of the papers are settings of this one net, with width 128, 4 blocks and attention at 16:

    - NCSN++: embedding fourier, fir, residual_input.  DDPM++: none of the three.  All have rescale and biggan.
    - score SDE: mult 1, 2, 2, 2; dropout 0.1.  Its NCSN++ of CelebA-64 has the positional embedding of the level's index.
    - EDM: mult 2, 2, 2 at 32 px and 1, 2, 2, 2 at 64 px; augment 9; dropout 0.13 (CIFAR-10), 0.05 (FFHQ), 0.25 (AFHQv2).

    Args:
        size: height and width in pixels.
        channels: image channels, in and out.
        width: channels of the first resolution over its `mult`.
        mult: channels of each resolution over `width`; a resolution is half the one before.
        blocks: residual blocks of each resolution on the way down (one more on the way up).
        attention: resolutions, in pixels, with self-attention: after each block down, after the last one up; the middle always has it.
        dropout: dropout probability inside the residual blocks.
        embedding: of c_noise, "positional" (`sinusoid`, width numbers) or "fourier" (`Fourier`, 2 width numbers).
        fir: whether resampling filters by (1, 3, 3, 1), or takes the mean and the nearest neighbour.
        biggan: whether resampling is inside residual blocks, or by a convolution between them.
        rescale: whether every sum of two branches is divided by sqrt(2).
        residual_input: whether the input, halved again and again, is added on the way down ("progressive input: residual").
        augment: number of augmentation labels of a sample, 0 for none; a call without labels has labels of zero.
        stored_frequencies: whether those of the Fourier embedding are in checkpoints, as a released net's, or from a fixed seed.
        classes: number of classes; `cond`, [B], int64, then names each sample's class. 0 for none.
    Raises: ValueError when `size` cannot be halved often enough or the embedding is unknown; in a call, for a missing class, or for
        augmentation labels without `augment`.
    Source: Song et al. 2021; Karras et al. 2022 (EDM) for augment and classes.
    Departs: no output skips and no concatenation of the input pyramid (score SDE's `progressive`, and `cat`), which no setting
        above uses; the preconditioning divides the output by sigma and takes the logarithm of sigma.
    """

    def __init__(
        self, size: int, channels: int, width: int, mult: Sequence[int], blocks: int, attention: Sequence[int], dropout: float,
        embedding: str = "fourier", fir: bool = True, biggan: bool = True, rescale: bool = True, residual_input: bool = True,
        augment: int = 0, classes: int = 0, stored_frequencies: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        last = len(mult) - 1
        if size % 2**last:
            raise ValueError(f"an NCSN++ of {len(mult)} resolutions needs a multiple of {2**last} px, not {size}")
        if embedding not in ("positional", "fourier"):
            raise ValueError(f"embedding is 'positional' or 'fourier', not {embedding!r}")
        embedded, inside = width if embedding == "positional" else 2 * width, 4 * width
        self.size, self.width, self.biggan, self.rescale = size, width, biggan, rescale
        self.fourier = Fourier(width, stored_frequencies) if embedding == "fourier" else None
        self.classes = _xavier(nn.Linear(classes, embedded)) if classes else None
        self.augment = _xavier(nn.Linear(augment, embedded, bias=False)) if augment else None
        self.embed = nn.Sequential(_xavier(nn.Linear(embedded, inside)), nn.SiLU(), _xavier(nn.Linear(inside, inside)))
        self.inlet = _xavier(nn.Conv2d(channels, width, 3, padding=1))

        def block(inner: int, outer: int, resample: nn.Module | None = None, attend: bool = False) -> Block:
            return Block(inner, outer, inside, dropout, rescale, resample, attend)

        features, skips, source = width, [width], channels
        self.down, self.shrink, self.pyramid = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for i, m in enumerate(mult):
            if i > 0:
                self.shrink.append(block(features, features, HalveChannels(fir)) if biggan else HalveConv(features, features, fir))
                if residual_input:
                    self.pyramid.append(HalveConv(source, features, fir))
                    source = features
                skips.append(features)
            sizes = [features, *[width * m] * blocks]
            features, attend = sizes[-1], size >> i in attention
            self.down.append(nn.ModuleList([block(a, b, attend=attend) for a, b in pairwise(sizes)]))
            skips += sizes[1:]
        self.middle = nn.ModuleList([block(features, features, attend=True), block(features, features)])
        self.up, self.enlarge = nn.ModuleList(), nn.ModuleList()
        for i, m in reversed(list(enumerate(mult))):
            if i < last:
                between = nn.Sequential(DoubleChannels(fir), _xavier(nn.Conv2d(features, features, 3, padding=1)))
                self.enlarge.append(block(features, features, DoubleChannels(fir)) if biggan else between)
            level = nn.ModuleList()
            for k in range(blocks + 1):
                level.append(block(features + skips.pop(), width * m, attend=k == blocks and size >> i in attention))
                features = width * m
            self.up.append(level)
        self.norm, self.outlet = _norm(features), _xavier(nn.Conv2d(features, channels, 3, padding=1), SMALL)

    def forward(self, x: Tensor, c_noise: Tensor, cond: Tensor | None = None, augment: Tensor | None = None) -> Tensor:
        e = self._embedded(c_noise, cond, augment)
        aux, h = x, self.inlet(x)
        skips = [h]
        for i, level in enumerate(self.down):
            if i > 0:
                h = _resized(self.shrink[i - 1], h, e)
                if self.pyramid:
                    aux = h = join(h, self.pyramid[i - 1](aux), self.rescale)
                skips.append(h)
            for part in level.children():
                h = part(h, e)
                skips.append(h)
        for part in self.middle:
            h = part(h, e)
        for i, level in enumerate(self.up):
            if i > 0:
                h = _resized(self.enlarge[i - 1], h, e)
            for part in level.children():
                h = part(torch.cat([h, skips.pop()], dim=1), e)
        return self.outlet(F.silu(self.norm(h)))

    def _embedded(self, c_noise: Tensor, cond: Tensor | None, augment: Tensor | None) -> Tensor:
        """The embedding that all blocks receive, [B, 4 width], of the level, plus W (one-hot sqrt(classes)) + b, plus W' augment."""
        embedded = sinusoid(c_noise, self.width, precision(self.inlet)) if self.fourier is None else self.fourier(c_noise)
        if self.classes is not None:
            if cond is None:
                raise ValueError("a net with classes needs the class of each sample; set the run's `condition_on: labels`")
            count = self.classes.in_features
            embedded = embedded + self.classes(F.one_hot(cond, count).to(embedded.dtype) * math.sqrt(count))
        if augment is not None:
            if self.augment is None:
                raise ValueError("a net without `augment` received augmentation labels; set its `augment` to their number")
            embedded = embedded + self.augment(augment.to(embedded.dtype))
        return self.embed(embedded)


def _resized(part: nn.Module, h: Tensor, e: Tensor) -> Tensor:
    return part(h, e) if isinstance(part, Block) else part(h)
