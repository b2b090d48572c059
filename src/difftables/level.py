"""Level: how strongly one sample is corrupted. A schedule is a Level with one entry per step, noisiest first."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Level:
    """Signal gain and noise of a corruption, x = alpha x0 + std n, float64 until they meet a sample.

    Args: alpha, std: [K], one entry per sample of a batch, or per level of a schedule.
    Raises: ValueError when the two differ in shape.
    """

    alpha: Tensor
    std: Tensor

    def __post_init__(self) -> None:
        if self.alpha.shape != self.std.shape or self.alpha.dim() != 1:
            raise ValueError(f"alpha and std must be vectors of one length, not {list(self.alpha.shape)}, {list(self.std.shape)}")

    @classmethod
    def variance_preserving(cls, alpha_bar: Tensor) -> "Level":
        """alpha = sqrt(alpha_bar), std = sqrt(1 - alpha_bar); alpha_bar: [K] in [0, 1]."""
        alpha_bar = alpha_bar.double()
        return cls(alpha_bar.sqrt(), (1 - alpha_bar).sqrt())

    @classmethod
    def clean(cls, count: int = 1) -> "Level":
        """The end of every chain: alpha = 1, std = 0."""
        return cls(torch.ones(count, dtype=torch.float64), torch.zeros(count, dtype=torch.float64))

    @property
    def alpha_bar(self) -> Tensor:
        """alpha^2, the cumulative signal power of the DDPM papers."""
        return self.alpha**2

    @property
    def sigma(self) -> Tensor:
        """std / alpha, the noise level of the EDM paper."""
        return self.std / self.alpha

    def __len__(self) -> int:
        return self.alpha.numel()

    def __getitem__(self, index: int | slice | Tensor) -> "Level":
        if isinstance(index, int):
            index = slice(index, index + 1 or None)
        return Level(self.alpha[index], self.std[index])

    def to(self, device: torch.device | str) -> "Level":
        """The same levels on another device."""
        return Level(self.alpha.to(device), self.std.to(device))

    def expand(self, count: int) -> "Level":
        """One level for `count` samples; levels that already number `count` stay as they are."""
        return self if len(self) == count else Level(self.alpha.expand(count), self.std.expand(count))

    def like(self, x: Tensor) -> "Shaped":
        """Entries shaped [B, 1, ...] in the dtype and on the device of x, [B, ...]."""
        return Shaped(shape(self.alpha, x), shape(self.std, x))


@dataclass(frozen=True)
class Shaped:
    """A level broadcast over a batch: alpha and std are [B, 1, ...] or [1, 1, ...]."""

    alpha: Tensor
    std: Tensor


def shape(values: Tensor, x: Tensor) -> Tensor:
    """One value per sample, [B] or [1], as [B, 1, ...] in the dtype and on the device of x; values shaped like x stay so."""
    values = values.to(x.device, x.dtype)
    return values if values.dim() == x.dim() else values.reshape(-1, *[1] * (x.dim() - 1))


def concatenate(levels: list[Level]) -> Level:
    """Levels one after another."""
    return Level(torch.cat([each.alpha for each in levels]), torch.cat([each.std for each in levels]))
