"""Checkpoints: from the files of released nets to our weights, by the job and by `difftables import`."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from job_files import read_job, run_job
from released_files import edm_objects, shell, write_pickle, write_torch
from safetensors.torch import load_file, save_file

from difftables.__main__ import main
from difftables.checkpoints.convert import architecture, convert
from difftables.checkpoints.load import load_checkpoint, shown_net
from difftables.checkpoints.official import READERS, WEIGHTS, read_official
from difftables.common.files import load_tensors, save_tensors, sha256
from difftables.config.nets import CheckpointFile, CheckpointSpec, Net
from difftables.nets import NETS

FOLDER = Path(__file__).parents[1] / "official_nets"
INDEX = json.loads((FOLDER / "index.json").read_text())["nets"]


def state_of(name):
    tensors = load_file(FOLDER / f"{name}.safetensors")
    return {key.removeprefix("state."): value for key, value in tensors.items() if key.startswith("state.")}


def released(name, folder, monkeypatch):
    """The state of an official net in a file as its repository writes it."""
    state, format = state_of(name), INDEX[name]["format"]
    if format in ("edm", "stf"):
        return write_pickle(folder / "snapshot.pkl", edm_objects(state, monkeypatch))
    if format == "ddim":
        raw = {f"module.{key}": value + 1 for key, value in state.items()}
        return write_torch(folder / "ckpt.pth", [raw, {}, 1, 10, state])
    if format == "score_sde":
        shadow = [value for key, value in state.items() if key not in ("sigmas", "all_modules.0.W")]
        raw = {f"module.{key}": value if key in ("sigmas", "all_modules.0.W") else value + 1 for key, value in state.items()}
        return write_torch(folder / "checkpoint.pth", {"model": raw, "ema": {"shadow_params": shadow}, "step": 1})
    if format == "wavegrad":
        return write_torch(folder / "w.pt", {"model": {f"nn.{key}": value for key, value in state.items()} | {"betas": torch.ones(3)}})
    if format == "diffusers":
        (folder / "unet").mkdir()
        save_file(state, folder / "unet" / WEIGHTS)
        config = {"_class_name": "UNet2DModel", "_diffusers_version": "0.42.1", **INDEX[name]["config"]}
        (folder / "unet/config.json").write_text(json.dumps(config))
        return folder / "unet"
    return write_torch(folder / "ema_0.9999_500000.pt", state)


def net_of(name, path):
    entry = INDEX[name]
    arguments, shape = shown_net(path, read_official(path, entry["format"]), entry["format"], entry["stated"])
    return Net(**arguments), shape


@pytest.mark.parametrize("name", INDEX)
def test_a_released_file_is_our_net(name, tmp_path, monkeypatch):
    """With the weights that `convert` makes of the official state dict."""
    entry, state = INDEX[name], state_of(name)
    path = released(name, tmp_path, monkeypatch)
    net, shape = net_of(name, path)
    weights, report = load_checkpoint(path, entry["format"], net, shape)
    found = architecture(state, entry["format"], entry["stated"], entry.get("config"))
    expected, _ = convert(state, entry["format"], NETS[found["kind"]](**{key: value for key, value in found.items() if key != "kind"}))
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[key], expected[key]) for key in expected)
    assert report["unused"] == report["missing"] == []
    bare = {key.removeprefix("nn.") for key in (*report["used"], *report["ignored"])} - {"betas"}
    assert bare == state.keys()


def test_there_is_an_official_net_of_each_format():
    assert {entry["format"] for entry in INDEX.values()} | {"stf", "difftables"} == set(READERS)


# -- the job -----------------------------------------------------------------------------------------------------------

NAME = "diffusers_unet2d"


@pytest.fixture
def spec(tmp_path, monkeypatch):
    """The spec of the job for a diffusers folder."""
    monkeypatch.chdir(tmp_path)
    path = released(NAME, tmp_path, monkeypatch)
    net, shape = net_of(NAME, path)
    return CheckpointSpec(name="mine/cats", format="diffusers", sha256=sha256(path / WEIGHTS), net=net, shape=shape)


INPUTS = {"weights": f"unet/{WEIGHTS}", "config": "unet/config.json"}
OUTPUTS = {"net": "net.safetensors", "report": "net.json"}


def failed(spec, *words, weights=INPUTS["weights"]):
    """Asserts that the job ends with one line that has these words."""
    with pytest.raises(ValueError) as raised:
        run_job("checkpoint", spec, {"weights": weights}, OUTPUTS)
    message = str(raised.value)
    assert "\n" not in message and all(str(word) in message for word in words), message
    assert not Path("net.safetensors").exists()


def test_the_job_writes_our_net_and_what_became_of_each_tensor(spec):
    run_job("checkpoint", spec, INPUTS, OUTPUTS)
    weights, _ = load_tensors("net.safetensors", "net")
    report = json.loads(Path("net.json").read_text())
    assert sorted(report["used"]) == sorted(state_of(NAME)) and report["missing"] == report["unused"] == []
    assert report["sha256"] == spec.sha256 and report["parameters"] == sum(each.numel() for each in weights.values())


def test_an_edited_file_is_named_with_its_hash(spec):
    path = Path(INPUTS["weights"])
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    failed(spec, path, sha256(path), spec.sha256, "checkpoints.mine/cats.sha256")


def test_a_file_without_a_hash_in_params_is_told_its_own(spec):
    failed(spec.model_copy(update={"sha256": None}), spec.sha256, "checkpoints.mine/cats.sha256")


def test_a_net_of_another_width_is_one_line(spec):
    wide = spec.net.model_copy(update={"width": 16})
    assert wide.model_extra["width"] == 16
    failed(spec.model_copy(update={"net": wide}), INPUTS["weights"], "width = 8", "16")


def test_data_of_another_size_are_one_line(spec):
    failed(spec.model_copy(update={"shape": spec.shape | {"size": 32}}), "size = 16", "32")


@pytest.mark.parametrize("format", ["iddpm", "ddim", "edm", "wavegrad", "score_sde"])
def test_a_net_of_another_format_is_one_line(spec, format):
    failed(spec.model_copy(update={"format": format}), "unet")


def test_a_missing_and_an_unused_tensor_are_named(spec):
    path, state = Path(INPUTS["weights"]), state_of(NAME)
    state["stranger"] = state.pop("conv_in.bias")
    save_file(state, path)
    failed(spec.model_copy(update={"sha256": sha256(path)}), "conv_in.bias", "stranger")


def test_our_own_net_is_read_as_it_is(spec):
    net = Net(kind="unet", width=8, mult=[1], blocks=1, attention=[], dropout=0.0)
    weights = NETS["unet"](size=4, channels=1, **net.model_extra).state_dict()
    save_tensors("own.safetensors", weights | {"at.3.inlet.bias": torch.ones(1)}, {"kind": "net"})
    own = spec.model_copy(
        update={"format": "difftables", "net": net, "shape": {"size": 4, "channels": 1, "classes": 0}, "sha256": sha256("own.safetensors")}
    )
    run_job("checkpoint", own, {"weights": "own.safetensors"}, OUTPUTS)
    found, _ = load_tensors("net.safetensors", "net")
    assert found.keys() == weights.keys() and all(torch.equal(found[key], weights[key]) for key in found)
    Path("net.safetensors").unlink()
    wide = net.model_copy(update={"width": 16})
    failed(own.model_copy(update={"net": wide}), "own.safetensors", weights="own.safetensors")


def test_the_fingerprint_of_the_job_holds_its_formats(spec):
    """The code of a checkpoint's job counts that of its reader."""
    from difftables.provenance import fingerprint

    job = read_job("checkpoint", spec, INPUTS, OUTPUTS)
    other = spec.model_copy(update={"format": "ddim"})
    assert fingerprint.code("checkpoint", job.spec) != fingerprint.code("checkpoint", other)


