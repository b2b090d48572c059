"""From a net's section of params.yaml to a net, and from a file to a trained one."""

import inspect
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from difftables.common.files import kept_at, load_into, load_tensors
from difftables.config.data import Images, Speech, shape_of
from difftables.config.nets import Net
from difftables.nets import NETS


def build_net(spec: Net, data: Images | Speech) -> nn.Module:
    """An untrained net by its kind; size, channels and classes, or bands and hop, are those of the data set, where its class takes them."""
    return net_of_shape(spec, shape_of(data))


def net_of_shape(spec: Net, shape: Mapping[str, int]) -> nn.Module:
    """An untrained net by its kind.  Args: shape: as `shape_of` has it."""
    kind = NETS[spec.kind]
    accepted = inspect.signature(kind).parameters
    return kind(**spec.model_extra or {}, **{key: value for key, value in shape.items() if key in accepted})


def load_net(spec: Net, data: Images | Speech, path: Path, kind: str, device: torch.device, step: int | None = None) -> nn.Module:
    """A trained net from its file, ready to evaluate.

    Args: kind: that the file must have, `net` or `estimator`; step: of training, whose weights were kept; None: the last.
    Raises: ValueError naming a file that is damaged, or of another net.
    """
    net = build_net(spec, data)
    tensors, _ = load_tensors(path, kind)
    prefix = kept_at(step) if step is not None else ""
    last = {name: value for name, value in tensors.items() if not name.startswith(kept_at())}
    tensors = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)} if prefix else last
    load_into(net, tensors, path)
    return net.eval().requires_grad_(False).to(device)
