"""Rule train: fit a backbone."""

from typing import TYPE_CHECKING

from difftables.jobs.job import Job

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Generator, Tensor, nn

    from difftables.common.parallel import World
    from difftables.config.run import Training
    from difftables.diffusion.level import Level
    from difftables.training.loop import BatchLoss, Clock

    Told = Tensor | tuple[Tensor | None, ...] | None  # what a net is given besides: a class, how it was augmented, both or nothing


def run(job: Job) -> None:
    """spec: run, seed.  In: data.  Out: net, curve, record."""
    from functools import partial

    import torch
    from torch import Tensor

    from difftables.common.parallel import join
    from difftables.common.seeds import generator
    from difftables.diffusion import corruptions
    from difftables.diffusion.corruptions import CORRUPTIONS
    from difftables.diffusion.denoiser import run_denoiser
    from difftables.diffusion.level import Level
    from difftables.diffusion.training_schedules import training_schedule
    from difftables.nets.build import build_net
    from difftables.training import level_densities
    from difftables.training.loop import Clock
    from difftables.training.loss_aware import LossAware
    from difftables.training.losses import PENALTIES, WEIGHTS, denoising_loss, plain
    from difftables.training.targets import TARGETS
    from difftables.training.variational_bound import OBJECTIVES

    spec, device = job.spec.run, job.device
    world = join(device.type)
    torch.manual_seed(generator("init", job.spec.seed).initial_seed())
    net = build_net(spec.net, spec.data).to(device)
    training = training_schedule(spec.schedule, job.maybe("levels"))
    denoise = run_denoiser(spec, net, training)
    corrupt, target, weight = (
        CORRUPTIONS[spec.corruption],
        TARGETS[spec.target],
        partial(WEIGHTS[spec.weight], sigma_data=spec.sigma_data),
    )
    penalty, density = PENALTIES[spec.penalty], level_densities.of(spec.density, training)
    kind = OBJECTIVES[spec.objective]
    objective = kind(training, spec.vlb_weight) if kind else None
    aware = density if isinstance(density, LossAware) else None
    clock = Clock(device)
    batch = training_batches(job, "train", spec.train, spec.references, clock)
    if spec.references == 1:
        target = TARGETS["clean"]
    elif spec.references is not None:
        target = clock.timed(target)
    corruptions.check(spec.corruption, corrupt, training[:1], tuple(batch(0)[0].shape[1:]), spec.loss_through == "corrupted")

    def batch_loss(step: int) -> tuple[Tensor, Level] | tuple[Tensor, Level, Tensor]:
        x0, cond, stream, others = batch(step)
        level = density(training, len(x0), stream)
        # All processes draw the whole batch, from the same stream.
        noise = world.part(torch.randn(x0.shape, generator=stream)).to(device)
        own, known = world.part(level), of_part(others, len(x0), world)
        loss = denoising_loss(
            world.part(x0), own.to(device), noise, denoise=denoise, corrupt=corrupt, target=partial(target, **known), weight=weight,
            penalty=penalty, residual=corrupt if spec.loss_through == "corrupted" else plain, objective=objective, cond=world.part(cond),
        )  # fmt: skip
        weights = torch.ones(len(own))
        if aware is not None:
            weights = aware.weights(own).float()
            aware.remember(level, world.whole(loss))
        loss = weights.to(device) * loss
        return (loss, own) if objective is None or objective.seen is None else (loss, own, weights.to(device) * objective.seen)

    fit(job, net, batch_loss, spec.train, "net", aware, clock)


def of_part(others: "dict[str, Tensor]", count: int, world: "World") -> "dict[str, Tensor]":
    """References of a batch of `count`, as a process's part of it wants them: beginning with that part."""
    turned = {"references": lambda x: world.led(x, count), "same": lambda x: world.led(world.part(x), count, dim=1)}
    return {name: turned[name](value) for name, value in others.items()}


