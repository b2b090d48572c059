"""Solvers with several network calls a step and no history: DPM-Solver and DPM-Solver++, singlestep."""

from typing import Literal

import torch
from torch import Tensor

from difftables.diffusion.denoiser import Denoiser
from difftables.diffusion.level import Level
from difftables.sampling.correctors import Randn
from difftables.sampling.descent import Adapt, Corrupt, Levels, descend
from difftables.sampling.exponential import moments, weights
from difftables.sampling.multistep import Curve, First, combined
from difftables.sampling.predictions import clean_prediction, noise_prediction
from difftables.sampling.transfers import euler, from_clean, level_at, log_step

STAGES = {2: (1 / 2,), 3: (1 / 3, 2 / 3)}  # where a step looks, as shares of its length in lambda, by order


def singlestep(
    x: Tensor, schedule: Levels, *, denoise: Denoiser, corrupt: Corrupt, randn: Randn, order: int, prediction: Literal["clean", "noise"],
    second: Curve, threshold: float | None, first: First, adapt: Adapt | None = None,
) -> Tensor:  # fmt: skip
    """DPM-Solver (noise) or DPM-Solver++ (clean) of order 2 or 3, as many calls a step, [B, ...]; the step to a clean level has order 1.

    A stage at lambda + r h continues the line through the predictions before it; the step is that of the line through the first prediction
    and the last. With the noise, order 2 and the midpoint it is DPM-2 in sigma: eps at sqrt(sigma sigma').

    Args: of config.ode_solvers.Singlestep.
    Raises: ValueError for levels of no process, between which no level is known.
    Source: Lu et al. 2022 (DPM-Solver), Algorithms 1 and 2, and (DPM-Solver++), 2S; Karras et al. 2022 (EDM), DPM-2 in sigma.
    """
    clean = clean_prediction(denoise, threshold, first)
    predict, transfer, sign = (clean, from_clean(corrupt), 1) if prediction == "clean" else (noise_prediction(clean, corrupt), euler, -1)

    def step(x: Tensor, now: Level, nxt: Level) -> tuple[Tensor, Tensor]:
        predictions = [predict(x, now)]
        if not bool((nxt.std > 0).all()):
            down = transfer(x, now, nxt, predictions[0])
            return down, down
        h, stages = log_step(now, nxt), STAGES[order]
        for r in stages:
            middle = level_at(now.sigma * torch.exp(-r * h), now)
            nodes = [torch.full_like(h, at / r) for at in (0.0, *stages)[: len(predictions)]]
            weight = weights(nodes, moments(sign * r * h, len(nodes)))
            predictions.append(predict(transfer(x, now, middle, combined(weight, predictions)), middle))
        ends = [torch.zeros_like(h), torch.full_like(h, stages[-1])]
        moment = [torch.ones_like(h), torch.full_like(h, 0.5)] if order == 2 and second == "midpoint" else moments(sign * h, 2)
        down = transfer(x, now, nxt, combined(weights(ends, moment), [predictions[0], predictions[-1]]))
        return down, down

    return descend(x, schedule, step, adapt=adapt)
