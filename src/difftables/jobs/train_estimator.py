"""Rule train_estimator: fit the net that reads the noise level off a sample."""

from difftables.jobs.job import Job


def run(job: Job) -> None:
    """spec: run (data, schedule, corruption, estimator), seed.  In: data.  Out: net, curve, record."""
    import torch
    from torch import Tensor

    from difftables.common.parallel import join
    from difftables.common.seeds import generator
    from difftables.diffusion.corruptions import CORRUPTIONS
    from difftables.diffusion.level import Level
    from difftables.diffusion.training_schedules import training_schedule
    from difftables.estimation.estimator import estimator_loss
    from difftables.jobs.train import fit, training_batches
    from difftables.nets.build import build_net
    from difftables.training import level_densities
    from difftables.training.losses import PENALTIES

    spec, device = job.spec.run, job.device
    world = join(device.type)
    torch.manual_seed(generator("init-estimator", job.spec.seed).initial_seed())
    net = build_net(spec.estimator.net, spec.data).to(device)
    estimate = world.average_gradients(net)
    training = training_schedule(spec.schedule, job.maybe("levels"))
    corrupt, density = CORRUPTIONS[spec.corruption], level_densities.of(spec.estimator.density, training)
    penalty = PENALTIES[spec.estimator.penalty]
    batch = training_batches(job, "train-estimator", spec.estimator.train)

    def batch_loss(step: int) -> tuple[Tensor, Level]:
        x0, _, stream, _ = batch(step)
        level = density(training, len(x0), stream)
        noise = world.shard(torch.randn(x0.shape, generator=stream)).to(device)
        x0, level = world.shard(x0), world.shard(level)
        x = corrupt(x0, level) + level.like(x0).std * noise
        return estimator_loss(estimate(x), level, penalty), level

    fit(job, net, batch_loss, spec.estimator.train, "estimator")
