"""From a job's spec, plain JSON already checked by `config`, to the objects it names."""

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import nn

from difftables.common.files import kept_at, load_into, load_tensors
from difftables.common.variants import Variants
from difftables.config.data import Images, Speech
from difftables.config.run import Adjustment, Net, Schedule
from difftables.config.run_spec import RunSpec
from difftables.config.sampling import Sampling
from difftables.diffusion import schedules, timesteps
from difftables.diffusion.corruptions import CORRUPTIONS
from difftables.diffusion.denoiser import CONDITIONINGS, PRECONDITIONINGS, Denoiser, precondition
from difftables.diffusion.level import Level
from difftables.diffusion.training_schedules import FAMILIES
from difftables.estimation.estimator import fitted
from difftables.nets import NETS


def training_schedule(spec: Schedule, levels: Path | None = None) -> Level:
    """The schedule a run is trained on, noisiest first, the clean level last.  Args: levels: a file that its family reads, if any."""
    return FAMILIES[spec.family](steps=spec.steps, **(spec.model_extra or {}), **({} if levels is None else {"levels": levels}))


def build_net(spec: Net, data: Images | Speech) -> nn.Module:
    """A network by its kind; size and channels, or bands and hop, come from the data set, where the network asks for them."""
    kind = NETS[spec.kind]
    asked = inspect.signature(kind).parameters
    given = {"bands": data.bands, "hop": data.hop} if isinstance(data, Speech) else of_images(data)
    return kind(**spec.model_extra or {}, **{key: value for key, value in given.items() if key in asked})


def of_images(data: Images) -> dict[str, int]:
    """What a data set of images decides of its nets: 0 classes where they are given no labels."""
    return {"size": data.size, "channels": data.channels, "classes": data.classes or 0}


def load_net(spec: Net, data: Images | Speech, path: Path, kind: str, device: torch.device, at: int | None = None) -> nn.Module:
    """A trained network from its file, ready to evaluate.  Args: at: a training step whose weights were kept; None: the last."""
    net = build_net(spec, data)
    tensors, _ = load_tensors(path, kind)
    prefix = kept_at(at) if at is not None else ""
    last = {name: value for name, value in tensors.items() if not name.startswith(kept_at())}
    tensors = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)} if prefix else last
    load_into(net, tensors, path)
    return net.eval().requires_grad_(False).to(device)


def denoiser(spec: RunSpec, net: nn.Module, training: Level) -> Denoiser:
    """D of a run around its net."""
    coefficients = partial(PRECONDITIONINGS[spec.precondition], sigma_data=spec.sigma_data)
    return precondition(net, coefficients, CONDITIONINGS[spec.conditioning](training), bool((spec.net.model_extra or {}).get("variance")))


def strided(steps: int, training: Level, adjust: Adjustment | None) -> Level:
    """A sub-sequence of the training schedule."""
    return schedules.strided(training, steps)


def even(steps: int, training: Level, adjust: Adjustment | None) -> Level:
    """Evenly spaced timesteps with both ends, rounded: the stride of Improved DDPM."""
    return schedules.at_timesteps(training, timesteps.even(len(training) - 1, steps))


def whole_stride(steps: int, training: Level, adjust: Adjustment | None) -> Level:
    """One integer stride from timestep 0: `ddimN` of Improved DDPM's code."""
    return schedules.at_timesteps(training, timesteps.whole(len(training) - 1, steps))


def trailing(steps: int, training: Level, adjust: Adjustment | None) -> Level:
    """Evenly in time from the noisiest level down."""
    return schedules.at_timesteps(training, timesteps.trailing(len(training) - 1, steps))


def power_law(steps: int, training: Level, adjust: Adjustment | None) -> Level:
    """Evenly spaced in sigma^(1/7) between the ends of the training schedule: EDM's grid."""
    return schedules.power_law(training, steps)


def family(steps: int, training: Level, adjust: Adjustment) -> Level:
    """The schedule of the adjustment's family that ends where training does."""
    return fitted(training.alpha_bar[0].item(), steps, adjust.first_beta, adjust.family, "exact")


SCHEDULES: Variants[Callable[..., Level]] = {
    "strided": strided,
    "even": even,
    "whole-stride": whole_stride,
    "trailing": trailing,
    "power-law": power_law,
    "fitted": family,
}


def first_schedule(sampler: Sampling, steps: int, training: Level, adjust: Adjustment | None, file: Path | None) -> Level:
    """The schedule a sampler starts out with: computed, or read from a file."""
    if sampler.sections:
        return schedules.at_timesteps(training, timesteps.sections(len(training) - 1, sampler.sections))
    if sampler.schedule in SCHEDULES:
        return SCHEDULES[sampler.schedule](steps, training, adjust)
    path = file if file is not None else Path(sampler.schedule)
    found = schedules.read(path)
    if steps not in found:
        raise ValueError(f"{path} has schedules of {', '.join(map(str, found))} steps, not of {steps}")
    return found[steps]


__all__ = ["CORRUPTIONS"]
