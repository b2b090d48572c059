"""Sources of a sample's noise level while sampling: the trained estimator, or an exact one."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from difftables.common.clock import timed
from difftables.common.seeds import generator
from difftables.common.variants import Variants
from difftables.config import data as config_data
from difftables.config.run_spec import EstimatedRun, RunSpec
from difftables.data import datasets
from difftables.data.image_set import ImageSet
from difftables.data.speech_set import SpeechSet
from difftables.diffusion import subschedules
from difftables.diffusion.corruptions import CORRUPTIONS
from difftables.diffusion.denoiser import Denoiser
from difftables.diffusion.level import Level
from difftables.estimation.estimator import alpha_bar_of
from difftables.estimation.oracle import MelOracle, Oracle, fit_kernel
from difftables.estimation.residual import ResidualLevel, measure_loss_curve
from difftables.nets.build import load_net

CURVE_LEVELS, CURVE_SAMPLES = 24, 128  # of the loss curve of `residual`: at most 3072 evaluations of the net
Estimate = Callable[..., Tensor]  # x, [B, ...], and `cond`, the net's condition, to alpha_bar, [B]


def trained(run: RunSpec | EstimatedRun, training: Level, files: dict[str, Path], device: torch.device) -> Estimate:
    """The estimator net of a run: x, [B, ...], to alpha_bar, [B], within the levels of the training schedule."""
    assert run.estimator is not None, "the plan refuses a run without an estimator"
    net = load_net(run.estimator.net, run.data, files["estimator"], "estimator", device)
    lowest = training.alpha_bar[0].item()

    @timed("forward")
    def estimate(x: Tensor, cond: Tensor | None = None) -> Tensor:
        return alpha_bar_of(net(x), lowest)

    return estimate


def oracle(run: RunSpec | EstimatedRun, training: Level, files: dict[str, Path], device: torch.device) -> Estimate:
    """The exact estimator for a kernel density of training samples, under a training density uniform over the schedule.

    Half of the levels are evenly spaced in index and half in log sigma; each is weighted by the range of indices that it represents.
    """
    assert run.oracle is not None and isinstance(run.data, config_data.Images), "the plan refuses a run without images and an oracle"
    clean, settings = ImageSet(run.data, files["data"], device).clean(), run.oracle
    even = torch.linspace(0, len(training) - 2, settings.levels // 2 + 1).round().long().tolist()
    index = torch.tensor(sorted({*even, *subschedules.evenly_in_log_sigma(training, settings.levels // 2 + 1)}))
    edges = torch.cat([index[:1].double(), (index[1:] + index[:-1]) / 2, index[-1:].double()])
    kernel = fit_kernel(clean.flatten(1), settings.references, settings.shrinkage, settings.kernel == "full")
    exact = Oracle(clean[: settings.references], training[index], edges.diff(), kernel)
    return lambda x, cond=None: exact(x)


def known_mel(run: RunSpec | EstimatedRun, training: Level, files: dict[str, Path], device: torch.device) -> Estimate:
    """The likeliest level of a noisy utterance whose clean mel spectrogram is known, as it is to a vocoder."""
    assert isinstance(run.data, config_data.Speech), "the plan refuses a run without speech"
    speech = SpeechSet(run.data, files["data"], device)
    exact = MelOracle(speech.weights, run.data.hop, training)
    return lambda x, cond: exact(x, cond)


def residual(
    run: RunSpec | EstimatedRun, training: Level, files: dict[str, Path], device: torch.device, *, denoise: Denoiser
) -> Estimate:  # fmt: skip
    """The level that the residual of the prediction shows, corrected by the loss curve of the run on training samples.

    Args: denoise: of the sampler, clipped as it is there.
    """
    clean, cond = datasets.open_dataset(run.data, files["data"], device).training_batch(CURVE_SAMPLES, generator("loss-curve", 0), False)
    levels = training[torch.tensor(subschedules.evenly_in_log_sigma(training, CURVE_LEVELS))]
    return ResidualLevel(measure_loss_curve(denoise, CORRUPTIONS[run.corruption], clean, cond, levels), training)


ESTIMATES: Variants[Callable[..., Estimate]] = {
    "estimator": trained, "oracle": oracle, "known_mel": known_mel, "residual": residual,
}  # fmt: skip
