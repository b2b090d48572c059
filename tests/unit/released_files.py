"""Files as the repositories of released nets write them, of any state dict, and files that would run something."""

import os
import pickle
import sys
import types
from collections import OrderedDict

import numpy as np
import torch
from torch import nn

SOURCE = "raise SystemExit('the source text of a module was run')"


def edm_objects(state, monkeypatch, class_name="EDMPrecond", **kwargs):
    """What EDM pickles, {ema, loss_fn, augment_pipe, dataset_kwargs}: each module an object of torch_utils.persistence."""
    package, module = types.ModuleType("torch_utils"), types.ModuleType("torch_utils.persistence")

    def _reconstruct_persistent_obj(meta):
        raise AssertionError("the official reader was called")

    _reconstruct_persistent_obj.__module__ = module.__name__
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    module._reconstruct_persistent_obj = _reconstruct_persistent_obj
    monkeypatch.setitem(sys.modules, "torch_utils", package)
    monkeypatch.setitem(sys.modules, "torch_utils.persistence", module)

    class Persistent:
        def __init__(self, class_name, state):
            self.meta = {"type": "class", "version": 6, "module_src": SOURCE, "class_name": class_name, "state": state}

        def __reduce__(self):
            return _reconstruct_persistent_obj, (self.meta,)

    def built(name, tensors, **attributes):
        """A module of the tensors whose names begin with its own: enc and dec are containers of torch, all others are persistent."""
        inside = OrderedDict()
        for key in tensors:
            first, dot, _ = key.partition(".")
            if dot and first not in inside:
                inside[first] = built(first, {k.partition(".")[2]: v for k, v in tensors.items() if k.startswith(f"{first}.")})
        leaves = {key: value for key, value in tensors.items() if "." not in key}
        buffers = OrderedDict((key, value) for key, value in leaves.items() if key in ("resample_filter", "freqs"))
        parameters = OrderedDict((key, nn.Parameter(value)) for key, value in leaves.items() if key not in buffers)
        if name in ("enc", "dec"):
            found = nn.ModuleDict()
            found._modules = inside
            return found
        attributes |= {"training": False, "_parameters": parameters, "_buffers": buffers, "_modules": inside}
        return Persistent(name, attributes | {"_non_persistent_buffers_set": set(), "sigma_data": np.float64(0.5), "absent": None})

    ema = built(class_name, state, _init_args=(), _init_kwargs=kwargs)
    loss = Persistent("EDMLoss", {"P_mean": -1.2, "P_std": 1.2})
    return {"ema": ema, "loss_fn": loss, "augment_pipe": None, "dataset_kwargs": {"path": "datasets/cifar10-32x32.zip"}}


def write_pickle(path, value):
    """A plain pickle."""
    path.write_bytes(pickle.dumps(value))
    return path


def write_torch(path, value, legacy=False):
    """A torch.save, of before version 1.6 too."""
    torch.save(value, path, _use_new_zipfile_serialization=not legacy)
    return path


class Runs:
    """An object that calls a function when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def shell(folder):
    """What would leave a file `ran` in a folder."""
    return Runs(os.system, f"touch {folder / 'ran'}")


def evaluated(folder):
    """Another one."""
    return Runs(eval, f"open({str(folder / 'ran')!r}, 'w').close()")


class Nested:
    """A storage whose bytes are a torch.save that runs something."""

    def __init__(self, inner):
        self.inner = inner

    def __reduce__(self):
        import io

        file = io.BytesIO()
        torch.save(self.inner, file, _use_new_zipfile_serialization=False)
        return torch.storage._load_from_bytes, (file.getvalue(),)
