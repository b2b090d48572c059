"""Multistep solvers: one network call a step, and the predictions of the steps before.

A family is a map from the levels of the stored predictions and the next level to one weight a prediction. The weights add up to 1, and the
transfer of one prediction takes the combined one. The levels of a history are those that the net received, one a sample.
"""

from collections import deque
from collections.abc import Callable
from functools import cache, partial
from typing import Literal

import torch
from numpy.polynomial.legendre import leggauss
from torch import Tensor

from difftables.diffusion.denoiser import Denoiser, vp_time
from difftables.diffusion.level import Level, shape
from difftables.diffusion.linear_process import LinearRates
from difftables.sampling.correctors import Randn
from difftables.sampling.descent import Adapt, Corrupt, Levels, descend
from difftables.sampling.exponential import moments, usable_weights
from difftables.sampling.predictions import Predict, clean_prediction, noise_prediction
from difftables.sampling.transfers import Transfer, euler, from_clean, log_step

Weigh = Callable[[list[Level], Level], list[Tensor]]  # levels of p predictions, the newest first, and the next: p weights, [B] each
Curve = Literal["midpoint", "heun"]  # how a second-order step takes in the slope of its two predictions
First = Literal["analytic"] | None
FinalOrder = Literal["lowered", "kept"]


def combined(weight: list[Tensor], predictions: list[Tensor]) -> Tensor:
    """sum_j w_j P_j, [B, ...].  Args: weight: [B] each; predictions: [B, ...] each."""
    total = shape(weight[0], predictions[0]) * predictions[0]
    for each, prediction in zip(weight[1:], predictions[1:], strict=True):
        total = total + shape(each, prediction) * prediction
    return total


def multistep(
    x: Tensor, schedule: Levels, *, predict: Predict, transfer: Transfer, weigh: Weigh, order: int, final_order: FinalOrder,
    adapt: Adapt | None,
) -> Tensor:  # fmt: skip
    """One step a level from the weighted predictions of the last levels, [B, ...].

    The order rises from 1 by one a step; with `final_order` lowered it is at most the number of steps that are left.

    Args: predict: x and its level to a prediction; transfer: of one prediction; weigh: the weights of up to `order` predictions.
    """
    levels: deque[Level] = deque(maxlen=order)
    predictions: deque[Tensor] = deque(maxlen=order)
    left = len(schedule)

    def step(x: Tensor, now: Level, nxt: Level) -> tuple[Tensor, Tensor]:
        nonlocal left
        left -= 1
        levels.appendleft(now)
        predictions.appendleft(predict(x, now))
        count = min(len(levels), left if final_order == "lowered" else order)
        down = transfer(x, now, nxt, combined(weigh(list(levels)[:count], nxt), list(predictions)[:count]))
        return down, down

    return descend(x, schedule, step, adapt=adapt)


def lambda_nodes(levels: list[Level], nxt: Level) -> tuple[Tensor, list[Tensor], Tensor]:
    """h, the nodes u_j = (lambda_j - lambda) / h of a history, [B] each, and whether a step can use more than the newest, [B].

    It cannot where it ends clean, at infinite lambda, nor where an adjusted level does not fall.
    """
    now, h = levels[0], log_step(levels[0], nxt)
    usable = (nxt.std > 0) & (h > 0)
    h = torch.where(usable, h, 1.0)
    return h, [torch.zeros_like(h), *(-log_step(level, now) / h for level in levels[1:])], usable


