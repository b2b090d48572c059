"""Networks: plain F(x, c_noise, cond), ignorant of diffusion. The pipeline gives what the data decide, params.yaml the rest."""

from collections.abc import Callable

from torch import nn

from difftables.common.variants import Variants
from difftables.nets.ncsnpp import NCSNpp
from difftables.nets.tasnet import TasNet
from difftables.nets.unet import UNet
from difftables.nets.vgg import VGG
from difftables.nets.wavegrad import WaveGrad

NETS: Variants[Callable[..., nn.Module]] = {"unet": UNet, "vgg": VGG, "wavegrad": WaveGrad, "tasnet": TasNet, "ncsnpp": NCSNpp}
