"""The noise-level estimator of Noise Estimation for speech: Conv-TasNet's encoder and mask, and a mean over frames."""

from torch import Tensor, nn


class Block(nn.Module):
    """A residual block of a dilated depthwise convolution between two of width one."""

    def __init__(self, channels: int, hidden: int, dilation: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(channels, hidden, 1), nn.PReLU(), nn.GroupNorm(1, hidden),
            nn.Conv1d(hidden, hidden, 3, padding=dilation, dilation=dilation, groups=hidden), nn.PReLU(), nn.GroupNorm(1, hidden),
            nn.Conv1d(hidden, channels, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class TasNet(nn.Module):
    """u(x): [B, T] to [B], the estimate of log(1 - alpha_bar) in nats.

    u = mean over frames of w^T (mask(e) e) + b,  e = ReLU(encoder(x))

    Args: width: channels of the encoder; hidden: of the blocks; repeats, blocks: dilations 1, 2, .. 2^(blocks - 1), `repeats` times.
    Source: San-Roman et al. 2021 (encoder and mask of Conv-TasNet, Luo and Mesgarani 2019, then a fully connected layer and a
        mean over blocks); the sizes are ours, since the paper does not state them.
    """

    def __init__(self, width: int = 64, hidden: int = 128, repeats: int = 2, blocks: int = 6, kernel: int = 16) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv1d(1, width, kernel, stride=kernel // 2), nn.ReLU())
        stack = [Block(width, hidden, 2**i) for _ in range(repeats) for i in range(blocks)]
        self.mask = nn.Sequential(nn.GroupNorm(1, width), nn.Conv1d(width, width, 1), *stack, nn.PReLU(),
                                  nn.Conv1d(width, width, 1), nn.Sigmoid())  # fmt: skip
        self.head = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        e = self.encoder(x[:, None])
        return self.head((self.mask(e) * e).mean(dim=2))[:, 0]
