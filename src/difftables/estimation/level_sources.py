"""Where a sample's noise level comes from while sampling: the trained estimator, or the exact one."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from difftables.common.variants import Variants
from difftables.config import data as config_data
from difftables.config.run import Adjustment
from difftables.config.run_spec import RunSpec
from difftables.data.image_set import Images
from difftables.data.speech_set import Speech
from difftables.diffusion import schedules
from difftables.diffusion.level import Level
from difftables.estimation.estimator import Adjust, alpha_bar_of
from difftables.estimation.oracle import MelOracle, Oracle, fit_kernel
from difftables.nets.build import load_net

Estimate = Callable[..., Tensor]  # x, [B, ...], and as `cond` what the net is given besides, to alpha_bar, [B]


def trained(run: RunSpec, training: Level, files: dict[str, Path], device: torch.device) -> Estimate:
    """The estimator net of a run: x, [B, ...], to alpha_bar, [B], inside the levels of the training schedule."""
    assert run.estimator is not None, "the plan asks such a run for its estimator"
    net = load_net(run.estimator.net, run.data, files["estimator"], "estimator", device)
    lowest = training.alpha_bar[0].item()
    return lambda x, cond=None: alpha_bar_of(net(x), lowest)


def oracle(run: RunSpec, training: Level, files: dict[str, Path], device: torch.device) -> Estimate:
    """The exact estimator for a density of training samples, under a training density uniform over the schedule.

    Half of the levels lie evenly in index and half evenly in log sigma; each counts for the stretch of indices it stands for.
    """
    assert run.oracle is not None and isinstance(run.data, config_data.Images), "the plan asks such a run for its oracle"
    clean, spec = Images(run.data, files["data"], device).clean(), run.oracle
    even = torch.linspace(0, len(training) - 2, spec.levels // 2 + 1).round().long().tolist()
    index = torch.tensor(sorted({*even, *schedules.evenly_in_log_sigma(training, spec.levels // 2 + 1)}))
    edges = torch.cat([index[:1].double(), (index[1:] + index[:-1]) / 2, index[-1:].double()])
    kernel = fit_kernel(clean.flatten(1), spec.references, spec.shrinkage, spec.kernel == "full")
    exact = Oracle(clean[: spec.references], training[index], edges.diff(), kernel)
    return lambda x, cond=None: exact(x)


def known_mel(run: RunSpec, training: Level, files: dict[str, Path], device: torch.device) -> Estimate:
    """The likeliest level of a noisy utterance whose clean mel spectrogram is known, as a vocoder knows it."""
    assert isinstance(run.data, config_data.Speech), "the plan asks such a run for speech"
    speech = Speech(run.data, files["data"], device)
    exact = MelOracle(speech.weights, run.data.hop, training)
    return lambda x, cond: exact(x, cond)


ESTIMATES: Variants[Callable[[RunSpec, Level, dict[str, Path], torch.device], Estimate]] = {
    "estimator": trained, "oracle": oracle, "known_mel": known_mel,
}  # fmt: skip


def adjustment(adjust: Adjustment, estimate: Estimate, estimate_on: str | None = None, family: str | None = None) -> Adjust:
    """The adjustment of a run around an estimate of alpha_bar.  Args: estimate_on, family: in place of the run's."""
    return Adjust(
        estimate, first=adjust.first_beta, family=family or adjust.family, mode=adjust.mode, on=estimate_on or adjust.estimate_on,
        update=adjust.update,
    )  # fmt: skip
