"""Level: how strongly one sample is corrupted. A schedule is a Level with one entry per step, noisiest first."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from difftables.common.variants import Variants


@dataclass(frozen=True)
class Level:
    """Signal gain, noise and operator strength of a corruption, x = A x0 + std n, float64 until they meet a sample.

    Args: alpha, std: [K], one entry per sample of a batch, or per level of a schedule; strength: [K], of the corruption's operator, in
        the operator's unit, 0 for the identity, which is the default; process: the key of PROCESSES that ties alpha to std, "" for
        levels without one, such as those read from a file.
    Raises: ValueError when they differ in shape.
    """

    alpha: Tensor
    std: Tensor
    strength: Tensor = field(default=None)  # type: ignore[assignment]
    process: str = ""

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
        return cls(alpha_bar.sqrt(), (1 - alpha_bar).sqrt(), process="vp")

    @classmethod
    def sub_variance_preserving(cls, alpha: Tensor) -> "Level":
        """std = 1 - alpha^2; alpha: [K] in [0, 1].  Source: Song et al. 2021 (score SDE), sub-VP SDE."""
        alpha = alpha.double()
        return cls(alpha, 1 - alpha**2, process="sub-vp")

    @classmethod
    def variance_exploding(cls, std: Tensor, strength: Tensor | None = None) -> "Level":
        """alpha = 1; std, strength: [K]."""
        std = std.double()
        return cls(torch.ones_like(std), std, torch.zeros_like(std) if strength is None else strength.double(), "ve")

    @classmethod
    def clean(cls, count: int = 1) -> "Level":
        """The last level of every schedule, whatever its process: alpha = 1, std = 0, strength = 0."""
        return cls(torch.ones(count, dtype=torch.float64), torch.zeros(count, dtype=torch.float64))

    @property
    def alpha_bar(self) -> Tensor:
        """alpha^2, the cumulative signal power of the DDPM papers."""
        return self.alpha**2

    @property
    def sigma(self) -> Tensor:
        """std / alpha, the noise level of the EDM paper."""
        return self.std / self.alpha

    def map(self, change: Callable[[Tensor], Tensor]) -> "Level":
        """The level with one function applied to alpha, std and strength."""
        return Level(change(self.alpha), change(self.std), change(self.strength), self.process)

    def __len__(self) -> int:
        return self.alpha.numel()

    def __getitem__(self, index: int | slice | Tensor) -> "Level":
        if isinstance(index, int):
            index = slice(index, index + 1 or None)
        return self.map(lambda values: values[index])

    def to(self, device: torch.device | str) -> "Level":
        """The same levels on another device."""
        return self.map(lambda values: values.to(device))

    def expand(self, count: int) -> "Level":
        """One level for `count` samples, [count]; `count` levels stay as they are."""
        return self if len(self) == count else self.map(lambda values: values.expand(count))

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
    """Levels one after another; their process is the one that all share, clean levels aside, or "" where they differ."""
    processes = {level.process for level in levels if level.process}
    alpha, std, strength = (torch.cat(values) for values in zip(*((e.alpha, e.std, e.strength) for e in levels), strict=True))
    return Level(alpha, std, strength, processes.pop() if len(processes) == 1 else "")


def variance_preserving(sigma: Tensor) -> Level:
    """alpha_bar = 1 / (1 + sigma^2)."""
    return Level.variance_preserving(1 / (1 + sigma**2))


def sub_variance_preserving(sigma: Tensor) -> Level:
    """alpha = 2 / (sigma + sqrt(sigma^2 + 4)): the positive root of alpha^2 + sigma alpha - 1 = 0."""
    return Level.sub_variance_preserving(2 / (sigma + (sigma**2 + 4).sqrt()))


# The level of noise level sigma = std / alpha, [K] to [K], in each process.
PROCESSES: Variants[Callable[[Tensor], Level]] = {
    "vp": variance_preserving, "sub-vp": sub_variance_preserving, "ve": Level.variance_exploding,
}  # fmt: skip


def same_process(schedule: Level, sigma: Tensor) -> Level:
    """Levels of noise level sigma, [K], in the process of a schedule.

    Raises: ValueError for a schedule without a process.
    """
    if schedule.process not in PROCESSES:
        raise ValueError("a schedule without a process, e.g. from a file, has no level between its levels; use one of TRAINING_SCHEDULES")
    return PROCESSES[schedule.process](sigma)


def corruption_order(level: Level) -> Tensor:
    """sigma + strength, [K]: falls along every schedule, whether its noise, its operator or both fall."""
    return level.sigma + level.strength
