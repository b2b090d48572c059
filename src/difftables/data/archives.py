"""Readers of unpacked archives of published images: uint8 images, [N, C, H, W], and integer labels, [N]."""

import re
import shutil
import sys
from io import BytesIO
from itertools import islice
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from difftables.common.tensor_files import SCRATCH, allocated
from difftables.data import faults
from difftables.data.image_files import cropped_square

CIFAR10_BATCHES = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")
CIFAR10_RECORD = 1 + 3 * 32 * 32  # a label and the red, green and blue planes
IMAGENET_BATCHES = range(1, 11)


def cifar10(size: int, channels: int, root: str) -> tuple[Tensor, Tensor]:
    """The 60,000 images of CIFAR-10, binary version: the training batches, then the test batch, for a split without a seed.

    Raises: ValueError for another size or number of channels, or naming the batches that are missing or damaged.
    Source: Krizhevsky 2009; the binary version, since unpickling the one for Python would run any code in it.
    """
    if (size, channels) != (32, 3):
        raise ValueError(f"CIFAR-10 is 32x32 px with 3 channels, not {size}x{size} with {channels}; correct the data set in params.yaml")
    parts, problems = list[Tensor](), list[str]()
    for path in (Path(root) / name for name in CIFAR10_BATCHES):
        if not path.is_file():
            problems.append(f"{path} does not exist; it is in CIFAR-10's binary version; correct `archive` or `root` in params.yaml")
            continue
        content = np.fromfile(path, np.uint8)
        if not len(content) or len(content) % CIFAR10_RECORD or content[::CIFAR10_RECORD].max() > 9:
            problems.append(f"{path} is no batch of CIFAR-10; delete its folder and run snakemake again")
            continue
        parts.append(torch.from_numpy(content).view(-1, CIFAR10_RECORD))
    faults.refuse(problems, "files")
    records = torch.cat(parts)
    return records[:, 1:].reshape(-1, 3, 32, 32).contiguous(), records[:, 0].long()


def imagenet64(size: int, channels: int, root: str) -> tuple[Tensor, Tensor]:
    """The training images of downsampled ImageNet, train_data_batch_1.npz to train_data_batch_10.npz anywhere below a folder.

    Args: size: of the images in the files, one of the published sizes.
    Raises: ValueError naming the batches that are missing, the file that is no batch, or for more images than fit on the disk.
    Source: Chrabaszcz, Loshchilov and Hutter 2017.
    """
    paths = {int(re.sub(r"\D", "", path.stem)): path for path in Path(root).rglob("train_data_batch_*.npz")}
    if missing := [str(i) for i in IMAGENET_BATCHES if i not in paths]:
        raise ValueError(
            f"{root} lacks train_data_batch_*.npz, numbers {', '.join(missing)}; log in at image-net.org, download both parts of "
            f"Train({size}x{size}), npz format, and unzip them there, or read a folder of images with reader: folder"
        )
    parts = [_read(paths[i], "labels").reshape(-1) for i in IMAGENET_BATCHES]
    _need_space(root, sum(map(len, parts)), size, channels)
    images, start = allocated((sum(map(len, parts)), channels, size, size), torch.uint8), 0
    for i, labels in zip(IMAGENET_BATCHES, parts, strict=True):
        data = _read(paths[i], "data")
        if data.dtype != np.uint8 or data.shape != (len(labels), channels * size * size):
            raise ValueError(f"{paths[i]} holds {data.dtype} {list(data.shape)}, no {size}x{size} images with {channels} channels")
        images[start : start + len(labels)] = torch.from_numpy(data).reshape(-1, channels, size, size)
        start += len(labels)
    return images, torch.from_numpy(np.concatenate(parts).astype(np.int64)) - 1  # their labels start at 1


def lsun(size: int, channels: int, root: str, limit: int | None = None) -> tuple[Tensor, Tensor]:
    """The largest centred square, resized, of the images of one LSUN category, an LMDB in the order of its keys.

    Args: limit: only the first so many; keys are hashes of the images, so that these are a random subset.
    Raises: ValueError without a database, for more images than fit on the disk, or naming the images that cannot be read.
    Source: Yu et al. 2015.
    """
    import lmdb
    from PIL import Image

    if not (Path(root) / "data.mdb").is_file():
        raise ValueError(f"{root} is no LMDB; correct `archive` or `root` in params.yaml")
    with lmdb.open(root, readonly=True, lock=False, readahead=False) as environment, environment.begin() as transaction:
        count = min(transaction.stat()["entries"], limit or sys.maxsize)
        _need_space(root, count, size, channels, "; or set `limit` of this data set in params.yaml to fewer images")
        images = allocated((count, channels, size, size), torch.uint8)
        problems = list[str]()
        for i, (key, value) in enumerate(islice(transaction.cursor(), count)):
            try:
                with Image.open(BytesIO(value)) as file:
                    images[i] = cropped_square(file, size, channels)
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


def _need_space(root: str, count: int, size: int, channels: int, advice: str = "") -> None:
    """Raise ValueError where a data set has no space on the disk, which holds it twice while it is read."""
    needed, folder = 2 * count * channels * size * size, SCRATCH
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ValueError(
            f"{root}: {count:,} images of {size}x{size} px need {needed / 1e9:.0f} GB on the disk of {folder} while they are read, "
            f"which has {free / 1e9:.0f} GB; free some space there{advice}"
        )
