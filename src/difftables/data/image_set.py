"""Images: uint8 in files, [-1, 1] in nets; a net with classes is given labels, others nothing."""

from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from difftables.common.files import load_tensors
from difftables.config import data as config_data
from difftables.data import READERS
from difftables.data.image_files import check_labels, split, to_uint8, to_unit


class Images:
    """Images of one data set.  Args: spec: of the data set; path: its file, or None to draw samples alone."""

    def __init__(self, spec: config_data.Images, path: Path | None, device: torch.device) -> None:
        self.spec, self.device = spec, device
        self.tensors = load_tensors(path, "data")[0] if path is not None else {}

    @staticmethod
    def read(spec: config_data.Images) -> dict[str, Tensor]:
        """Images uint8 [N, C, H, W], labels [N] and the held-out mask [N]."""
        options = {key: getattr(spec, key) for key in ("root", "crop", "limit") if getattr(spec, key) is not None}
        images, labels = READERS[spec.reader](spec.size, spec.channels, **options)
        if spec.classes:
            check_labels(labels, spec.classes)
        return {"images": images, "labels": labels, "held_out": split(len(images), spec.held_out, spec.seed)}

    @cached_property
    def indices(self) -> dict[str, Tensor]:
        """Where the images of each part, training and held_out, lie in the file: indices, since a copy would double the memory."""
        held = self.tensors["held_out"].bool()
        return {"training": (~held).nonzero()[:, 0], "held_out": held.nonzero()[:, 0]}

    def clean(self, part: str = "training", count: int | None = None) -> Tensor:
        """The first `count` images of a part, training or held_out, or all of them, in [-1, 1]."""
        return to_unit(self.tensors["images"][self.indices[part][:count]]).to(self.device)

    @property
    def labels(self) -> Tensor | None:
        """Labels of all images where the net is given them, else None."""
        return self.tensors["labels"] if self.spec.classes else None

    def places(self, count: int, stream: torch.Generator, distinct: bool = False) -> Tensor:
        """Which training images come next, [count]: with replacement, or `distinct`, of which fewer are the first of more.

        Raises: ValueError for more distinct images than there are.
        """
        total = len(self.indices["training"])
        if not distinct:
            return torch.randint(total, (count,), generator=stream)
        if count > total:
            raise ValueError(f"{count} distinct images are asked for, but only {total} are there to train on; lower `references`")
        # The whole permutation: the stream goes on behind all of its draws, and what follows, flips and noise, depends on that.
        return torch.randperm(total, generator=stream)[:count]

    def enough_of_each_class(self) -> None:
        """Raise ValueError where a net is given labels and some class has one training image, which no other could stand in for."""
        if self.labels is None:
            return
        found = torch.bincount(self.labels[self.indices["training"]], minlength=self.spec.classes or 0)
        if bool((found < 2).any()):
            raise ValueError(f"class {int(found.argmin())} has {int(found.min())} training images, too few to be references; leave it out")

    def training(self, count: int, stream: torch.Generator, flip: bool) -> tuple[Tensor, Tensor | None]:
        """A batch of training images in [-1, 1], [count, C, H, W], and their labels, [count], or nothing."""
        return self.batch(self.places(count, stream), stream, flip)

    def batch(self, which: Tensor, stream: torch.Generator, flip: bool) -> tuple[Tensor, Tensor | None]:
        """The training images at some places, in [-1, 1], and their labels or nothing."""
        indices = self.indices["training"][which]
        x0 = to_unit(self.tensors["images"][indices])
        if flip:
            mirrored = torch.rand(len(x0), generator=stream) < 0.5
            x0 = torch.where(mirrored[:, None, None, None], x0.flip(-1), x0)
        labels = None if self.labels is None else self.labels[indices].to(self.device)
        return x0.to(self.device), labels

    def given(self, part: str, count: int) -> tuple[tuple[int, ...], Tensor | None]:
        """Shape of a sample, and what its net is told besides: each class in turn, [count], or nothing."""
        labels = torch.arange(count) % self.spec.classes if self.spec.classes else None
        return (self.spec.channels, self.spec.size, self.spec.size), labels

    def held_out(self, count: int) -> tuple[Tensor, Tensor | None]:
        """The first `count` held-out images in [-1, 1], or all there are, and their labels or nothing."""
        labels = None if self.labels is None else self.labels[self.indices["held_out"][:count]].to(self.device)
        return self.clean("held_out", count), labels

    def stored(self, x: Tensor) -> Tensor:
        """Samples as files hold them."""
        return to_uint8(x.cpu())
