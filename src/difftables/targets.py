"""What the denoiser regresses on."""

from torch import Tensor

from difftables.level import Level


def clean(x: Tensor, level: Level, x0: Tensor) -> Tensor:
    """The sample that x came from, [B, ...]: denoising score matching.  Source: Vincent 2011; Ho et al. 2020."""
    return x0


TARGETS = {"clean": clean}
