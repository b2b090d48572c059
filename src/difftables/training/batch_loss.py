"""The loss of one training step of a denoiser, as the loop minimises it."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from difftables.common.parallel import World
from difftables.common.seeds import generator
from difftables.config.run_spec import TrainedRun
from difftables.diffusion.corruptions import CORRUPTIONS, check_corruption
from difftables.diffusion.denoiser import Denoiser
from difftables.diffusion.level import Level
from difftables.training.batches import Batch
from difftables.training.level_densities import make_density
from difftables.training.loop import BatchLoss, Stopwatch
from difftables.training.loss_aware import LossAware
from difftables.training.losses import PENALTIES, WEIGHTS, denoising_loss, plain
from difftables.training.targets import TARGETS
from difftables.training.variational_bound import OBJECTIVES


def denoiser_batch_loss(
    run: TrainedRun, denoise: Denoiser, schedule: Level, batches: Callable[[int], Batch], *, world: World, device: torch.device,
    stopwatch: Stopwatch,
) -> tuple[BatchLoss, LossAware | None]:  # fmt: skip
    """The loss of a run's training step, and the density of levels that learns from it, None for the others.

    Args: denoise: of the net in training; schedule: of training; stopwatch: measures the target with references.
    Returns: step to (loss, levels, maybe the bound) of this process's shard of the batch, [B / processes] each.
    Raises: ValueError for a corruption that no loss or sampler can use.
    """
    corrupt, penalty = CORRUPTIONS[run.corruption], PENALTIES[run.penalty]
    weight, target = partial(WEIGHTS[run.weight], sigma_data=run.sigma_data), TARGETS[run.target.kind]
    if run.target.references == 1:
        target = TARGETS["clean"]
    elif run.target.references is not None:
        target = stopwatch.timed(target)
    density = make_density(run.density, schedule)
    memory = density if isinstance(density, LossAware) else None
    kind = OBJECTIVES[run.objective.kind]
    objective = kind(schedule, run.objective.vlb_weight) if kind else None
    loss_through = run.loss_through == "corrupted"
    check_corruption(run.corruption, corrupt, schedule[:1], tuple(batches(0).x0.shape[1:]), loss_through)

    def batch_loss(step: int) -> tuple[Tensor, Level] | tuple[Tensor, Level, Tensor]:
        batch = batches(step)
        count = len(batch.x0)
        levels = density(schedule, count, batch.stream)
        # Every process draws the levels and the noise of the whole batch, from the same stream.
        noise = world.shard(torch.randn(batch.x0.shape, generator=batch.stream)).to(device)
        level, references = world.shard(levels), shard_references(batch.references, count, world)
        loss = denoising_loss(
            world.shard(batch.x0), level.to(device), noise, denoise=denoise, corrupt=corrupt, target=partial(target, **references),
            weight=weight, penalty=penalty, residual=corrupt if loss_through else plain, objective=objective, cond=world.shard(batch.cond),
        )  # fmt: skip
        weights = torch.ones(len(level))
        if memory is not None:
            weights = memory.weights(level).float()
            memory.remember(levels, world.all_gather(loss))
        loss = weights.to(device) * loss
        if objective is None or objective.last_bound is None:
            return loss, level
        return loss, level, weights.to(device) * objective.last_bound

    return batch_loss, memory


def shard_references(references: dict[str, Tensor], count: int, world: World) -> dict[str, Tensor]:
    """References of a batch of `count`, rolled so that they begin with this process's shard of it."""
    shards = {"references": lambda x: world.roll_to_rank(x, count), "allowed": lambda x: world.roll_to_rank(world.shard(x), count, dim=1)}
    return {name: shards[name](value) for name, value in references.items()}


def with_dropout_seed(batch_loss: BatchLoss, seed: int, world: World, device: torch.device) -> BatchLoss:
    """The loss with the device's generator, which dropout draws from, seeded by step and process, so that a resumed run repeats its draws.

    Not by `torch.manual_seed`: without a GPU it keeps a traceback for later, at every step.
    """
    dropout = torch.cuda.default_generators[device.index or 0] if device.type == "cuda" else torch.default_generator

    def seeded(step: int) -> tuple[Tensor, Level] | tuple[Tensor, Level, Tensor]:
        dropout.manual_seed(generator("dropout", seed, step, world.rank).initial_seed())
        return batch_loss(step)

    return seeded
