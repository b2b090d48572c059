"""Rule gradients: how noisy the gradient of each objective is at a trained net."""

from difftables.jobs.job import Job


def run(job: Job) -> None:
    """spec: GradientsSpec.  In: data, net, maybe edge_net.  Out: record."""
    from difftables.common.files import write_json
    from difftables.sampling.loaded_run import load_run
    from difftables.studies.gradients import gradient_noise

    spec, e = job.spec, job.spec.evaluation
    record = gradient_noise(load_run(spec.run, job.files, job.device), batch=e.gradient_batch, batches=e.gradient_batches)
    job.seeds = {"training": spec.names.train_seed}
    write_json(job.output("record"), {**record, "shared": {**spec.names.model_dump(), **record["shared"]}})
