"""Seeds belong to samples and steps, not to processes: one generator per sample, one per training step."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def generator(*keys: int | str) -> torch.Generator:
    """A generator whose stream depends only on `keys`, e.g. ("train", seed, step)."""
    digest = hashlib.sha256("/".join(map(str, keys)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


class SampleNoise:
    """Standard normal noise for a batch, each sample from its own stream, so that the batch size and the device change nothing.

    Args: keys: one tuple per sample, e.g. (purpose, seed, index).
    """

    def __init__(self, keys: Sequence[tuple[int | str, ...]]) -> None:
        self.streams = [generator(*key) for key in keys]

    def __call__(self, x: Tensor) -> Tensor:
        """Noise of the shape, dtype and device of x, [B, ...]; B may be a multiple of the streams, which then repeat."""
        draws = torch.empty(len(self.streams), *x.shape[1:])
        for row, stream in zip(draws.unbind(), self.streams, strict=True):
            row.normal_(generator=stream)
        repeats = len(x) // len(draws)
        return (draws if repeats == 1 else draws.repeat(repeats, *[1] * (x.dim() - 1))).to(x.device, x.dtype)
