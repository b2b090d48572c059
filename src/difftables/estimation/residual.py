"""The level of a sample from what its own denoiser takes away: no second net, and no further call of the first."""

from dataclasses import dataclass

import torch
from torch import Tensor

from difftables.common.seeds import SampleNoise
from difftables.diffusion.corruptions import Corruption
from difftables.diffusion.denoiser import Denoiser, bind_condition, split_variance
from difftables.diffusion.level import Level
from difftables.estimation.estimator import NOISE_FLOOR


@dataclass(frozen=True)
class LossCurve:
    """mmse(sigma) = E|y - D|^2 of a denoiser, summed over the dimensions, as a function of sigma.

    Between the levels it is linear in log mmse against log sigma. Below the lowest it falls as sigma^2, above the highest it is constant.

    Args: sigma: levels, falling, [K]; loss: mmse there, [K]; evaluations: of the network, behind the curve.
    """

    sigma: Tensor
    loss: Tensor
    evaluations: int = 0

    def __call__(self, sigma: Tensor) -> Tensor:
        """mmse, [B], of sigma, [B]."""
        known, logs = self.sigma.log().flip(0).to(sigma.device), self.loss.log().flip(0).to(sigma.device)
        asked = sigma.double().log()
        place = torch.searchsorted(known, asked).clamp(1, len(known) - 1)
        weight = (asked - known[place - 1]) / (known[place] - known[place - 1])
        inside = torch.lerp(logs[place - 1], logs[place], weight.clamp(0, 1))
        return (inside + 2 * (asked - known[0]).clamp(max=0)).exp()


@torch.inference_mode()
def measure_loss_curve(
    denoise: Denoiser, corrupt: Corruption, clean: Tensor, cond: Tensor | None, levels: Level, seed: int = 0, batch: int = 256
) -> LossCurve:  # fmt: skip
    """The loss curve of a denoiser at some levels, on clean samples, [N, ...], each with noise of its own.

    Args: cond: of the samples, [N, ...], or None; levels: falling, [K], noisy ones only; batch: samples at once.
    Raises: ValueError for fewer than two levels.
    """
    if len(levels) < 2:
        raise ValueError(f"a loss curve needs at least two levels, not {len(levels)}; pass more")
    noise = SampleNoise([("loss-curve", seed, index) for index in range(len(clean))])(clean)
    losses = list[Tensor]()
    for i in range(len(levels)):
        errors = list[Tensor]()
        for first in range(0, len(clean), batch):
            some = slice(first, first + batch)
            y, level = clean[some], levels[i].to(clean.device)
            x = corrupt(y, level) + level.like(y).std * noise[some]
            x0 = split_variance(bind_condition(denoise, None if cond is None else cond[some])(x, level.expand(len(y))))[0]
            errors.append((y - x0).double().square().flatten(1).sum(dim=1).cpu())
        losses.append(torch.cat(errors).mean())
    return LossCurve(levels.sigma.cpu().double(), torch.stack(losses).clamp(min=1e-300), len(clean) * len(levels))


def residual_variance(x: Tensor, x0: Tensor, level: Level, curve: LossCurve) -> Tensor:
    """std^2 of the noise in x, [B]: one fixed-point step of std^2 = (|x - alpha D|^2 + alpha^2 mmse(sigma)) / d.

    For the ideal denoiser E|x - alpha D|^2 = d std^2 - alpha^2 mmse, since D is the conditional mean.

    Args: x, x0: a sample and its prediction D, [B, ...]; level: that D was asked for, [B] or [1].
    Source: ours; no paper reports it.
    """
    squares = (x - level.like(x).alpha * x0).double().square().flatten(1)
    mmse = curve(level.sigma.to(x.device)) * (level.alpha**2).to(x.device)
    return (squares.sum(dim=1) + mmse) / squares.shape[1]


class ResidualLevel:
    """alpha_bar of a sample by `residual_variance`, as FollowEstimate asks for it.

    It is that of the variance-preserving level of equal sigma, held in the levels of training.

    Args: curve: of the denoiser; training: the schedule of the run.
    """

    reads_prediction = True

    def __init__(self, curve: LossCurve, training: Level) -> None:
        self.curve, self.preserving = curve, training.process != "ve"
        self.lowest = 1 / (1 + training.sigma[0].item() ** 2)

    def __call__(self, x: Tensor, *, level: Level, denoise: Denoiser, cond: Tensor | None = None) -> Tensor:
        """alpha_bar, [B], of x, [B, ...].  Args: level: of the schedule; denoise: D of the batch, its condition bound."""
        variance = residual_variance(x, split_variance(denoise(x, level))[0], level, self.curve)
        alpha_bar = 1 - variance if self.preserving else 1 / (1 + variance)
        return alpha_bar.clamp(self.lowest, 1 - NOISE_FLOOR)
