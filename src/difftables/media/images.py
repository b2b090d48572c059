"""Images: uint8 in files, [-1, 1] in nets; a net with classes is given labels, others nothing."""

from functools import cached_property
from pathlib import Path
from types import SimpleNamespace as Spec

import torch
from torch import Tensor

from difftables.data import READERS
from difftables.data.images import check_labels, split, to_uint8, to_unit
from difftables.io import load_tensors


class Images:
    """Images of one data set.  Args: spec: of the data set; path: its file, or None to draw samples alone."""

    def __init__(self, spec: Spec, path: Path | None, device: torch.device) -> None:
        self.spec, self.device = spec, device
        self.tensors = load_tensors(path, "data")[0] if path is not None else {}

    @staticmethod
    def read(spec: Spec) -> dict[str, Tensor]:
        """Images uint8 [N, C, H, W], labels [N] and the held-out mask [N]."""
        options = {key: getattr(spec, key) for key in ("root", "crop", "limit") if getattr(spec, key) is not None}
        images, labels = READERS[spec.reader](spec.size, spec.channels, **options)
        if spec.classes:
            check_labels(labels, spec.classes)
        return {"images": images, "labels": labels, "held_out": split(len(images), spec.held_out, spec.seed)}

    @cached_property
    def own(self) -> Tensor:
        """Training images, uint8."""
        return self.tensors["images"][~self.tensors["held_out"].bool()]

    def clean(self, part: str = "training") -> Tensor:
        """All images of a part, training or held_out, in [-1, 1]."""
        held = self.tensors["images"][self.tensors["held_out"].bool()]
        return to_unit(held if part == "held_out" else self.own).to(self.device)

    @property
    def labels(self) -> Tensor | None:
        """Labels of all images where the net is given them, else None."""
        return self.tensors["labels"] if self.spec.classes else None

    def places(self, count: int, stream: torch.Generator, distinct: bool = False) -> Tensor:
        """Which training images come next, [count]: with replacement, or `distinct`, of which fewer are the first of more.

        Raises: ValueError for more distinct images than there are.
        """
        if not distinct:
            return torch.randint(len(self.own), (count,), generator=stream)
        if count > len(self.own):
            raise ValueError(f"{count} distinct images are asked for, but only {len(self.own)} are there to train on; lower `references`")
        return torch.randperm(len(self.own), generator=stream)[:count]

    def enough_of_each_class(self) -> None:
        """Raise ValueError where a net is given labels and some class has one training image, which no other could stand in for."""
        if self.labels is None:
            return
        found = torch.bincount(self.labels[~self.tensors["held_out"].bool()], minlength=self.spec.classes)
        if bool((found < 2).any()):
            raise ValueError(f"class {int(found.argmin())} has {int(found.min())} training images, too few to be references; leave it out")

    def training(self, count: int, stream: torch.Generator, flip: bool) -> tuple[Tensor, Tensor | None]:
        """A batch of training images in [-1, 1], [count, C, H, W], and their labels, [count], or nothing."""
        return self.batch(self.places(count, stream), stream, flip)

    def batch(self, which: Tensor, stream: torch.Generator, flip: bool) -> tuple[Tensor, Tensor | None]:
        """The training images at some places, in [-1, 1], and their labels or nothing."""
        x0 = to_unit(self.own[which])
        if flip:
            mirrored = torch.rand(len(x0), generator=stream) < 0.5
            x0 = torch.where(mirrored[:, None, None, None], x0.flip(-1), x0)
        labels = None if self.labels is None else self.labels[~self.tensors["held_out"].bool()][which].to(self.device)
        return x0.to(self.device), labels

    def given(self, part: str, count: int) -> tuple[tuple[int, ...], Tensor | None]:
        """Shape of a sample, and what its net is told besides: each class in turn, [count], or nothing."""
        labels = torch.arange(count) % self.spec.classes if self.spec.classes else None
        return (self.spec.channels, self.spec.size, self.spec.size), labels

    def held_out(self, count: int) -> tuple[Tensor, Tensor | None]:
        """The first `count` held-out images in [-1, 1], or all there are, and their labels or nothing."""
        held = self.tensors["held_out"].bool()
        labels = None if self.labels is None else self.labels[held][:count].to(self.device)
        return to_unit(self.tensors["images"][held][:count]).to(self.device), labels

    def stored(self, x: Tensor) -> Tensor:
        """Samples as files hold them."""
        return to_uint8(x.cpu())
