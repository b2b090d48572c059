"""Rule train: fit a backbone."""

from typing import TYPE_CHECKING

from difftables.cli.job import Job

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import SimpleNamespace

    from torch import Generator, Tensor, nn

    from difftables.train import BatchLoss


def run(job: Job) -> None:
    """spec: run, seed.  In: data.  Out: net, curve, record."""
    from functools import partial

    import torch
    from torch import Tensor

    from difftables import assemble, corruptions, densities
    from difftables.importance import LossAware
    from difftables.level import Level
    from difftables.losses import PENALTIES, WEIGHTS, denoising_loss, plain
    from difftables.rng import generator
    from difftables.targets import TARGETS
    from difftables.vlb import OBJECTIVES

    spec, device = job.spec.run, job.device
    torch.manual_seed(generator("init", job.spec.seed).initial_seed())
    net = assemble.build_net(spec.net, spec.data).to(device)
    training = assemble.training_schedule(spec.schedule, job.maybe("levels"))
    denoise = assemble.denoiser(spec, net, training)
    corrupt, target, weight = (
        assemble.CORRUPTIONS[spec.corruption],
        TARGETS[spec.target],
        partial(WEIGHTS[spec.weight], sigma_data=spec.sigma_data),
    )
    penalty, density = PENALTIES[spec.penalty], densities.of(spec.density, training)
    kind = OBJECTIVES[spec.objective]
    objective = kind(training, spec.vlb_weight) if kind else None
    aware = density if isinstance(density, LossAware) else None
    batch = training_batches(job, "train", spec.train)
    corruptions.check(spec.corruption, corrupt, training[:1], tuple(batch(0)[0].shape[1:]), spec.seen == "corrupted")

    def batch_loss(step: int) -> tuple[Tensor, Level] | tuple[Tensor, Level, Tensor]:
        x0, cond, stream = batch(step)
        level = density(training, len(x0), stream)
        noise = torch.randn(x0.shape, generator=stream).to(device)
        loss = denoising_loss(
            x0, level.to(device), noise, denoise=denoise, corrupt=corrupt, target=target, weight=weight, penalty=penalty,
            residual=corrupt if spec.seen == "corrupted" else plain, objective=objective, cond=cond,
        )  # fmt: skip
        weights = torch.ones(len(x0))
        if aware is not None:
            weights = aware.weights(level).float()
            aware.remember(level, loss)
        loss = weights.to(device) * loss
        return (loss, level) if objective is None or objective.seen is None else (loss, level, weights.to(device) * objective.seen)

    fit(job, net, batch_loss, spec.train, "net", aware)


def training_batches(
    job: Job, purpose: str, training: "SimpleNamespace"
) -> "Callable[[int], tuple[Tensor, Tensor | None, Generator]]":  # fmt: skip
    """step to (clean samples on the device, what the net is given besides, the step's stream): a function of seed and step."""
    from torch import Generator, Tensor

    from difftables import media
    from difftables.rng import generator

    medium = media.of(job.spec.run.data, job.input("data"), job.device)

    def batch(step: int) -> tuple[Tensor, Tensor | None, Generator]:
        stream = generator(purpose, job.spec.seed, step)
        return *medium.training(training.batch, stream, training.flip), stream

    return batch


def fit(
    job: Job, net: "nn.Module", batch_loss: "BatchLoss", training: "SimpleNamespace", kind: str, memory: "nn.Module | None" = None
) -> None:
    """Run the loop, write weights and curve, and drop the state that is no longer needed."""
    import shutil

    from difftables.io import save_tensors, write_csv, write_json
    from difftables.train import CURVE, Plan, train

    numbers = {key: value for key, value in vars(training).items() if key not in ("batch", "flip", "checkpoints")}
    plan = Plan(**numbers, checkpoints=tuple(training.checkpoints))
    state = job.state("state.pt")
    weights, curve = train(net, batch_loss, plan, state, memory)
    save_tensors(job.output("net"), weights, {"kind": kind, "spec": job.raw, "fingerprint": job.fingerprint})
    write_csv(job.output("curve"), CURVE, [[row[0], *("" if v is None else f"{v:.6g}" for v in row[1:])] for row in curve])
    parameters = sum(p.numel() for p in net.parameters())
    write_json(job.output("record"), {"parameters": parameters, "steps": training.steps, "seed": job.spec.seed, **job.provenance()})
    shutil.rmtree(state.parent, ignore_errors=True)
