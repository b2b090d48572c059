"""How noisy and biased the training target of a run is, and how far its net is from the exact score, level by level."""

from typing import Any

import torch
from torch import Tensor

from difftables.common.seeds import generator
from difftables.config.data import Images
from difftables.diffusion.denoiser import split_variance
from difftables.diffusion.level import Level, same_process
from difftables.sampling.loaded_run import LoadedRun
from difftables.studies.target_variance import denoiser_error, denoising_variance, noisy_samples, squared_bias, stable_variance

LOWEST, HIGHEST = 0.05, 20.0  # sigma, for data of about unit size
PARTS = 16  # of the noisy samples, whose means show how certain a difference of two runs is


def target_by_level(run: LoadedRun, *, levels: int, samples: int) -> dict[str, Any]:
    """Variance and bias of the target, and the net's squared distance from E[x0 | x], a record for each level.

    Args: levels: evenly spaced in log sigma; samples: noisy ones at each.
    Returns: "shared", what all records share, and "records".
    Raises: ValueError for a run with an operator or with labels, whose posteriors are not computed.
    """
    spec = run.spec
    if spec.corruption != "scale":
        raise ValueError(f"the run has corruption {spec.corruption}, but posteriors are computed for scale only; leave it out of the table")
    if isinstance(spec.data, Images) and spec.data.classes:
        raise ValueError(
            "the run is conditioned on labels, but posteriors are computed over all classes together; leave out `condition_on`"
        )
    data, references = run.medium.clean().double(), spec.target.references or 1
    biased = references > 1

    def denoise(x: Tensor, level: Level) -> Tensor:
        return split_variance(run.denoise(x.float(), level))[0]

    records = []
    for i, sigma in enumerate(sigmas(run.training, levels)):
        # One stream for all runs: they see the same noisy samples, and their differences are paired.
        level, stream = same_process(run.training, sigma[None]).to(run.device), generator("variance", i)
        noisy = noisy_samples(data, level, samples, stream)
        variance = stable_variance(data, level, noisy, references, stream) if biased else denoising_variance(data, noisy)
        with torch.inference_mode():
            error = denoiser_error(data, level, noisy, denoise)
        records.append({
            "sigma": sigma.item(), "alpha": level.alpha.item(), "std": level.std.item(),
            "variance": mean_and_error(variance), "denoiser": mean_and_error(error),
            "bias2": mean_and_error(squared_bias(data, noisy, references, stream)) if biased else None,
            "bias2_without_source":
                mean_and_error(squared_bias(data, noisy, references, stream, source=False)) if biased else None,
            "parts": {"variance": part_means(variance), "denoiser": part_means(error)},
        })  # fmt: skip
        print(f"sigma {sigma:.3g}: {samples} samples", flush=True)
    return {"shared": {"points": len(data), "references": references, "samples": samples}, "records": records}


def sigmas(schedule: Level, count: int) -> Tensor:
    """sigma evenly spaced in its logarithm from LOWEST to HIGHEST, or to the ends of the schedule where those lie between, [count]."""
    ends = torch.tensor([LOWEST, HIGHEST], dtype=torch.float64).clamp(schedule.sigma[-2].item(), schedule.sigma[0].item()).log()
    return torch.lerp(ends[0], ends[1], torch.linspace(0, 1, count, dtype=torch.float64)).exp()


def mean_and_error(values: Tensor) -> list[float]:
    """The mean of values, [M], and its standard error."""
    return [values.mean().item(), (values.std() / len(values) ** 0.5).item()]


def part_means(values: Tensor) -> list[float]:
    """Means of every PARTS-th value, from each of the first on; the values where there are fewer than PARTS."""
    return [values[i::PARTS].mean().item() for i in range(min(PARTS, len(values)))]