def exponential(levels: list[Level], nxt: Level, *, sign: int, second: Curve, share: float = 1.0) -> list[Tensor]:
    """Weights of predictions that are a polynomial in lambda = -log sigma.

    Order 2 is sum_j w_j D_j = D_0 + M (D_0 - D_1) / r_0, M = 1/2 ("midpoint") or I_1 / I_0 ("heun", exact for a straight line); order 3 is
    exact for a parabola where share = 1.

    Args: sign: 1 for clean predictions, -1 for the noise; share: factor of the second difference of order 3.
    """
    h, nodes, usable = lambda_nodes(levels, nxt)
    exact = moments(sign * h, len(nodes))
    by_order = [exact[:order] for order in range(1, len(nodes) + 1)]
    if len(nodes) > 1 and second == "midpoint":
        by_order[1] = [exact[0], torch.full_like(h, 0.5)]
    if len(nodes) > 2:
        by_order[2] = [exact[0], exact[1], share * exact[2]]
    return usable_weights(nodes, by_order, usable)


def dpmpp(
    x: Tensor, schedule: Levels, *, denoise: Denoiser, corrupt: Corrupt, randn: Randn, order: int, prediction: Literal["clean", "noise"],
    second: Curve, second_difference: Literal["whole", "halved"], final_order: FinalOrder, threshold: float | None, first: First,
    adapt: Adapt | None = None,
) -> Tensor:  # fmt: skip
    """DPM-Solver++ of order 1 to 3, several steps; with predictions of the noise, DPM-Solver, [B, ...].

    x' = (std' / std) x + alpha' sum_k c_k I_k(h), or with the noise x' = (alpha' / alpha) x - std' sum_k e_k K_k(h)

    Args: of config.ode_solvers.Dpmpp.
    Source: Lu et al. 2022 (DPM-Solver++), Sec. 4, algorithms 2M and 3M.
    Departs: order 3 weighs the second difference by I_2. The released code, and what was ported from it, takes half of that, which leaves
        order 2: `second_difference: halved`.
    """
    clean = clean_prediction(denoise, threshold, first)
    predict, transfer, sign = (clean, from_clean(corrupt), 1) if prediction == "clean" else (noise_prediction(clean, corrupt), euler, -1)
    weigh = partial(exponential, sign=sign, second=second, share=0.5 if second_difference == "halved" else 1.0)
    return multistep(x, schedule, predict=predict, transfer=transfer, weigh=weigh, order=order, final_order=final_order, adapt=adapt)


def in_sigma(levels: list[Level], nxt: Level) -> list[Tensor]:
    """Weights of eps_j that are a polynomial in sigma: Adams-Bashforth on uneven steps, finite at sigma' = 0."""
    length = nxt.sigma.double() - levels[0].sigma
    usable = length < 0
    length = torch.where(usable, length, 1.0)
    nodes = [(level.sigma - levels[0].sigma) / length for level in levels]
    exact = [torch.full_like(length, 1 / (k + 1)) for k in range(len(levels))]
    return usable_weights(nodes, [exact[:order] for order in range(1, len(levels) + 1)], usable)


def lms(
    x: Tensor, schedule: Levels, *, denoise: Denoiser, corrupt: Corrupt, randn: Randn, order: int, final_order: FinalOrder,
    threshold: float | None, first: First, adapt: Adapt | None = None,
) -> Tensor:  # fmt: skip
    """Linear multistep in sigma, order 1 to 4, [B, ...]: x' / alpha' = x / alpha + sum_j eps_j int_sigma^sigma' l_j(s) ds.

    Source: Zhang and Chen 2023 (DEIS), rho-AB-DEIS.
    """
    predict = noise_prediction(clean_prediction(denoise, threshold, first), corrupt)
    return multistep(x, schedule, predict=predict, transfer=euler, weigh=in_sigma, order=order, final_order=final_order, adapt=adapt)


def fitted_rates(highest: float, lowest: float, earliest: float) -> LinearRates:
    """Rates of the linear process with sigma(1) = highest and sigma(earliest) = lowest.

    log(1 + sigma^2) = beta_d t^2 / 2 + beta_min t

    Source: Karras et al. 2022 (EDM), released code: 80, 0.002 and 1e-3 give beta_min < 0, so that time 0 is not at sigma = 0.
    """
    top, end = (torch.log1p(torch.tensor(sigma, dtype=torch.float64) ** 2).item() for sigma in (highest, lowest))
    beta_d = 2 * (end / earliest - top) / (earliest - 1)
    return LinearRates(beta_d, top - beta_d / 2)


