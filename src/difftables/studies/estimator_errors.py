"""The errors of noise-level estimators, level by level, on held-out samples."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from difftables.common.seeds import SampleNoise
from difftables.config.run_spec import EstimatedRun, RunSpec
from difftables.data import datasets
from difftables.diffusion import subschedules
from difftables.diffusion.corruptions import CORRUPTIONS
from difftables.diffusion.denoiser import bind_condition
from difftables.diffusion.training_schedules import training_schedule
from difftables.estimation.estimator import log_noise
from difftables.estimation.level_sources import ESTIMATES


def estimator_errors(
    run: EstimatedRun | RunSpec, estimates: Sequence[str], files: Mapping[str, Path], device: torch.device, *, levels: int, samples: int
) -> list[dict[str, Any]]:
    """Mean and mean square of the errors in alpha_bar and in log(1 - alpha_bar), a record for each level and estimator.

    Args: estimates: of ESTIMATES; files: data, and maybe estimator and levels; levels: evenly spaced in log sigma; samples: held out.
    """
    clean, cond = datasets.open_dataset(run.data, files["data"], device).held_out(samples)
    count = len(clean)
    training = training_schedule(run.schedule, files.get("levels"))
    estimators = {name: ESTIMATES[name](run, training, dict(files), device) for name in estimates}
    corrupt = CORRUPTIONS[run.corruption]
    randn, records = SampleNoise([("errors", i) for i in range(count)]), []
    with torch.inference_mode():
        for i in subschedules.evenly_in_log_sigma(training, levels):
            level = training[i].expand(count).to(device)
            x = corrupt(clean, level) + level.like(clean).std * randn(clean)
            for name, estimate in estimators.items():
                alpha_bar = bind_condition(estimate, cond)(x).double()
                log_error = (1 - alpha_bar).log() - log_noise(level)
                error = alpha_bar - level.alpha_bar
                records.append(
                    {"estimator": name, "alpha_bar": training.alpha_bar[i].item(), "n": count,
                     "mse_alpha_bar": error.square().mean().item(), "bias_alpha_bar": error.mean().item(),
                     "mse_log_noise": log_error.square().mean().item(), "bias_log_noise": log_error.mean().item()}
                )  # fmt: skip
    return records
