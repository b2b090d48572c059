"""What formats of U-Nets share: the walk through a net, and attention with a layer each for q, k and v."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from difftables.checkpoints.formats import Layer, Layers, same
from difftables.nets.unet import Down, UNet, Up

AttentionLayers = Callable[[str, str], Layers]  # of our name of an attention, and theirs


class Place(NamedTuple):
    """A residual block with its attention, if any, or a change of resolution, in order of use."""

    ours: str
    way: str  # "down" or "up"
    level: int  # 0 is the finest
    block: int  # of its level
    resamples: bool


def places(net: UNet) -> Iterator[Place]:
    """All of a net but the middle."""
    level, block = 0, 0
    for way, entries, step in (("down", net.down, 1), ("up", net.up, -1)):
        for i, parts in enumerate(entries):
            resamples = isinstance(next(parts.children()), Down | Up)
            yield Place(f"{way}.{i}", way, level, block, resamples)
            level, block = (level + step, 0) if resamples else (level, block + 1)
        block = 0


def unet_layers(
    outside: Mapping[str, str], block: Mapping[str, str], named: Mapping[Place, tuple[str, str]], middle: tuple[str, str, str],
    attention: AttentionLayers,
) -> Layers:  # fmt: skip
    """Where the layers of a U-Net come from.

    Args:
        outside: layers in no block, our names to theirs.
        block: layers of a residual block, our names to theirs.
        named: their names of a place's block, or its convolution where it resamples, and of its attention.
        middle: their names of the middle's three parts.
    """
    layers = same(outside.items())
    for place, (first, second) in named.items():
        if place.resamples:
            layers[f"{place.ours}.0.conv"] = Layer((first,))
        else:
            layers |= same((f"{place.ours}.0.{a}", f"{first}.{b}") for a, b in block.items()) | attention(f"{place.ours}.1", second)
    for i in (0, 2):
        layers |= same((f"middle.{i}.{a}", f"{middle[i]}.{b}") for a, b in block.items())
    return layers | attention("middle.1", middle[1])


def separate(norm: str, qkv: tuple[str, str, str], out: str) -> AttentionLayers:
    """Attention with a layer each for q, k and v, by its names of the layers."""

    def attention(ours: str, official: str) -> Layers:
        layers = same([(f"{ours}.norm", f"{official}.{norm}"), (f"{ours}.out", f"{official}.{out}")])
        return layers | {f"{ours}.qkv": Layer(tuple(f"{official}.{name}" for name in qkv))}

    return attention
