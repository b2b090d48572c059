"""Tensors of a released net to the weights of ours, with a report; and what the tensors tell of the net."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from difftables.checkpoints.ddim import DDIM
from difftables.checkpoints.diffusers_unet import DIFFUSERS
from difftables.checkpoints.edm import EDM
from difftables.checkpoints.formats import Facts, Format, Layers, Make, State, fitted
from difftables.checkpoints.iddpm import IDDPM
from difftables.checkpoints.score_sde import SCORE_SDE
from difftables.checkpoints.vovk_wavegrad import WAVEGRAD
from difftables.common.errors import nearest
from difftables.common.variants import Variants

FORMATS: Variants[Format] = {
    "edm": EDM, "stf": EDM, "iddpm": IDDPM, "ddim": DDIM, "score_sde": SCORE_SDE, "wavegrad": WAVEGRAD, "diffusers": DIFFUSERS,
}  # fmt: skip


@dataclass(frozen=True)
class Report:
    """What became of each tensor, by the names of the file; `missing` has the names without a wrapper's prefix."""

    used: list[str]
    ignored: list[str]  # no weights: filters, tables of levels
    unused: list[str]  # for which the net has no place
    missing: list[str]  # which the net needs
    misshapen: dict[str, str]  # the shape in the file, and that of the weight which the net makes of it

    @property
    def complete(self) -> bool:
        """Whether the file holds this net and nothing else."""
        return not (self.unused or self.missing or self.misshapen)

    def require_complete(self, where: str) -> None:
        """Raise ValueError of one line, naming the file `where`, unless it holds this net and nothing else."""
        if self.complete:
            return
        parts = [f"{len(self.missing)} tensors are missing, the first is {self.missing[0]}"] if self.missing else []
        if self.misshapen:
            name, shapes = next(iter(self.misshapen.items()))
            parts.append(f"{len(self.misshapen)} have other shapes, the first is {name}, {shapes}")
        if self.unused:
            parts.append(f"{len(self.unused)} have no place in the net, the first is {self.unused[0]}")
        raise ValueError(f"{where} does not hold the net that it should: {'; '.join(parts)}; state its net and format, or fetch it again")


def convert(state: State, format: str, net: nn.Module) -> tuple[dict[str, Tensor], Report]:
    """The weights of a net of ours from tensors under the names of a format.

    Args: state: names, with or without those of a wrapper, to tensors; format: one of FORMATS; net: built, of any weights.
    Returns: the net's state dict, in single precision, without what is missing or misshapen; the report.
    Raises: ValueError where the format has no such net.
    """
    entry = _entry(format)
    if type(net) not in entry.nets:
        classes = " or ".join(each.__name__ for each in entry.nets)
        raise ValueError(f"format {format} holds a {classes}, not a {type(net).__name__}; change the net's kind or the format")
    layers, names = entry.nets[type(net)](net), _names(state, entry)
    weights: dict[str, Tensor] = {}
    used, missing, misshapen = set[str](), list[str](), dict[str, str]()
    for ours, expected in net.state_dict().items():
        sources = _sources(ours, layers, format)
        used |= {names[source] for source in sources if source in names}
        if absent := [source for source in sources if source not in names]:
            missing += absent
            continue
        tensors = [state[names[source]] for source in sources]
        made = _made(tensors, sources, expected.shape)
        if made is None:
            shapes = {names[source]: list(tensor.shape) for source, tensor in zip(sources, tensors, strict=True)}
            misshapen |= {name: f"{shape} for {list(expected.shape)}" for name, shape in shapes.items()}
        else:
            weights[ours] = made
    ignored = [name for name in state if re.fullmatch(entry.ignored, _bare(name, entry))]
    unused = [name for name in state if name not in used and name not in ignored]
    return weights, Report([name for name in state if name in used], ignored, unused, missing, misshapen)


def architecture(
    state: State, format: str, stated: Mapping[str, Any] | None = None, config: Mapping[str, Any] | None = None
) -> dict[str, Any]:  # fmt: skip
    """Kind and arguments of our net for tensors of a format; those that follow from a data set (`registry.SET_BY_DATA`) are among them.

    Args: stated: arguments that the tensors do not show, or that replace what is read from them; config: of a config.json.
    Raises: ValueError naming an argument that is to be stated, or a layer that no net of the format lacks.
    """
    entry = _entry(format)
    bare = {_bare(name, entry): tensor for name, tensor in state.items()}
    try:
        arguments = entry.architecture(Facts(bare, config or {}, stated or {}))
    except (KeyError, IndexError) as error:
        says = f"these {len(state)} tensors are of no net of format {format}, which has {error.args[0]}; state the right format"
        raise ValueError(says) from None
    return arguments | dict(stated or {})


def _entry(format: str) -> Format:
    if format not in FORMATS:
        raise ValueError(f"format {format!r} is not among {', '.join(FORMATS)}{nearest(format, FORMATS)}")
    return FORMATS[format]


def _bare(name: str, entry: Format) -> str:
    """A name without a wrapper's prefix, as new files have it."""
    for prefix in entry.prefixes:
        name = name.removeprefix(prefix)
    for pattern, replacement in entry.aliases:
        name = re.sub(pattern, replacement, name)
    return name


def _names(state: State, entry: Format) -> dict[str, str]:
    """Bare names of weights to names in the file; of two names for one, the first."""
    names: dict[str, str] = {}
    for name in state:
        bare = _bare(name, entry)
        if not re.fullmatch(entry.ignored, bare):
            names.setdefault(bare, name)
    return names


def _sources(ours: str, layers: Layers, format: str) -> dict[str, Make]:
    """Bare names of the tensors that one of ours is made of, and what is made of each."""
    layer, leaf = ours.rsplit(".", 1)
    if layer not in layers or leaf not in layers[layer].leaves:
        raise ValueError(f"format {format} has nothing for {ours} of this net; leave out the argument that adds it")
    source = layers[layer]
    return {f"{official}.{source.leaves[leaf]}": source.make for official in source.official}


def _made(tensors: list[Tensor], sources: dict[str, Make], shape: torch.Size) -> Tensor | None:
    """Tensors of a file as one of ours; None where the shape does not fit."""
    try:
        made = [make(each.to(torch.float32)) for each, make in zip(tensors, sources.values(), strict=True)]
        return fitted(torch.cat(made) if len(made) > 1 else made[0], shape)
    except RuntimeError:  # shapes that cannot be split or joined
        return None
