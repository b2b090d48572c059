"""Files of released nets: what comes out of their wrappers, and that nothing in them is run."""

import json
import re
from collections import OrderedDict

import pytest
import torch
from released_files import Nested, Runs, edm_objects, evaluated, shell, write_pickle, write_torch
from safetensors.torch import save_file

from difftables.checkpoints.official import READERS, WEIGHTS, read_official
from difftables.checkpoints.restricted import Refused

STORAGE = torch.TypedStorage(wrap_storage=torch.arange(6.0).untyped_storage(), dtype=torch.float32, _internal=True)
A, B = torch.arange(6.0).reshape(2, 3), torch.tensor([1.0, -1.0])


def same(found, expected):
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_every_format_is_tested_here():
    assert set(READERS) == {"edm", "stf", "iddpm", "ddim", "score_sde", "wavegrad", "diffusers", "difftables"}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("format", ["iddpm", "ddim", "score_sde", "wavegrad", "edm"])
def test_a_plain_state_dict_is_one_in_every_format(tmp_path, format, legacy):
    state = OrderedDict(a=A, b=B)
    same(read_official(write_torch(tmp_path / "model.pt", state, legacy), format).state, state)
    save_file(dict(state), tmp_path / "model.safetensors")
    same(read_official(tmp_path / "model.safetensors", format).state, state)


def test_ddim_takes_the_average_over_the_net(tmp_path):
    found = [{"module.a": A, "module.b": B}, {"state": {}}, 3, 1000, {"a": A + 1}]
    read = read_official(write_torch(tmp_path / "ckpt.pth", found), "ddim")
    same(read.state, {"a": A + 1, "b": B})
    assert "EMA" in read.weights
    raw = read_official(write_torch(tmp_path / "raw.pth", found[:4]), "ddim")
    same(raw.state, {"a": A, "b": B})
    assert "EMA" not in raw.weights


def sde(tmp_path, shadow, net=None):
    net = net or {"module.sigmas": torch.ones(4).double(), "module.all_modules.0.W": B, "module.a": A, "module.b": B}
    return write_torch(tmp_path / "sde.pth", {"model": net, "ema": {"decay": 0.9, "num_updates": 1, "shadow_params": shadow}, "step": 1})


def test_score_sde_lists_its_average_by_parameters(tmp_path):
    """The levels and the Fourier frequencies are not in the list."""
    found = read_official(sde(tmp_path, [A + 1, B + 1]), "score_sde")
    assert torch.equal(found.state["a"], A + 1) and torch.equal(found.state["b"], B + 1)
    assert torch.equal(found.state["all_modules.0.W"], B)


@pytest.mark.parametrize(("shadow", "words"), [([A], ("1", "2")), ([B, A], ("[2]", "[2, 3]", "a")), (A, ("shadow_params",))])
def test_a_score_sde_average_that_does_not_fit_is_named(tmp_path, shadow, words):
    with pytest.raises(ValueError) as raised:
        read_official(sde(tmp_path, shadow), "score_sde")
    assert all(word in str(raised.value) for word in (*words, "sde.pth")) and "\n" not in str(raised.value)


def test_wavegrad_is_what_is_called_model(tmp_path):
    state = {"nn.a": A, "nn.b": B, "betas": B}
    same(read_official(write_torch(tmp_path / "w.pt", {"model": state, "iteration": 1, "optimizer": {}}), "wavegrad").state, state)


@pytest.mark.parametrize("packed", [write_pickle, write_torch])
@pytest.mark.parametrize("format", ["edm", "stf"])
def test_edm_modules_are_read_and_their_source_is_not_run(tmp_path, monkeypatch, packed, format):
    state = {
        "model.map_noise.freqs": B, "model.enc.8x8_conv.weight": A, "model.enc.8x8_down.conv0.resample_filter": A + 2,
        "model.enc.8x8_down.conv0.weight": torch.arange(8.0)[::2], "model.dec.8x8_block.bias": B + 1,
    }  # fmt: skip
    objects = edm_objects(state, monkeypatch, img_resolution=16, model_type="SongUNet")
    found = read_official(packed(tmp_path / "snapshot.pkl", objects), format)
    same(dict(sorted(found.state.items())), dict(sorted(state.items())))
    assert found.config["class_name"] == "EDMPrecond" and found.config["img_resolution"] == 16
    assert found.config["model"]["class_name"] == "model"
    assert "EMA" in found.weights


def folder(tmp_path, state, **config):
    path = tmp_path / "unet"
    path.mkdir()
    save_file(state, path / WEIGHTS)
    (path / "config.json").write_text(json.dumps({"_class_name": "UNet2DModel", "_diffusers_version": "0.42.1", **config}))
    return path


def test_a_diffusers_folder_is_its_safetensors_and_config(tmp_path):
    path = folder(tmp_path, {"a": A}, sample_size=16)
    for place in (path, tmp_path, path / WEIGHTS):
        found = read_official(place, "diffusers")
        same(found.state, {"a": A})
        assert found.config == {"class_name": "UNet2DModel", "sample_size": 16}


# -- what could run ----------------------------------------------------------------------------------------------------


