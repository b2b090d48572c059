"""Nets: F(x, c_noise, cond), which know nothing of diffusion; sizes follow from the data set, all else is set in params.yaml."""

from collections.abc import Callable

from torch import nn

from difftables.common.variants import Variants
from difftables.nets.adm import ADM
from difftables.nets.ncsnpp import NCSNpp
from difftables.nets.tasnet import TasNet
from difftables.nets.unet import UNet
from difftables.nets.vgg import VGG
from difftables.nets.wavegrad import WaveGrad

NETS: Variants[Callable[..., nn.Module]] = {
    "unet": UNet, "vgg": VGG, "wavegrad": WaveGrad, "tasnet": TasNet, "ncsnpp": NCSNpp, "adm": ADM,
}  # fmt: skip
