"""Levels that minimise a multistep solver's own error bound, without a net (DMN)."""

import warnings
from functools import cache

import torch
from torch import Tensor

from difftables.diffusion.level import PROCESSES
from difftables.search.student import Ends

NODES = 32  # of the Gauss-Legendre rule for a step: the integrands are entire functions
FEW, FIRST = 7, 3  # up to so many steps, the first three count as the root of their sum of squares
LEAST_SHARE = 1e-3  # of the whole range in lambda: the smallest gap between two levels, times their number
LARGEST_ORDER = 3


@cache
def gauss_legendre() -> tuple[Tensor, Tensor]:
    """Nodes and weights of the rule on [0, 1]."""
    import numpy as np

    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return torch.from_numpy((nodes + 1) / 2), torch.from_numpy(weights / 2)


def influence(places: Tensor, order: int) -> Tensor:
    """What each prediction adds to the end of a chain, in units of alpha' / e^lambda_N, [N].

    W_n = sum_i int_{lambda_i}^{lambda_{i+1}} e^(lambda - lambda_N) l_{i,n} dlambda,  l_{i,n} the Lagrange polynomials of step i

    Step i has order min(i + 1, order, N - i): 1, 2, 3, .., 2, 1.

    Args: places: lambda = -log sigma, rising, [N + 1].
    Source: Xue et al. 2024 (DM-NonUniform), with data predictions.
    """
    steps, (nodes, weights) = len(places) - 1, gauss_legendre()
    total = [places.new_zeros(()) for _ in range(steps)]
    for i in range(steps):
        h = places[i + 1] - places[i]
        at = places[i] + h * nodes
        used = [i - j for j in range(min(i + 1, order, steps - i))]
        for n in used:
            basis = torch.ones_like(at)
            for m in used:
                basis = basis * (at - places[m]) / (places[n] - places[m]) if m != n else basis
            total[n] = total[n] + h * (weights * (at - places[-1]).exp() * basis).sum()
    return torch.stack(total)


def bound(places: Tensor, process: str, order: int, power: int = 1) -> Tensor:
    """sum_n |e_n W_n|, the error bound of a multistep solver whose predictions are off by e_n = std_n^power / alpha_n.

    Up to FEW steps the first FIRST of them count as the root of their sum of squares.

    Args: power: 1 for pixels, 2 for latents.
    Source: Xue et al. 2024 (DM-NonUniform), objective and its change for few steps as released.
    """
    level = PROCESSES[process](torch.exp(-places[:-1]))
    terms = level.std**power / level.alpha * influence(places, order)
    if len(terms) > FEW:
        return terms.abs().sum()
    return terms[:FIRST].square().sum().sqrt() + terms[FIRST:].abs().sum()


def minimise(ends: Ends, steps: int, order: int, power: int = 1) -> Tensor:
    """sigma of the N + 1 levels with the smallest bound between fixed ends, falling, [N + 1].

    SciPy's trust-constr from levels that are uniform in lambda, each gap at least LEAST_SHARE / N of the range. It keeps the start where it
    finds nothing smaller. lambda is rounded to 1e-6, which no solver notices.

    Args: order: of the student, LARGEST_ORDER at most.
    """
    import numpy as np
    from scipy.optimize import BFGS, LinearConstraint
    from scipy.optimize import minimize as scipy_minimize

    start = -ends.power_law(steps, float("inf")).log()
    low, high = start[0], start[-1]
    if steps == 1:
        return torch.exp(-start)

    def value(inner: object) -> tuple[float, object]:
        places = torch.as_tensor(inner, dtype=torch.float64).requires_grad_()
        result = bound(torch.cat([low[None], places, high[None]]), ends.process, order, power)
        (slope,) = torch.autograd.grad(result, places)
        return result.item(), slope.numpy()

    gap = LEAST_SHARE / steps * (high - low).item()
    matrix, floor = np.diff(np.eye(steps + 1), axis=0)[:, 1:-1], np.full(steps, gap)
    floor[0], floor[-1] = gap + low.item(), gap - high.item()
    inside = start[1:-1].numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of steps that change nothing, once it has converged
        found = scipy_minimize(
            value, inside, jac=True, method="trust-constr", hess=BFGS(), constraints=[LinearConstraint(matrix, floor, np.inf)],
            options={"maxiter": 300, "gtol": 1e-7, "xtol": 1e-9},
        )  # fmt: skip
    best = min((found.x, inside), key=lambda each: value(each)[0] if (matrix @ each >= floor).all() else float("inf"))
    places = torch.cat([low[None], torch.from_numpy(np.round(best, 6)), high[None]])
    sigma = torch.exp(-places)
    sigma[0], sigma[-1] = ends.highest, ends.lowest
    return sigma
