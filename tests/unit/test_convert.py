"""Weights under the names of other code: what a file must hold, what its tensors tell of the net, and what is refused."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from difftables.checkpoints.convert import FORMATS, architecture, convert
from difftables.checkpoints.formats import grouped_by_channel, grouped_by_head, transposed
from difftables.common import registry
from difftables.nets import NETS
from difftables.planning.plan import read

FOLDER = Path(__file__).parents[1] / "official_nets"
INDEX = json.loads((FOLDER / "index.json").read_text())["nets"]
DDPM = {"embedding": "positional", "fir": False, "residual_input": False}
SONG = {"kind": "ncsnpp", "channels": 3, "width": 128, "blocks": 4, "attention": [16], "dropout": 0.0, "augment": 0, "classes": 0}
FOURIER = {"embedding": "fourier", "fir": True, "residual_input": True, "stored_frequencies": True}
POSITIONAL = DDPM | {"stored_frequencies": False}
DDIM = {"kind": "unet", "channels": 3, "width": 128, "blocks": 2, "attention": [16], "dropout": 0.0, "classes": 0, "groups": 32}
IDDPM = DDIM | {
    "blocks": 3, "attention": [16, 8], "heads": 4, "scale_shift": True, "variance": True, "extra": 0,
    "embedding": "iddpm", "padding": "symmetric", "eps": 1e-5,
}  # fmt: skip


def build(arguments):
    return NETS[arguments["kind"]](**{name: value for name, value in arguments.items() if name != "kind"})


def named_as(format, net, prefix=""):
    """Tensors of our net's shapes under the names of a format."""
    layers, state = FORMATS[format].nets[type(net)](net), {}
    for ours, tensor in net.state_dict().items():
        layer, leaf = ours.rsplit(".", 1)
        source = layers[layer]
        for official, part in zip(source.official, tensor.chunk(len(source.official)), strict=True):
            turned = source.make is transposed and part.dim() > 1
            state[f"{prefix}{official}.{source.leaves[leaf]}"] = part.flatten(1).t() if turned else part
    return state


def small(name):
    state = {k.removeprefix("state."): v for k, v in load_file(FOLDER / f"{name}.safetensors").items() if k.startswith("state.")}
    entry = INDEX[name]
    return state, entry["format"], architecture(state, entry["format"], entry["stated"], entry.get("config"))


@pytest.mark.parametrize(
    ("format", "stated", "expected"),
    [
        ("edm", {"fir": False}, SONG | POSITIONAL | {"size": 32, "mult": [2, 2, 2], "augment": 9, "classes": 10}),
        ("edm", {"fir": True}, SONG | FOURIER | {"size": 64, "mult": [1, 2, 2, 2], "augment": 9}),
        ("stf", {"fir": True}, SONG | FOURIER | {"size": 32, "mult": [1, 2, 2, 2]}),
        ("edm", {}, {"kind": "adm", "size": 64, "channels": 3, "width": 192, "mult": [1, 2, 3, 4], "blocks": 3, "attention": [32, 16, 8],
                     "dropout": 0.0, "head_width": 64, "augment": 0, "classes": 1000}),
        ("score_sde", {"size": 32}, SONG | FOURIER | {"size": 32, "mult": [1, 2, 2, 2]}),
        ("score_sde", {"size": 32}, SONG | POSITIONAL | {"size": 32, "mult": [1, 2, 2, 2]}),
        ("score_sde", {"size": 64}, SONG | POSITIONAL | {"size": 64, "mult": [1, 2, 2, 2], "fir": True, "residual_input": True}),
        ("score_sde", {"size": 32}, SONG | FOURIER | {"size": 32, "mult": [1, 2, 2, 2], "blocks": 8}),
        ("ddim", {"size": 32}, DDIM | {"size": 32, "mult": [1, 2, 2, 2]}),
        ("ddim", {"size": 64}, DDIM | {"size": 64, "mult": [1, 2, 2, 2, 4]}),
        ("ddim", {"size": 256}, DDIM | {"size": 256, "mult": [1, 1, 2, 2, 4, 4]}),
        ("iddpm", {"size": 64, "heads": 4}, IDDPM | {"size": 64, "mult": [1, 2, 3, 4]}),
        ("iddpm", {"size": 64, "heads": 4}, IDDPM | {"size": 64, "width": 192, "mult": [1, 2, 3, 4], "classes": 1000}),
        ("iddpm", {"size": 256, "heads": 1}, IDDPM | {"size": 256, "mult": [1, 1, 2, 2, 4, 4], "blocks": 2, "attention": [16], "heads": 1,
                                                      "scale_shift": False}),
        ("iddpm", {"size": 256, "heads": 4, "channels": 3}, IDDPM | {"size": 256, "mult": [1, 1, 2, 2, 4, 4], "extra": 3}),
        ("iddpm", {"size": 32, "heads": 4}, IDDPM | {"size": 32, "mult": [1, 2, 2, 2], "variance": False}),
        ("wavegrad", {}, {"kind": "wavegrad", "bands": 80, "hop": 300, "factors": [5, 5, 3, 2, 2], "up": [512, 512, 256, 128, 128],
                          "down": [32, 128, 128, 256, 512], "mel": 768}),
    ],
)  # fmt: skip
def test_the_tensors_of_a_papers_net_show_its_arguments(format, stated, expected):
    with torch.device("meta"):
        net = build(expected)
    state = named_as(format, net, next(iter(FORMATS[format].prefixes), ""))
    assert architecture(state, format, stated) == expected
    weights, report = convert(state, format, net)
    assert report.complete and set(report.used) == set(state) and not report.ignored
    assert {name: value.shape for name, value in weights.items()} == {name: value.shape for name, value in net.state_dict().items()}