def training_batches(
    job: Job, purpose: str, training: "Training", references: int | None = None, clock: "Clock | None" = None
) -> "Callable[[int], tuple[Tensor, Told, Generator, dict[str, Tensor]]]":  # fmt: skip
    """step to (clean samples on the device, what the net is given besides, the step's stream, references): a function of seed and step.

    References are what a stable target wants, `references` and `same`; {} without. They come from a stream of their own, but for the
    draw of which images: runs that differ in their number alone see the same batches, levels and noise. An augmentation has streams of
    its own too, and its labels follow what else the net is given.

    Args: clock: what the references take is added to it.
    """
    import torch
    from torch import Generator, Tensor

    from difftables.common.seeds import generator
    from difftables.data import datasets
    from difftables.data.augment import augment
    from difftables.data.image_set import Images

    medium = datasets.of(job.spec.run.data, job.input("data"), job.device)
    if references not in (None, 1) and isinstance(medium, Images):
        medium.enough_of_each_class()

    def augmented(x: Tensor, labels: Tensor | None, step: int, *purposes: str) -> tuple[Tensor, "Told"]:
        if not training.augment:
            return x, labels
        moved, said = augment(x.cpu(), training.augment, generator(*purposes, "augment", job.spec.seed, step))
        return moved.to(x), (labels, said.to(x))

    def gathered(x0: Tensor, labels: Tensor | None, which: Tensor, step: int) -> dict[str, Tensor]:
        assert isinstance(medium, Images)  # the plan refuses references elsewhere
        stream = generator(f"{purpose}-references", job.spec.seed, step)
        rest, other = medium.batch(which, stream, training.flip)
        found = {"references": torch.cat([x0, augmented(rest, None, step, purpose, "references")[0]])}
        if labels is not None and other is not None:
            found["same"] = labels[:, None] == torch.cat([labels, other])
        return found

    timed = clock.timed(gathered) if clock else gathered

    def batch(step: int) -> tuple[Tensor, "Told", Generator, dict[str, Tensor]]:
        stream = generator(purpose, job.spec.seed, step)
        if not training.distinct or not isinstance(medium, Images):
            x0, labels = medium.training(training.batch, stream, training.flip)
            return *augmented(x0, labels, step, purpose), stream, {}
        which = medium.places(max(training.batch, references or 0), stream, distinct=True)
        x0, labels = medium.batch(which[: training.batch], stream, training.flip)
        x0, told = augmented(x0, labels, step, purpose)
        return x0, told, stream, {} if references in (None, 1) else timed(x0, labels, which[training.batch :], step)

    return batch


def fit(
    job: Job, net: "nn.Module", batch_loss: "BatchLoss", training: "Training", kind: str, memory: "nn.Module | None" = None,
    clock: "Clock | None" = None,
) -> None:  # fmt: skip
    """Run the loop, write weights and curve, and drop the state that is no longer needed.

    Args: batch_loss: of this process's part of the batch; clock: of what its record tells.
    Raises: ValueError when a batch cannot be shared by the job's processes.
    """
    import shutil
    import time

    from difftables.common.files import save_tensors, write_csv
    from difftables.common.parallel import join
    from difftables.training.loop import CURVE, train

    world = join(job.device.type)
    world.share(training.batch)
    state = job.state("state.pt")
    began = time.perf_counter()
    weights, curve = train(net, _stirred(batch_loss, job, world), training, state, memory, world)
    if world.rank > 0:
        return
    # Of this process: a run that was killed tells of its last part.
    took = time.perf_counter() - began
    job.cost = {"training": {"seconds": round(took, 3), "parameters": sum(p.numel() for p in net.parameters())}}
    if clock and clock.seconds:
        job.cost["training"]["target_share"] = clock.seconds / took
    job.seeds = {"training": job.spec.seed}
    save_tensors(job.output("net"), weights, {"kind": kind})
    write_csv(job.output("curve"), CURVE, [[row[0], *("" if v is None else f"{v:.6g}" for v in row[1:])] for row in curve])
    shutil.rmtree(state.parent, ignore_errors=True)


def _stirred(batch_loss: "BatchLoss", job: Job, world: "World") -> "BatchLoss":
    """The loss; dropout depends on the step and the process alone, so that a resumed run drops what an undisturbed one did."""
    import torch

    from difftables.common.seeds import generator

    def stirred(step: int) -> "tuple[Tensor, Level] | tuple[Tensor, Level, Tensor]":
        torch.manual_seed(generator("dropout", job.spec.seed, step, world.rank).initial_seed())
        return batch_loss(step)

    return stirred
