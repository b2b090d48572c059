"""From a job's spec, plain JSON already checked by `config`, to the objects it names."""

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from difftables import schedules, strides
from difftables.corruptions import CORRUPTIONS
from difftables.estimator import fitted
from difftables.io import kept_at, load_into, load_tensors
from difftables.level import Level
from difftables.nets import NETS
from difftables.precond import CONDITIONINGS, PRECONDITIONINGS, Denoiser, clipped, precondition
from difftables.processes import FAMILIES
from difftables.registry import GIVEN_TO_NETS
from difftables.steps import RULES
from difftables.variants import Variants

Spec = SimpleNamespace


def training_schedule(spec: Spec, levels: Path | None = None) -> Level:
    """The schedule a run is trained on, noisiest first, the clean level last.  Args: levels: a file that its family reads, if any."""
    options: dict[str, Any] = {key: value for key, value in vars(spec).items() if key != "family"}
    return FAMILIES[spec.family](**options, **({} if levels is None else {"levels": levels}))


def build_net(spec: Spec, data: Spec) -> nn.Module:
    """A network by its kind; size and channels, or bands and hop, come from the data set, where the network asks for them."""
    options: dict[str, Any] = {key: value for key, value in vars(spec).items() if key != "kind"}
    kind = NETS[spec.kind]
    asked = inspect.signature(kind).parameters
    options |= {key: getattr(data, key) for key in GIVEN_TO_NETS if key in asked}
    return kind(**options)


def load_net(spec: Spec, data: Spec, path: Path, kind: str, device: torch.device, at: int | None = None) -> nn.Module:
    """A trained network from its file, ready to evaluate.  Args: at: a training step whose weights were kept; None: the last."""
    net = build_net(spec, data)
    tensors, _ = load_tensors(path, kind)
    prefix = kept_at(at) if at is not None else ""
    last = {name: value for name, value in tensors.items() if not name.startswith(kept_at())}
    tensors = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)} if prefix else last
    load_into(net, tensors, path)
    return net.eval().requires_grad_(False).to(device)


def denoiser(spec: Spec, net: nn.Module, training: Level) -> Denoiser:
    """D of a run around its net."""
    coefficients = partial(PRECONDITIONINGS[spec.precondition], sigma_data=spec.sigma_data)
    return precondition(net, coefficients, CONDITIONINGS[spec.conditioning](training), getattr(spec.net, "variance", False))


def strided(steps: int, training: Level, adjust: Spec | None) -> Level:
    """A sub-sequence of the training schedule."""
    return schedules.strided(training, steps)


def even(steps: int, training: Level, adjust: Spec | None) -> Level:
    """Evenly spaced timesteps with both ends, rounded: the stride of Improved DDPM."""
    return schedules.at_timesteps(training, strides.even(len(training) - 1, steps))


def whole_stride(steps: int, training: Level, adjust: Spec | None) -> Level:
    """One integer stride from timestep 0: `ddimN` of Improved DDPM's code."""
    return schedules.at_timesteps(training, strides.whole(len(training) - 1, steps))


def trailing(steps: int, training: Level, adjust: Spec | None) -> Level:
    """Evenly in time from the noisiest level down."""
    return schedules.at_timesteps(training, strides.trailing(len(training) - 1, steps))


def power_law(steps: int, training: Level, adjust: Spec | None) -> Level:
    """Evenly spaced in sigma^(1/7) between the ends of the training schedule: EDM's grid."""
    return schedules.power_law(training, steps)


def family(steps: int, training: Level, adjust: Spec) -> Level:
    """The schedule of the adjustment's family that ends where training does."""
    return fitted(training.alpha_bar[0].item(), steps, adjust.first, adjust.family, "exact")


SCHEDULES: Variants[Callable[..., Level]] = {
    "strided": strided,
    "even": even,
    "whole-stride": whole_stride,
    "trailing": trailing,
    "power-law": power_law,
    "fitted": family,
}


def first_schedule(sampler: Spec, steps: int, training: Level, adjust: Spec | None, file: Path | None) -> Level:
    """The schedule a sampler starts out with: computed, or read from a file."""
    if getattr(sampler, "sections", None):
        return schedules.at_timesteps(training, strides.sections(len(training) - 1, sampler.sections))
    if sampler.schedule in SCHEDULES:
        return SCHEDULES[sampler.schedule](steps, training, adjust)
    path = file if file is not None else Path(sampler.schedule)
    found = schedules.read(path)
    if steps not in found:
        raise ValueError(f"{path} has schedules of {', '.join(map(str, found))} steps, not of {steps}")
    return found[steps]


__all__ = ["CORRUPTIONS", "RULES", "clipped"]
