"""The variational bound of a chain of levels, term by term in bits per dimension, and the objectives made of it.

A chain's places run from 0, its noisiest level, to N - 1, the level that the last step leaves for the clean one.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from difftables.common.variants import Variants
from difftables.diffusion.level import Level, shape
from difftables.diffusion.schedules import timestep
from difftables.diffusion.transitions import transition

HALF_BIN = 1 / 255  # of 8-bit images in [-1, 1]
LEAST = 1e-12  # probability of a pixel value, before its logarithm


def gaussian_kl(gap: Tensor, log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(N(m_p, exp log_p) || N(m_q, exp log_q)) in nats, element by element; gap = m_p - m_q.

    1/2 (log_q - log_p - 1 + exp(log_p - log_q) + gap^2 exp(-log_q))
    """
    return 0.5 * (log_q - log_p - 1 + (log_p - log_q).exp() + gap**2 * (-log_q).exp())


def decoder(x0: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """-log of the probability that N(mean, variance) gives x0's bin of an 8-bit image, in nats, element by element.

    p = Phi((x0 + 1/255 - mean) / s) - Phi((x0 - 1/255 - mean) / s); the outermost bins reach to infinity

    Source: Ho et al. 2020, Eq. 13.  Departs: the exact Phi, where the released codes take an approximation by tanh (1.8e-4 off).
    """
    inverse = (-0.5 * log_variance).exp()
    high, low = (x0 - mean + HALF_BIN) * inverse, (x0 - mean - HALF_BIN) * inverse
    high = torch.where(x0 > 0.999, torch.full_like(high, torch.inf), high)
    low = torch.where(x0 < -0.999, torch.full_like(low, -torch.inf), low)
    # Both ends on the lower tail, where float32 still tells small probabilities apart.
    upper = (high + low) > 0
    high, low = torch.where(upper, -low, high), torch.where(upper, -high, low)
    return -(torch.special.ndtr(high) - torch.special.ndtr(low)).clamp(min=LEAST).log()


class Bound:
    """Terms of the variational bound of one chain.

    L_0 = -log p(x0 | x_1),  L_{t-1} = KL(q(x_{t-1} | x_t, x0) || p(x_{t-1} | x_t)),  L_T = KL(q(x_T | x0) || N(0, I))

    Args: chain: N + 1 levels, noisiest first, the last one clean.  Raises: ValueError for fewer than two steps.
    Source: Ho et al. 2020, Eq. 5; Nichol and Dhariwal 2021 (Improved DDPM).
    """

    def __init__(self, chain: Level) -> None:
        if len(chain) < 3:
            raise ValueError(
                f"a bound needs a chain of at least 2 steps, not {len(chain) - 1}: the last variance is that of the step before"
            )
        self.chain, now, nxt = chain, chain[:-1], chain[1:]
        beta, posterior = transition(now, nxt)
        self.log_beta = beta.log()
        # The posterior of the last step has no variance; the released code takes that of the step before.
        self.log_posterior = torch.cat([posterior[:-1], posterior[-2:-1]]).log()
        self.log_large = torch.cat([self.log_beta[:-1], self.log_posterior[-1:]])
        self.gain = nxt.alpha * beta / now.std**2  # of the mean over the estimate of x0

    def __len__(self) -> int:
        return len(self.chain) - 1

    def to(self, device: torch.device | str) -> "Bound":
        """The same bound on another device."""
        return Bound(self.chain.to(device))

    def log_variance(self, place: Tensor, like: Tensor, v: Tensor | None, kind: str) -> Tensor:
        """Log variance of the model's step out of `place`, [B] or [1], shaped to broadcast over `like`, [B, ...]; kind of VARIANCES."""
        return VARIANCES[kind](self, place, like, v)

    def term(self, place: Tensor, x0: Tensor, guess: Tensor, v: Tensor | None, kind: str) -> Tensor:
        """L_{t-1}, or L_0 at the last place, of the denoiser's estimate, in bits per dimension, [B].

        Args: place: [B] or [1]; x0, guess, v: [B, ...], v None for a fixed variance; kind: of VARIANCES.
        """
        log_model = self.log_variance(place, x0, v, kind).expand_as(x0)
        log_true = shape(self.log_posterior[place], x0).expand_as(x0)
        kl = gaussian_kl(shape(self.gain[place], x0) * (x0 - guess), log_true, log_model)
        last = shape((place == len(self) - 1).double(), x0) > 0
        nats = torch.where(last, decoder(x0, guess, log_model), kl) if bool(last.any()) else kl
        return nats.flatten(1).mean(dim=1) / math.log(2)

    def prior(self, x0: Tensor) -> Tensor:
        """L_T in bits per dimension, [B]."""
        first = self.chain[0].like(x0)
        log_variance = 2 * first.std.log()
        return gaussian_kl(first.alpha * x0, log_variance, torch.zeros_like(log_variance)).flatten(1).mean(dim=1) / math.log(2)


def _small(bound: Bound, place: Tensor, like: Tensor, v: Tensor | None) -> Tensor:
    return shape(bound.log_posterior[place], like)


def _large(bound: Bound, place: Tensor, like: Tensor, v: Tensor | None) -> Tensor:
    return shape(bound.log_large[place], like)


def _learned(bound: Bound, place: Tensor, like: Tensor, v: Tensor | None) -> Tensor:
    if v is None:
        raise ValueError("a learned variance needs a net with variance channels; give it `variance: true` and train it")
    return torch.lerp(shape(bound.log_posterior[place], like), shape(bound.log_beta[place], like), v)


# Names of the variance of a step: beta~, beta (its last entry beta~ of the step before), or the net's exp(v log beta + (1 - v) log beta~).
VARIANCES: Variants[Callable[[Bound, Tensor, Tensor, Tensor | None], Tensor]] = {"small": _small, "large": _large, "learned": _learned}


class Hybrid:
    """L_simple + lambda L_vlb, the mean detached in the bound, so that it moves the variance alone.

    With one level drawn for each sample and T times its term in place of the sum: loss = L_simple + lambda T L_t.

    Args: schedule: of training, noisiest first; share: lambda.
    Source: Nichol and Dhariwal 2021 (Improved DDPM); T / 1000 in the released code is lambda = 0.001 times T.
    """

    def __init__(self, schedule: Level, share: float) -> None:
        self.schedule, self.share, self.bound = schedule, share, Bound(schedule)
        self.seen: Tensor | None = None  # the bound of the last batch, T L_t in bits per dimension, [B]

    def terms(self, level: Level, x0: Tensor, guess: Tensor, v: Tensor | None) -> Tensor:
        """T L_t, [B]."""
        place = len(self.bound) - 1 - timestep(level, self.schedule)
        if self.bound.gain.device != place.device:
            self.bound = self.bound.to(place.device)
        return len(self.bound) * self.bound.term(place, x0, guess, v, "learned")

    def __call__(self, simple: Tensor, level: Level, x0: Tensor, guess: Tensor, v: Tensor | None) -> Tensor:
        terms = self.terms(level, x0, guess.detach(), v)
        self.seen = terms.detach()
        return simple + self.share * terms


class Vlb(Hybrid):
    """T L_t: the bound itself, which moves mean and variance.  Source: Nichol and Dhariwal 2021 (Improved DDPM), L_vlb."""

    def __call__(self, simple: Tensor, level: Level, x0: Tensor, guess: Tensor, v: Tensor | None) -> Tensor:
        terms = self.terms(level, x0, guess, v)
        self.seen = terms.detach()
        return terms


OBJECTIVES: Variants[type[Hybrid] | None] = {"simple": None, "hybrid": Hybrid, "vlb": Vlb}
