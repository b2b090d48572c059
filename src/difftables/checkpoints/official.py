"""Files of released nets, as their repositories write them: a state dict under the official names, out of its wrapper.

Formats: those of papers' repositories, a diffusers folder, and our own. How a file is packed is read off its first bytes.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from difftables.checkpoints.restricted import RECIPE, Kept, Refused, read_archive, read_pickle, refused_name
from difftables.common.errors import nearest
from difftables.common.files import kept_at, load_tensors
from difftables.common.variants import Variants

State = dict[str, Tensor]
ARCHIVE, TORCH_BEFORE_1_6 = b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"  # first bytes
WEIGHTS = "diffusion_pytorch_model.safetensors"  # of a diffusers folder
CONFIG = "config.json"  # beside it


class Official(NamedTuple):
    """A released net.

    Args: state: under official names; config: what the file says of the architecture, `class_name` and the constructor's arguments;
        weights: which they are, e.g. an average.
    """

    state: State
    config: dict[str, Any]
    weights: str


def read_official(path: Path, format: str) -> Official:
    """A released net from its file, or from a diffusers folder; nothing in it is run.

    Raises: ValueError, one line naming the file and what was expected; Refused (a ValueError) for a file that could run something.
    """
    if format not in READERS:
        raise ValueError(f"format is {format!r}{nearest(format, READERS)}")
    if not path.exists():
        raise ValueError(f"{path} does not exist")
    try:
        found = READERS[format](path)
    except RecursionError:
        raise ValueError(f"{path} is damaged: modules inside modules without end") from None
    if not found.state:
        raise ValueError(f"{path} has no weights; {EXPECTED[format]} was expected")
    return found


def content(path: Path, format: str) -> Any:
    """What a file holds: a state dict of safetensors, or the object of a torch.save or a pickle.  Raises: as `read_official`."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder; {EXPECTED[format]} was expected")
    with open(path, "rb") as file:
        first = file.read(16)
    if first[8:9] == b"{":
        return load_tensors(path)[0]
    if first.startswith((ARCHIVE, TORCH_BEFORE_1_6)):
        return _of_torch(path, format)
    if first[:1] == b"\x80" and format in ("edm", "stf"):
        return read_pickle(path)
    if first[:1] == b"\x80":
        read_pickle(path)  # which names what could run
    raise ValueError(f"{path} is none of safetensors and torch.save; {EXPECTED[format]} was expected")


def _of_torch(path: Path, format: str) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of a damaged file any: its opcodes are followed as they come
        refused, text = refused_name(error), " ".join(str(error).split())[:120]
    if refused is None:
        raise ValueError(f"{path} is cut or damaged ({text}); fetch it again")
    if format in ("edm", "stf"):
        return read_archive(path)
    raise Refused(f"{path} names {refused}, which is neither a tensor nor a container; nothing of it was run: {RECIPE}")


# -- what is a state dict ----------------------------------------------------------------------------------------------


def _state(found: Any, path: Path, format: str) -> State:
    """A state dict, less the prefix of DataParallel.  Raises: ValueError for anything else."""
    if not isinstance(found, dict) or not found or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in found.items()):
        keys = f"a dict of {', '.join(map(str, list(found)[:4]))}" if isinstance(found, dict) and found else f"a {type(found).__name__}"
        raise ValueError(f"{path} holds {keys}; {EXPECTED[format]} was expected")
    wrapped = all(key.startswith("module.") for key in found)
    return {key.removeprefix("module.") if wrapped else key: value for key, value in found.items()}


def _plain(path: Path, format: str, weights: str) -> Official:
    return Official(_state(content(path, format), path, format), {}, weights)


def read_iddpm(path: Path) -> Official:
    """Improved DDPM's: a plain state dict. Its file's name says whether it is an average, ema_RATE_STEP.pt."""
    return _plain(path, "iddpm", f"an average (EMA), as the file's name {path.name} says" if "ema" in path.stem else "as saved")