def test_rows_of_qkv():
    """Two heads of two channels: row 100 part + 10 head + channel, from the orders of EDM and of Improved DDPM to ours."""
    ours = torch.tensor([100 * part + 10 * head + channel for part in range(3) for head in range(2) for channel in range(2)])
    by_channel = torch.tensor([100 * part + 10 * head + channel for head in range(2) for channel in range(2) for part in range(3)])
    by_head = torch.tensor([100 * part + 10 * head + channel for head in range(2) for part in range(3) for channel in range(2)])
    assert torch.equal(grouped_by_channel(by_channel), ours)
    assert torch.equal(grouped_by_head(2)(by_head), ours)


def test_the_report_names_every_tensor():
    state, format, arguments = small("edm_precond_ddpmpp_class_augment")
    net = build(arguments)
    weights, report = convert(state, format, net)
    assert report.complete and weights.keys() == net.state_dict().keys()
    assert sorted([*report.used, *report.ignored]) == sorted(state)
    assert report.ignored and all(name.endswith(".resample_filter") for name in report.ignored)
    lost, wide = "model.dec.8x8_in0.qkv.weight", "model.enc.16x16_conv.weight"
    broken = {name: value for name, value in state.items() if name != lost} | {wide: torch.zeros(9, 3, 3, 3), "model.more": torch.zeros(1)}
    weights, report = convert(broken, format, net)
    assert report.missing == [lost.removeprefix("model.")]
    assert report.unused == ["model.more"]
    assert list(report.misshapen) == [wide] and "[9, 3, 3, 3]" in report.misshapen[wide] and "[8, 3, 3, 3]" in report.misshapen[wide]
    assert net.state_dict().keys() - weights.keys() == {"middle.0.attend.qkv.weight", "inlet.weight"}
    with pytest.raises(ValueError) as caught:
        report.require_complete("net.pkl")
    for word in ("net.pkl", lost.removeprefix("model."), wide, "[9, 3, 3, 3]", "model.more"):
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", INDEX)
def test_a_net_of_another_width_is_no_silence(name):
    """Twice the width: every tensor that depends on it is misshapen, none is taken."""
    state, format, arguments = small(name)
    if arguments["kind"] == "wavegrad":
        wider = arguments | {"up": [2 * each for each in arguments["up"]]}
    else:
        wider = arguments | {"width": 2 * arguments["width"]}
    _, report = convert(state, format, build(wider))
    assert report.misshapen and not report.missing and not report.unused
    with pytest.raises(ValueError, match=r"nets/x\.pt"):
        report.require_complete("nets/x.pt")


