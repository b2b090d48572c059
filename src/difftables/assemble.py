"""From a job's spec, plain JSON already checked by `config`, to the objects it names."""

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from difftables import schedules
from difftables.corruptions import CORRUPTIONS, PRIORS
from difftables.estimator import fitted
from difftables.io import load_into, load_tensors
from difftables.level import Level
from difftables.nets import NETS
from difftables.precond import CONDITIONINGS, PRECONDITIONINGS, Denoiser, clipped, precondition
from difftables.registry import GIVEN_TO_NETS
from difftables.steps import RULES

Spec = SimpleNamespace


def training_schedule(spec: Spec) -> Level:
    """The schedule a run is trained on, noisiest first, the clean level last."""
    return schedules.from_betas(schedules.FAMILIES[spec.family](spec.steps, spec.first, spec.last))


def build_net(spec: Spec, data: Spec) -> nn.Module:
    """A network by its kind; size and channels, or bands and hop, come from the data set, where the network asks for them."""
    options: dict[str, Any] = {key: value for key, value in vars(spec).items() if key != "kind"}
    kind = NETS[spec.kind]
    asked = inspect.signature(kind).parameters
    options |= {key: getattr(data, key) for key in GIVEN_TO_NETS if key in asked}
    return kind(**options)


def load_net(spec: Spec, data: Spec, path: Path, kind: str, device: torch.device) -> nn.Module:
    """A trained network from its checkpoint, ready to evaluate."""
    net = build_net(spec, data)
    tensors, _ = load_tensors(path, kind)
    load_into(net, tensors, path)
    return net.eval().requires_grad_(False).to(device)


def denoiser(spec: Spec, net: nn.Module, training: Level) -> Denoiser:
    """D of a run around its net."""
    coefficients = partial(PRECONDITIONINGS[spec.precondition], sigma_data=spec.sigma_data)
    return precondition(net, coefficients, CONDITIONINGS[spec.conditioning](training))


def strided(steps: int, training: Level, adjust: Spec | None) -> Level:
    """A sub-sequence of the training schedule."""
    return schedules.strided(training, steps)


def family(steps: int, training: Level, adjust: Spec) -> Level:
    """The schedule of the adjustment's family that ends where training does."""
    return fitted(training.alpha_bar[0].item(), steps, adjust.first, adjust.family, "exact")


SCHEDULES: dict[str, Callable[..., Level]] = {"strided": strided, "fitted": family}


def first_schedule(sampler: Spec, steps: int, training: Level, adjust: Spec | None, file: Path | None) -> Level:
    """The schedule a sampler starts out with: computed, or read from a file."""
    if sampler.schedule in SCHEDULES:
        return SCHEDULES[sampler.schedule](steps, training, adjust)
    path = file if file is not None else Path(sampler.schedule)
    found = schedules.read(path)
    if steps not in found:
        raise ValueError(f"{path} has schedules of {', '.join(map(str, found))} steps, not of {steps}")
    return found[steps]


__all__ = ["CORRUPTIONS", "PRIORS", "RULES", "clipped"]
