"""Seeds belong to samples and steps, not to processes: one generator per sample, one per training step."""

import hashlib
from collections.abc import Callable, Mapping, Sequence

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


class GivenNoise:
    """Noise that was drawn elsewhere, in place of `SampleNoise`: the same start and the same steps as another program's.

    Args: draws: by the key of a sample, its draws in the order in which a sampler asks for them, [D, ...]: the start first, then what
        each step adds. A step that adds none asks for none.
    """

    def __init__(self, draws: Mapping[tuple[int | str, ...], Tensor]) -> None:
        self.draws = draws

    def __call__(self, keys: Sequence[tuple[int | str, ...]]) -> Callable[[Tensor], Tensor]:
        """The source of a batch's noise: x, [B, ...], to noise of its shape, dtype and device.

        Raises: ValueError, by the source, where a sample has no draws, none left, or draws of another shape.
        """
        if missing := [key for key in keys if key not in self.draws]:
            raise ValueError(f"sample {missing[0]} has no noise among the {len(self.draws)} samples with some; add it")
        asked = 0

        def randn(x: Tensor) -> Tensor:
            nonlocal asked
            for key in keys:
                given = self.draws[key]
                if len(given) <= asked or given.shape[1:] != x.shape[1:]:
                    raise ValueError(
                        f"draw {asked + 1} of sample {key} has to be {list(x.shape[1:])}; there are {len(given)} of {list(given.shape[1:])}"
                    )
            drawn = torch.stack([self.draws[key][asked] for key in keys])
            asked += 1
            return drawn.to(x.device, x.dtype)

        return randn
