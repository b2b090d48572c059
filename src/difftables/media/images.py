"""Images: uint8 in files, [-1, 1] in nets; sampling is given nothing."""

from functools import cached_property
from pathlib import Path
from types import SimpleNamespace as Spec

import torch
from torch import Tensor

from difftables.data import READERS
from difftables.data.images import split, to_uint8, to_unit
from difftables.io import load_tensors


class Images:
    """Images of one data set.  Args: spec: of the data set; path: its file, or None to draw samples alone."""

    def __init__(self, spec: Spec, path: Path | None, device: torch.device) -> None:
        self.spec, self.device = spec, device
        self.tensors = load_tensors(path, "data")[0] if path is not None else {}

    @staticmethod
    def read(spec: Spec) -> dict[str, Tensor]:
        """Images uint8 [N, C, H, W], labels [N] and the held-out mask [N]."""
        options = {key: getattr(spec, key) for key in ("root", "crop") if getattr(spec, key) is not None}
        images, labels = READERS[spec.reader](spec.size, spec.channels, **options)
        return {"images": images, "labels": labels, "held_out": split(len(images), spec.held_out, spec.seed)}

    @cached_property
    def own(self) -> Tensor:
        """Training images, uint8."""
        return self.tensors["images"][~self.tensors["held_out"].bool()]

    def training(self, count: int, stream: torch.Generator, flip: bool) -> tuple[Tensor, None]:
        """A batch of training images in [-1, 1], [count, C, H, W], and nothing else."""
        x0 = to_unit(self.own[torch.randint(len(self.own), (count,), generator=stream)])
        if flip:
            mirrored = torch.rand(len(x0), generator=stream) < 0.5
            x0 = torch.where(mirrored[:, None, None, None], x0.flip(-1), x0)
        return x0.to(self.device), None

    def given(self, part: str, count: int) -> tuple[tuple[int, ...], None]:
        """Shape of a sample, and what its net is told besides: nothing."""
        return (self.spec.channels, self.spec.size, self.spec.size), None

    def held_out(self, count: int) -> tuple[Tensor, None]:
        """The first `count` held-out images in [-1, 1], or all there are."""
        return to_unit(self.tensors["images"][self.tensors["held_out"].bool()][:count]).to(self.device), None

    def stored(self, x: Tensor) -> Tensor:
        """Samples as files hold them."""
        return to_uint8(x.cpu())
