"""A checkpoint's file to the weights of our net, with a report of every tensor in it."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from difftables.checkpoints.convert import architecture, convert
from difftables.checkpoints.official import Official, read_official
from difftables.common import registry
from difftables.common.files import load_into
from difftables.config.nets import Net
from difftables.nets import NETS
from difftables.nets.build import net_of_shape

OWN = "difftables"  # the format whose names are ours
OF_TRAINING = ("dropout",)  # arguments of nets that no sample depends on
UNSHOWN = ("size", "heads", "head_width", "groups", "fir", "factors")  # those that tensors may not show


def load_checkpoint(path: Path, format: str, net: Net, shape: Mapping[str, int]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights of a net, and what was read: which weights, and the tensors used, ignored (no weights), unused and missing.

    Args: path: of a file or a diffusers folder; shape: as `data.shape_of` has it.
    Raises: ValueError, one line naming the file, where it is not one of the format, or does not hold this net and nothing else.
    """
    official = read_official(path, format)
    module = net_of_shape(net, shape)
    if format == OWN:
        load_into(module, official.state, path)
        weights, tensors = official.state, {"used": sorted(official.state), "ignored": [], "unused": [], "missing": []}
    else:
        _same_net(path, official, format, net, shape)
        weights, found = convert(official.state, format, module)
        found.require_complete(str(path))
        tensors = {"used": found.used, "ignored": found.ignored, "unused": found.unused, "missing": found.missing}
    report = {"format": format, "weights": official.weights, "parameters": sum(each.numel() for each in module.parameters())}
    return weights, report | {"config": official.config} | tensors


def shown_net(path: Path, official: Official, format: str, stated: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, int]]:
    """Kind and arguments of the net that a file holds, and the shape of data that it is for.

    Args: stated: arguments that neither tensors nor config show.
    Raises: ValueError naming an argument that has to be stated.
    """
    if format == OWN:
        if "kind" not in stated:
            raise ValueError(f"{path} does not show its net; state what its run has, e.g. --net kind=unet --net width=16 --net size=8")
        found = dict(stated)
    else:
        found = _read(path, official, format, stated)
    shape = {name: found.pop(name) for name in registry.SET_BY_DATA if name in found}
    return found, shape


def _read(path: Path, official: Official, format: str, stated: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return architecture(official.state, format, stated, official.config)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _same_net(path: Path, official: Official, format: str, net: Net, shape: Mapping[str, int]) -> None:
    """Raise ValueError where the file shows another value of an argument than the net has."""
    parameters = inspect.signature(NETS[net.kind]).parameters
    defaults = {name: each.default for name, each in parameters.items() if each.default is not each.empty}
    asked = defaults | (net.model_extra or {}) | {name: value for name, value in shape.items() if name in parameters}
    if format == "diffusers":
        if not official.config:  # of an address, which is that of the tensors: params say what the net is
            return
        shown = _read(path, official, format, {})  # its config shows all
    else:
        shown = _read(path, official, format, {name: asked[name] for name in UNSHOWN if name in asked})
    if shown["kind"] != net.kind:
        raise ValueError(f"{path} holds a net of kind {shown['kind']}, not {net.kind}; change the net's kind")
    for name, value in shown.items():
        if name in asked and name not in OF_TRAINING and _plain(asked[name]) != _plain(value):
            where = "the data have" if name in registry.SET_BY_DATA else "the checkpoint's net has"
            raise ValueError(f"{path} holds a net with {name} = {_plain(value)}, but {where} {_plain(asked[name])}; make them agree")


def _plain(value: Any) -> Any:
    """A sequence as a list."""
    return list(value) if isinstance(value, list | tuple) else value
