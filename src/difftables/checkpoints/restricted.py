"""A reader of pickles that knows tensors and containers and refuses every other name; nothing in a file is run.

EDM's pickles hold modules with their source text. Here a module becomes a `Kept`: its class's name and its attributes.
"""

import io
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

RECIPE = "the owner of its code saves `{k: v for k, v in net.state_dict().items()}` with safetensors.torch.save_file, and we read that"


class Refused(ValueError):
    """A pickle that names what is neither a tensor nor a container."""


class Known:
    """A function that a pickle may call. It has no attribute that a pickle could set."""

    __slots__ = ("_function",)
    _function: Callable[..., Any]

    def __init__(self, function: Callable[..., Any]) -> None:
        object.__setattr__(self, "_function", function)

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setattr__(self, name: str, value: Any) -> None:
        raise Refused(f"sets {name!r} of a function")

    def __setstate__(self, state: Any) -> None:
        raise Refused("sets the state of a function")


class Kept:
    """An object of a class that is not run: its class's name and its attributes."""

    class_name: str = ""
    state: Any = None

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise Refused("holds an object whose state is no dict")
        self.state = state


class Dtype:
    """A numpy type of numbers, by its letter and size."""

    def __init__(self, text: Any, *_: Any) -> None:
        if not isinstance(text, str) or text[:1] not in "?biuf" or not text[1:].isdigit() or len(text) != 2:
            raise Refused(f"holds numpy's type {text!r}, which is no number")
        self.text = text

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order not in ("<", "|", "="):
            raise Refused(f"holds numpy's type {self.text} of byte order {order!r}")


def _scalar(kind: Any, value: Any) -> Any:
    """A number of numpy."""
    import numpy as np

    if not isinstance(kind, Dtype) or not isinstance(value, bytes):
        raise Refused("holds a scalar of numpy that is no number")
    return np.frombuffer(value, kind.text, 1)[0].item()


def _persistent(meta: Any) -> Kept:
    """An object of EDM's `persistence`; its source text is dropped."""
    if not isinstance(meta, dict) or meta.get("type") != "class" or not isinstance(meta.get("state"), dict):
        raise Refused("holds a persistent object that has no class")
    found = Kept()
    found.class_name, found.state = str(meta.get("class_name")), meta["state"]
    return found


def _storage_of_bytes(text: Any) -> torch.TypedStorage:
    """The storage in a torch.save within a pickle."""
    if not isinstance(text, bytes):
        raise Refused("holds a storage that is not bytes")
    found = torch.load(io.BytesIO(text), map_location="cpu", weights_only=True)
    if not isinstance(found, torch.TypedStorage):
        raise Refused(f"holds a {type(found).__name__} where a tensor's storage belongs")
    return found


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
    """A tensor on its storage.  Raises: Refused for one that reaches out of it."""
    if not isinstance(storage, torch.TypedStorage):
        raise Refused("holds a tensor without a storage")
    if not all(isinstance(each, int) and each >= 0 for each in (offset, *size, *stride)) or len(size) != len(stride):
        raise Refused("holds a tensor without a shape")
    last = offset + sum((count - 1) * step for count, step in zip(size, stride, strict=True))
    if 0 not in size and last >= storage._untyped_storage.nbytes() // storage.dtype.itemsize:
        raise Refused("holds a tensor that reaches out of its storage")
    return torch.empty(0, dtype=storage.dtype).set_(storage._untyped_storage, offset, tuple(size), tuple(stride))


def _bytes(text: Any, encoding: Any) -> bytes:
    """Bytes as protocols before 3 write them."""
    if not isinstance(text, str) or encoding != "latin1":
        raise Refused("holds bytes in another encoding than latin1")
    return text.encode("latin1")


def _parameter(data: Any, *_: Any) -> Tensor:
    if not isinstance(data, Tensor):
        raise Refused("holds a parameter that is no tensor")
    return data


