"""EDM's nets (Karras et al. 2022) and those of its copies, as Stable Target Field: SongUNet and DhariwalUNet, inside a preconditioning."""

import re
from typing import Any

from difftables.checkpoints.formats import Facts, Format, Layer, Layers, State, columns, count, grouped_by_channel, rows, same, transposed
from difftables.nets.adm import ADM
from difftables.nets.ncsnpp import NCSNpp

BLOCK = (("norm1", "norm0"), ("conv1", "conv0"), ("project", "affine"), ("norm2", "norm1"), ("conv2", "conv1"), ("skip", "skip"))
FREQUENCIES = Layer(("map_noise",), leaves={"frequencies": "freqs"})


def _at(net: NCSNpp | ADM, level: int) -> str:
    """A resolution as their names have it."""
    return f"{net.size >> level}x{net.size >> level}"


def _blocks(net: NCSNpp | ADM) -> list[tuple[str, str]]:
    """Our name of each residual block, and theirs."""
    last, depth = len(net.down) - 1, [[len(list(level.children())) for level in way] for way in (net.down, net.up)]
    names = [(f"shrink.{i}", f"enc.{_at(net, i + 1)}_down") for i in range(last)]
    names += [(f"down.{i}.{k}", f"enc.{_at(net, i)}_block{k}") for i, number in enumerate(depth[0]) for k in range(number)]
    names += [(f"middle.{k}", f"dec.{_at(net, last)}_in{k}") for k in range(2)]
    names += [(f"enlarge.{j}", f"dec.{_at(net, last - 1 - j)}_up") for j in range(last)]
    return names + [(f"up.{j}.{k}", f"dec.{_at(net, last - j)}_block{k}") for j, number in enumerate(depth[1]) for k in range(number)]


def _attention(ours: str, official: str) -> Layers:
    """Their attention is part of the block."""
    qkv = Layer((f"{official}.qkv",), grouped_by_channel)
    return same([(f"{ours}.norm", f"{official}.norm2"), (f"{ours}.out", f"{official}.proj")]) | {f"{ours}.qkv": qkv}


def _outside(net: NCSNpp | ADM) -> Layers:
    """The layers of both nets that are in no block, but for the last two."""
    names = [("embed.0", "map_layer0"), ("embed.2", "map_layer1"), ("augment", "map_augment"), ("inlet", f"enc.{_at(net, 0)}_conv")]
    return same(names)


def song_unet(net: NCSNpp) -> Layers:
    """Where the layers of an NCSN++ or DDPM++ come from.  Raises: ValueError for `biggan: false`, which SongUNet has not."""
    if not net.biggan:
        raise ValueError("the format has no NCSN++ with `biggan: false`")
    outlet = f"dec.{_at(net, 0)}_aux"
    layers = _outside(net) | same([("classes", "map_label"), ("norm", f"{outlet}_norm"), ("outlet", f"{outlet}_conv")])
    layers["fourier"] = FREQUENCIES
    layers |= same((f"pyramid.{i}.conv", f"enc.{_at(net, i + 1)}_aux_residual") for i in range(len(net.pyramid)))
    for ours, official in _blocks(net):
        layers |= same((f"{ours}.{a}", f"{official}.{b}") for a, b in BLOCK) | _attention(f"{ours}.attend", official)
    return layers


def dhariwal_unet(net: ADM) -> Layers:
    """Where the layers of an ADM come from."""
    layers = _outside(net) | same([("norm", "out_norm"), ("outlet", "out_conv")]) | {"classes": Layer(("map_label",), transposed)}
    for ours, official in _blocks(net):
        layers |= same((f"{ours}.0.{a}", f"{official}.{b}") for a, b in BLOCK) | _attention(f"{ours}.1", official)
    return layers


def architecture(facts: Facts) -> dict[str, Any]:
    """Of either net; sizes are in the names, and all else in the shapes, but for the heads of an ADM, which have 64 channels."""
    state = facts.state
    sizes = sorted({int(match[1]) for name in state if (match := re.match(r"enc\.(\d+)x\1_", name))}, reverse=True)
    at = [f"enc.{size}x{size}" for size in sizes]
    width = columns(state, "map_layer0") if "out_conv.weight" in state else rows(state, "map_layer0") // 4
    common = {
        "size": sizes[0],
        "channels": columns(state, f"{at[0]}_conv"),
        "width": width,
        "mult": [rows(state, f"{each}_block0.conv0") // width for each in at],
        "blocks": count(state, lambda number: f"{at[0]}_block{number}.conv0"),
        "attention": [size for size, each in zip(sizes, at, strict=True) if f"{each}_block0.qkv.weight" in state],
        "dropout": 0.0,
        "augment": _width_of(state, "map_augment"),
        "classes": _width_of(state, "map_label"),
    }
    if "out_conv.weight" in state:
        return {"kind": "adm", **common, "head_width": 64}
    filters = [tensor for name, tensor in state.items() if name.endswith(".resample_filter")]
    fourier = "map_noise.freqs" in state
    return {
        "kind": "ncsnpp", **common,
        "embedding": "fourier" if fourier else "positional",
        "stored_frequencies": fourier,
        "fir": filters[0].shape[-1] == 4 if filters else len(at) > 1 and facts.need("fir"),
        "residual_input": any("_aux_residual." in name for name in state),
    }  # fmt: skip


def _width_of(state: State, layer: str) -> int:
    return columns(state, layer) if f"{layer}.weight" in state else 0


EDM = Format({NCSNpp: song_unet, ADM: dhariwal_unet}, architecture, prefixes=("model.",), ignored=r".*\.resample_filter|u")
