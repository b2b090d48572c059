"""Rule sample: one row of a table, all its step counts and seeds in one job."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from difftables.jobs.job import Job

if TYPE_CHECKING:
    from difftables.sampling.shards import Shard


def run(job: Job) -> None:
    """spec: SampleSpec.  In: net, maybe edge_net, estimator, schedules, data.  Out: samples, which are kept from run to run, made.

    A step count is generated again only where its spec, code or inputs changed; of one that a killed run began, only the shards that
    are missing.
    """
    import shutil

    import torch

    from difftables.common.files import load_tensors
    from difftables.common.tensor_files import Parts, save_parts
    from difftables.diffusion.schedule_file import numbers_of, read_schedules
    from difftables.sampling import shards
    from difftables.sampling.loaded_run import load_run

    spec, seeds, n = job.spec, job.spec.seeds, job.spec.n
    old, meta = load_tensors(job.output("samples"), "samples") if job.previous["columns"] else ({}, {})
    file = job.maybe("schedules")
    levels = {steps: read_schedules(file).get(steps) for steps in spec.steps} if file else dict.fromkeys(spec.steps)
    columns = {
        steps: job.column(steps, [each.tolist() for each in numbers_of(level)] if level else None, without=("schedules",))
        for steps, level in levels.items()
    }
    wanted = [steps for steps, column in columns.items() if job.previous["columns"].get(str(steps)) != column]
    kept = [str(steps) for steps in spec.steps if steps not in wanted]
    tensors = {name: Parts.of(value) for name, value in old.items() if name.split("/")[1] in kept}
    counts = {steps: meta["counts"][steps] for steps in kept}
    job.cost = {steps: job.previous["cost"][steps] for steps in kept}
    keys = [("sample", seed, index) for seed in seeds for index in range(n)]
    loaded = load_run(spec.run, job.files, job.device, spec.batch)
    world, spans = loaded.world, shards.spans(len(keys), spec.batch, job.shard)
    one = loaded.medium.stored(torch.zeros(1, *loaded.medium.shape_and_condition("test", 1)[0])).nbytes
    # A shard in batches and joined; without shards all step counts, one of them in batches.
    need_memory((2 * len(spans[0]) if job.shard else (len(spec.steps) + 1) * len(keys)) * one)
    for i, steps in enumerate(wanted):
        generate = partial(_shard, loaded, keys, spec, steps, file)
        kept_shards = shards.KeptShards(job.kept_parts(columns[steps]), columns[steps]) if job.shard else None
        mine = [span for k, span in enumerate(spans, i * len(spans)) if job.part is None or k % job.part[1] == job.part[0]]
        found = shards.drawn_or_kept(spans, generate, kept_shards, world, mine)
        if world.rank > 0:
            continue
        if job.part is not None:
            print(f"{steps} steps: {len(found)} of {len(spans)} shards are finished", flush=True)
            continue
        samples = found[0].samples
        tensors[f"samples/{steps}"] = Parts((len(seeds), n, *samples.shape[1:]), [shard.samples for shard in found])
        tensors[f"levels/{steps}"] = Parts.of(shards.level_quantiles(found))
        counts[str(steps)] = shards.counts(found)
        cost = job.cost[str(steps)] = {"seconds": round(shards.seconds(found), 3), "threads": job.threads * world.size}
        if spec.run.data.medium == "speech":  # seconds of one thread for a second of audio
            cost["real_time_factor"] = cost["seconds"] * cost["threads"] * spec.run.data.rate / (len(keys) * samples[0].numel())
        print(f"{steps} steps: {len(keys)} samples, {counts[str(steps)]['nfe']} NFE, {shards.seconds(found):.1f} s", flush=True)
    if world.rank > 0 or job.part is not None:
        return
    job.seeds, job.columns = {"sampling": seeds}, {str(steps): column for steps, column in columns.items()}
    ordered = {steps: counts[steps] for steps in job.columns}
    save_parts(job.output("samples"), tensors, {"kind": "samples", "seeds": seeds, "n": n, "counts": ordered})
    for steps in wanted:
        shutil.rmtree(job.kept_parts(columns[steps]), ignore_errors=True)


def _shard(loaded: Any, keys: Sequence[tuple[int | str, ...]], spec: Any, steps: int, file: Path | None, span: range) -> "Shard":
    """The samples of some keys.  Args: loaded: LoadedRun; spec: SampleSpec; file: of schedules."""
    from difftables.sampling.shards import Shard

    repeats, keep = len(spec.seeds), loaded.medium.stored
    generated, adjust = loaded.generate(keys, spec.sampler, steps, file, part="test", repeats=repeats, keep=keep, span=span)
    return Shard.drawn(generated, adjust)


def need_memory(needed: int) -> None:
    """Raise ValueError where the samples that a job holds would not fit.  Args: needed: bytes."""
    import os

    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > installed:
        raise ValueError(
            f"the samples take {needed / 1e9:.0f} GB of memory, and this machine has {installed / 1e9:.0f} GB; "
            "lower evaluation.*.n or set resources.shard, the samples that are held at once"
        )
