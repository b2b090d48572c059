"""Exact problems: Gaussians and mixtures of Gaussians, whose denoiser and probability flow have closed forms. All in float64, alpha = 1
or not: a denoiser here takes levels of any process, one for a batch or one per sample.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from difftables.common.seeds import generator
from difftables.common.variants import Variants
from difftables.diffusion.level import Level

TOLERANCE = 1e-11  # of the reference ODE solver, relative; absolute a tenth of it


@dataclass(frozen=True)
class Mixture:
    """Data y ~ sum_k w_k N(m_k, diag c_k^2).

    Args: weights: w, [K], of sum 1; means: m, [K, d]; variances: c^2, [K, d]; a Gaussian has K = 1.
    """

    weights: Tensor
    means: Tensor
    variances: Tensor

    @property
    def dimensions(self) -> int:
        """d."""
        return self.means.shape[1]

    @property
    def centred(self) -> bool:
        """Whether it is one Gaussian around 0: solvers are then linear in x and in their noise."""
        return len(self.weights) == 1 and not self.means.any()

    def posterior(self, u: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Weights of the components given u = y + sigma n, [B, K], and shrunk distances (u - m_k) / (c_k^2 + sigma^2), [B, K, d].

        Args: u: [B, d]; sigma: [B] or [1].
        """
        total = self.variances + sigma.double()[:, None, None] ** 2
        distance = u.double()[:, None] - self.means
        log_weight = self.weights.log() - 0.5 * (distance**2 / total + total.log()).sum(dim=2)
        return log_weight.softmax(dim=1), distance / total

    def denoise(self, x: Tensor, level: Level) -> Tensor:
        """E[y | x] at a level, [B, d]: u - sigma^2 sum_k r_k (u - m_k) / (c_k^2 + sigma^2), with u = x / alpha.

        Each component's m_k + c_k^2 (u - m_k) / (c_k^2 + sigma^2) is summed, not the difference, which cancels where sigma is large.
        """
        share, shrunk = self.posterior(x / level.alpha[:, None], level.sigma)
        return torch.einsum("bk,bkd->bd", share, self.means + self.variances * shrunk)

    def slope(self, u: Tensor, sigma: float) -> Tensor:
        """du / dsigma of the probability flow at alpha = 1, minus sigma times the score, [B, d]; 0 at sigma = 0.

        Source: Karras et al. 2022 (EDM), Eq. 1 with t = sigma.
        """
        share, shrunk = self.posterior(u, torch.tensor([sigma], dtype=torch.float64))
        return sigma * torch.einsum("bk,bkd->bd", share, shrunk)

    def starts(self, count: int, sigma: float, *keys: int | str) -> Tensor:
        """y + sigma n, [count, d], drawn by the generator of some keys."""
        source = generator("exact", *keys)
        component = torch.multinomial(self.weights, count, replacement=True, generator=source)
        clean, noise = torch.randn(2, count, self.dimensions, generator=source, dtype=torch.float64)
        return self.means[component] + self.variances[component].sqrt() * clean + sigma * noise

    def end(self, u: Tensor, highest: float, lowest: float = 0.0) -> Tensor:
        """The probability flow from u at sigma = highest to sigma = lowest, [B, d].

        One component: m + (u - m) sqrt((c^2 + lowest^2) / (c^2 + highest^2)). Else SciPy's DOP853 in t = asinh(sigma / c), c the least
        std, so that steps are even where sigma is below c and even in log sigma above.
        Raises: ValueError where SciPy stops early.
        """
        if len(self.weights) == 1:
            ratio = (self.variances + lowest**2) / (self.variances + highest**2)
            return self.means + (u - self.means) * ratio.sqrt()
        from scipy.integrate import solve_ivp  # takes half a second to import

        scale = self.variances.min().sqrt().item()

        def velocity(t: float, flat: object) -> object:
            state = torch.as_tensor(flat, dtype=torch.float64).reshape(u.shape)
            return (scale * math.cosh(t) * self.slope(state, scale * math.sinh(t))).flatten().numpy()

        span = (math.asinh(highest / scale), math.asinh(lowest / scale))
        solution = solve_ivp(velocity, span, u.flatten().numpy(), "DOP853", t_eval=[span[1]], rtol=TOLERANCE, atol=TOLERANCE / 10)
        if not solution.success:
            raise ValueError(f"DOP853 stopped at sigma = {scale * math.sinh(solution.t[-1]):.4g} of an exact problem: {solution.message}")
        return torch.as_tensor(solution.y[:, -1]).reshape(u.shape)


def gaussian(variances: Tensor) -> Mixture:
    """N(0, diag c^2).  Args: variances: c^2, [d]."""
    return Mixture(torch.ones(1, dtype=torch.float64), torch.zeros(1, len(variances), dtype=torch.float64), variances.double()[None])


def even_mixture(means: Tensor, std: float) -> Mixture:
    """Components of one weight and one std around means, [K, d]."""
    return Mixture(torch.full((len(means),), 1 / len(means), dtype=torch.float64), means.double(), torch.full_like(means.double(), std**2))


def white() -> Mixture:
    """N(0, 0.25), one dimension: the closed forms of c = 0.5."""
    return gaussian(torch.tensor([0.25]))


def anisotropic() -> Mixture:
    """64 dimensions, variances geometric from 1 to 0.01."""
    return gaussian(torch.logspace(0, -2, 64, dtype=torch.float64))


def three_modes() -> Mixture:
    """Means -1, -0.3 and 0.9 of std 0.1, one dimension."""
    return even_mixture(torch.tensor([[-1.0], [-0.3], [0.9]], dtype=torch.float64), 0.1)


def ring() -> Mixture:
    """Eight components of std 0.1 on the unit circle."""
    angle = 2 * math.pi / 8 * torch.arange(8, dtype=torch.float64)
    return even_mixture(torch.stack([angle.cos(), angle.sin()], dim=1), 0.1)


def cloud() -> Mixture:
    """Sixteen components of std 0.2 in 64 dimensions, their means drawn once, of std 0.5 a dimension."""
    return even_mixture(0.5 * torch.randn(16, 64, generator=generator("exact", "cloud"), dtype=torch.float64), 0.2)


PROBLEMS: Variants[Callable[[], Mixture]] = {
    "gaussian": white, "anisotropic": anisotropic, "modes": three_modes, "ring": ring, "cloud": cloud,
}  # fmt: skip
# What tables call them.
TITLES: Variants[str] = {
    "gaussian": "Gaussian, c = 0.5", "anisotropic": "Gaussian, 64-D, variances 1 to 0.01", "modes": "three modes, 1-D",
    "ring": "ring of eight, 2-D", "cloud": "sixteen modes, 64-D",
}  # fmt: skip
