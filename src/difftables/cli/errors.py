"""Rule errors: how far off the noise-level estimators are, level by level, on held-out samples."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from difftables.cli.job import Job

if TYPE_CHECKING:
    from difftables.level import Level


def run(job: Job) -> None:
    """spec: run, evaluation, names, scale.  In: data, estimator.  Out: record."""
    import torch

    from difftables import assemble
    from difftables.data.images import to_unit
    from difftables.estimator import log_noise
    from difftables.io import load_tensors, write_json
    from difftables.rng import SampleNoise

    spec, run_, device = job.spec, job.spec.run, job.device
    data, _ = load_tensors(job.input("data"), "data")
    held = data["held_out"].bool()
    count = min(spec.evaluation.error_n, int(held.sum()))
    clean = to_unit(data["images"][held][:count]).to(device)
    training = assemble.training_schedule(run_.schedule)
    net = assemble.load_net(run_.estimator.net, run_.data, job.input("estimator"), "estimator", device)
    oracle = assemble.oracle(run_.oracle, training, to_unit(data["images"][~held]).to(device))
    estimators: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"estimator": assemble.estimate_by_net(net, training), "oracle": oracle}
    corrupt = assemble.CORRUPTIONS[run_.corruption]
    index = spread_levels(training, spec.evaluation.error_levels)
    randn, rows = SampleNoise([("errors", i) for i in range(count)]), []
    with torch.inference_mode():
        for i in index:
            level = training[i].expand(count).to(device)
            x = corrupt(clean, level) + level.like(clean).std * randn(clean)
            for name, estimate in estimators.items():
                alpha_bar = estimate(x).double()
                gap = (1 - alpha_bar).log() - log_noise(level)
                error = alpha_bar - level.alpha_bar
                rows.append(
                    {"estimator": name, "alpha_bar": training.alpha_bar[i].item(), "n": count,
                     "mse_alpha_bar": error.square().mean().item(), "bias_alpha_bar": error.mean().item(),
                     "mse_log_noise": gap.square().mean().item(), "bias_log_noise": gap.mean().item()}
                )  # fmt: skip
    shared = {**vars(spec.names), "scale": spec.scale, **job.provenance()}
    write_json(job.output("record"), {"shared": shared, "records": rows})


def spread_levels(training: "Level", count: int) -> list[int]:
    """Places in the training schedule, noisiest first, whose log sigma is about evenly spaced: both ends are seen."""
    import torch

    log_sigma = training.sigma[:-1].log()
    wanted = torch.linspace(log_sigma[0].item(), log_sigma[-1].item(), count, dtype=torch.float64)
    return list(dict.fromkeys((log_sigma[None] - wanted[:, None]).abs().argmin(dim=1).tolist()))
