"""Rule likelihood: the variational bound of held-out images, level by level and for shorter chains, from one pass of the net."""

from typing import Any

from difftables.jobs.job import Job

ROWS = 6  # digits of a number in the record


def run(job: Job) -> None:
    """spec: run, steps, evaluation, variance, trained, names, scale.  In: data, net, maybe ends.  Out: record.

    The net is asked once at each level of training for each image, on one draw of noise. Every shorter chain visits some of these
    levels and is told the same timesteps, so that its bound is a sum over answers that are there already.
    """
    import math

    import torch

    from difftables.common.files import write_json
    from difftables.common.seeds import SampleNoise
    from difftables.diffusion import timesteps
    from difftables.diffusion.denoiser import bind_condition, clipped, split_variance
    from difftables.diffusion.level import Level
    from difftables.diffusion.subschedules import at_timesteps
    from difftables.jobs.sample import Chain
    from difftables.training.variational_bound import Bound

    spec, chain = job.spec, Chain(job)
    clean, cond = chain.medium.held_out(spec.evaluation.likelihood_n)
    total, corrupt = len(chain.training) - 1, chain.corruption()
    kinds = ("small", "large", *(["learned"] if spec.variance == "learned" else []))
    visits = {("even", steps): timesteps.even(total, steps) for steps in spec.steps}
    visits |= {("dense", steps): timesteps.dense_start(total, steps) for steps in spec.steps if steps < total}
    bounds = {key: Bound(at_timesteps(chain.training, places)).to(job.device) for key, places in visits.items()}
    place = {key: {t: len(places) - 1 - i for i, t in enumerate(places)} for key, places in visits.items()}
    whole = ("even", total)
    sums = {(*key, kind): torch.zeros(len(clean), dtype=torch.float64) for key in visits for kind in kinds}
    terms: dict[str, list[Any]] = {kind: [0.0] * total for kind in kinds}
    errors, lowest, highest, outside, priors = [0.0] * total, math.inf, -math.inf, [0.0] * total, []
    size = spec.evaluation.batch
    with torch.inference_mode():
        for start in range(0, len(clean), size):
            x0, part = clean[start : start + size], None if cond is None else cond[start : start + size]
            share, here = len(x0) / len(clean), slice(start, start + len(x0))
            randn = SampleNoise([("likelihood", start + i) for i in range(len(x0))])
            denoise = bind_condition(clipped(chain.denoise, 1.0), part)
            priors.append({key: bound.prior(x0).double().cpu() for key, bound in bounds.items()})
            for t in reversed(range(total)):
                level: Level = chain.training[total - 1 - t].to(job.device)
                noise = randn(x0)
                guess, v = split_variance(denoise(corrupt(x0, level) + level.like(x0).std * noise, level))
                for key, bound in bounds.items():
                    if t not in place[key]:
                        continue
                    for kind in kinds:
                        found = bound.term(torch.tensor([place[key][t]], device=job.device), x0, guess, v, kind).double().cpu()
                        sums[(*key, kind)][here] += found
                        if key == whole:
                            terms[kind][t] += share * found.mean().item()
                errors[t] += share * ((guess - x0) / level.sigma.item()).square().mean().item()
                if v is not None:
                    lowest, highest = min(lowest, v.min().item()), max(highest, v.max().item())
                    outside[t] += share * ((v < 0) | (v > 1)).float().mean().item()
            print(f"{start + len(x0)} of {len(clean)} images", flush=True)
    prior = {key: torch.cat([each[key] for each in priors]) for key in visits}
    chains = [
        {"stride": stride, "steps": steps, "nfe": len(visits[stride, steps]), "variance": kind,
         "values": [round(value, ROWS) for value in (sums[stride, steps, kind] + prior[stride, steps]).tolist()]}
        for stride, steps, kind in sums
    ]  # fmt: skip
    variance = {} if spec.variance != "learned" else {"lowest": lowest, "highest": highest, "outside": sum(outside) / total}
    shared = {
        **spec.names.model_dump(), "metric": "NLL", "unit": "bits/dim", "n": len(clean), "chain": total, "variance": spec.variance,
        "v": variance, "prior": prior[whole].mean().item(), **cost_of(chain), "trained": spec.trained.model_dump(),
    }  # fmt: skip
    profile = {"terms": terms, "eps_error": errors, "alpha_bar": chain.training.alpha_bar[:-1].flip(0).tolist()}
    job.seeds = {"training": spec.names.train_seed}
    write_json(job.output("record"), {"shared": shared, "records": chains, "profile": profile})


def cost_of(chain: Any) -> dict[str, int]:
    """Parameters of the net and multiply-adds of one image through it."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    shape, cond = chain.medium.shape_and_condition("test", 1)
    x = torch.zeros(1, *shape, device=chain.job.device)
    cond = None if cond is None else cond.to(x.device)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        chain.net(x, torch.zeros(1, device=x.device), *(() if cond is None else (cond,)))
    return {"parameters": sum(p.numel() for p in chain.net.parameters()), "multiply_adds": counter.get_total_flops() // 2}
