"""Rule sample: one row of a table, all its step counts and seeds in one job."""

from difftables.jobs.job import Job


def run(job: Job) -> None:
    """spec: SampleSpec.  In: net, maybe edge_net, estimator, schedules, data.  Out: samples, which are kept from run to run, made.

    A step count is generated again only where its spec, code or inputs changed.
    """
    import torch

    from difftables.common.files import load_tensors, save_tensors
    from difftables.diffusion.schedule_file import read_schedules
    from difftables.sampling.loaded_run import load_run

    spec, seeds, n = job.spec, job.spec.seeds, job.spec.n
    old, meta = load_tensors(job.output("samples"), "samples") if job.previous["columns"] else ({}, {})
    file = job.maybe("schedules")
    levels = {steps: read_schedules(file).get(steps) for steps in spec.steps} if file else dict.fromkeys(spec.steps)
    columns = {
        steps: job.column(
            steps, [each.tolist() for each in (level.alpha, level.std, level.strength)] if level else None, without=("schedules",)
        )
        for steps, level in levels.items()
    }
    wanted = [steps for steps, column in columns.items() if job.previous["columns"].get(str(steps)) != column]
    kept = [str(steps) for steps in spec.steps if steps not in wanted]
    tensors = {name: value for name, value in old.items() if name.split("/")[1] in kept}
    counts = {steps: meta["counts"][steps] for steps in kept}
    job.cost = {steps: job.previous["cost"][steps] for steps in kept}
    keys = [("sample", seed, index) for seed in seeds for index in range(n)]
    loaded = load_run(spec.run, job.files, job.device, spec.batch)
    one = loaded.medium.stored(torch.zeros(1, *loaded.medium.shape_and_condition("test", 1)[0])).nbytes
    need_memory((len(spec.steps) + 1) * len(keys) * one)  # all step counts, one of them in parts
    for steps in wanted:
        generated, adjust = loaded.generate(keys, spec.sampler, steps, file, part="test", repeats=len(seeds), keep=loaded.medium.stored)
        tensors[f"samples/{steps}"] = generated.x.reshape(len(seeds), n, *generated.x.shape[1:])
        used = torch.stack(generated.levels)
        tensors[f"levels/{steps}"] = torch.quantile(used, torch.tensor([0.5, 0.05, 0.95], dtype=used.dtype), dim=1)
        counts[str(steps)] = {
            "nfe": generated.nfe, "network_evaluations": generated.evaluations,
            "estimator_evaluations": adjust.evaluations if adjust else 0, "clipped_rates": adjust.clips if adjust else 0,
            "v_outside": generated.v_outside,
        }  # fmt: skip
        cost = job.cost[str(steps)] = {"seconds": round(generated.seconds, 3), "threads": job.threads * loaded.world.size}
        if spec.run.data.medium == "speech":  # seconds of one thread for a second of audio
            cost["real_time_factor"] = cost["seconds"] * cost["threads"] * spec.run.data.rate / tensors[f"samples/{steps}"].numel()
        if loaded.world.rank == 0:
            print(f"{steps} steps: {len(keys)} samples, {generated.nfe} NFE, {generated.seconds:.1f} s", flush=True)
    if loaded.world.rank > 0:
        return
    job.seeds, job.columns = {"sampling": seeds}, {str(steps): column for steps, column in columns.items()}
    ordered = {steps: counts[steps] for steps in job.columns}
    save_tensors(job.output("samples"), tensors, {"kind": "samples", "seeds": seeds, "n": n, "counts": ordered})


def need_memory(needed: int) -> None:
    """Raise ValueError where the samples of a job, all of which are held, would not fit.  Args: needed: bytes."""
    import os

    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > installed:
        raise ValueError(
            f"the samples take {needed / 1e9:.0f} GB of memory, and this machine has {installed / 1e9:.0f} GB; "
            "lower evaluation.*.n or ask for fewer steps in the tables"
        )
