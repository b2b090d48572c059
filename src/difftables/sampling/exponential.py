"""Integrals of a step that is exact in its linear part, and the weights that a polynomial through stored predictions gives them.

A step from lambda to lambda' = lambda + h, lambda = -log sigma, takes in its predictions m(u), u = 0 at its start and 1 at its end:

    clean samples, ODE   x' = (std' / std) x + alpha' sum_k c_k I_k(h)                m(u) = sum_k c_k u^k
    clean samples, SDE   the same sum with I_k(H), H = (1 + eta) h
    noise, ODE           x' = (alpha' / alpha) x - std' sum_k e_k K_k(h)              K_k(h) = -I_k(-h)
    noise in sigma       x' = (alpha' / alpha) x + alpha' (sigma' - sigma) sum_k e_k / (k + 1)

`weights` turns such integrals into one weight for each stored prediction. Integrals divided by the first of them are `moments`; their
weights add up to 1, and the step is that of DDIM from one combined prediction.
"""

import torch
from torch import Tensor

TERMS = 19  # of the series below |h| = 1: the next is under 1 / 20!


def averages(h: Tensor, count: int) -> list[Tensor]:
    """I_k / h = int_0^1 exp(-h (1 - u)) u^k du for k = 0 .. count - 1, [B] each, float64; 1 / (k + 1) at h = 0.

    Below |h| = 1 the recursion of `integrals` loses digits, and the series I_k / h = sum_m (-h)^m k! / (k + m + 1)! stands in its place.

    Args: h: [B], finite or +inf.
    """
    small = h.abs() < 1
    tame, large = torch.where(small, h, 0.0), torch.where(small, 1.0, h)  # of either branch, finite in value and in gradient
    result, recursive = [], -torch.expm1(-large)
    for k in range(count):
        if k > 0:
            recursive = 1 - k * recursive / large
        # By Horner's rule, from the last term on: 1 / (k + 1) (1 - h / (k + 2) (1 - h / (k + 3) (..))).
        series = torch.ones_like(tame)
        for m in reversed(range(1, TERMS)):
            series = 1 - tame / (k + 1 + m) * series
        result.append(torch.where(small, series / (k + 1), recursive / large))
    return result


def integrals(h: Tensor, count: int) -> list[Tensor]:
    """I_0 .. I_{count - 1} of steps of length h, [B] each, float64.

    I_k(h) = h int_0^1 exp(-h (1 - u)) u^k du:  I_0 = 1 - e^-h,  I_k = 1 - k I_{k-1} / h

    Args: h: [B], finite; negative for the noise: K_k(h) = -I_k(-h).
    """
    return [h * each for each in averages(h, count)]


def noise_integrals(h: Tensor, count: int) -> list[Tensor]:
    """K_0 .. K_{count - 1} of steps of length h, [B] each: K_0 = e^h - 1, K_k = k K_{k-1} / h - 1."""
    return [-each for each in integrals(-h, count)]


def moments(h: Tensor, count: int) -> list[Tensor]:
    """I_k / I_0 for k = 0 .. count - 1, [B] each: means of u^k along a step; of the noise, K_k / K_0, with -h in place of h."""
    first, *further = averages(h, count)
    return [torch.ones_like(first), *(each / first for each in further)]


def weights(nodes: list[Tensor], moments: list[Tensor]) -> list[Tensor]:
    """Weight of each prediction, so that a polynomial through them is integrated: sum_j w_j u_j^k = M_k for k = 0 .. p - 1.

    Args: nodes: u_j, p distinct ones, [B] each; moments: M_k, the integral of u^k, p of them, [B] each.
    Returns: p weights, [B] each.
    Source: Björck and Pereyra 1970, primal Vandermonde system.
    """
    solved, last = list(moments), len(nodes) - 1
    for k in range(last):
        for i in range(last, k, -1):
            solved[i] = solved[i] - nodes[k] * solved[i - 1]
    for k in range(last - 1, -1, -1):
        for i in range(k + 1, last + 1):
            solved[i] = solved[i] / (nodes[i] - nodes[i - k - 1])
        for i in range(k, last):
            solved[i] = solved[i] - solved[i + 1]
    return solved


def usable_weights(nodes: list[Tensor], moments: list[list[Tensor]], usable: Tensor) -> list[Tensor]:
    """`weights` through as many predictions as each sample can use, the others with weight 0.

    A sample whose level was adjusted may stand where, or above where, it stood a step before: no polynomial in the level goes through both.
    It then uses the predictions newer than that.

    Args:
        nodes: u_j, p of them, [B] each, the newest first; usable while they fall.
        moments: by order 1 .. p, the moments of that order, [B] each.
        usable: whether a sample may use more than the newest, [B].
    Returns: p weights, [B] each.
    """
    chosen = [*moments[0], *[torch.zeros_like(nodes[0])] * (len(nodes) - 1)]
    for order in range(2, len(nodes) + 1):
        usable = usable & (nodes[order - 2] - nodes[order - 1] > 1e-9)
        safe = [torch.where(usable, node, -float(j)) for j, node in enumerate(nodes[:order])]
        solved = weights(safe, moments[order - 1])
        chosen = [torch.where(usable, each, lower) for each, lower in zip(solved, chosen, strict=False)] + chosen[order:]
    return chosen