def malicious(format, tmp_path, monkeypatch, bad):
    """A file of a format with an object that would run something where its weights belong."""
    if format in ("edm", "stf"):
        objects = edm_objects({"model.a": A}, monkeypatch)
        return write_pickle(tmp_path / "bad.pkl", objects | {"loss_fn": bad})
    if format == "diffusers":
        path = folder(tmp_path, {"a": A})
        (path / WEIGHTS).unlink()
        write_torch(path / "diffusion_pytorch_model.bin", {"a": bad})
        return path
    if format == "difftables":
        return write_torch(tmp_path / "net.safetensors", {"a": bad})
    wrapped = {"iddpm": {"a": bad}, "ddim": [{"module.a": bad}], "score_sde": {"model": {"a": A}, "ema": bad}, "wavegrad": {"model": bad}}
    return write_torch(tmp_path / "bad.pt", wrapped[format])


@pytest.mark.parametrize("format", list(READERS))
@pytest.mark.parametrize(("makes", "name"), [(shell, "system"), (evaluated, "eval")])
def test_what_could_run_is_refused_by_name(tmp_path, monkeypatch, format, makes, name):
    path = malicious(format, tmp_path, monkeypatch, makes(tmp_path))
    with pytest.raises(ValueError) as raised:
        read_official(path, format)
    message = str(raised.value)
    assert "\n" not in message and (format in ("diffusers", "difftables") or re.search(rf"names (\w+\.)*{name}\b", message))
    assert str(tmp_path) in message
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("packed", [write_pickle, write_torch])
def test_a_torch_save_inside_a_pickle_is_refused_by_name(tmp_path, monkeypatch, packed):
    path = packed(tmp_path / "bad.pkl", edm_objects({"model.a": A}, monkeypatch) | {"loss_fn": Nested(shell(tmp_path))})
    with pytest.raises(Refused, match=r"system"):
        read_official(path, "edm")
    assert not (tmp_path / "ran").exists()


def test_whole_modules_in_a_torch_save_are_refused_by_name(tmp_path):
    path = write_torch(tmp_path / "net.pt", {"ema": torch.nn.Linear(2, 2)})
    with pytest.raises(Refused, match=r"torch\.nn\.modules\.linear\.Linear"):
        read_official(path, "edm")


def test_a_plain_pickle_is_none_of_torch(tmp_path):
    with pytest.raises(Refused, match="system"):
        read_official(write_pickle(tmp_path / "model.pt", {"a": shell(tmp_path)}), "iddpm")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["torch._utils\n_rebuild_tensor_v2", "numpy\ndtype", "collections\nOrderedDict", "dnnlib.util\nEasyDict"])
def test_a_pickle_changes_nothing_that_it_names(tmp_path, name):
    """Opcode BUILD on a function or class itself."""
    path = tmp_path / "bad.pkl"
    path.write_bytes(b"\x80\x02c" + name.encode() + b"\n}X\x08\x00\x00\x00__call__K\x01sb.")
    with pytest.raises(ValueError, match=r"bad\.pkl"):
        read_official(path, "edm")


@pytest.mark.parametrize("size", [(3, 3), (-1,), (7,)])
def test_a_tensor_beyond_its_storage_is_refused(tmp_path, size):
    stride = (3, 1)[-len(size) :]
    bad = Runs(torch._utils._rebuild_tensor_v2, STORAGE, 0, size, stride, False, OrderedDict())
    with pytest.raises(ValueError, match=r"tensor"):
        read_official(write_pickle(tmp_path / "bad.pkl", {"ema": bad}), "edm")


# -- what is damaged or foreign ----------------------------------------------------------------------------------------


def whole(format, tmp_path, monkeypatch):
    if format in ("edm", "stf"):
        return write_pickle(tmp_path / "net.pkl", edm_objects({"model.a": torch.ones(100)}, monkeypatch))
    if format == "diffusers":
        return folder(tmp_path, {"a": torch.ones(100)}) / WEIGHTS
    if format == "difftables":
        save_file({"a": torch.ones(100)}, tmp_path / "net.safetensors", {"meta": '{"kind": "net"}'})
        return tmp_path / "net.safetensors"
    return write_torch(tmp_path / "net.pt", {"a": torch.ones(100)})


@pytest.mark.parametrize("format", list(READERS))
@pytest.mark.parametrize("part", [0.0, 0.05, 0.5, 0.95])
def test_a_cut_file_is_one_line(tmp_path, monkeypatch, format, part):
    path = whole(format, tmp_path, monkeypatch)
    assert read_official(path, format).state
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(ValueError) as raised:
        read_official(path, format)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("format", list(READERS))
def test_a_foreign_file_is_one_line_that_says_what_was_expected(tmp_path, format):
    path = tmp_path / "index.html"
    path.write_text("<html>not found</html>")
    with pytest.raises(ValueError, match="expected") as raised:
        read_official(path, format)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("format", ["iddpm", "ddim", "score_sde", "wavegrad", "edm"])
def test_an_optimizer_is_no_net(tmp_path, format):
    path = write_torch(tmp_path / "opt.pt", {"state": {0: {"exp_avg": A}}, "param_groups": [{"lr": 0.1}]})
    with pytest.raises(ValueError, match="expected"):
        read_official(path, format)


def test_modules_without_end_are_damaged(tmp_path, monkeypatch):
    objects = edm_objects({"model.a": A}, monkeypatch)
    inner = objects["ema"].meta["state"]["_modules"]["model"]
    inner.meta["state"]["_modules"] = {"loop": inner}
    with pytest.raises(ValueError, match=r"loop\.pkl"):
        read_official(write_pickle(tmp_path / "loop.pkl", objects), "edm")
