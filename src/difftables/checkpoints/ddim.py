"""DDIM's U-Net (Song et al. 2021), which is DDPM's (Ho et al. 2020)."""

from typing import Any

from difftables.checkpoints.formats import Facts, Format, Layers, columns, count, rows
from difftables.checkpoints.unets import places, separate, unet_layers
from difftables.nets.unet import UNet


def ddim_unet(net: UNet) -> Layers:
    """Where the layers of a U-Net come from in DDIM's code."""
    outside = {"embed.0": "temb.dense.0", "embed.2": "temb.dense.1", "inlet": "conv_in", "norm": "norm_out", "outlet": "conv_out"}
    block = {"norm1": "norm1", "conv1": "conv1", "project": "temb_proj", "norm2": "norm2", "conv2": "conv2", "skip": "nin_shortcut"}
    named = {}
    for place in places(net):
        level = f"{place.way}.{place.level}"
        change = f"{level}.{place.way}sample.conv"
        named[place] = (change, "") if place.resamples else (f"{level}.block.{place.block}", f"{level}.attn.{place.block}")
    middle = ("mid.block_1", "mid.attn_1", "mid.block_2")
    return unet_layers(outside, block, named, middle, separate("norm", ("q", "k", "v"), "proj_out"))


def architecture(facts: Facts) -> dict[str, Any]:
    """`size` is to be stated; all else is in the shapes."""
    state, size = facts.state, facts.need("size")
    width, levels = rows(state, "conv_in"), count(state, lambda level: f"down.{level}.block.0.conv1")
    return {
        "kind": "unet", "size": size, "channels": columns(state, "conv_in"), "width": width,
        "mult": [rows(state, f"down.{level}.block.0.conv1") // width for level in range(max(levels, 1))],
        "blocks": count(state, lambda block: f"down.0.block.{block}.conv1"),
        "attention": [size >> level for level in range(levels) if f"down.{level}.attn.0.q.weight" in state],
        "dropout": 0.0, "classes": 0, "groups": 32,
    }  # fmt: skip


DDIM = Format({UNet: ddim_unet}, architecture, prefixes=("module.",))