def read_ddim(path: Path) -> Official:
    """DDIM's: a plain state dict, or a list [net, optimizer, epoch, step, average], of which the average overwrites the net."""
    found = content(path, "ddim")
    if not isinstance(found, list):
        return Official(
            _state(found, path, "ddim"), {}, "an average (EMA), as the file's name says" if path.name.startswith("ema") else "as saved"
        )
    if not found:
        raise ValueError(f"{path} holds an empty list; {EXPECTED['ddim']} was expected")
    state = _state(found[0], path, "ddim")
    if len(found) < 5:
        return Official(state, {}, "raw: the file has no average")
    average = _state(found[-1], path, "ddim")
    if strangers := sorted(average.keys() - state.keys()):
        raise ValueError(f"{path} averages {strangers[0]}, which its net has not")
    return Official(state | average, {}, "the average (EMA)")


def read_score_sde(path: Path) -> Official:
    """score_sde_pytorch's: {model, ema}, whose average is a list in the order of the parameters that take a gradient."""
    found = content(path, "score_sde")
    if not isinstance(found, dict) or not {"model", "ema"} <= found.keys():
        return Official(_state(found, path, "score_sde"), {}, "as saved")
    state, ema = _state(found["model"], path, "score_sde"), found["ema"]
    shadow = ema.get("shadow_params") if isinstance(ema, dict) else None
    if not isinstance(shadow, list) or not all(isinstance(each, Tensor) for each in shadow):
        raise ValueError(f"{path} has no ema.shadow_params, a list of tensors; {EXPECTED['score_sde']} was expected")
    # The Fourier frequencies take no gradient and the levels are a buffer: neither is averaged.
    names = [name for name in state if name not in ("sigmas", "all_modules.0.W")]
    if len(names) != len(shadow):
        raise ValueError(f"{path} averages {len(shadow)} tensors, but its net has {len(names)} parameters with a gradient")
    for name, value in zip(names, shadow, strict=True):
        if value.shape != state[name].shape:
            raise ValueError(f"{path} averages a tensor of shape {list(value.shape)} where {name} has {list(state[name].shape)}")
    return Official(state | dict(zip(names, shadow, strict=True)), {}, "the average (EMA)")


def read_wavegrad(path: Path) -> Official:
    """ivanvovk/WaveGrad's: {model}, the net as `nn` beside the buffers of a noise schedule."""
    found = content(path, "wavegrad")
    state = _state(found["model"] if isinstance(found, dict) and "model" in found else found, path, "wavegrad")
    return Official(state, {}, "raw: WaveGrad's port keeps no average")


def read_edm(path: Path) -> Official:
    """EDM's and STF's: {ema: module}, a pickle or a torch.save of whole modules; or the state dict of that module."""
    found = content(path, "edm")
    if isinstance(found, dict) and isinstance(found.get("ema"), Kept):
        module = found["ema"]
        return Official(dict(_tensors(module)), config_of(module), "the average (EMA)")
    if isinstance(found, dict) and isinstance(found.get("net"), Kept):
        raise ValueError(f"{path} has the raw net of a training, no average; the snapshot beside it has one")
    return Official(_state(found, path, "edm"), {}, "as saved")


def _tensors(module: Kept, prefix: str = "") -> list[tuple[str, Tensor]]:
    """Parameters and buffers of a kept module with their names, as its state dict would have them."""
    state, out = module.state, list[tuple[str, Tensor]]()
    hidden = state.get("_non_persistent_buffers_set") or ()
    for kind in ("_parameters", "_buffers"):
        entries = state.get(kind)
        for name, value in entries.items() if isinstance(entries, dict) else ():
            if isinstance(value, Tensor) and name not in hidden:
                out.append((f"{prefix}{name}", value))
    children = state.get("_modules")
    for name, child in children.items() if isinstance(children, dict) else ():
        if isinstance(child, Kept):
            out += _tensors(child, f"{prefix}{name}.")
    return out