@pytest.mark.parametrize("name", INDEX)
def test_tensors_of_another_format_are_refused_in_one_line(name):
    state, format, _ = small(name)
    for other in FORMATS:
        if FORMATS[other] is not FORMATS[format] and other != "diffusers":  # whose arguments stand in config.json
            with pytest.raises(ValueError, match=other) as caught:
                architecture(state, other, {"size": 16, "heads": 4})
            assert "\n" not in str(caught.value)


def test_what_the_tensors_do_not_show_is_asked_for():
    for name, stated, missing in (
        ("ddim_narrow", {}, "size"),
        ("iddpm_class_narrow", {"size": 16}, "heads"),
        ("sde_ddpmpp_vp", {}, "size"),
    ):
        with pytest.raises(ValueError, match=f"'{missing}'"):
            architecture(small(name)[0], INDEX[name]["format"], stated)
    with pytest.raises(ValueError, match=r"config\.json"):
        architecture(small("diffusers_unet2d")[0], "diffusers")
    with pytest.raises(ValueError, match="'edm'"):
        architecture({}, "emd")


def test_a_net_that_a_format_has_not_is_refused():
    state, format, arguments = small("edm_ddpmpp")
    with pytest.raises(ValueError, match=r"iddpm.*UNet.*NCSNpp"):
        convert(state, "iddpm", build(arguments))
    with pytest.raises(ValueError, match="biggan"):
        convert(state, format, build(arguments | {"biggan": False}))
    with pytest.raises(ValueError, match="classes"):
        convert({}, "score_sde", build(arguments | {"classes": 3}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("down_block_types", ["DownBlock2D", "ResnetDownsampleBlock2D"]), ("up_block_types", ["UpBlock2D", "AttnUpBlock2D"]),
        ("act_fn", "gelu"), ("time_embedding_type", "fourier"), ("freq_shift", 0), ("center_input_sample", True), ("downsample_padding", 2),
        ("add_attention", False), ("class_embed_type", "timestep"), ("resnet_time_scale_shift", "scale_shift"), ("out_channels", 4),
        ("norm_num_groups", None), ("block_out_channels", [8, 12]), ("mid_block_scale_factor", 2**0.5), ("downsample_type", "resnet"),
    ],
)  # fmt: skip
def test_wiring_that_diffusers_has_and_ours_has_not_is_refused(name, value):
    config = INDEX["diffusers_unet2d"]["config"] | {name: value}
    with pytest.raises(ValueError, match=r"attn_norm_num_groups" if name == "resnet_time_scale_shift" else name):
        architecture(small("diffusers_unet2d")[0], "diffusers", config=config)


def test_older_names_of_diffusers():
    state, format, arguments = small("diffusers_unet2d")
    older = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    renamed = {}
    for name, value in state.items():
        for new, old in older.items():
            name = name.replace(f".{new}.", f".{old}.")
        renamed[name] = value
    assert renamed.keys() != state.keys()
    net = build(arguments)
    weights, report = convert(renamed, format, net)
    assert report.complete and set(report.used) == set(renamed)
    expected, _ = convert(state, format, net)
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("net", "stated", "released"),
    [
        ("width-3", {"size": 64}, {"mult": [1, 2, 3, 4]}),
        ("cifar-cosine", {"size": 32}, {"mult": [1, 2, 2, 2]}),
        ("cifar-linear-fixed", {"size": 32}, {"mult": [1, 2, 2, 2], "variance": False}),
        ("bedroom", {"size": 256}, {"mult": [1, 1, 2, 2, 4, 4], "blocks": 2, "attention": [16], "heads": 1, "scale_shift": False}),
    ],
)
def test_scale_paper_has_improved_ddpms_released_nets(net, stated, released):
    """So that a released file fits the entry of its net; groups are those of the wide net, and dropout is for training."""
    entry = read("paper").params.nets[f"improved_ddpm/{net}"]
    defaults = registry.defaults("nets.NETS", "unet") | {"size": stated["size"], "channels": 3, "groups": 32}
    expected = IDDPM | released | stated
    ours = defaults | {"kind": entry.kind} | entry.model_extra
    assert {name: ours[name] for name in expected if name != "dropout"} == {k: v for k, v in expected.items() if k != "dropout"}
