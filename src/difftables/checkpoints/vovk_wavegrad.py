"""WaveGrad's port by Vovk."""

from typing import Any

from difftables.checkpoints.formats import Facts, Format, Layers, columns, count, rows, same
from difftables.nets.wavegrad import WaveGrad

FACTORS = [5, 5, 3, 2, 2]  # of the released net; no tensor shows them
UP = ("first_block_main_branch.upsampling.2", "first_block_main_branch.modulation.convolution",
      "second_block_main_branch.modulation_0.convolution", "second_block_main_branch.modulation_1.convolution")  # fmt: skip


def wavegrad(net: WaveGrad) -> Layers:
    """Where the layers of a WaveGrad come from."""
    pairs = [("first", "ublock_preconv"), ("stem", "dblock_preconv"), ("last", "ublock_postconv")]
    for i in range(len(net.ups)):
        pairs += [(f"ups.{i}.skip", f"ublocks.{i}.first_block_residual_branch.0")]
        pairs += [(f"ups.{i}.convs.{k}", f"ublocks.{i}.{name}") for k, name in enumerate(UP)]
        pairs += [(f"films.{i}.inner", f"films.{i}.signal_conv.0")]
        pairs += [(f"films.{i}.{name}", f"films.{i}.{name}_conv") for name in ("scale", "shift")]
    for i in range(len(net.downs)):
        pairs += [(f"downs.{i}.skip", f"dblocks.{i}.residual_branch.0")]
        pairs += [(f"downs.{i}.convs.{k}", f"dblocks.{i}.main_branch.{k + 1}.convolution") for k in range(3)]
    return same((ours, f"{official}.conv1d") for ours, official in pairs)


def architecture(facts: Facts) -> dict[str, Any]:
    """Of the net; `factors` may be stated."""
    state, factors = facts.state, list(facts.stated.get("factors", FACTORS))
    ups = count(state, lambda i: f"ublocks.{i}.first_block_residual_branch.0.conv1d")
    downs = count(state, lambda i: f"dblocks.{i}.residual_branch.0.conv1d")
    hop = 1
    for factor in factors:
        hop *= factor
    return {
        "kind": "wavegrad", "bands": columns(state, "ublock_preconv.conv1d"), "hop": hop, "factors": factors,
        "up": [rows(state, f"ublocks.{i}.first_block_residual_branch.0.conv1d") for i in range(ups)],
        "down": [rows(state, "dblock_preconv.conv1d"), *(rows(state, f"dblocks.{i}.residual_branch.0.conv1d") for i in range(downs))],
        "mel": rows(state, "ublock_preconv.conv1d"),
    }  # fmt: skip


WAVEGRAD = Format(
    {WaveGrad: wavegrad}, architecture, prefixes=("nn.",), ignored="betas|alphas.*|sqrt_(recip_)?alphas.*|posterior_.*"
)  # fmt: skip