gauss_legendre = cache(leggauss)  # arrays: a tensor that was made in inference mode could not be kept for a search that takes gradients


def in_time_of(levels: list[Level], nxt: Level, *, rates: LinearRates) -> list[Tensor]:
    """Weights of eps_j that are a polynomial in the time of the linear process, integrated over sigma.

    The time bends where sigma is about |beta_min| / sqrt(2 beta_d). In asinh of their ratio it is smooth, so that the quadrature is exact
    to 1e-12 from sigma = 150 to 0 in one step too.
    """
    start, end = levels[0].sigma.double(), nxt.sigma.double()
    usable = end < start
    begun, length = vp_time(start, rates), torch.where(usable, vp_time(end, rates) - vp_time(start, rates), 1.0)
    nodes = [(vp_time(level.sigma, rates) - begun) / length for level in levels]
    bend = max(abs(rates.beta_min) / (2 * rates.beta_d) ** 0.5, 1e-6)
    first, last = (start / bend).asinh()[..., None], (end / bend).asinh()[..., None]
    points, weight = (torch.from_numpy(values).to(start.device) for values in gauss_legendre(64))
    v = first + (last - first) * (1 + points) / 2
    share = v.cosh() * weight
    u = (vp_time(bend * v.sinh(), rates) - begun[..., None]) / length[..., None]
    exact = [(share * u**k).sum(dim=-1) / share.sum(dim=-1) for k in range(len(levels))]
    return usable_weights(nodes, [exact[:order] for order in range(1, len(levels) + 1)], usable)


def deis(
    x: Tensor, schedule: Levels, *, denoise: Denoiser, corrupt: Corrupt, randn: Randn, order: int, highest: float, lowest: float,
    earliest: float, final_order: FinalOrder, threshold: float | None, first: First, adapt: Adapt | None = None,
) -> Tensor:  # fmt: skip
    """Linear multistep in the time t(sigma) of a linear variance-preserving process, order 1 to 4, [B, ...].

    x' / alpha' = x / alpha + sum_j eps_j int_sigma^sigma' l_j(t(s)) ds

    Args: highest, lowest, earliest: of `fitted_rates`; others of config.ode_solvers.Deis.
    Source: Zhang and Chen 2023 (DEIS), t-AB-DEIS.
    """
    predict = noise_prediction(clean_prediction(denoise, threshold, first), corrupt)
    weigh = partial(in_time_of, rates=fitted_rates(highest, lowest, earliest))
    return multistep(x, schedule, predict=predict, transfer=euler, weigh=weigh, order=order, final_order=final_order, adapt=adapt)


ADAMS = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))  # Adams-Bashforth, even steps


def as_if_even(levels: list[Level], nxt: Level) -> list[Tensor]:
    """Weights of eps_j of steps of one length, whatever the steps are."""
    return [torch.full_like(nxt.std, weight) for weight in ADAMS[len(levels) - 1]]


def ipndm(
    x: Tensor, schedule: Levels, *, denoise: Denoiser, corrupt: Corrupt, randn: Randn, order: int, final_order: FinalOrder,
    threshold: float | None, first: First, adapt: Adapt | None = None,
) -> Tensor:  # fmt: skip
    """iPNDM of order 1 to 4, [B, ...]: x' / alpha' = x / alpha + (sigma' - sigma) sum_j a_j eps_j with the coefficients of even steps.

    On uneven steps its order of convergence is 2 however many predictions it uses.

    Source: Zhang and Chen 2023 (DEIS), iPNDM, after Liu et al. 2022 (PNDM).
    """
    predict = noise_prediction(clean_prediction(denoise, threshold, first), corrupt)
    return multistep(x, schedule, predict=predict, transfer=euler, weigh=as_if_even, order=order, final_order=final_order, adapt=adapt)
