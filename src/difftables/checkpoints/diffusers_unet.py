"""UNet2DModel of the library diffusers, where our U-Net has its wiring."""

from collections.abc import Mapping
from typing import Any

from difftables.checkpoints.formats import Facts, Format, Layers
from difftables.checkpoints.unets import places, separate, unet_layers
from difftables.nets.unet import UNet

DEFAULTS: dict[str, Any] = {  # of the class, for a config.json that leaves an argument out
    "sample_size": None, "in_channels": 3, "out_channels": 3, "center_input_sample": False, "time_embedding_type": "positional",
    "time_embedding_dim": None, "freq_shift": 0, "flip_sin_to_cos": True,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"],
    "mid_block_type": "UNetMidBlock2D",
    "up_block_types": ["AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    "block_out_channels": [224, 448, 672, 896], "layers_per_block": 2, "mid_block_scale_factor": 1, "downsample_padding": 1,
    "downsample_type": "conv", "upsample_type": "conv", "dropout": 0.0, "act_fn": "silu", "attention_head_dim": 8,
    "norm_num_groups": 32, "attn_norm_num_groups": None, "norm_eps": 1e-5, "resnet_time_scale_shift": "default", "add_attention": True,
    "class_embed_type": None, "num_class_embeds": None,
}  # fmt: skip
WITH_ATTENTION = {"DownBlock2D": False, "AttnDownBlock2D": True, "UpBlock2D": False, "AttnUpBlock2D": True}
EMBEDDINGS = {(False, 1): "ddpm", (True, 0): "iddpm"}  # by flip_sin_to_cos and freq_shift
PADDINGS = {0: "asymmetric", 1: "symmetric"}
ONLY = {  # what our U-Net has in one way
    "center_input_sample": False, "time_embedding_type": "positional", "mid_block_type": "UNetMidBlock2D", "mid_block_scale_factor": 1,
    "downsample_type": "conv", "upsample_type": "conv", "add_attention": True, "class_embed_type": None,
}  # fmt: skip


def diffusers_unet(net: UNet) -> Layers:
    """Where the layers of a U-Net come from in UNet2DModel; on the way up the levels count from the coarsest."""
    outside = {"embed.0": "time_embedding.linear_1", "embed.2": "time_embedding.linear_2", "classes": "class_embedding",
               "inlet": "conv_in", "norm": "conv_norm_out", "outlet": "conv_out"}  # fmt: skip
    block = {"norm1": "norm1", "conv1": "conv1", "project": "time_emb_proj", "norm2": "norm2", "conv2": "conv2", "skip": "conv_shortcut"}
    named, walk = {}, list(places(net))
    last = max(place.level for place in walk)
    for place in walk:
        level = f"{place.way}_blocks.{place.level if place.way == 'down' else last - place.level}"
        change = f"{level}.{place.way}samplers.0.conv"
        named[place] = (change, "") if place.resamples else (f"{level}.resnets.{place.block}", f"{level}.attentions.{place.block}")
    middle = ("mid_block.resnets.0", "mid_block.attentions.0", "mid_block.resnets.1")
    return unet_layers(outside, block, named, middle, separate("group_norm", ("to_q", "to_k", "to_v"), "to_out.0"))


def architecture(facts: Facts) -> dict[str, Any]:
    """Of the net, from the folder's config.json.  Raises: ValueError naming what our U-Net has not."""
    if not facts.config:
        raise ValueError("the tensors do not show the wiring; the folder's config.json does")
    config = {**DEFAULTS, **facts.config}
    _same_wiring(config)
    size = facts.stated.get("size", config["sample_size"])
    size = facts.need("size") if not isinstance(size, int) else size
    widths, attends = config["block_out_channels"], [WITH_ATTENTION[kind] for kind in config["down_block_types"]]
    head, channels, classes = config["attention_head_dim"], config["in_channels"], config["num_class_embeds"]
    return {
        "kind": "unet", "size": size, "channels": channels, "width": widths[0], "mult": [width // widths[0] for width in widths],
        "blocks": config["layers_per_block"],
        "attention": [size >> level for level, attend in enumerate(attends) if attend],
        "dropout": config["dropout"],
        "scale_shift": config["resnet_time_scale_shift"] == "scale_shift",
        "variance": config["out_channels"] == 2 * channels,
        "classes": classes or 0,
        "embedding": EMBEDDINGS[config["flip_sin_to_cos"], config["freq_shift"]],
        "padding": PADDINGS[config["downsample_padding"]],
        "eps": config["norm_eps"], "groups": config["norm_num_groups"],
        **({"heads": 1} if head is None else {"head_width": head}),
    }  # fmt: skip


def _same_wiring(config: Mapping[str, Any]) -> None:
    """Raise ValueError naming an argument of UNet2DModel that no option of our U-Net stands for."""
    scale_shift = config["resnet_time_scale_shift"] == "scale_shift"  # whose middle attends without a norm, unless its groups are named
    widths, down, up = config["block_out_channels"], config["down_block_types"], config["up_block_types"]
    fits = {name: config[name] == value for name, value in ONLY.items()} | {
        "act_fn": config["act_fn"] in ("silu", "swish"),
        "freq_shift": (config["flip_sin_to_cos"], config["freq_shift"]) in EMBEDDINGS,
        "downsample_padding": config["downsample_padding"] in PADDINGS,
        "resnet_time_scale_shift": scale_shift or config["resnet_time_scale_shift"] == "default",
        "time_embedding_dim": config["time_embedding_dim"] in (None, 4 * widths[0]),
        "attn_norm_num_groups": config["attn_norm_num_groups"] in (config["norm_num_groups"], *([] if scale_shift else [None])),
        "norm_num_groups": isinstance(config["norm_num_groups"], int),
        "block_out_channels": all(width % widths[0] == 0 for width in widths),
        "down_block_types": set(down) <= set(WITH_ATTENTION),
        "up_block_types": [WITH_ATTENTION.get(kind) for kind in reversed(up)] == [WITH_ATTENTION.get(kind) for kind in down],
        "out_channels": config["out_channels"] in (config["in_channels"], 2 * config["in_channels"]),
    }
    for name, fit in fits.items():
        if not fit:
            raise ValueError(f"config.json has {name} = {config[name]!r}, which no option of our U-Net stands for")


DIFFUSERS = Format(
    {UNet: diffusers_unet},
    architecture,
    prefixes=("unet.",),
    aliases=(
        (r"\.query\.", ".to_q."), (r"\.key\.", ".to_k."), (r"\.value\.", ".to_v."), (r"\.proj_attn\.", ".to_out.0."),
    ),
)  # fmt: skip
