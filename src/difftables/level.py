"""Level: how strongly one sample is corrupted. A schedule is a Level with one entry per step, noisiest first."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Level:
    """Signal gain, noise and operator strength of a corruption, x = A x0 + std n, float64 until they meet a sample.

    Args: alpha, std: [K], one entry per sample of a batch, or per level of a schedule; strength: [K], of the corruption's
        operator in its own unit, 0 for the identity and where none is given.
    Raises: ValueError when they differ in shape.
    """

    alpha: Tensor
    std: Tensor
    strength: Tensor = field(default=None)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.strength is None:
            object.__setattr__(self, "strength", torch.zeros_like(self.alpha))
        if not self.alpha.shape == self.std.shape == self.strength.shape or self.alpha.dim() != 1:
            shapes = ", ".join(str(list(each.shape)) for each in (self.alpha, self.std, self.strength))
            raise ValueError(f"alpha, std and strength must be vectors of one length, not {shapes}")

    @classmethod
    def variance_preserving(cls, alpha_bar: Tensor) -> "Level":
        """alpha = sqrt(alpha_bar), std = sqrt(1 - alpha_bar); alpha_bar: [K] in [0, 1]."""
        alpha_bar = alpha_bar.double()
        return cls(alpha_bar.sqrt(), (1 - alpha_bar).sqrt())

    @classmethod
    def variance_exploding(cls, std: Tensor, strength: Tensor | None = None) -> "Level":
        """alpha = 1; std, strength: [K]."""
        std = std.double()
        return cls(torch.ones_like(std), std, torch.zeros_like(std) if strength is None else strength.double())

    @classmethod
    def clean(cls, count: int = 1) -> "Level":
        """The end of every chain: alpha = 1, std = 0, strength = 0."""
        return cls(torch.ones(count, dtype=torch.float64), torch.zeros(count, dtype=torch.float64))

    @property
    def alpha_bar(self) -> Tensor:
        """alpha^2, the cumulative signal power of the DDPM papers."""
        return self.alpha**2

    @property
    def sigma(self) -> Tensor:
        """std / alpha, the noise level of the EDM paper."""
        return self.std / self.alpha

    def each(self, change: Callable[[Tensor], Tensor]) -> "Level":
        """The level with alpha, std and strength changed alike."""
        return Level(change(self.alpha), change(self.std), change(self.strength))

    def __len__(self) -> int:
        return self.alpha.numel()

    def __getitem__(self, index: int | slice | Tensor) -> "Level":
        if isinstance(index, int):
            index = slice(index, index + 1 or None)
        return self.each(lambda values: values[index])

    def to(self, device: torch.device | str) -> "Level":
        """The same levels on another device."""
        return self.each(lambda values: values.to(device))

    def expand(self, count: int) -> "Level":
        """One level for `count` samples; levels that already number `count` stay as they are."""
        return self if len(self) == count else self.each(lambda values: values.expand(count))

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
    return Level(*(torch.cat([getattr(each, name) for each in levels]) for name in ("alpha", "std", "strength")))
