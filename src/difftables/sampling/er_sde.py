"""ER-SDE: reverse processes of one family, each set by a noise function phi(sigma), which rises at least as fast as sigma.

In x / alpha, with r = phi(sigma') / phi(sigma):

    x' = r x + phi(sigma') int_{sigma'}^{sigma} D phi' / phi^2 ds + sqrt(sigma'^2 - r^2 sigma^2) n

phi = s is the ODE, phi = s^2 the process of DDPM. Noise functions are written as psi = phi / s, which never falls: phi = s then adds
exactly no noise.
"""

from collections.abc import Callable

import numpy
import torch
from torch import Tensor

from difftables.common.variants import Variants
from difftables.diffusion.denoiser import Denoiser
from difftables.diffusion.level import Level
from difftables.sampling.correctors import Randn
from difftables.sampling.descent import Adapt, Corrupt, Levels
from difftables.sampling.multistep import First
from difftables.sampling.predictions import clean_prediction
from difftables.sampling.stochastic import descend_with_history

NoiseFunction = Callable[[Tensor], Tensor]  # sigma to psi = phi / sigma, of any shape
POINTS = 64  # of Gauss and Legendre: the integrals are exact to 1e-12 of their size from 80 to 0.002
SUMMED = 100  # points of the released sums


def ode(sigma: Tensor) -> Tensor:
    """phi = s: no noise, the probability flow."""
    return torch.ones_like(sigma)


def ddpm(sigma: Tensor) -> Tensor:
    """phi = s^2: the reverse process of DDPM."""
    return sigma


def recommended(sigma: Tensor) -> Tensor:
    """phi = s (exp(s^0.3) + 10).  Source: Cui et al. 2023 (ER-SDE-Solvers), the noise function that its results use."""
    return torch.exp(sigma**0.3) + 10


NOISE_FUNCTIONS: Variants[NoiseFunction] = {"ode": ode, "ddpm": ddpm, "recommended": recommended}


def quadrature(psi: NoiseFunction, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """(S, S1) = int ds / phi and int (s - high) / phi ds from low to high, [B], by Gauss's rule in log s, where ds / phi = dv / psi."""
    points, weights = (torch.as_tensor(each).to(low) for each in numpy.polynomial.legendre.leggauss(POINTS))
    half = (high / low).log()[:, None] / 2
    # From the upper end down, so that s - high keeps its digits.
    shift = half * (points - 1)
    s = high[:, None] * shift.exp()
    density = half * weights / psi(s)
    return density.sum(dim=1), (density * high[:, None] * torch.expm1(shift)).sum(dim=1)


def left_sums(psi: NoiseFunction, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """As `quadrature`, by sums over 100 points even in s, each at the left end of its interval.  Source: the released solver."""
    width = (high - low)[:, None] / SUMMED
    s = low[:, None] + width * torch.arange(SUMMED, dtype=low.dtype, device=low.device)
    density = width / (s * psi(s))
    return density.sum(dim=1), (density * (s - high[:, None])).sum(dim=1)


INTEGRALS: Variants[Callable[[NoiseFunction, Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "quadrature": quadrature, "left-sums": left_sums,
}  # fmt: skip


def er_sde(
    x: Tensor, schedule: Levels, *, denoise: Denoiser, corrupt: Corrupt, randn: Randn, order: int, noise_function: str, integrals: str,
    differences: str, final_order: str, euler_at_final: bool, threshold: float | None, first: First, adapt: Adapt | None = None,
) -> Tensor:  # fmt: skip
    """ER-SDE-Solver of order 1, 2 or 3: the clean sample as a polynomial in sigma through the last predictions, [B, ...].

    x' = r x + (1 - r) D + (sigma' - sigma + phi(sigma') S) D' + ((sigma' - sigma)^2 / 2 + phi(sigma') S1) D'' + noise

    S = int ds / phi and S1 = int (s - sigma) / phi ds over the step. D' and D'' are the derivatives of the polynomial at sigma; with
    differences `taylor`, D' stays the difference of the last two predictions, which has order 2 however many predictions are used.

    Args: all of config.stochastic_solvers.ErSde.
    Source: Cui et al. 2023 (ER-SDE-Solvers), variance-exploding form; variance preserving in x / alpha. Its release is taylor, left-sums.
    Departs: differences `newton` take D' with the second difference.
    """
    psi, integrate = NOISE_FUNCTIONS[noise_function], INTEGRALS[integrals]

    def ratio(now: Level, nxt: Level) -> Tensor:
        """psi(sigma') / psi(sigma)."""
        return psi(nxt.sigma.double()) / psi(now.sigma.double())

    def rule(now: Level, nxt: Level) -> tuple[Tensor, Tensor]:
        """(a, b): a = alpha' r sigma = std' psi(sigma') / psi(sigma), and a^2 + b^2 = std'^2."""
        share = ratio(now, nxt)
        return nxt.std * share, nxt.std * (1 - share**2).clamp(min=0).sqrt()

    def moments_of(now: Level, nxt: Level, nodes: list[Tensor]) -> list[list[Tensor]]:
        """Means of u^k, u = (s - sigma) / (sigma' - sigma), under the weight phi' / phi^2 of the step."""
        high, low = torch.broadcast_tensors(now.sigma.double(), nxt.sigma.double())
        low = torch.where(low > 0, low, high / 2)  # a step to a clean level uses no moment
        length, noise = low - high, low * psi(low)
        kept = noise / (high * psi(high))
        sums = integrate(psi, low, high)
        mean = (length + noise * sums[0]) / ((1 - kept) * length)
        square = (length**2 + 2 * noise * sums[1]) / ((1 - kept) * length**2)
        by_order = [[torch.ones_like(mean), mean, square][:count] for count in range(1, len(nodes) + 1)]
        if len(nodes) == 3 and differences == "taylor":
            # The second difference times u^2 in place of u (u - u_1), which vanishes at the prediction before.
            by_order[2][2] = square + nodes[1] * mean
        return by_order

    return descend_with_history(
        x, schedule, predict=clean_prediction(denoise, threshold, first), corrupt=corrupt, randn=randn, order=order,
        lowered=final_order == "lowered", euler_at_final=euler_at_final, rule=rule, coordinate=lambda level: level.sigma.double(),
        moments_of=moments_of, adapt=adapt,
    )  # fmt: skip
