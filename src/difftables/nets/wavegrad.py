"""WaveGrad (Chen et al. 2020): the noise of a waveform from the waveform, its noise level and its mel spectrogram."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2  # of LeakyReLU
LEVEL_FACTOR = 5000.0


def level_embedding(sqrt_alpha_bar: Tensor, channels: int) -> Tensor:
    """[sin, cos](5000 sqrt(alpha_bar) 10^(-4 k / d)), k = 0 .. d - 1, d = channels / 2; [B] to [B, channels].

    Source: WaveGrad (Chen et al. 2020); the factor 5000 as in the port by Vovk, since without it neighbouring levels have almost the
    same embedding.
    """
    half = channels // 2
    scales = LEVEL_FACTOR * 10 ** (-4 * torch.arange(half, dtype=torch.float64, device=sqrt_alpha_bar.device) / half)
    angles = sqrt_alpha_bar.double()[:, None] * scales
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def conv(inputs: int, outputs: int, kernel: int = 3, dilation: int = 1) -> nn.Conv2d:
    """A convolution over time that keeps the length, with orthogonal weights and zero biases at first.

    Waveforms are images of height one, [B, C, 1, T]: with few channels, torch's CPU kernels for two dimensions in
    channels-last order are up to three times faster than those for one.
    """
    layer = nn.Conv2d(inputs, outputs, (1, kernel), padding=(0, dilation * (kernel // 2)), dilation=(1, dilation))
    nn.init.orthogonal_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def resize(x: Tensor, scale: float) -> Tensor:
    """x, [B, C, 1, T], resampled linearly in time, [B, C, 1, scale T]."""
    return x if scale == 1 else F.interpolate(x, scale_factor=(1.0, float(scale)), mode="bilinear", align_corners=False)


def modulated(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """LeakyReLU(scale x + shift)."""
    return F.leaky_relu(torch.addcmul(shift, scale, x), SLOPE, inplace=True)


class FiLM(nn.Module):
    """Scale and shift for an up-sampling block, from the waveform's features and the noise level."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.inner, self.scale, self.shift = conv(inputs, inputs), conv(inputs, outputs), conv(inputs, outputs)

    def forward(self, x: Tensor, sqrt_alpha_bar: Tensor) -> tuple[Tensor, Tensor]:
        x = F.leaky_relu(self.inner(x), SLOPE, inplace=True)
        x = x + level_embedding(sqrt_alpha_bar, x.shape[1]).to(x.dtype)[:, :, None, None]
        return self.scale(x), self.shift(x)


class Up(nn.Module):
    """Two residual blocks, the first of which raises the rate; each modulated twice but for the first convolution."""

    def __init__(self, inputs: int, outputs: int, factor: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.factor = factor
        self.skip = conv(inputs, outputs, kernel=1)
        self.convs = nn.ModuleList(conv(inputs if i == 0 else outputs, outputs, dilation=d) for i, d in enumerate(dilations))

    def forward(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        # A convolution of width one and linear resampling commute: the skip is taken at the lower rate.
        h = self.convs[0](resize(F.leaky_relu(x, SLOPE), self.factor))
        x = resize(self.skip(x), self.factor) + self.convs[1](modulated(h, scale, shift))
        h = self.convs[2](modulated(x, scale, shift))
        return x + self.convs[3](modulated(h, scale, shift))


class Down(nn.Module):
    """A residual block that first lowers the rate of the waveform's features."""

    def __init__(self, inputs: int, outputs: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.skip = conv(inputs, outputs, kernel=1)
        self.convs = nn.ModuleList(conv(inputs if d == 1 else outputs, outputs, dilation=d) for d in (1, 2, 4))

    def forward(self, x: Tensor) -> Tensor:
        skip = x = resize(x, 1 / self.factor)
        for layer in self.convs:
            x = layer(F.leaky_relu(x, SLOPE))
        return self.skip(skip) + x


class WaveGrad(nn.Module):
    """eps(x, sqrt(alpha_bar), mel): [B, T], [B] and [B, bands, T / hop] to [B, T].

    Args:
        bands: of the mel spectrogram.
        hop: samples of a mel frame, the product of `factors`.
        factors: up-sampling factor of each block; the waveform's path is down-sampled by all but the first, in reverse.
        up: channels of the up-sampling blocks.
        down: channels of the waveform's path, the stem first; one fewer than `up` after it.
        mel: channels of the first convolution on the mel spectrogram.
    Raises: ValueError when factors do not multiply to hop, or the lists do not fit together.
    Source: WaveGrad (Chen et al. 2020); dilations 1, 2, 1, 2 in the first two blocks and
        1, 2, 4, 8 in the others, linear resampling: the port by Vovk, 15,810,401 parameters at its settings.
    """

    def __init__(
        self, bands: int, hop: int, factors: Sequence[int] = (5, 5, 3, 2, 2), up: Sequence[int] = (512, 512, 256, 128, 128),
        down: Sequence[int] = (32, 128, 128, 256, 512), mel: int = 768,
    ) -> None:  # fmt: skip
        super().__init__()
        if math.prod(factors) != hop:
            raise ValueError(f"the factors {list(factors)} of the net multiply to {math.prod(factors)}, but the data's hop is {hop}")
        if not len(factors) == len(up) == len(down):
            raise ValueError(f"factors, up and down need one length, not {len(factors)}, {len(up)} and {len(down)}")
        self.bands, self.hop = bands, hop
        self.first = conv(bands, mel)
        before = [mel, *up[:-1]]
        dilations = [(1, 2, 1, 2) if i < 2 else (1, 2, 4, 8) for i in range(len(up))]
        self.ups = nn.ModuleList(Up(*arguments) for arguments in zip(before, up, factors, dilations, strict=True))
        self.stem = conv(1, down[0], kernel=5)
        self.downs = nn.ModuleList(Down(*arguments) for arguments in zip(down[:-1], down[1:], factors[:0:-1], strict=True))
        self.films = nn.ModuleList(FiLM(*arguments) for arguments in zip(down, up[::-1], strict=True))
        self.last = conv(up[-1], 1)
        for layer in (m for m in self.modules() if isinstance(m, nn.Conv2d)):
            layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)

    def forward(self, x: Tensor, sqrt_alpha_bar: Tensor, mel: Tensor) -> Tensor:
        if mel.shape[1:] != (self.bands, x.shape[1] // self.hop) or x.shape[1] % self.hop:
            raise ValueError(
                f"a mel spectrogram of {mel.shape[1]} bands and {mel.shape[2]} frames does not fit a waveform of {x.shape[1]} samples: "
                f"the net takes {self.bands} bands and a frame for {self.hop} samples"
            )
        h = self.stem(x[:, None, None].contiguous(memory_format=torch.channels_last))
        films = [self.films[0](h, sqrt_alpha_bar)]
        for down, film in zip(self.downs, self.films[1:], strict=True):
            h = down(h)
            films.append(film(h, sqrt_alpha_bar))
        y = self.first(mel[:, :, None].contiguous(memory_format=torch.channels_last))
        for block, (scale, shift) in zip(self.ups, films[::-1], strict=True):
            y = block(y, scale, shift)
        return self.last(y)[:, 0, 0]
