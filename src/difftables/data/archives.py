"""Readers of published archives of images, unpacked: uint8 images, [N, C, H, W], and integer labels, [N]."""

import os
import re
import sys
from io import BytesIO
from itertools import islice
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from difftables.data import faults
from difftables.data.image_files import squared

CIFAR10_BATCHES = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")
CIFAR10_RECORD = 1 + 3 * 32 * 32  # a label and the red, green and blue planes
IMAGENET_BATCHES = range(1, 11)


def cifar10(size: int, channels: int, root: str) -> tuple[Tensor, Tensor]:
    """The 60,000 images of CIFAR-10, binary version: the training batches, then the test batch, for a split without a seed.

    Raises: ValueError for another size or number of channels, or naming the batches that are missing or damaged.
    Source: Krizhevsky 2009; the binary version, since the one for Python is pickled and would run whatever is in it.
    """
    if (size, channels) != (32, 3):
        raise ValueError(f"CIFAR-10 is 32x32 px with 3 channels, not {size}x{size} with {channels}; mend data.* in params.yaml")
    parts, problems = list[Tensor](), list[str]()
    for path in (Path(root) / name for name in CIFAR10_BATCHES):
        if not path.is_file():
            problems.append(f"{path} does not exist; is the archive CIFAR-10's binary version? mend `archive` or `root` in params.yaml")
            continue
        found = np.fromfile(path, np.uint8)
        if not len(found) or len(found) % CIFAR10_RECORD or found[::CIFAR10_RECORD].max() > 9:
            problems.append(f"{path} is no batch of CIFAR-10; delete what lies around it and run snakemake again")
            continue
        parts.append(torch.from_numpy(found).view(-1, CIFAR10_RECORD))
    faults.refuse(problems, "files")
    records = torch.cat(parts)
    return records[:, 1:].reshape(-1, 3, 32, 32).contiguous(), records[:, 0].long()


def imagenet64(size: int, channels: int, root: str) -> tuple[Tensor, Tensor]:
    """The training images of downsampled ImageNet, train_data_batch_1.npz to train_data_batch_10.npz anywhere below a folder.

    Args: size: whichever of its sizes the files have.
    Raises: ValueError naming the batches that are missing, or the file that is no batch.
    Source: Chrabaszcz, Loshchilov and Hutter 2017.
    """
    paths = {int(re.sub(r"\D", "", path.stem)): path for path in Path(root).rglob("train_data_batch_*.npz")}
    if missing := [str(i) for i in IMAGENET_BATCHES if i not in paths]:
        raise ValueError(
            f"{root} lacks train_data_batch_*.npz, numbers {', '.join(missing)}; log in at image-net.org, download both parts of "
            f"Train({size}x{size}), npz format, and unzip them there, or read a folder of images with reader: folder"
        )
    parts = [_read(paths[i], "labels").reshape(-1) for i in IMAGENET_BATCHES]
    _need_memory(root, sum(map(len, parts)), size, channels)
    images, start = torch.empty(sum(map(len, parts)), channels, size, size, dtype=torch.uint8), 0
    for i, labels in zip(IMAGENET_BATCHES, parts, strict=True):
        data = _read(paths[i], "data")
        if data.dtype != np.uint8 or data.shape != (len(labels), channels * size * size):
            raise ValueError(f"{paths[i]} holds {data.dtype} {list(data.shape)}, no {size}x{size} images with {channels} channels")
        images[start : start + len(labels)] = torch.from_numpy(data).reshape(-1, channels, size, size)
        start += len(labels)
    return images, torch.from_numpy(np.concatenate(parts).astype(np.int64)) - 1  # theirs begin with 1


def lsun(size: int, channels: int, root: str, limit: int | None = None) -> tuple[Tensor, Tensor]:
    """One category of LSUN, an LMDB of encoded images in the order of its keys: the largest centred square, resized.

    Args: limit: the first so many alone; keys are hashes of the images, so that this is a draw without order.
    Raises: ValueError without a database, for more images than fit into memory, or naming the images that cannot be read.
    Source: Yu et al. 2015.
    """
    import lmdb
    from PIL import Image

    if not (Path(root) / "data.mdb").is_file():
        raise ValueError(f"{root} is no LMDB; mend `archive` or `root` in params.yaml")
    with lmdb.open(root, readonly=True, lock=False, readahead=False) as environment, environment.begin() as transaction:
        count = min(transaction.stat()["entries"], limit or sys.maxsize)
        _need_memory(root, count, size, channels, "; set `limit` of this data set in params.yaml to fewer images")
        images = torch.empty(count, channels, size, size, dtype=torch.uint8)
        problems = list[str]()
        for i, (key, value) in enumerate(islice(transaction.cursor(), count)):
            try:
                with Image.open(BytesIO(value)) as file:
                    images[i] = squared(file, size, channels)
            except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
                problems.append(f"{root}: image {key!r} cannot be read ({error}); delete {root} and run snakemake again")
        faults.refuse(problems, "images")
    return images, torch.zeros(count, dtype=torch.long)


def _read(path: Path, name: str) -> np.ndarray:
    """One array of an .npz file; nothing in it is unpickled."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return file[name]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise ValueError(f"{path} has no plain array {name!r} ({error}); download it again") from None


def _need_memory(root: str, count: int, size: int, channels: int, mend: str = "") -> None:
    """Raise ValueError where a data set, which is held in memory, would not fit: LSUN's bedrooms at 256 px take 596 GB."""
    needed, there = count * channels * size * size, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise ValueError(
            f"{root}: {count:,} images of {size}x{size} px take {needed / 1e9:.0f} GB of memory, "
            f"and this machine has {there / 1e9:.0f} GB{mend}"
        )
