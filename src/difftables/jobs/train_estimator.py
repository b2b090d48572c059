"""Rule train_estimator: fit the net that estimates the noise level of a sample."""

from difftables.jobs.job import Job


def run(job: Job) -> None:
    """spec: TrainEstimatorSpec.  In: data, maybe levels.  Out: net, curve."""
    import torch

    from difftables.common.parallel import join
    from difftables.common.seeds import generator
    from difftables.data.datasets import open_dataset
    from difftables.diffusion.training_schedules import training_schedule
    from difftables.estimation.batch_loss import estimator_batch_loss
    from difftables.jobs.train import fit
    from difftables.nets.build import build_net
    from difftables.training.batches import training_batches

    spec, seed, device = job.spec.run, job.spec.seed, job.device
    world = join(device.type)
    torch.manual_seed(generator("init-estimator", seed).initial_seed())
    net = build_net(spec.estimator.net, spec.data).to(device)
    schedule = training_schedule(spec.schedule, job.maybe("levels"))
    batches = training_batches(open_dataset(spec.data, job.input("data"), device), spec.estimator.train, "train-estimator", seed)
    batch_loss = estimator_batch_loss(spec, world.average_gradients(net), schedule, batches, world=world, device=device)
    fit(job, net, batch_loss, spec.estimator.train, "estimator")
