"""The loss curve of a denoiser, E |y - D(x)|^2 against the noise level, and integrals of it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from difftables.diffusion.denoiser import split_variance
from difftables.diffusion.level import Level, shape

FINE = 32  # points between neighbouring levels of a curve, where it is integrated


@dataclass(frozen=True)
class LossCurve:
    """The squared error of a denoiser, summed over the dimensions of a sample.

    Args: sigma: falling, above 0, [K]; mmse: of the same levels, [K].
    """

    sigma: Tensor
    mmse: Tensor

    def repaired(self) -> tuple["LossCurve", int]:
        """The nearest curve that does not rise as the noise falls, and how many levels it differs at.

        The error of an ideal denoiser grows with the noise. That of a net may not, by a little: neighbours in the wrong order are replaced
        by their mean (pool adjacent violators, least squares).
        """
        pools = list[tuple[float, int]]()  # sum and count
        for value in self.mmse.tolist():
            pools.append((value, 1))
            while len(pools) > 1 and pools[-2][0] / pools[-2][1] < pools[-1][0] / pools[-1][1]:
                (total, count), (before, more) = pools.pop(), pools.pop()
                pools.append((total + before, count + more))
        values = [total / count if count > 1 else total for total, count in pools for _ in range(count)]
        curve = LossCurve(self.sigma, torch.tensor(values, dtype=torch.float64))
        return curve, int((curve.mmse != self.mmse).sum())

    def fine(self) -> "LossCurve":
        """The same curve at FINE times as many levels: straight lines in log mmse against log sigma."""
        steps = torch.arange(FINE, dtype=torch.float64) / FINE

        def between(values: Tensor) -> Tensor:
            logs = values.log()
            return torch.cat([torch.lerp(logs[:-1, None], logs[1:, None], steps).flatten(), logs[-1:]]).exp()

        return LossCurve(between(self.sigma), between(self.mmse.clamp(min=1e-300)))

    def integral(self, power: float) -> Tensor:
        """int_{sigma_{K-1}}^{sigma_i} mmse / s^power ds, [K], by the trapezium rule in log s."""
        rate = self.mmse * self.sigma ** (1 - power)
        pieces = 0.5 * (rate[:-1] + rate[1:]) * (self.sigma[:-1] / self.sigma[1:]).log()
        return torch.cat([pieces.flip(0).cumsum(0).flip(0), torch.zeros(1, dtype=torch.float64)])


def squared_errors(denoise: Callable[..., Tensor], clean: Tensor, levels: Level, noise: Tensor) -> Tensor:
    """|y - D(alpha y + std n)|^2 of each sample at each level, [K, B], with one call of D per level.

    Args: clean: y, [B, ...]; levels: [K], above clean; noise: n, [B, ...], the same at all levels, so that the curve is smooth.
    """
    found = []
    for i in range(len(levels)):
        level = levels[i].to(clean.device)
        x = shape(level.alpha, clean) * clean + shape(level.std, clean) * noise
        error = split_variance(denoise(x, level))[0].double() - clean.double()
        found.append(error.square().flatten(1).sum(dim=1).cpu())
    return torch.stack(found)


def score_steps(denoise: Callable[..., Tensor], clean: Tensor, levels: Level, noise: Tensor) -> Tensor:
    """|score(x, sigma_i) - score(x, sigma_{i+1})|^2 of each sample between neighbouring levels, [K - 1, B], two calls of D each.

    score(x, s) = (D(x, s) - x) / s^2  in x / alpha, at the same x = y + sigma_i n

    Args: of `squared_errors`; D is asked in its own process, at alpha' x / alpha.
    Source: ours, from the metric of score-optimal schedules (arXiv 2412.07877).
    """
    found = []
    for i in range(len(levels) - 1):
        scores = []
        now, other = levels[i].to(clean.device), levels[i + 1].to(clean.device)
        x = clean + shape(now.sigma, clean) * noise
        for level in (now, other):
            predicted = split_variance(denoise(shape(level.alpha, x) * x, level))[0].double()
            scores.append((predicted - x.double()) / shape(level.sigma, x.double()).square())
        found.append((scores[0] - scores[1]).square().flatten(1).sum(dim=1).cpu())
    return torch.stack(found)