def _names() -> dict[str, Any]:
    """What a pickle may name. Classes are made anew for each file, so that no file changes what the next one meets."""
    containers = {f"torch.nn.modules.container.{name}": type(name, (Kept,), {}) for name in ("ModuleDict", "ModuleList", "Sequential")}
    return containers | {
        "collections.OrderedDict": OrderedDict,
        "_codecs.encode": Known(_bytes),
        "builtins.set": set,
        "__builtin__.set": set,
        "dnnlib.util.EasyDict": type("EasyDict", (dict,), {"__setstate__": lambda self, state: None}),
        "numpy.dtype": Known(Dtype),
        "numpy.core.multiarray.scalar": Known(_scalar),
        "numpy._core.multiarray.scalar": Known(_scalar),
        "torch._utils._rebuild_parameter": Known(_parameter),
        "torch._utils._rebuild_tensor_v2": Known(_tensor),
        "torch.storage._load_from_bytes": Known(_storage_of_bytes),
        "torch_utils.persistence._reconstruct_persistent_obj": Known(_persistent),
    }


class Unpickler(pickle.Unpickler):
    """Of one file.  Args: storage: reads what a persistent id of torch's archives names; None refuses them."""

    def __init__(self, file: Any, storage: Callable[[Any], Any] | None = None) -> None:
        super().__init__(file)
        self._known, self._storage = _names(), storage

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if self._storage is not None and module == "torch" and name.endswith("Storage"):
            return name  # of a persistent id, which `storage` reads
        if full not in self._known:
            raise Refused(f"names {full}, which is neither a tensor nor a container")
        return self._known[full]

    def persistent_load(self, pid: Any) -> Any:
        if self._storage is None:
            raise Refused("names an object outside itself")
        return self._storage(pid)


def read_pickle(path: Path) -> Any:
    """The object of a plain pickle, e.g. of an EDM snapshot; modules as `Kept`.

    Raises: Refused naming what a file may not hold; ValueError for a file that is cut or no pickle.
    """
    with open(path, "rb") as file:
        return _loaded(Unpickler(file), path)


def read_archive(path: Path) -> Any:
    """The object of a torch.save with whole modules of EDM's kind in it, as `read_pickle`.  Raises: as `read_pickle`."""
    try:
        with zipfile.ZipFile(path) as archive:
            folder = next((name[: -len("data.pkl")] for name in archive.namelist() if name.endswith("/data.pkl")), None)
            if folder is None:
                raise ValueError(f"{path} is an archive without data.pkl, so that no torch.save wrote it")
            if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
                raise ValueError(f"{path} was written with another byte order than little; save it on another machine")
            known = dict[str, torch.TypedStorage]()

            def storage(pid: Any) -> torch.TypedStorage:
                if not isinstance(pid, tuple) or len(pid) != 5 or pid[0] != "storage" or [type(each) for each in pid[1:3]] != [str, str]:
                    raise Refused("names an object outside itself that is no storage")
                if pid[2] not in known:
                    raw = bytearray(archive.read(f"{folder}data/{pid[2]}"))
                    untyped = torch.frombuffer(raw, dtype=torch.uint8).untyped_storage() if raw else torch.UntypedStorage(0)
                    known[pid[2]] = torch.TypedStorage(wrap_storage=untyped, dtype=_dtype_of_storage(pid[1]), _internal=True)
                return known[pid[2]]

            return _loaded(Unpickler(archive.open(f"{folder}data.pkl"), storage), path)
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f"{path} is cut or damaged ({_line(error)}); fetch it again") from None


def _dtype_of_storage(name: str) -> torch.dtype:
    kinds = {"FloatStorage": torch.float32, "DoubleStorage": torch.float64, "HalfStorage": torch.float16, "LongStorage": torch.int64}
    if name not in kinds:
        raise Refused(f"names torch.{name}, which is no storage of weights")
    return kinds[name]


def _loaded(unpickler: Unpickler, path: Path) -> Any:
    try:
        return unpickler.load()
    except Refused as error:
        raise Refused(f"{path} {error}; nothing of it was run: {RECIPE}") from None
    except MemoryError:
        raise ValueError(f"{path} is damaged, or asks for more memory than there is") from None
    except Exception as error:  # of a damaged pickle any: opcodes are followed as they come
        if (refused := refused_name(error)) is not None:
            raise Refused(f"{path} holds a torch.save that names {refused}; nothing of it was run: {RECIPE}") from None
        raise ValueError(f"{path} is cut, damaged or no pickle ({_line(error)}); fetch it again") from None


def refused_name(error: BaseException) -> str | None:
    """The name that torch.load(weights_only=True) refused, out of its error; None for another error."""
    found = re.search(r"GLOBAL ([\w.]+)|[Gg]lobal(?: name)? `?([\w.]+)`? (?:was|is) not", str(error))
    return next((each for each in found.groups() if each), None) if found else None


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
