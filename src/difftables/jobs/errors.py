"""Rule errors: how far off the noise-level estimators are, level by level, on held-out samples."""

from difftables.jobs.job import Job


def run(job: Job) -> None:
    """spec: run, estimates, evaluation, names, scale.  In: data, estimator.  Out: record."""
    import torch

    from difftables.common.files import write_json
    from difftables.common.seeds import SampleNoise
    from difftables.data import datasets
    from difftables.diffusion import subschedules
    from difftables.diffusion.corruptions import CORRUPTIONS
    from difftables.diffusion.denoiser import bind_condition
    from difftables.diffusion.training_schedules import training_schedule
    from difftables.estimation.estimator import log_noise
    from difftables.estimation.level_sources import ESTIMATES

    spec, run_, device = job.spec, job.spec.run, job.device
    clean, cond = datasets.open_dataset(run_.data, job.input("data"), device).held_out(spec.evaluation.error_n)
    count = len(clean)
    training = training_schedule(run_.schedule, job.maybe("levels"))
    files = {name: paths[0] for name, paths in job.inputs.items()}
    estimators = {name: ESTIMATES[name](run_, training, files, device) for name in spec.estimates}
    corrupt = CORRUPTIONS[run_.corruption]
    index = subschedules.evenly_in_log_sigma(training, spec.evaluation.error_levels)
    randn, rows = SampleNoise([("errors", i) for i in range(count)]), []
    with torch.inference_mode():
        for i in index:
            level = training[i].expand(count).to(device)
            x = corrupt(clean, level) + level.like(clean).std * randn(clean)
            for name, estimate in estimators.items():
                alpha_bar = bind_condition(estimate, cond)(x).double()
                gap = (1 - alpha_bar).log() - log_noise(level)
                error = alpha_bar - level.alpha_bar
                rows.append(
                    {"estimator": name, "alpha_bar": training.alpha_bar[i].item(), "n": count,
                     "mse_alpha_bar": error.square().mean().item(), "bias_alpha_bar": error.mean().item(),
                     "mse_log_noise": gap.square().mean().item(), "bias_log_noise": gap.mean().item()}
                )  # fmt: skip
    job.seeds = {"training": spec.names.train_seed}
    write_json(job.output("record"), {"shared": spec.names.model_dump(), "records": rows})
