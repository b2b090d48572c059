"""The exact minimiser of the estimator's loss, computed from the data instead of learnt."""

import math

import torch
from torch import Tensor

from difftables.data.mel import mel_power
from difftables.diffusion.level import Level
from difftables.estimation.estimator import NOISE_FLOOR, alpha_bar_of, log_noise


class Kernel:
    """Gaussian kernel N(0, h^2 S) of a density estimate, in the eigenbasis of S.

    Args: variances: h^2 times the eigenvalues of S, [d]; basis: eigenvectors as columns, [d, d], or None for the
        pixels (S diagonal).
    """

    def __init__(self, variances: Tensor, basis: Tensor | None = None) -> None:
        self.variances, self.basis = variances, basis

    def rotate(self, x: Tensor) -> Tensor:
        """[B, d] in the eigenbasis."""
        return x if self.basis is None else x @ self.basis.to(x.device)


def fit_kernel(data: Tensor, centres: int, shrinkage: float, full: bool) -> Kernel:
    """A kernel shaped like the data's covariance, of the width that maximises the leave-one-out likelihood.

    S = (1 - shrinkage) Cov + shrinkage tr(Cov) / d I;  h maximises sum_i log mean_{j != i} N(y_i; y_j, h^2 S)

    Args: data: [N, d]; centres: number of samples in the density, the first ones; full: whether pixels may correlate (an eigenproblem
        of size d).
    """
    data = data.double().cpu()
    d = data.shape[1]
    if full:
        covariance = (1 - shrinkage) * torch.cov(data.T) + shrinkage * data.var(dim=0).mean() * torch.eye(d, dtype=torch.float64)
        variances, basis = torch.linalg.eigh(covariance)
        kernel = Kernel(variances, basis)
    else:
        kernel = Kernel((1 - shrinkage) * data.var(dim=0) + shrinkage * data.var(dim=0).mean())
    white = kernel.rotate(data[:centres]) / kernel.variances.sqrt()
    return Kernel(kernel.variances * leave_one_out_bandwidth(white) ** 2, kernel.basis)


class Oracle:
    """alpha_bar of a sample by the exact minimiser of the squared estimator loss, for a kernel density of clean samples.

    u(x) = E[log(1 - alpha_bar) | x] = sum_l p_l q(x | l) log(1 - alpha_bar_l) / sum_l p_l q(x | l)
    q(x | l) = mean_i N(x; alpha_l y_i, std_l^2 I + alpha_l^2 h^2 S)

    Args: centres: y, clean samples, [R, ...]; levels: of the training density, [L]; prior: how likely each is, [L],
        not necessarily summing to one.
    Source: ours; no paper reports it.
    """

    def __init__(self, centres: Tensor, levels: Level, prior: Tensor, kernel: Kernel) -> None:
        self.levels, self.prior, self.kernel = levels, prior, kernel
        self.centres = kernel.rotate(centres.flatten(1).double())

    def __call__(self, x: Tensor) -> Tensor:
        """alpha_bar, [B], of x, [B, ...]."""
        x = self.kernel.rotate(x.flatten(1).double())
        scores = []
        for alpha, std in zip(self.levels.alpha.tolist(), self.levels.std.tolist(), strict=True):
            variance = (std**2 + alpha**2 * self.kernel.variances).to(x.device)
            white, centres = x / variance.sqrt(), alpha * self.centres / variance.sqrt()
            logits = white @ centres.T - centres.square().sum(dim=1) / 2
            scores.append(logits.logsumexp(dim=1) - white.square().sum(dim=1) / 2 - variance.log().sum() / 2)
        scores_and_prior = torch.stack(scores, dim=1) + self.prior.to(x).log()
        weight = scores_and_prior.softmax(dim=1)
        return alpha_bar_of(weight @ log_noise(self.levels).to(weight), self.levels.alpha_bar.min().item())


class MelOracle:
    """alpha_bar of a noisy utterance by maximum likelihood, where the mel spectrogram of the clean one is known.

    Noise adds power to a band: the band powers of x have the mean m(l) = alpha_l^2 M + std_l^2 W, with M those of the clean
    utterance and W those of white noise. Taken as exponentially distributed,

    alpha_bar(x) = argmax_l  - sum_{b, t} w_b (ln m_bt(l) + P_bt / m_bt(l)),  w_b = (sum_k f_bk)^2 / sum_k f_bk^2

    where w_b counts the independent bins in a band. Two passes over COUNT levels, evenly spaced in log sigma, the second
    between the neighbours of the best level of the first. It needs no phase and no training.

    Args: weights: mel filters f, [bands, fft / 2 + 1]; hop: samples of a frame; training: the schedule whose levels bound the estimate.
    Source: ours; the likelihood is Whittle's, for the short-time spectrum of a Gaussian signal.
    """

    COUNT = 24

    def __init__(self, weights: Tensor, hop: int, training: Level) -> None:
        fft = 2 * (weights.shape[1] - 1)
        self.weights, self.hop, self.lowest = weights, hop, training.alpha_bar[0].item()
        self.white = weights.double().sum(dim=1) * torch.hann_window(fft, device=weights.device).double().square().sum()
        self.bins = weights.double().sum(dim=1).square() / weights.double().square().sum(dim=1)
        self.ends = (training.sigma[0].log().item(), training.sigma[-2].log().item())

    def __call__(self, x: Tensor, mel: Tensor) -> Tensor:
        """alpha_bar, [B], of x, [B, T], and the log10 mel power of the clean utterance, [B, bands, T / hop]."""
        noisy, clean = mel_power(x, self.weights, self.hop).double(), 10 ** mel.double()
        low = torch.full((len(x),), self.ends[1], dtype=torch.float64, device=x.device)
        high = torch.full_like(low, self.ends[0])
        for _ in range(2):
            step = (high - low) / (self.COUNT - 1)
            scores = torch.stack([self._score(noisy, clean, low + i * step) for i in range(self.COUNT)], dim=1)
            best = low + scores.argmax(dim=1) * step
            low, high = (best - step).clamp(min=self.ends[1]), (best + step).clamp(max=self.ends[0])
        return (1 / (1 + (2 * best).exp())).clamp(self.lowest, 1 - NOISE_FLOOR)

    def _score(self, noisy: Tensor, clean: Tensor, log_sigma: Tensor) -> Tensor:
        """Log-likelihood, [B], of the noisy band powers, [B, bands, frames], at one level for each sample."""
        alpha2 = (1 / (1 + (2 * log_sigma).exp()))[:, None, None]
        mean = alpha2 * clean + (1 - alpha2) * self.white[:, None]
        return -(self.bins[:, None] * (mean.log() + noisy / mean)).sum(dim=(1, 2))


def leave_one_out_bandwidth(data: Tensor) -> float:
    """h that maximises sum_i log mean_{j != i} N(y_i; y_j, h^2 I), over 60 values; data: [R, d].

    The grid runs from a quarter of the mean distance to the nearest neighbour, per dimension, to the spread of the whole set.
    """
    d = data.shape[1]
    distance2 = torch.cdist(data, data).double() ** 2
    spread = distance2.mean().div(2 * d).sqrt().item()
    distance2.fill_diagonal_(torch.inf)
    nearest = distance2.min(dim=1).values.mean().div(d).sqrt().item()
    grid = torch.logspace(math.log10(max(nearest / 4, 1e-3 * spread)), math.log10(spread), 60).tolist()
    scores = [(-distance2 / (2 * h * h)).logsumexp(1).mean().item() - d * math.log(h) for h in grid]
    return grid[max(range(len(grid)), key=scores.__getitem__)]
