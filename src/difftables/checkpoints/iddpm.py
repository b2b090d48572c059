"""Improved DDPM's U-Net (Nichol and Dhariwal 2021)."""

from typing import Any

from difftables.checkpoints.formats import Facts, Format, Layer, Layers, columns, grouped_by_head, rows, same
from difftables.checkpoints.unets import places, unet_layers
from difftables.nets.unet import Attention, UNet


def iddpm_unet(net: UNet) -> Layers:
    """Where the layers of a U-Net come from in Improved DDPM's code; the upsampling belongs to the block before it."""
    outside = {"embed.0": "time_embed.0", "embed.2": "time_embed.2", "classes": "label_emb", "inlet": "input_blocks.0.0",
               "norm": "out.0", "outlet": "out.2"}  # fmt: skip
    block = {"norm1": "in_layers.0", "conv1": "in_layers.2", "project": "emb_layers.1", "norm2": "out_layers.0", "conv2": "out_layers.3",
             "skip": "skip_connection"}  # fmt: skip
    named, inputs, outputs, parts = {}, 0, -1, 0
    for place in places(net):
        if place.way == "down":
            inputs += 1
            official = f"input_blocks.{inputs}"
            named[place] = (f"{official}.0.op" if place.resamples else f"{official}.0", f"{official}.1")
        elif place.resamples:
            named[place] = (f"output_blocks.{outputs}.{parts}.conv", "")
        else:
            outputs, parts = outputs + 1, len(list(net.get_submodule(place.ours).children()))
            named[place] = (f"output_blocks.{outputs}.0", f"output_blocks.{outputs}.1")

    attentions = {name: module for name, module in net.named_modules() if isinstance(module, Attention)}

    def attention(ours: str, official: str) -> Layers:
        layers = same([(f"{ours}.norm", f"{official}.norm"), (f"{ours}.out", f"{official}.proj_out")])
        module = attentions.get(ours)
        return layers | ({f"{ours}.qkv": Layer((f"{official}.qkv",), grouped_by_head(module.heads))} if module else {})

    return unet_layers(outside, block, named, ("middle_block.0", "middle_block.1", "middle_block.2"), attention)


def architecture(facts: Facts) -> dict[str, Any]:
    """`size` and `heads` are to be stated, and `channels` for a net that enlarges images; all else is in the shapes."""
    state, size = facts.state, facts.need("size")
    inputs, outputs = columns(state, "input_blocks.0.0"), rows(state, "out.2")
    channels = facts.stated.get("channels", inputs)
    width, mult, attention, blocks, level = columns(state, "time_embed.0"), list[int](), list[int](), 0, 0
    for number in range(1, 1 + max(int(name.split(".")[1]) for name in state if name.startswith("input_blocks."))):
        if f"input_blocks.{number}.0.op.weight" in state:
            level += 1
            continue
        if len(mult) == level:
            mult.append(rows(state, f"input_blocks.{number}.0.out_layers.3") // width)
            if f"input_blocks.{number}.1.qkv.weight" in state:
                attention.append(size >> level)
        blocks += level == 0
    first = "input_blocks.1.0"
    return {
        "kind": "unet", "size": size, "channels": channels, "width": width, "mult": mult, "blocks": blocks, "attention": attention,
        "dropout": 0.0, "heads": facts.need("heads"),
        "scale_shift": rows(state, f"{first}.emb_layers.1") == 2 * rows(state, f"{first}.out_layers.3"),
        "variance": outputs == 2 * channels,
        "classes": rows(state, "label_emb") if "label_emb.weight" in state else 0,
        "extra": inputs - channels,
        "embedding": "iddpm", "padding": "symmetric", "eps": 1e-5, "groups": 32,
    }  # fmt: skip


IDDPM = Format({UNet: iddpm_unet}, architecture)
