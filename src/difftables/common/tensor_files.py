"""Tensors larger than memory: safetensors files written part by part, and scratch tensors that lie on the disk.

`files.load_tensors` maps a file into memory: of a tensor that it returns, only the rows that are read take memory, and the system can
drop these again.
"""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from difftables.common.files import canonical, replacing

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SCRATCH = Path(".cache/scratch")
WRITTEN_AT_ONCE = 2**24  # bytes
# As safetensors orders tensors in a file: by type, then by name.
TYPES = {
    "int64": "I64", "float64": "F64", "float32": "F32", "int32": "I32", "float16": "F16", "int16": "I16", "int8": "I8", "uint8": "U8",
    "bool": "BOOL",
}  # fmt: skip
LARGE = 2**32  # bytes of a tensor from which on it lies on the disk


@dataclass(frozen=True)
class Parts:
    """A tensor in parts, which follow each other in memory order.

    Args: shape: of the whole; parts: tensors of one type with as many entries in all.
    """

    shape: tuple[int, ...]
    parts: "Sequence[Tensor]"

    @classmethod
    def of(cls, whole: "Tensor") -> "Parts":
        """A tensor as its one part."""
        return cls(tuple(whole.shape), [whole])

    @property
    def dtype(self) -> str:
        """The type's name."""
        return str(self.parts[0].dtype).removeprefix("torch.")

    @property
    def nbytes(self) -> int:
        """Bytes in a file."""
        return sum(part.numel() * part.element_size() for part in self.parts)


def save_parts(path: Path | str, tensors: Mapping[str, Parts], meta: dict[str, Any]) -> None:
    """Write the file that `files.save_tensors` writes of the joined tensors, byte for byte, without joining them.

    Raises: OSError with one line where the disk is full, before anything is written.
    """
    ordered = sorted(tensors, key=lambda name: (list(TYPES).index(tensors[name].dtype), name))
    entries, end = dict[str, Any](__metadata__={"meta": canonical(meta)}), 0
    for name in ordered:
        begin, end = end, end + tensors[name].nbytes
        entries[name] = {"dtype": TYPES[tensors[name].dtype], "shape": tensors[name].shape, "data_offsets": [begin, end]}
    header = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    header += b" " * (-len(header) % 8)
    need_disk(Path(path).parent, end)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for part in (part for name in ordered for part in tensors[name].parts):
            flat = part.contiguous().view(-1)
            for piece in flat.split(max(1, WRITTEN_AT_ONCE // flat.element_size())):
                file.write(piece.numpy().data)


def need_disk(folder: Path, needed: int) -> None:
    """Raise OSError where so many bytes are not free on the disk of a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"{folder} needs {needed / 1e9:.1f} GB, and its disk has {free / 1e9:.1f} GB; free some space")


def allocated(shape: Sequence[int], dtype: "torch.dtype") -> "Tensor":
    """A tensor to be filled, in memory, or on the disk where it is large.  Raises: OSError where the disk is full."""
    import torch

    return torch.empty(*shape, dtype=dtype) if torch.Size(shape).numel() * dtype.itemsize < LARGE else scratch(shape, dtype)


def scratch(shape: Sequence[int], dtype: "torch.dtype") -> "Tensor":
    """A tensor of zeros that lies in a file, which leaves with the process: the system writes pages out where memory is short.

    Raises: OSError where the disk is full.
    """
    import torch

    count = torch.Size(shape).numel()
    if count == 0:
        return torch.zeros(*shape, dtype=dtype)
    need_disk(SCRATCH, count * dtype.itemsize)
    handle, name = tempfile.mkstemp(dir=SCRATCH)
    try:
        os.truncate(handle, count * dtype.itemsize)
        return torch.from_file(name, shared=True, size=count, dtype=dtype).view(*shape)
    finally:
        os.close(handle)
        os.unlink(name)