# -- difftables import -------------------------------------------------------------------------------------------------


def printed(capsys, *arguments):
    """The lines of `difftables import` that belong into params."""
    assert main(["import", *map(str, arguments)]) == 0
    text = capsys.readouterr().out
    return text, yaml.safe_load(text.split("\n\n", 1)[1])


@pytest.mark.parametrize("name", INDEX)
def test_import_prints_an_entry_that_its_job_accepts(name, tmp_path, monkeypatch, capsys):
    path = released(name, tmp_path, monkeypatch)
    format = INDEX[name]["format"]
    stated = [word for key, value in INDEX[name]["stated"].items() for word in ("--net", f"{key}={json.dumps(value)}")]
    _, lines = printed(capsys, path, "--as", format, "--name", "cats", *stated)
    entry = CheckpointFile.model_validate(lines["checkpoints"]["cats"])
    assert entry.file == str(path) and entry.format == format
    assert lines["runs"]["cats"]["net"] == {"checkpoint": "cats"}
    net, _ = net_of(name, path)
    assert entry.net == net


def test_import_names_what_the_file_does_not_show(tmp_path, monkeypatch, capsys):
    path = released("ddim_narrow", tmp_path, monkeypatch)
    assert main(["import", str(path), "--as", "ddim"]) == 1
    captured = capsys.readouterr()
    assert "'size'" in captured.err and captured.out == ""


def test_import_into_a_params_file_changes_no_other_line(tmp_path, monkeypatch, capsys):
    path, params = released(NAME, tmp_path, monkeypatch), tmp_path / "params.yaml"
    for text in ("", "# a comment\npage: 3\n", "checkpoints:  # of others\n    old: {format: edm}\nruns: {}\n"):
        params.write_text(text)
        printed(capsys, path, "--as", "diffusers", "--name", "cats", "--into", params)
        after = params.read_text()
        assert [line for line in after.splitlines() if "cats:" not in line and line not in ("", "checkpoints:")] == text.splitlines()
        content = yaml.safe_load(after)
        assert CheckpointFile.model_validate(content["checkpoints"]["cats"]).file == str(path)
    assert main(["import", str(path), "--as", "diffusers", "--name", "cats", "--into", str(params)]) == 1
    assert "cats" in capsys.readouterr().err and params.read_text() == after


def test_tensors_of_diffusers_without_their_config_are_what_params_say(spec):
    """As those of an address."""
    Path(INPUTS["config"]).unlink()
    run_job("checkpoint", spec, {"weights": INPUTS["weights"]}, OUTPUTS)
    assert json.loads(Path("net.json").read_text())["config"] == {}


def test_import_runs_nothing(tmp_path, capsys):
    path = write_torch(tmp_path / "bad.pt", {"a": shell(tmp_path)})
    assert main(["import", str(path), "--as", "iddpm"]) == 1
    assert "system" in capsys.readouterr().err and not (tmp_path / "ran").exists()
