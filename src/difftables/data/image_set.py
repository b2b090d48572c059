"""A set of images: uint8 in its file, [-1, 1] in nets; a net with classes receives labels."""

from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from difftables.common.files import load_tensors
from difftables.config import data as config_data
from difftables.data import READERS
from difftables.data.image_files import check_labels, held_out_mask, to_uint8, to_unit


class ImageSet:
    """Images of one data set.  Args: path: its file, or None where no image is read, as in sampling."""

    def __init__(self, spec: config_data.Images, path: Path | None, device: torch.device) -> None:
        self.spec, self.device = spec, device
        self.tensors = load_tensors(path, "data")[0] if path is not None else {}

    @staticmethod
    def read(spec: config_data.Images) -> dict[str, Tensor]:
        """All images, uint8 [N, C, H, W], labels, [N], and the held-out mask, [N].  Raises: as the reader."""
        options = {key: getattr(spec, key) for key in ("root", "crop", "filter", "limit") if getattr(spec, key) is not None}
        images, labels = READERS[spec.reader](spec.size, spec.channels, **options)
        if spec.classes:
            check_labels(labels, spec.classes)
        return {"images": images, "labels": labels, "held_out": held_out_mask(len(images), spec.held_out, spec.seed)}

    @cached_property
    def indices(self) -> dict[str, Tensor]:
        """Indices into the file of each part, training and held_out; a copy of the images would double the memory."""
        held = self.tensors["held_out"].bool()
        return {"training": (~held).nonzero()[:, 0], "held_out": held.nonzero()[:, 0]}

    def clean(self, part: str = "training", count: int | None = None) -> Tensor:
        """The first `count` images of a part, training or held_out, or all of them, in [-1, 1], [N, C, H, W]."""
        return to_unit(self.tensors["images"][self.indices[part][:count]]).to(self.device)

    @property
    def labels(self) -> Tensor | None:
        """Labels of all images where the net receives them, else None."""
        return self.tensors["labels"] if self.spec.classes else None

    def sample_indices(self, count: int, stream: torch.Generator, distinct: bool = False) -> Tensor:
        """Random indices of training images, [count], with replacement, or distinct, a smaller count being the start of a larger one.

        Raises: ValueError for more distinct images than there are.
        """
        total = len(self.indices["training"])
        if not distinct:
            return torch.randint(total, (count,), generator=stream)
        if count > total:
            raise ValueError(f"{count} distinct images are asked for, but only {total} are there to train on; lower `references`")
        # The whole permutation, whatever the count, since flips and noise come from the same stream after it.
        return torch.randperm(total, generator=stream)[:count]

    def check_class_sizes(self) -> None:
        """Raise ValueError where a net receives labels and a class has fewer than two training images, too few for references."""
        if self.labels is None:
            return
        sizes = torch.bincount(self.labels[self.indices["training"]], minlength=self.spec.classes or 0)
        if bool((sizes < 2).any()):
            raise ValueError(f"class {int(sizes.argmin())} has {int(sizes.min())} training images, too few to be references; leave it out")

    def training_batch(self, count: int, stream: torch.Generator, flip: bool) -> tuple[Tensor, Tensor | None]:
        """Random training images in [-1, 1], [count, C, H, W], and their labels, [count], or None.  Args: flip: mirror half of them."""
        return self.training_images(self.sample_indices(count, stream), stream, flip)

    def training_images(self, which: Tensor, stream: torch.Generator, flip: bool) -> tuple[Tensor, Tensor | None]:
        """The training images at some indices, [B], in [-1, 1], [B, C, H, W], and their labels, [B], or None.  Args: flip: mirror half."""
        indices = self.indices["training"][which]
        x0 = to_unit(self.tensors["images"][indices])
        if flip:
            mirrored = torch.rand(len(x0), generator=stream) < 0.5
            x0 = torch.where(mirrored[:, None, None, None], x0.flip(-1), x0)
        labels = None if self.labels is None else self.labels[indices].to(self.device)
        return x0.to(self.device), labels

    def shape_and_condition(self, part: str, count: int) -> tuple[tuple[int, ...], Tensor | None]:
        """Shape of a sample, and the conditions of `count` samples: each class in turn, [count], or None."""
        labels = torch.arange(count) % self.spec.classes if self.spec.classes else None
        return (self.spec.channels, self.spec.size, self.spec.size), labels

    def held_out(self, count: int) -> tuple[Tensor, Tensor | None]:
        """The first `count` held-out images in [-1, 1], or all there are, and their labels or None."""
        labels = None if self.labels is None else self.labels[self.indices["held_out"][:count]].to(self.device)
        return self.clean("held_out", count), labels

    def stored(self, x: Tensor) -> Tensor:
        """Samples as files hold them, uint8.  Raises: FloatingPointError for NaN."""
        return to_uint8(x.cpu())
