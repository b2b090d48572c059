"""Multistep steps whose weights are numbers of the schedule: they begin at those of a known solver, and a search may change them."""

from functools import partial

import torch
from torch import Tensor

from difftables.common.variants import Variants
from difftables.diffusion.denoiser import Denoiser
from difftables.diffusion.level import Level
from difftables.sampling.correctors import Randn
from difftables.sampling.descent import Corrupt, Levels
from difftables.sampling.multistep import FinalOrder, Weigh, exponential, in_sigma, multistep
from difftables.sampling.predictions import clean_prediction, noise_prediction
from difftables.sampling.transfers import euler, from_clean


def weighted(
    x: Tensor, schedule: Levels, *, denoise: Denoiser, corrupt: Corrupt, randn: Randn, weights: Tensor, prediction: str, order: int,
) -> Tensor:  # fmt: skip
    """Steps whose prediction is a weighted sum of the last ones, newest first, [B, ...].

    clean: D~ = sum_j w_nj D_{n-j},   x' = alpha' D~ + std' (x - alpha D~) / std
    noise: e~ = sum_j w_nj e_{n-j},   e = (x - alpha D) / std,   x' / alpha' = x / alpha + (sigma' - sigma) e~

    Args: weights: of each step, [N, p]; prediction: clean or noise; order: p.
    Raises: ValueError for weights of another number of steps or another order.
    Source: multistep solvers with free coefficients, as in Frankel et al. 2025 (S4S).
    """
    wanted = (len(schedule) - 1, order)
    if tuple(weights.shape) != wanted:
        raise ValueError(f"weights of shape {list(weights.shape)} do not fit {wanted[0]} steps of order {order}; change the solver's order")
    clean, rows = clean_prediction(denoise, None, None), iter(weights)
    predict, transfer = (clean, from_clean(corrupt)) if prediction == "clean" else (noise_prediction(clean, corrupt), euler)

    def weigh(levels: list[Level], nxt: Level) -> list[Tensor]:
        row = next(rows)
        return [row[j : j + 1] for j in range(len(levels))]

    return multistep(x, schedule, predict=predict, transfer=transfer, weigh=weigh, order=order, final_order="kept", adapt=None)


# By prediction, the solver whose weights are where a search begins: DPM-Solver++ with midpoint, linear multistep in sigma.
BASES: Variants[tuple[Weigh, FinalOrder]] = {
    "clean": (partial(exponential, sign=1, second="midpoint"), "lowered"), "noise": (in_sigma, "kept"),
}  # fmt: skip


def base_weights(schedule: Level, order: int, prediction: str) -> Tensor:
    """The weights of a known solver, [N, order], 0 where it uses fewer predictions; each row adds up to 1.  Args: prediction: of BASES."""
    weigh, final_order = BASES[prediction]
    steps, rows = len(schedule) - 1, list[Tensor]()
    for n in range(steps):
        count = min(n + 1, order, steps - n if final_order == "lowered" else order)
        row = weigh([schedule[n - j] for j in range(count)], schedule[n + 1])
        rows.append(torch.cat([*row, row[0].new_zeros(order - count)]))
    return torch.stack(rows)
