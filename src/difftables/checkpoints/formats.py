"""What a format of released weights says: which tensors make which of ours, and what their shapes tell of the net."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

State = Mapping[str, Tensor]  # tensors by the names of their format
Make = Callable[[Tensor], Tensor]


class Layer(NamedTuple):
    """The layer of the other code that a layer of ours comes from, or several whose tensors are joined along the first axis."""

    official: tuple[str, ...]
    make: Make = lambda tensor: tensor  # of each tensor, before they are joined
    leaves: Mapping[str, str] = {"weight": "weight", "bias": "bias"}  # our names of a layer's tensors to theirs


Layers = dict[str, Layer]  # by the name of our layer


class Facts(NamedTuple):
    """What the arguments of a net are read from."""

    state: State
    config: Mapping[str, Any]  # that lies beside the file; empty where the format has none
    stated: Mapping[str, Any]  # arguments of our net that the user states, as neither file nor config shows them

    def need(self, name: str) -> Any:
        """An argument that only the user can state.  Raises: ValueError naming it."""
        if name not in self.stated:
            raise ValueError(f"the tensors do not show {name!r}; state it")
        return self.stated[name]


@dataclass(frozen=True)
class Format:
    """A format of released weights."""

    nets: Mapping[type[nn.Module], Callable[[Any], Layers]]  # our nets that it holds, and where their layers come from
    architecture: Callable[[Facts], dict[str, Any]]  # kind and arguments of our net
    prefixes: tuple[str, ...] = ()  # of wrappers around the net, in the names of a file
    ignored: str = r"(?!)"  # pattern of whole names of tensors that are no weights: filters, tables of levels
    aliases: tuple[tuple[str, str], ...] = ()  # patterns of older names and what replaces them


def same(pairs: Iterable[tuple[str, str]]) -> Layers:
    """Layers whose tensors are taken as they are, from pairs of our name and theirs."""
    return {ours: Layer((official,)) for ours, official in pairs}


def grouped_by_channel(tensor: Tensor) -> Tensor:
    """Rows ordered (channel, [q, k, v]) to ours, ([q, k, v], channel); the channels are those of all heads, head by head."""
    return tensor.unflatten(0, (-1, 3)).transpose(0, 1).flatten(0, 1)


def grouped_by_head(heads: int) -> Make:
    """Rows ordered (head, [q, k, v], channel of the head) to ours, ([q, k, v], head, channel of the head)."""
    return lambda tensor: tensor.unflatten(0, (heads, 3, -1)).transpose(0, 1).flatten(0, 2)


def transposed(tensor: Tensor) -> Tensor:
    """A matrix [in, out] as [out, in]; a vector as it is."""
    return tensor.t() if tensor.dim() == 2 else tensor


def fitted(tensor: Tensor, shape: torch.Size) -> Tensor | None:
    """A tensor in a shape that differs only in axes of length one, as convolutions over one and two dimensions do; None for others."""
    kept = [[length for length in each if length != 1] for each in (tensor.shape, shape)]
    return tensor.reshape(shape) if kept[0] == kept[1] else None


def rows(state: State, layer: str) -> int:
    """Output channels of a layer."""
    return state[f"{layer}.weight"].shape[0]


def columns(state: State, layer: str) -> int:
    """Input channels of a layer."""
    return state[f"{layer}.weight"].shape[1]


def count(state: State, pattern: Callable[[int], str]) -> int:
    """How many layers there are under a running number, from 0."""
    number = 0
    while f"{pattern(number)}.weight" in state:
        number += 1
    return number
