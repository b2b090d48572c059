"""ADM (Dhariwal and Nichol 2021) as EDM (Karras et al. 2022) has it, one net F(x, c_noise, cond)."""

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from difftables.nets.ncsnpp import DoubleChannels, HalveChannels
from difftables.nets.unet import Attention, ResBlock, cosines_first, group_norm, heads_of, precision, run_parts


def _norm(channels: int) -> nn.GroupNorm:
    """32 groups, or fewer such that each has at least 4 channels."""
    return group_norm(channels, min(32, max(1, channels // 4)), 1e-5)


class ADM(nn.Module):
    """F(x, c_noise, cond): [B, channels, size, size] and [B] to [B, channels, size, size].

    At 64 px the papers' net has width 192, mult 1, 2, 3, 4, 3 blocks, attention at 32, 16 and 8, dropout 0.1, and 1000 classes
    of ImageNet: 295.9 million parameters.

    Args:
        size: height and width in pixels.
        channels: image channels, in and out.
        width: channels of the first resolution over its `mult`.
        mult: channels of each resolution over `width`; a resolution is half the one before.
        blocks: residual blocks of each resolution on the way down (one more on the way up).
        attention: resolutions, in pixels, with self-attention after each block; the middle always has it.
        dropout: dropout probability inside the residual blocks.
        head_width: channels of a head of the attention.
        augment: number of augmentation labels of a sample, 0 for none; a call without labels has labels of zero.
        classes: number of classes; `cond`, [B], int64, then names each sample's class. 0 for none.
    Raises: ValueError when `size` cannot be halved often enough or heads do not divide the channels; in a call, for a missing class, or
        for augmentation labels without `augment`.
    Source: Dhariwal and Nichol 2021, Table 4 and App. B; Karras et al. 2022 (EDM), App. F.2 and released code (DhariwalUNet), for the
        place of the class, which is added after the embedding's second layer, and for augment.
    """

    def __init__(
        self, size: int, channels: int, width: int, mult: Sequence[int], blocks: int, attention: Sequence[int], dropout: float,
        head_width: int = 64, augment: int = 0, classes: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        last = len(mult) - 1
        if size % 2**last:
            raise ValueError(f"an ADM of {len(mult)} resolutions needs a multiple of {2**last} px, not {size}")
        inside = 4 * width
        self.size, self.width = size, width
        self.augment = nn.Linear(augment, width, bias=False) if augment else None
        self.embed = nn.Sequential(nn.Linear(width, inside), nn.SiLU(), nn.Linear(inside, inside))
        self.classes = nn.Embedding(classes, inside) if classes else None
        block = partial(_parts, embedding=inside, dropout=dropout, head_width=head_width)
        features = width * mult[0]
        self.inlet = nn.Conv2d(channels, features, 3, padding=1)
        skips = [features]
        self.down, self.shrink = nn.ModuleList(), nn.ModuleList()
        for i, m in enumerate(mult):
            if i > 0:
                self.shrink.append(block(features, features, resample=HalveChannels(fir=False)))
                skips.append(features)
            level = nn.ModuleList()
            for _ in range(blocks):
                level.append(block(features, width * m, attend=size >> i in attention))
                features = width * m
                skips.append(features)
            self.down.append(level)
        self.middle = nn.ModuleList([block(features, features, attend=True), block(features, features)])
        self.up, self.enlarge = nn.ModuleList(), nn.ModuleList()
        for i, m in reversed(list(enumerate(mult))):
            if i < last:
                self.enlarge.append(block(features, features, resample=DoubleChannels(fir=False)))
            level = nn.ModuleList()
            for _ in range(blocks + 1):
                level.append(block(features + skips.pop(), width * m, attend=size >> i in attention))
                features = width * m
            self.up.append(level)
        self.norm, self.outlet = _norm(features), nn.Conv2d(features, channels, 3, padding=1)
        for layer in (self.outlet, self.augment):
            if layer is not None:
                nn.init.zeros_(layer.weight)
        if self.outlet.bias is not None:
            nn.init.zeros_(self.outlet.bias)

    def forward(self, x: Tensor, c_noise: Tensor, cond: Tensor | None = None, augment: Tensor | None = None) -> Tensor:
        e = self._embedded(c_noise, cond, augment)
        h = self.inlet(x)
        skips = [h]
        for i, level in enumerate(self.down):
            if i > 0:
                h = run_parts(self.shrink[i - 1], h, e)
                skips.append(h)
            for parts in level.children():
                h = run_parts(parts, h, e)
                skips.append(h)
        for parts in self.middle:
            h = run_parts(parts, h, e)
        for i, level in enumerate(self.up):
            if i > 0:
                h = run_parts(self.enlarge[i - 1], h, e)
            for parts in level.children():
                h = run_parts(parts, torch.cat([h, skips.pop()], dim=1), e)
        return self.outlet(F.silu(self.norm(h)))

    def _embedded(self, c_noise: Tensor, cond: Tensor | None, augment: Tensor | None) -> Tensor:
        """The embedding that all blocks receive, [B, 4 width]: layers of (level + W augment), plus the row of the class."""
        embedded = cosines_first(c_noise, self.width, precision(self.inlet))
        if augment is not None:
            if self.augment is None:
                raise ValueError("a net without `augment` received augmentation labels; set its `augment` to their number")
            embedded = embedded + self.augment(augment.to(embedded.dtype))
        e = self.embed(embedded)
        if self.classes is None:
            return e
        if cond is None:
            raise ValueError("a net with classes needs the class of each sample; set the run's `condition_on: labels`")
        return e + self.classes(cond)


def _parts(
    inner: int, outer: int, *, embedding: int, dropout: float, head_width: int, attend: bool = False, resample: nn.Module | None = None,
) -> nn.ModuleList:  # fmt: skip
    """A residual block, and attention after it where there is any."""
    parts: list[nn.Module] = [ResBlock(inner, outer, embedding, dropout, True, _norm, resample)]
    return nn.ModuleList([*parts, Attention(outer, heads_of(outer, head_width), _norm)] if attend else parts)