def config_of(module: Kept) -> dict[str, Any]:
    """What built a kept module of EDM: its class's name and the constructor's arguments; of the net inside it too, as `model`."""
    kwargs = module.state.get("_init_kwargs")
    out: dict[str, Any] = {"class_name": module.class_name} | (dict(kwargs) if isinstance(kwargs, dict) else {})
    if arguments := module.state.get("_init_args"):
        out["arguments"] = list(arguments)
    children = module.state.get("_modules")
    inner = children.get("model") if isinstance(children, dict) else None
    return out | ({"model": config_of(inner)} if isinstance(inner, Kept) else {})


def read_diffusers(path: Path) -> Official:
    """A diffusers folder, or its unet sub-folder: config.json and safetensors; also the safetensors file by itself."""
    if path.is_file():
        beside = path.parent / CONFIG
        if path.suffix == ".bin":
            raise Refused(_pickled(path))
        return Official(_safetensors(path, "diffusers"), _config(beside) if beside.is_file() else {}, "as saved")
    folder = path if (path / CONFIG).is_file() else path / "unet"
    weights = folder / WEIGHTS
    if not weights.is_file():
        pickles = sorted(folder.glob("*.bin"))
        raise Refused(_pickled(pickles[0])) if pickles else ValueError(f"{path} has no {WEIGHTS}; {EXPECTED['diffusers']} was expected")
    if not (folder / CONFIG).is_file():
        raise ValueError(f"{path} has no {CONFIG}; {EXPECTED['diffusers']} was expected")
    return Official(_safetensors(weights, "diffusers"), _config(folder / CONFIG), "as saved")


def _pickled(path: Path) -> str:
    return f"{path} is a pickle and was not opened; its owner saves the model with save_pretrained(FOLDER, safe_serialization=True)"


def _safetensors(path: Path, format: str) -> State:
    with open(path, "rb") as file:
        if file.read(9)[8:] != b"{":
            raise ValueError(f"{path} is no safetensors file; {EXPECTED[format]} was expected")
    return load_tensors(path)[0]


def _config(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is no JSON ({' '.join(str(error).split())})") from None
    if not isinstance(found, dict) or "_class_name" not in found:
        raise ValueError(f"{path} has no _class_name; {EXPECTED['diffusers']} was expected")
    return {"class_name": found["_class_name"]} | {key: value for key, value in found.items() if not key.startswith("_")}


def read_own(path: Path) -> Official:
    """Ours: safetensors of a net that a job of this project trained; of the weights kept at several steps, the last."""
    if not path.is_file():
        raise ValueError(f"{path} is a folder; {EXPECTED['difftables']} was expected")
    _safetensors(path, "difftables")
    tensors, _ = load_tensors(path, "net")
    return Official({name: value for name, value in tensors.items() if not name.startswith(kept_at())}, {}, "the average (EMA)")


READERS: Variants[Callable[[Path], Official]] = {
    "edm": read_edm,
    "stf": read_edm,
    "iddpm": read_iddpm,
    "ddim": read_ddim,
    "score_sde": read_score_sde,
    "wavegrad": read_wavegrad,
    "diffusers": read_diffusers,
    "difftables": read_own,
}
EXPECTED = {
    "edm": "a pickle or torch.save of {ema: module}, or the module's state dict",
    "stf": "a pickle or torch.save of {ema: module}, or the module's state dict",
    "iddpm": "the state dict of a UNetModel",
    "ddim": "a state dict, or a list [net, optimizer, epoch, step, average]",
    "score_sde": "{model, ema, optimizer, step}, or a state dict",
    "wavegrad": "{model: state dict with keys nn.*}",
    "diffusers": f"a folder with {CONFIG} and {WEIGHTS}",
    "difftables": "a net.safetensors of results/SCALE/store/nets",
}
