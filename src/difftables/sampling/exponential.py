"""Integrals of a step that is exact in its linear part, and the weights that a polynomial through stored predictions gives them.

A step from lambda to lambda' = lambda + h, lambda = -log sigma, takes in its predictions m(u), u = 0 at its start and 1 at its end:

    clean samples, ODE   x' = (std' / std) x + alpha' sum_k c_k I_k(h)                m(u) = sum_k c_k u^k
    clean samples, SDE   the same sum with I_k(H), H = (1 + eta) h
    noise, ODE           x' = (alpha' / alpha) x - std' sum_k e_k K_k(h)              K_k(h) = -I_k(-h)
    noise in sigma       x' = (alpha' / alpha) x + alpha' (sigma' - sigma) sum_k e_k / (k + 1)

`weights` turns such integrals into one weight for each stored prediction.
"""

import torch
from torch import Tensor

TERMS = 19  # of the series below |h| = 1: the next is under 1 / 20!


def integrals(h: Tensor, count: int) -> list[Tensor]:
    """I_0 .. I_{count - 1} of steps of length h, [B] each, float64.

    I_k(h) = h int_0^1 exp(-h (1 - u)) u^k du:  I_0 = 1 - e^-h,  I_k = 1 - k I_{k-1} / h

    Below |h| = 1 the recursion loses digits, and the series I_k = h sum_m (-h)^m k! / (k + m + 1)! stands in its place.

    Args: h: [B]; may be infinite, where every I_k is 1; negative for the noise: K_k(h) = -I_k(-h).
    """
    small = h.abs() < 1
    tame, large = torch.where(small, h, 0.0), torch.where(small, 1.0, h)  # of either branch, finite in value and in gradient
    result, recursive = [], -torch.expm1(-large)
    for k in range(count):
        if k > 0:
            recursive = 1 - k * recursive / large
        # By Horner's rule, from the last term on: I_k = h / (k + 1) (1 - h / (k + 2) (1 - h / (k + 3) (..))).
        series = torch.ones_like(tame)
        for m in reversed(range(1, TERMS)):
            series = 1 - tame / (k + 1 + m) * series
        result.append(torch.where(small, tame / (k + 1) * series, recursive))
    return result


def noise_integrals(h: Tensor, count: int) -> list[Tensor]:
    """K_0 .. K_{count - 1} of steps of length h, [B] each: K_0 = e^h - 1, K_k = k K_{k-1} / h - 1."""
    return [-each for each in integrals(-h, count)]


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


def usable_weights(nodes: list[Tensor], moments: list[list[Tensor]]) -> list[Tensor]:
    """`weights` through as many predictions as each sample can use, the others with weight 0.

    A sample whose level was adjusted may stand where, or above where, it stood a step before: no polynomial in the level goes through both.
    It then uses the predictions newer than that. A step of infinite length uses one.

    Args: nodes: u_j, [B] each, the newest first: 0 and then falling, where they can be used; moments: by order 1 .. p, the moments of that
        order, [B] each.
    Returns: p weights, [B] each.
    """
    count = len(moments)
    chosen = [moments[0][0], *[torch.zeros_like(moments[0][0])] * (count - 1)]
    fits = torch.ones_like(nodes[0], dtype=torch.bool)
    for order in range(2, count + 1):
        newer, older = nodes[order - 2], nodes[order - 1]
        fits = fits & older.isfinite() & (newer - older > 1e-9)
        safe = [torch.where(fits, node, -float(j)) for j, node in enumerate(nodes[:order])]
        solved = weights(safe, moments[order - 1])
        chosen = [torch.where(fits, each, lower) for each, lower in zip(solved, chosen, strict=False)] + chosen[order:]
    return chosen
