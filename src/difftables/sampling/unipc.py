"""UniPC: a multistep predictor, and a corrector that uses the call of the next step."""

from collections import deque
from typing import Literal

import torch
from torch import Tensor

from difftables.diffusion.denoiser import Denoiser
from difftables.diffusion.level import Level, shape
from difftables.sampling.correctors import Randn
from difftables.sampling.descent import Adapt, Corrupt, Levels, descend
from difftables.sampling.exponential import moments, usable_weights
from difftables.sampling.multistep import FinalOrder, First, combined, lambda_nodes
from difftables.sampling.predictions import clean_prediction
from difftables.sampling.transfers import from_clean

Variant = Literal["bh1", "bh2"]


def unified(levels: list[Level], nxt: Level, *, variant: Variant, corrects: bool) -> tuple[list[Tensor], Tensor]:
    """Weights of clean predictions at `levels`, the newest first, and before them at `nxt` where it corrects; [B] each.

    A step through two predictions is D_0 + B / (2 I_0) d, d their difference over that of their u, B = h (bh1) or 1 - e^-h = I_0 (bh2);
    through more it is that of a polynomial in lambda, whatever B.

    Returns: weights, and whether each sample could use more than the newest of `levels`, [B].
    """
    h, nodes, usable = lambda_nodes(levels, nxt)
    if corrects:
        nodes = [torch.ones_like(h), *nodes]
    exact = moments(h, len(nodes))
    by_order = [exact[:order] for order in range(1, len(nodes) + 1)]
    if len(nodes) > 1:
        by_order[1] = [exact[0], torch.full_like(h, 0.5) if variant == "bh2" else -0.5 * h / torch.expm1(-h)]
    return usable_weights(nodes, by_order, usable), usable


def unipc(
    x: Tensor, schedule: Levels, *, denoise: Denoiser, corrupt: Corrupt, randn: Randn, order: int, variant: Variant,
    final_order: FinalOrder, threshold: float | None, first: First, adapt: Adapt | None = None,
) -> Tensor:  # fmt: skip
    """UniPC of order 1 to 3, one call a step, [B, ...]: each call first corrects the step that led to it, then takes part in the next.

    x' = (std' / std) x + alpha' (I_0 D_0 + B sum_k rho_k (D_k - D_0) / r_k);  the last step is not corrected

    With `adapt` the corrector goes to the level that the net received.

    Args: of config.ode_solvers.Unipc.
    Source: Zhao et al. 2023 (UniPC), Algorithms 5-8, data prediction.
    """
    predict, transfer = clean_prediction(denoise, threshold, first), from_clean(corrupt)
    levels: deque[Level] = deque(maxlen=order)
    predictions: deque[Tensor] = deque(maxlen=order)
    left, count, start = len(schedule), 0, x

    def step(x: Tensor, now: Level, nxt: Level) -> tuple[Tensor, Tensor]:
        nonlocal left, count, start
        left -= 1
        prediction = predict(x, now)
        if count > 0:
            weight, usable = unified(list(levels)[:count], now, variant=variant, corrects=True)
            corrected = transfer(start, levels[0], now, combined(weight, [prediction, *list(predictions)[:count]]))
            x = torch.where(shape(usable.to(x), x) > 0, corrected, x)
        levels.appendleft(now)
        predictions.appendleft(prediction)
        start, count = x, min(len(levels), left if final_order == "lowered" else order)
        weight = unified(list(levels)[:count], nxt, variant=variant, corrects=False)[0]
        down = transfer(x, now, nxt, combined(weight, list(predictions)[:count]))
        return down, down

    return descend(x, schedule, step, adapt=adapt)
