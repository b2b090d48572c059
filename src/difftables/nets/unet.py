"""The U-Nets of DDPM (Ho et al. 2020) and Improved DDPM (Nichol and Dhariwal 2021), as one net F(x, c_noise, cond)."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from difftables.common.variants import Variants
from difftables.nets.attention import attend


def sinusoid(c_noise: Tensor, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Embed a scalar per sample as sines and cosines.

    e = [sin(c w_k), cos(c w_k)],  w_k = 10000^(-k / (width/2 - 1)),  k = 0 .. width/2 - 1

    Args: c_noise: [B]; dtype: of the angles.  Returns: [B, width].
    Source: Ho et al. 2020, App. B; the denominator half - 1 is that of the released code.
    """
    half = width // 2
    rates = torch.exp(-math.log(10000) / max(half - 1, 1) * torch.arange(half, device=c_noise.device))
    angle = c_noise.to(dtype)[:, None] * rates  # rates are single in all released code
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def cosines_first(c_noise: Tensor, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Embed a scalar per sample as cosines and sines, with rates that stay above 1 / 10000.

    e = [cos(c w_k), sin(c w_k)],  w_k = 10000^(-k / (width/2)),  k = 0 .. width/2 - 1

    Args: c_noise: [B]; dtype: of the angles.  Returns: [B, width].
    Source: Improved DDPM's released code.
    """
    half = width // 2
    rates = torch.exp(-math.log(10000) / half * torch.arange(half, device=c_noise.device))
    angle = c_noise.to(dtype)[:, None] * rates  # rates are single in all released code
    return torch.cat([angle.cos(), angle.sin()], dim=1)


def pad_after(x: Tensor) -> Tensor:
    """x with one row of zeros below and one column at the right.  Source: DDPM's released code."""
    return F.pad(x, (0, 1, 0, 1))


def pad_around(x: Tensor) -> Tensor:
    """x with one row or column of zeros on each side.  Source: Improved DDPM's released code."""
    return F.pad(x, (1, 1, 1, 1))


EMBEDDINGS: Variants[Callable[[Tensor, int, torch.dtype], Tensor]] = {"ddpm": sinusoid, "iddpm": cosines_first}
PADDINGS: Variants[Callable[[Tensor], Tensor]] = {"asymmetric": pad_after, "symmetric": pad_around}
Norm = Callable[[int], nn.GroupNorm]  # channels to a norm


def precision(layer: nn.Conv2d) -> torch.dtype:
    """The precision of a net's angles, from that of its weights: double in a net of doubles, else single."""
    return torch.promote_types(layer.weight.dtype, torch.float32)


def group_norm(channels: int, groups: int = 0, eps: float = 1e-6) -> nn.GroupNorm:
    """A norm of that many groups; with 0 of 32 as in the papers' nets, in narrow ones of at least 4 channels a group."""
    if not groups:
        groups = 32 if channels >= 64 and channels % 32 == 0 else min(32, max(1, channels // 4))
        while channels % groups:
            groups -= 1
    return nn.GroupNorm(groups, channels, eps=eps)


def _start_at_zero(layer: nn.Conv2d) -> None:
    """Zero weights and biases: a residual branch adds nothing at first, as in the DDPM code."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class ResBlock(nn.Module):
    """GroupNorm, SiLU, convolution, twice; [B, C, H, W] to [B, C', H, W].

    The level embedding is added before the second norm, or with `scale_shift` scales and shifts what comes out of it:
    norm(h) (1 + w) + b.  Args: resample: halves or doubles height and width before the first convolution and in the skip.
    Source: Ho et al. 2020; Nichol and Dhariwal 2021 for `scale_shift`; Dhariwal and Nichol 2021 (ADM) for `resample`.
    """

    def __init__(
        self, inner: int, outer: int, embedding: int, dropout: float, scale_shift: bool = False, norm: Norm = group_norm,
        resample: nn.Module | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.scale_shift, self.resample = scale_shift, nn.Identity() if resample is None else resample
        self.norm1, self.conv1 = norm(inner), nn.Conv2d(inner, outer, 3, padding=1)
        self.project = nn.Linear(embedding, outer * (1 + scale_shift))
        self.norm2, self.conv2 = norm(outer), nn.Conv2d(outer, outer, 3, padding=1)
        self.drop = nn.Dropout(dropout)
        self.skip = nn.Identity() if inner == outer else nn.Conv2d(inner, outer, 1)
        _start_at_zero(self.conv2)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv1(self.resample(F.silu(self.norm1(x))))
        modulation = self.project(F.silu(embedding))[:, :, None, None]
        if self.scale_shift:
            scale, shift = modulation.chunk(2, dim=1)
            h = self.norm2(h) * (1 + scale) + shift
        else:
            h = self.norm2(h + modulation)
        h = self.conv2(self.drop(F.silu(h)))
        return self.skip(self.resample(x)) + h


def heads_of(channels: int, head_width: int) -> int:
    """Heads of that many channels each.  Raises: ValueError where they do not share the channels."""
    if channels % head_width:
        raise ValueError(f"attention over {channels} channels cannot have heads of {head_width}; change width, mult or head_width")
    return channels // head_width


class Attention(nn.Module):
    """Self-attention over pixels with a residual connection, [B, C, H, W] to the same; heads share the channels."""

    def __init__(self, channels: int, heads: int = 1, norm: Norm = group_norm) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"attention over {channels} channels cannot have {heads} heads; change width, mult or heads")
        self.norm, self.heads = norm(channels), heads
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        _start_at_zero(self.out)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, dim=2)
        if self.heads > 1:
            q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in (q, k, v))
        h = attend(q, k, v)
        if self.heads > 1:
            h = h.transpose(1, 2).flatten(2)
        return x + self.out(h.transpose(1, 2).reshape(x.shape))


class Down(nn.Module):
    """Halve height and width by a strided convolution, after one of PADDINGS."""

    def __init__(self, channels: int, padding: str = "asymmetric") -> None:
        super().__init__()
        self.conv, self.pad = nn.Conv2d(channels, channels, 3, stride=2), PADDINGS[padding]

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.pad(x))


class Up(nn.Module):
    """Double height and width: nearest neighbour, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class UNet(nn.Module):
    """F(x, c_noise, cond): [B, channels, size, size] and [B] to [B, channels, size, size], or twice the channels with `variance`.

    Args:
        size: height and width in pixels.
        channels: image channels, in and out.
        width: channels of the first resolution.
        mult: channels of each resolution over `width`; a resolution is half the one before.
        blocks: residual blocks of each resolution on the way down (one more on the way up).
        attention: resolutions, in pixels, with self-attention; the middle always has it.
        dropout: dropout probability inside the residual blocks.
        heads: of the attention.
        scale_shift: whether the level scales and shifts the second norm of a block, or is added before it.
        variance: whether the output has as many channels again, for the variance.
        classes: number of classes; `cond`, [B], int64, then names each sample's class. 0 for none.
        extra: channels of a low-resolution image `low`, which is enlarged bilinearly and joined with the input (of an upsampler).
        embedding: of c_noise, one of EMBEDDINGS.
        padding: before a strided convolution, one of PADDINGS.
        eps: added to the variance in the norms.
        groups: of every norm; 0: 32, and fewer in narrow nets (`group_norm`).
        head_width: channels of a head, in place of `heads`, which then is 1; 0: `heads` decides.
    Raises: ValueError when `size` cannot be halved often enough, for an unknown embedding or padding, for heads that do not divide the
        channels; in a call, for a missing class.
    Source: Ho et al. 2020, App. B; Nichol and Dhariwal 2021 (Improved DDPM) for all after dropout. The defaults are DDPM's wiring;
        Improved DDPM's released code has embedding iddpm, padding symmetric, eps 1e-5. The library diffusers has both, groups
        and head_width.
    """

    def __init__(
        self, size: int, channels: int, width: int, mult: Sequence[int], blocks: int,
        attention: Sequence[int], dropout: float, heads: int = 1, scale_shift: bool = False, variance: bool = False,
        classes: int = 0, extra: int = 0, embedding: str = "ddpm", padding: str = "asymmetric", eps: float = 1e-6,
        groups: int = 0, head_width: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        if size % 2 ** (len(mult) - 1):
            raise ValueError(f"a U-Net of {len(mult)} resolutions needs a multiple of {2 ** (len(mult) - 1)} px, not {size}")
        for what, name, names in (("embedding", embedding, EMBEDDINGS), ("padding", padding, PADDINGS)):
            if name not in names:
                raise ValueError(f"{what} of a U-Net is {' or '.join(map(repr, names))}, not {name!r}")
        if head_width and heads > 1:
            raise ValueError(f"a U-Net has heads = {heads} and head_width = {head_width}; set one of them")
        inside, norm = 4 * width, partial(group_norm, groups=groups, eps=eps)
        self.width, self.embedding = width, EMBEDDINGS[embedding]
        self.embed = nn.Sequential(nn.Linear(width, inside), nn.SiLU(), nn.Linear(inside, inside))
        self.classes = nn.Embedding(classes, inside) if classes else None
        self.inlet = nn.Conv2d(channels + extra, width, 3, padding=1)

        def residual(inner: int, outer: int) -> ResBlock:
            return ResBlock(inner, outer, inside, dropout, scale_shift, norm)

        def attention_at(features: int) -> Attention:
            return Attention(features, heads_of(features, head_width) if head_width else heads, norm)

        def block(inner: int, outer: int, pixels: int) -> nn.ModuleList:
            parts: list[nn.Module] = [residual(inner, outer)]
            return nn.ModuleList([*parts, attention_at(outer)] if pixels in attention else parts)

        features, skips, pixels = width, [width], size
        self.down = nn.ModuleList()
        for i, m in enumerate(mult):
            for _ in range(blocks):
                self.down.append(block(features, width * m, pixels))
                features = width * m
                skips.append(features)
            if i + 1 < len(mult):
                self.down.append(nn.ModuleList([Down(features, padding)]))
                skips.append(features)
                pixels //= 2
        ends = [residual(features, features) for _ in range(2)]
        self.middle = nn.ModuleList([ends[0], attention_at(features), ends[1]])
        self.up = nn.ModuleList()
        for i, m in reversed(list(enumerate(mult))):
            for _ in range(blocks + 1):
                self.up.append(block(features + skips.pop(), width * m, pixels))
                features = width * m
            if i > 0:
                self.up.append(nn.ModuleList([Up(features)]))
                pixels *= 2
        self.norm, self.outlet = norm(features), nn.Conv2d(features, channels * (1 + variance), 3, padding=1)
        _start_at_zero(self.outlet)

    def forward(self, x: Tensor, c_noise: Tensor, cond: Tensor | None = None, low: Tensor | None = None) -> Tensor:
        e = self.embed(self.embedding(c_noise, self.width, precision(self.inlet)))
        if self.classes is not None:
            if cond is None:
                raise ValueError("a net with classes needs the class of each sample; set the run's `condition_on: labels`")
            e = e + self.classes(cond)
        if low is not None:
            x = torch.cat([x, F.interpolate(low, size=x.shape[-2:], mode="bilinear", align_corners=False)], dim=1)
        h = self.inlet(x)
        skips = [h]
        for parts in self.down:
            h = run_parts(parts, h, e)
            skips.append(h)
        h = run_parts(self.middle, h, e)
        for parts in self.up:
            if isinstance(next(parts.children()), ResBlock):
                h = torch.cat([h, skips.pop()], dim=1)
            h = run_parts(parts, h, e)
        return self.outlet(F.silu(self.norm(h)))


def run_parts(parts: nn.Module, h: Tensor, e: Tensor) -> Tensor:
    """h through residual blocks, which receive the embedding e, and layers that do not."""
    for part in parts.children():
        h = part(h, e) if isinstance(part, ResBlock) else part(h)
    return h
