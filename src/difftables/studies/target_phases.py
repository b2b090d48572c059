"""Where the target of denoising score matching varies most, for points whose posterior is exact."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from difftables.common.seeds import generator
from difftables.diffusion.level import Level
from difftables.studies import target_variance

LOWEST, HIGHEST, COLUMNS = 0.05, 20.0, 9  # sigma
FINE, FINEST = 8, 256  # levels from column to column of estimates, which take time, and of closed forms
MOST, SAMPLES = 4096, 512  # points of a data set; noisy samples at each level
EDGE = 0.1  # of the maximum, where the middle phase ends


@dataclass
class Curve:
    """Tr Cov(x0 | x), averaged over x, and its standard error at each sigma, [K]; what made it, where that was a draw."""

    sigma: Tensor
    clean: Tensor
    error: Tensor | None = None
    run: str = ""
    points: int = 2
    score: Tensor = field(init=False)  # in squares of scores

    def __post_init__(self) -> None:
        self.score = self.clean / self.sigma**4

    @property
    def top(self) -> int:
        """The place of its maximum."""
        return int(self.score.argmax())

    @property
    def share(self) -> Tensor:
        """The score's variance over its maximum."""
        return self.score / self.score[self.top]

    def edges(self) -> tuple[float | None, float | None]:
        """Where the share falls below EDGE on both sides of the maximum, linear in log sigma between levels; None where it does not."""
        return self._edge(range(self.top, 0, -1), -1), self._edge(range(self.top, len(self.sigma) - 1), 1)

    def _edge(self, places: range, step: int) -> float | None:
        share, logs = self.share.tolist(), self.sigma.log()
        for i in places:
            if share[i + step] < EDGE <= share[i]:
                part = (share[i] - EDGE) / (share[i] - share[i + step])
                return torch.lerp(logs[i], logs[i + step], part).exp().item()
        return None


def sigmas(fine: int = FINE) -> Tensor:
    """sigma evenly spaced in its logarithm, `fine` levels from column to column."""
    ends = torch.tensor([LOWEST, HIGHEST], dtype=torch.float64).log()
    return torch.lerp(ends[0], ends[1], torch.linspace(0, 1, fine * (COLUMNS - 1) + 1, dtype=torch.float64)).exp()


def closed_form() -> Curve:
    """The curve of two points."""
    return Curve(sigmas(FINEST), target_variance.two_points(sigmas(FINEST)))


def gaussians(points: int, dimensions: int, width: float) -> Tensor:
    """Equally many points around u and -u, u = (1, ..., 1) / sqrt(D), each Gaussian of std `width` in every direction, [points, D]."""
    side = torch.ones(points, 1, dtype=torch.float64)
    side[: points // 2] = -1
    spread = torch.randn(points, dimensions, generator=generator("phases", "points"), dtype=torch.float64)
    return side / dimensions**0.5 + width * spread


def estimated(data: Tensor, run: str) -> Curve:
    """The curve of some points, [N, ...], from SAMPLES noisy samples a level, the same noise at all levels."""
    sigma, means, errors = sigmas(), [], []
    for each in sigma:
        draws = target_variance.noisy_samples(data, Level.variance_exploding(each[None]), SAMPLES, generator("phases", "noise"))
        found = target_variance.denoising_variance(data, draws)
        means.append(found.mean())
        errors.append(found.std() / len(found) ** 0.5)
    return Curve(sigma, torch.stack(means), torch.stack(errors), run, len(data))


def by_references(data: Tensor, count: int, sigma: Tensor) -> list[tuple[float, float]]:
    """Mean and standard error, over SAMPLES noisy samples, of the variance of the target with `count` references at each sigma, [K].

    One reference is denoising score matching. The noisy samples of a level are the same for every count.

    Args: data: points, [N, ...], the references among them.
    Raises: ValueError for more references than there are points.
    Source: Xu et al. 2023 (Stable Target Field), V_DSM and V_STF.
    """
    found = []
    for each in sigma:
        level = Level.variance_exploding(each[None])
        draws = target_variance.noisy_samples(data, level, SAMPLES, generator("phases", "noise"))
        if count == 1:
            values = target_variance.denoising_variance(data, draws)
        else:
            values = target_variance.stable_variance(data, level, draws, count, generator("phases", "references"))
        found.append((values.mean().item(), (values.std() / len(values) ** 0.5).item()))
    return found
