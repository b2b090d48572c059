"""Rule robustness: many random schedules of one length, as they are and adjusted, on the same noise."""

from difftables.cli.job import Job


def run(job: Job) -> None:
    """spec: run, samplers (fixed, adjusted), search, features, evaluation, batch, scale.

    In: net, estimator, features, maybe weights.  Out: record.
    """
    import torch

    from difftables import search
    from difftables.assemble import PRIORS
    from difftables.cli.sample import Chain
    from difftables.data.images import to_uint8
    from difftables.io import load_tensors, write_json
    from difftables.level import concatenate
    from difftables.metrics import frechet
    from difftables.metrics.features import extract, label, load
    from difftables.rng import SampleNoise
    from difftables.steps import sample

    spec, device, chain, e = job.spec, job.device, Chain(job), job.spec.evaluation
    net = load(spec.features.net, spec.features.pixels, job.maybe("weights"), spec.features.sha256, device)
    reference = frechet.moments(load_tensors(job.input("features"), "features")[0]["train"])
    steps = e.robustness_steps
    grid = search.enumerate_grid(steps, tuple(spec.search.decades), spec.search.digits, spec.search.groups)
    schedules = search.random_schedules(e.robustness_schedules, steps, grid, spec.search.seed + 1)
    keys = [("robustness", spec.search.seed, index) for index in range(e.robustness_n)]
    together = max(1, spec.batch // e.robustness_n)
    rows = []
    for sampler in spec.samplers:
        for start in range(0, len(schedules), together):
            part = schedules[start : start + together]
            levels = [concatenate([s[i].expand(e.robustness_n) for s in part]).to(device) for i in range(steps + 1)]
            randn = SampleNoise(keys)
            with torch.inference_mode():
                noise = randn(torch.empty(len(part) * e.robustness_n, *chain.shape, device=device))
                x = sample(
                    PRIORS[chain.run.prior](noise, levels[0]), levels, randn=randn, adapt=chain.adapt(sampler), **chain.common(sampler)
                )
            for i, images in enumerate(to_uint8(x.cpu()).split(e.robustness_n)):
                value = frechet.distance(frechet.moments(extract(net, images, spec.features.batch, device)[0]), reference)
                rows.append(
                    {"sampler": sampler.label, "rule": sampler.rule, "schedule": start + i, "value": value,
                     "first_alpha_bar": part[i].alpha_bar[0].item()}
                )  # fmt: skip
        print(f"{sampler.label}: {len(schedules)} schedules", flush=True)
    shared = {
        **vars(spec.names), "metric": label(spec.features.net, spec.features.pixels), "steps": steps, "n": e.robustness_n,
        "grid": len(grid), "scale": spec.scale, **job.provenance(),
    }  # fmt: skip
    write_json(job.output("record"), {"shared": shared, "records": rows})
