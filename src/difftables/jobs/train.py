"""Rule train: fit a backbone."""

from typing import TYPE_CHECKING

from difftables.jobs.job import Job

if TYPE_CHECKING:
    from torch import nn

    from difftables.config.run import Training
    from difftables.training.loop import BatchLoss, Stopwatch


def run(job: Job) -> None:
    """spec: TrainSpec.  In: data, maybe levels.  Out: net, curve."""
    import torch

    from difftables.common.parallel import join
    from difftables.common.seeds import generator
    from difftables.data.datasets import open_dataset
    from difftables.diffusion.denoiser import run_denoiser
    from difftables.diffusion.training_schedules import training_schedule
    from difftables.nets.build import build_net
    from difftables.training.batch_loss import denoiser_batch_loss
    from difftables.training.batches import training_batches
    from difftables.training.loop import Stopwatch

    spec, seed, device = job.spec.run, job.spec.seed, job.device
    world = join(device.type)
    torch.manual_seed(generator("init", seed).initial_seed())
    net = build_net(spec.net, spec.data).to(device)
    schedule = training_schedule(spec.schedule, job.maybe("levels"))
    dataset, stopwatch = open_dataset(spec.data, job.input("data"), device), Stopwatch(device)
    batches = training_batches(dataset, spec.train, "train", seed, spec.target.references, stopwatch)
    denoise = run_denoiser(spec, world.average_gradients(net), schedule)
    batch_loss, memory = denoiser_batch_loss(spec, denoise, schedule, batches, world=world, device=device, stopwatch=stopwatch)
    fit(job, net, batch_loss, spec.train, "net", memory, stopwatch)


def fit(
    job: Job, net: "nn.Module", batch_loss: "BatchLoss", settings: "Training", kind: str, memory: "nn.Module | None" = None,
    stopwatch: "Stopwatch | None" = None,
) -> None:  # fmt: skip
    """Train a net, write its weights and curve, and drop the state that a killed run resumes from.

    Args: batch_loss: of this process's shard of the batch; kind: of the weights' file; memory: of `loop.train`; stopwatch: whose seconds
        count as the target's in the record.
    Raises: ValueError where the batch cannot be divided among the job's processes.
    """
    import shutil
    import time

    from difftables.common.files import save_tensors, write_csv
    from difftables.common.parallel import join
    from difftables.training.batch_loss import with_dropout_seed
    from difftables.training.loop import CURVE, train

    world = join(job.device.type)
    world.shard_size(settings.batch)
    state = job.state("state.pt")
    began = time.perf_counter()
    weights, curve = train(net, with_dropout_seed(batch_loss, job.spec.seed, world, job.device), settings, state, memory, world)
    if world.rank > 0:
        return
    seconds = time.perf_counter() - began  # of this process; a resumed run counts only its last part
    job.cost = {"training": {"seconds": round(seconds, 3), "parameters": sum(p.numel() for p in net.parameters())}}
    if stopwatch and stopwatch.seconds:
        job.cost["training"]["target_share"] = stopwatch.seconds / seconds
    job.seeds = {"training": job.spec.seed}
    save_tensors(job.output("net"), weights, {"kind": kind})
    write_csv(job.output("curve"), CURVE, [[row[0], *("" if v is None else f"{v:.6g}" for v in row[1:])] for row in curve])
    shutil.rmtree(state.parent, ignore_errors=True)
