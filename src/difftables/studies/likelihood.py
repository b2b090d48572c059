"""The variational bound of held-out images, level by level and for shorter chains, from one pass of the net."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from difftables.common.arithmetic import sum_in_order
from difftables.common.seeds import SampleNoise
from difftables.diffusion import timesteps
from difftables.diffusion.denoiser import bind_condition, clipped, split_variance
from difftables.diffusion.level import Level
from difftables.diffusion.subschedules import at_timesteps
from difftables.sampling.loaded_run import LoadedRun
from difftables.training.variational_bound import Bound

DIGITS = 6  # of a number in the record


def variational_bounds(run: LoadedRun, chains: Sequence[int], *, images: int, batch: int, variance: str) -> dict[str, Any]:
    """The bound in bits/dim of each held-out image, for the whole chain and shorter ones, and its terms by level.

    The net runs once for each level of training and each image, on one draw of noise. Each shorter chain visits some of these
    levels with the same timesteps, so that its bound sums terms of the same answers.

    Args: chains: step counts; images, batch: how many held-out images, and how many at once; variance: learned, or the one
        that the net is sampled with.
    Returns: "shared", what all records share, "records", one a chain and variance, and "profile", by level.
    """
    clean, cond = run.medium.held_out(images)
    total, corrupt = len(run.training) - 1, run.corrupt
    kinds = ("small", "large", *(["learned"] if variance == "learned" else []))
    visits = {("even", steps): timesteps.even(total, steps) for steps in chains}
    visits |= {("dense", steps): timesteps.dense_start(total, steps) for steps in chains if steps < total}
    bounds = {key: Bound(at_timesteps(run.training, visited)).to(run.device) for key, visited in visits.items()}
    index = {key: {t: len(visited) - 1 - i for i, t in enumerate(visited)} for key, visited in visits.items()}
    whole = ("even", total)
    sums = {(*key, kind): torch.zeros(len(clean), dtype=torch.float64) for key in visits for kind in kinds}
    terms: dict[str, list[Any]] = {kind: [0.0] * total for kind in kinds}
    errors, lowest, highest, outside, priors = [0.0] * total, math.inf, -math.inf, [0.0] * total, []
    with torch.inference_mode():
        for start in range(0, len(clean), batch):
            x0, batch_cond = clean[start : start + batch], None if cond is None else cond[start : start + batch]
            share, rows = len(x0) / len(clean), slice(start, start + len(x0))
            randn = SampleNoise([("likelihood", start + i) for i in range(len(x0))])
            denoise = bind_condition(clipped(run.denoise, 1.0), batch_cond)
            priors.append({key: bound.prior(x0).double().cpu() for key, bound in bounds.items()})
            for t in reversed(range(total)):
                level: Level = run.training[total - 1 - t].to(run.device)
                noise = randn(x0)
                guess, v = split_variance(denoise(corrupt(x0, level) + level.like(x0).std * noise, level))
                for key, bound in bounds.items():
                    if t not in index[key]:
                        continue
                    for kind in kinds:
                        at = torch.tensor([index[key][t]], device=run.device)
                        term = bound.term(at, x0, guess, v, kind).double().cpu()
                        sums[(*key, kind)][rows] += term
                        if key == whole:
                            terms[kind][t] += share * term.mean().item()
                errors[t] += share * ((guess - x0) / level.sigma.item()).square().mean().item()
                if v is not None:
                    lowest, highest = min(lowest, v.min().item()), max(highest, v.max().item())
                    outside[t] += share * ((v < 0) | (v > 1)).float().mean().item()
            print(f"{start + len(x0)} of {len(clean)} images", flush=True)
    prior = {key: torch.cat([each[key] for each in priors]) for key in visits}
    records = [
        {"stride": stride, "steps": steps, "nfe": len(visits[stride, steps]), "variance": kind,
         "values": [round(value, DIGITS) for value in (sums[stride, steps, kind] + prior[stride, steps]).tolist()]}
        for stride, steps, kind in sums
    ]  # fmt: skip
    v_range = {} if variance != "learned" else {"lowest": lowest, "highest": highest, "outside": sum_in_order(outside) / total}
    shared = {
        "metric": "NLL", "unit": "bits/dim", "n": len(clean), "chain": total, "variance": variance,
        "v": v_range, "prior": prior[whole].mean().item(), **net_cost(run),
    }  # fmt: skip
    profile = {"terms": terms, "eps_error": errors, "alpha_bar": run.training.alpha_bar[:-1].flip(0).tolist()}
    return {"shared": shared, "records": records, "profile": profile}


def net_cost(run: LoadedRun) -> dict[str, int]:
    """Parameters of the net, and multiply-adds of one sample through it."""
    shape, cond = run.medium.shape_and_condition("test", 1)
    x = torch.zeros(1, *shape, device=run.device)
    cond = None if cond is None else cond.to(x.device)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        run.net(x, torch.zeros(1, device=x.device), *(() if cond is None else (cond,)))
    return {"parameters": sum(p.numel() for p in run.net.parameters()), "multiply_adds": counter.get_total_flops() // 2}
