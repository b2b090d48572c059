"""Readers of images: each returns uint8 images, [N, C, H, W], and integer labels, [N]."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from difftables.common.tensor_files import allocated
from difftables.data import faults

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp"}


def digits(size: int, channels: int) -> tuple[Tensor, Tensor]:
    """The 1,797 handwritten digits shipped inside scikit-learn, 8x8 px, 17 grey levels spread over 0..255.

    Raises: ValueError for another size or number of channels.
    Source: scikit-learn `load_digits`, the test part of UCI's optical recognition set.
    """
    from sklearn.datasets import load_digits

    if (size, channels) != (8, 1):
        raise ValueError(f"digits are 8x8 px with 1 channel, not {size}x{size} with {channels}; correct data.digits in params.yaml")
    bunch = load_digits()
    images = torch.from_numpy(bunch.images).mul(255 / 16).round().to(torch.uint8)
    return images[:, None], torch.from_numpy(bunch.target).long()


def folder(
    size: int, channels: int, root: str, crop: Sequence[int] | None = None, filter: str = "bicubic"
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """All images below a folder, cropped, resized with an antialiased filter; a sub-folder is a class.

    Args: crop: centre x, centre y and half side in px; None crops the largest centred square; filter: of the resize, bicubic or bilinear.
    Raises: ValueError naming the folder without images, or the images that cannot be used.
    """
    from PIL import Image

    paths = sorted(path for path in Path(root).rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise ValueError(f"no images ({', '.join(sorted(SUFFIXES))}) below {root}; put them there or correct `root` in params.yaml")
    classes = sorted({path.parent for path in paths})
    images = allocated((len(paths), channels, size, size), torch.uint8)
    problems = list[str]()
    for i, path in enumerate(paths):
        try:
            with Image.open(path) as file:
                images[i] = cropped_square(file, size, channels, crop, filter)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # Pillow raises SyntaxError for a damaged PNG
            problems.append(f"{path} cannot be read as an image ({error}); replace or delete it")
    faults.refuse(problems, "images")
    return images, torch.tensor([classes.index(path.parent) for path in paths])


def cropped_square(
    image: "Image", size: int, channels: int, crop: Sequence[int] | None = None, filter: str = "bicubic"
) -> Tensor:  # fmt: skip
    """A square of a Pillow image as uint8, [C, size, size], resized with an antialiased filter.

    Args: crop: centre x, centre y and half side in px; None takes the largest centred square; filter: bicubic or bilinear.
    Raises: ValueError where the crop reaches beyond the image, which Pillow would fill with black.
    """
    import numpy as np
    from PIL.Image import Resampling

    image = image.convert("L" if channels == 1 else "RGB")
    x, y, half = crop or (image.width // 2, image.height // 2, min(image.size) // 2)
    box = (x - half, y - half, x + half, y + half)
    if min(box) < 0 or box[2] > image.width or box[3] > image.height:
        raise ValueError(f"its {image.width}x{image.height} px do not contain the crop {list(crop or ())}")
    # Cropped first: a resize with a box lets pixels from outside it bleed into the edge.
    image = image.crop(box).resize((size, size), Resampling[filter.upper()])
    return torch.from_numpy(np.array(image)).reshape(size, size, channels).permute(2, 0, 1)


def held_out_mask(count: int, held_out: int, seed: int | None) -> Tensor:
    """Whether each sample is held out of training, [count].

    Args: seed: of a random draw; None holds out the last ones, which are the published test set where a reader puts it last.
    Raises: ValueError when none would be left to train on.
    """
    from difftables.common.seeds import generator

    if held_out >= count:
        raise ValueError(f"held_out = {held_out} of {count} samples leaves none to train on; lower data.*.held_out")
    mask = torch.zeros(count, dtype=torch.bool)
    if seed is None:
        mask[count - held_out :] = True
        return mask
    mask[torch.randperm(count, generator=generator("split", seed))[:held_out]] = True
    return mask


def check_labels(labels: Tensor, classes: int) -> None:
    """Raise ValueError unless every label is in 0 .. classes - 1."""
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ValueError(f"labels run from {int(labels.min())} to {int(labels.max())}, but data.*.classes is {classes}; correct it")


def to_unit(images: Tensor) -> Tensor:
    """uint8 to float32 in [-1, 1]: v / 127.5 - 1."""
    return images.float() / 127.5 - 1


def to_uint8(x: Tensor) -> Tensor:
    """[-1, 1] to uint8, rounded to nearest; values outside are clipped. Raises: FloatingPointError for NaN."""
    if not torch.isfinite(x).all():
        bad = int((~torch.isfinite(x)).flatten(1).any(1).nonzero()[0])
        raise FloatingPointError(f"sample {bad} is not finite; the net or the schedule diverged")
    return ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
