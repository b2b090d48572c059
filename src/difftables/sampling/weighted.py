"""Multistep steps whose coefficients are numbers of the schedule: they begin at those of a known rule, and a search may change them."""

from collections.abc import Callable

import torch
from torch import Tensor

from difftables.common.variants import Variants
from difftables.diffusion.denoiser import Denoiser, split_variance
from difftables.diffusion.level import Level, shape
from difftables.sampling.correctors import Randn
from difftables.sampling.descent import Corrupt, Levels, descend
from difftables.sampling.exponential import integrals, usable_weights
from difftables.sampling.rules import ddim


def weighted(
    x: Tensor, schedule: Levels, *, denoise: Denoiser, corrupt: Corrupt, randn: Randn, weights: Tensor, prediction: str, order: int,
) -> Tensor:  # fmt: skip
    """DDIM steps whose prediction is a weighted sum of the last ones, newest first, [B, ...].

    data:  D~ = sum_j w_nj D_{n-j},   x' = alpha' D~ + std' (x - alpha D~) / std
    noise: e~ = sum_j w_nj e_{n-j},   e = (x - alpha D) / std,   x' / alpha' = x / alpha + (sigma' - sigma) e~

    Args: weights: of each step, [N, p]; prediction: data or noise; order: p.
    Raises: ValueError for weights of another number of steps or another order.
    Source: multistep solvers with free coefficients, as in Frankel et al. 2025 (S4S).
    """
    wanted = (len(schedule) - 1, order)
    if tuple(weights.shape) != wanted:
        raise ValueError(f"weights of shape {list(weights.shape)} do not fit {wanted[0]} steps of order {order}; change the solver's order")
    history, rows = list[Tensor](), iter(weights)

    def step(x: Tensor, now: Level, nxt: Level) -> tuple[Tensor, Tensor]:
        x0 = split_variance(denoise(x, now))[0]
        history.insert(0, x0 if prediction == "data" else (x - corrupt(x0, now)) / now.like(x).std)
        del history[order:]
        row = next(rows)
        mixed = shape(row[:1], x) * history[0]
        for j in range(1, len(history)):
            mixed = mixed + shape(row[j : j + 1], x) * history[j]
        if prediction == "noise":
            down = shape(nxt.alpha / now.alpha, x) * x + shape(nxt.alpha * (nxt.sigma - now.sigma), x) * mixed
        else:
            down = corrupt(mixed, nxt) + shape(ddim(now, nxt)[0], x) * ((x - corrupt(mixed, now)) / now.like(x).std)
        return down, down

    return descend(x, schedule, step)


def base_weights(schedule: Level, order: int, prediction: str) -> Tensor:
    """The weights of a polynomial through the last `order` predictions, fewer at the start, [N, order]; each row adds up to 1.

    data:  w_j = h-weighted mean of the Lagrange polynomial l_j in lambda, int exp(-h (1 - u)) l_j du h / I_0; order 1 at a clean end
    noise: w_j = mean of l_j in sigma over the step, finite at a clean end

    Source: multistep exponential integrators; data: DPM-Solver++ (Lu et al. 2022) and UniPC's predictor (Zhao et al. 2023); noise: linear
    multistep in sigma, DEIS rhoAB (Zhang, Chen 2023).
    """
    sigma, rows = schedule.sigma, []
    place = -sigma.log() if prediction == "data" else sigma
    for n in range(len(schedule) - 1):
        count = min(order, n + 1)
        h = place[n + 1 : n + 2] - place[n : n + 1]
        nodes = [torch.zeros_like(h), *((place[n - j : n - j + 1] - place[n : n + 1]) / h for j in range(1, count))]
        moments = MOMENTS[prediction](h, count)
        row = usable_weights(nodes, [moments[:p] for p in range(1, count + 1)])
        rows.append(torch.cat([*row, h.new_zeros(order - count)]))
    return torch.stack(rows)


def in_lambda(h: Tensor, count: int) -> list[Tensor]:
    """I_k(h) / I_0(h), k = 0 .. count - 1, [1] each."""
    whole = integrals(h, count)
    return [each / whole[0] for each in whole]


def in_sigma(h: Tensor, count: int) -> list[Tensor]:
    """int_0^1 u^k du, k = 0 .. count - 1, [1] each."""
    return [torch.full_like(h, 1 / (k + 1)) for k in range(count)]


# Moments of a step in the variable of each prediction.
MOMENTS: Variants[Callable[[Tensor, int], list[Tensor]]] = {"data": in_lambda, "noise": in_sigma}
