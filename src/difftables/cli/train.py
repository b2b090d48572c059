"""Rule train: fit a backbone."""

from typing import TYPE_CHECKING

from difftables.cli.job import Job

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import SimpleNamespace

    from torch import Generator, Tensor, nn

    from difftables.train import BatchLoss


def run(job: Job) -> None:
    """spec: run, seed.  In: data.  Out: net, curve."""
    import torch
    from torch import Tensor

    from difftables import assemble
    from difftables.densities import DENSITIES
    from difftables.level import Level
    from difftables.losses import PENALTIES, WEIGHTS, denoising_loss
    from difftables.rng import generator
    from difftables.targets import TARGETS

    spec, device = job.spec.run, job.device
    torch.manual_seed(generator("init", job.spec.seed).initial_seed())
    net = assemble.build_net(spec.net, spec.data).to(device)
    training = assemble.training_schedule(spec.schedule)
    denoise = assemble.denoiser(spec, net, training)
    corrupt, target, weight = assemble.CORRUPTIONS[spec.corruption], TARGETS[spec.target], WEIGHTS[spec.weight]
    penalty, density = PENALTIES[spec.penalty], DENSITIES[spec.density]
    batch = training_batches(job, "train", spec.train)

    def batch_loss(step: int) -> tuple[Tensor, Level]:
        x0, stream = batch(step)
        level = density(training, len(x0), stream)
        noise = torch.randn(x0.shape, generator=stream).to(device)
        loss = denoising_loss(x0, level.to(device), noise, denoise=denoise, corrupt=corrupt, target=target, weight=weight, penalty=penalty)
        return loss, level

    fit(job, net, batch_loss, spec.train, "net")


def training_batches(job: Job, purpose: str, training: "SimpleNamespace") -> "Callable[[int], tuple[Tensor, Generator]]":
    """step to (clean samples of the batch on the device, the step's stream): a pure function of seed and step."""
    import torch

    from difftables.data.images import to_unit
    from difftables.io import load_tensors
    from difftables.rng import generator

    data, _ = load_tensors(job.input("data"), "data")
    images = data["images"][~data["held_out"].bool()]

    def batch(step: int) -> tuple[torch.Tensor, torch.Generator]:
        stream = generator(purpose, job.spec.seed, step)
        index = torch.randint(len(images), (training.batch,), generator=stream)
        x0 = to_unit(images[index])
        if training.flip:
            mirrored = torch.rand(len(x0), generator=stream) < 0.5
            x0 = torch.where(mirrored[:, None, None, None], x0.flip(-1), x0)
        return x0.to(job.device), stream

    return batch


def fit(job: Job, net: "nn.Module", batch_loss: "BatchLoss", training: "SimpleNamespace", kind: str) -> None:
    """Run the loop, write weights and curve, and drop the state that is no longer needed."""
    import shutil

    from difftables.io import save_tensors, write_csv
    from difftables.train import CURVE, Plan, train

    plan = Plan(**{key: value for key, value in vars(training).items() if key not in ("batch", "flip")})
    state = job.state("state.pt")
    weights, curve = train(net, batch_loss, plan, state)
    save_tensors(job.output("net"), weights, {"kind": kind, "spec": job.raw, "fingerprint": job.fingerprint})
    write_csv(job.output("curve"), CURVE, [[int(row[0]), *(f"{v:.6g}" for v in row[1:])] for row in curve])
    shutil.rmtree(state.parent, ignore_errors=True)
