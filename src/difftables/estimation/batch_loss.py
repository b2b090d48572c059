"""The loss of one training step of a noise-level estimator, as the loop minimises it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from difftables.common.clock import Phase
from difftables.common.parallel import World
from difftables.config.run_spec import EstimatorRun
from difftables.diffusion.corruptions import CORRUPTIONS
from difftables.diffusion.level import Level
from difftables.estimation.estimator import estimator_loss
from difftables.training.batches import Batch
from difftables.training.level_densities import make_density
from difftables.training.loop import BatchLoss
from difftables.training.losses import PENALTIES


def estimator_batch_loss(
    run: EstimatorRun, net: nn.Module, schedule: Level, batches: Callable[[int], Batch], *, world: World, device: torch.device
) -> BatchLoss:
    """The loss of an estimator's training step: step to (loss, levels) of this process's shard of the batch.

    Args: net: u(x), [B, ...] to [B], in training; schedule: of the training of the run's denoiser.
    """
    corrupt, penalty = CORRUPTIONS[run.corruption], PENALTIES[run.estimator.penalty]
    density = make_density(run.estimator.density, schedule)

    def batch_loss(step: int) -> tuple[Tensor, Level]:
        batch = batches(step)
        level = density(schedule, len(batch.x0), batch.stream)
        noise = world.shard(torch.randn(batch.x0.shape, generator=batch.stream)).to(device)
        x0, level = world.shard(batch.x0), world.shard(level)
        x = corrupt(x0, level) + level.like(x0).std * noise
        with Phase("forward"):
            u = net(x)
        return estimator_loss(u, level, penalty), level

    return batch_loss
