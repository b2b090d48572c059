"""The variational bound of a schedule, term by term in bits per dimension, and the objectives made of it.

Terms are indexed by the level that their step leaves: 0 is the noisiest level, N - 1 the last one before the clean level.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from difftables.common.variants import Variants
from difftables.diffusion.level import Level, shape
from difftables.diffusion.subschedules import timestep
from difftables.diffusion.transitions import step_variances

HALF_BIN = 1 / 255  # of 8-bit images in [-1, 1]
LEAST_PROBABILITY = 1e-12  # of a pixel value, before its logarithm


def gaussian_kl(gap: Tensor, log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(N(m_p, exp log_p) || N(m_q, exp log_q)) in nats, element by element; gap = m_p - m_q.

    1/2 (log_q - log_p - 1 + exp(log_p - log_q) + gap^2 exp(-log_q))
    """
    return 0.5 * (log_q - log_p - 1 + (log_p - log_q).exp() + gap**2 * (-log_q).exp())


def decoder(x0: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """-log of the probability of x0's 8-bit bin under N(mean, variance), in nats, element by element.

    p = Phi((x0 + 1/255 - mean) / s) - Phi((x0 - 1/255 - mean) / s); the outermost bins reach to infinity

    Source: Ho et al. 2020, Eq. 13.  Departs: the exact Phi, where the released codes take an approximation by tanh (1.8e-4 off).
    """
    inverse = (-0.5 * log_variance).exp()
    high, low = (x0 - mean + HALF_BIN) * inverse, (x0 - mean - HALF_BIN) * inverse
    high = torch.where(x0 > 0.999, torch.full_like(high, torch.inf), high)
    low = torch.where(x0 < -0.999, torch.full_like(low, -torch.inf), low)
    # Both ends in the lower tail, where float32 resolves small probabilities.
    upper = (high + low) > 0
    high, low = torch.where(upper, -low, high), torch.where(upper, -high, low)
    return -(torch.special.ndtr(high) - torch.special.ndtr(low)).clamp(min=LEAST_PROBABILITY).log()


class Bound:
    """Terms of the variational bound of one schedule.

    L_0 = -log p(x0 | x_1),  L_{t-1} = KL(q(x_{t-1} | x_t, x0) || p(x_{t-1} | x_t)),  L_T = KL(q(x_T | x0) || N(0, I))

    Args: schedule: N + 1 levels, noisiest first, the last one clean.  Raises: ValueError for fewer than two steps.
    Source: Ho et al. 2020, Eq. 5; Nichol and Dhariwal 2021 (Improved DDPM).
    """

    def __init__(self, schedule: Level) -> None:
        if len(schedule) < 3:
            raise ValueError(
                f"a bound needs a schedule of at least 2 steps, not {len(schedule) - 1}: the last step takes the variance of the one before"
            )
        self.schedule, now, nxt = schedule, schedule[:-1], schedule[1:]
        beta, posterior = step_variances(now, nxt)
        self.log_beta = beta.log()
        # The posterior of the last step has no variance; the released code takes that of the step before.
        self.log_posterior = torch.cat([posterior[:-1], posterior[-2:-1]]).log()
        self.log_large = torch.cat([self.log_beta[:-1], self.log_posterior[-1:]])
        self.gain = nxt.alpha * beta / now.std**2  # of the mean over the estimate of x0

    def __len__(self) -> int:
        return len(self.schedule) - 1

    def to(self, device: torch.device | str) -> "Bound":
        """The same bound on another device."""
        return Bound(self.schedule.to(device))

    def log_variance(self, index: Tensor, like: Tensor, v: Tensor | None, variance: str) -> Tensor:
        """Log variance of the model's steps, index [B] or [1], shaped to broadcast over `like`, [B, ...].  Args: variance: of VARIANCES."""
        return VARIANCES[variance](self, index, like, v)

    def term(self, index: Tensor, x0: Tensor, guess: Tensor, v: Tensor | None, variance: str) -> Tensor:
        """L_{t-1}, or L_0 of the last step, in bits per dimension, [B].

        Args: index: of the term, [B] or [1]; x0: clean; guess, v: the denoiser's estimates, all [B, ...], v None for a fixed variance;
            variance: of VARIANCES.
        """
        log_model = self.log_variance(index, x0, v, variance).expand_as(x0)
        log_true = shape(self.log_posterior[index], x0).expand_as(x0)
        kl = gaussian_kl(shape(self.gain[index], x0) * (x0 - guess), log_true, log_model)
        last = shape((index == len(self) - 1).double(), x0) > 0
        nats = torch.where(last, decoder(x0, guess, log_model), kl) if bool(last.any()) else kl
        return nats.flatten(1).mean(dim=1) / math.log(2)

    def prior(self, x0: Tensor) -> Tensor:
        """L_T in bits per dimension, [B]."""
        first = self.schedule[0].like(x0)
        log_variance = 2 * first.std.log()
        return gaussian_kl(first.alpha * x0, log_variance, torch.zeros_like(log_variance)).flatten(1).mean(dim=1) / math.log(2)


def _small(bound: Bound, index: Tensor, like: Tensor, v: Tensor | None) -> Tensor:
    return shape(bound.log_posterior[index], like)


def _large(bound: Bound, index: Tensor, like: Tensor, v: Tensor | None) -> Tensor:
    return shape(bound.log_large[index], like)


def _learned(bound: Bound, index: Tensor, like: Tensor, v: Tensor | None) -> Tensor:
    if v is None:
        raise ValueError("a learned variance needs a net with variance channels; set `variance: true` of the net and train it")
    return torch.lerp(shape(bound.log_posterior[index], like), shape(bound.log_beta[index], like), v)


# Variances of a step: beta~, beta (its last entry beta~ of the step before), or the net's exp(v log beta + (1 - v) log beta~).
VARIANCES: Variants[Callable[[Bound, Tensor, Tensor, Tensor | None], Tensor]] = {"small": _small, "large": _large, "learned": _learned}


class Hybrid:
    """L_simple + lambda L_vlb, the mean detached in the bound, so that the bound trains only the variance.

    T times the term of a sample's level stands for the sum over levels: loss = L_simple + lambda T L_t.

    Args: schedule: of training, noisiest first; vlb_weight: lambda.
    Source: Nichol and Dhariwal 2021 (Improved DDPM); T / 1000 in the released code is lambda = 0.001 times T.
    """

    def __init__(self, schedule: Level, vlb_weight: float) -> None:
        self.schedule, self.vlb_weight, self.bound = schedule, vlb_weight, Bound(schedule)
        self.last_bound: Tensor | None = None  # T L_t of the last batch, in bits per dimension, [B]

    def terms(self, level: Level, x0: Tensor, guess: Tensor, v: Tensor | None) -> Tensor:
        """T L_t, [B]."""
        index = len(self.bound) - 1 - timestep(level, self.schedule)
        if self.bound.gain.device != index.device:
            self.bound = self.bound.to(index.device)
        return len(self.bound) * self.bound.term(index, x0, guess, v, "learned")

    def __call__(self, simple: Tensor, level: Level, x0: Tensor, guess: Tensor, v: Tensor | None) -> Tensor:
        terms = self.terms(level, x0, guess.detach(), v)
        self.last_bound = terms.detach()
        return simple + self.vlb_weight * terms


class Vlb(Hybrid):
    """T L_t: the bound itself, which trains mean and variance.  Source: Nichol and Dhariwal 2021 (Improved DDPM), L_vlb."""

    def __call__(self, simple: Tensor, level: Level, x0: Tensor, guess: Tensor, v: Tensor | None) -> Tensor:
        terms = self.terms(level, x0, guess, v)
        self.last_bound = terms.detach()
        return terms


OBJECTIVES: Variants[type[Hybrid] | None] = {"simple": None, "hybrid": Hybrid, "vlb": Vlb}
