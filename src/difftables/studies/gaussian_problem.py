"""The Gaussian problem: samplers of Soft Diffusion on Gaussian data, whose best denoiser has a closed form."""

from dataclasses import dataclass

import torch
from torch import Tensor

from difftables.diffusion.corruptions import blur_gain
from difftables.diffusion.level import Level
from difftables.diffusion.operator_levels import geometric_noise
from difftables.sampling.rules import RULES


@dataclass(frozen=True)
class Problem:
    """Gaussian images, independent at each frequency of the DCT, under blur and noise that grow with time.

    Args: size: of the square images, in pixels; variance: of the data at frequency 0; weakest, strongest: blur at t = 0 and 1,
        in pixels; lowest, highest, reached: of operator_levels.geometric_noise.
    Source: ours; blur and noise are those of Soft Diffusion (Daras et al. 2022) for images in [0, 1].
    """

    size: int
    variance: float
    weakest: float
    strongest: float
    lowest: float
    highest: float
    reached: float

    def prior(self) -> Tensor:
        """The variance of the data at frequency (i, j), variance / (1 + i^2 + j^2), [size, size]."""
        i = torch.arange(self.size, dtype=torch.float64)
        return self.variance / (1 + i[:, None] ** 2 + i[None] ** 2)

    def schedule(self, steps: int) -> Level:
        """The levels at t = k / steps, k = steps .. 0, strength linear in t; the last is not quite clean."""
        t = torch.arange(steps, -1, -1, dtype=torch.float64) / steps
        std = geometric_noise(t, self.lowest, self.highest, self.reached)
        return Level.variance_exploding(std, self.weakest + (self.strongest - self.weakest) * t)


def variances(problem: Problem, rule: str, steps: int, noisy_end: bool = False) -> Tensor:
    """The variance of a sampler's images at each frequency, [size, size], started at the true distribution of t = 1.

    v' = (g' d + a (1 - g d) / s)^2 v + b^2,  d = g p / (g^2 p + s^2),  v_0 = g_0^2 p + s_0^2

    with the rule's (a, b), the blur's gain g, the noise s, the prior p, and a prime at the next level. Every rule is linear in x
    when the denoiser is, so that no sample is needed.

    Args: rule: of RULES, but none that reads a predicted variance; noisy_end: whether the last step adds its noise b.
    Source: ours; the denoiser d x = E[x0 | x] is the Wiener filter.
    """
    levels, prior = problem.schedule(steps), problem.prior()
    gain, std = blur_gain(levels.strength, problem.size, problem.size), levels.std[:, None, None]
    a, b = (each[:, None, None] for each in RULES[rule](levels[:-1], levels[1:]))
    total = gain**2 * prior + std**2
    filtered = (gain * prior / total)[:-1]
    kept = gain[1:] * filtered + a * (1 - gain[:-1] * filtered) / std[:-1]
    added = b**2
    if not noisy_end:
        added[-1] = 0
    variance = total[0]
    for k in range(steps):
        variance = kept[k] ** 2 * variance + added[k]
    return variance


def distance(problem: Problem, variance: Tensor) -> float:
    """Squared Frechet distance to the data, sum (sqrt(v) - sqrt(p))^2 over frequencies.  Args: variance: v, [size, size]."""
    return (variance.sqrt() - problem.prior().sqrt()).square().sum().item()


def frechet(problem: Problem, rule: str, steps: int, noisy_end: bool = False) -> float:
    """Squared Frechet distance of a sampler's images to the data; arguments as of `variances`."""
    return distance(problem, variances(problem, rule, steps, noisy_end))


def remainder(problem: Problem) -> float:
    """Squared Frechet distance of the level of t = 0 to the data, g^2 p + s^2 against p: that of a perfect sampler, not the minimum."""
    last = problem.schedule(1)[-1]
    return distance(problem, blur_gain(last.strength, problem.size, problem.size)[0] ** 2 * problem.prior() + last.std**2)
