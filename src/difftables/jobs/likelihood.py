"""Rule likelihood: the variational bound of held-out images, level by level and for shorter chains."""

from difftables.jobs.job import Job


def run(job: Job) -> None:
    """spec: LikelihoodSpec.  In: data, net, maybe edge_net.  Out: record."""
    from difftables.common.files import write_json
    from difftables.sampling.loaded_run import load_run
    from difftables.studies.likelihood import variational_bounds

    spec, e = job.spec, job.spec.evaluation
    loaded = load_run(spec.run, job.files, job.device)
    record = variational_bounds(loaded, spec.steps, images=e.likelihood_n, batch=e.batch, variance=spec.variance)
    shared = {**spec.names.model_dump(), **record["shared"], "trained": spec.trained.model_dump()}
    job.seeds = {"training": spec.names.train_seed}
    write_json(job.output("record"), {**record, "shared": shared})
