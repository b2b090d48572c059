"""Networks: plain F(x, c_noise), ignorant of diffusion. The pipeline gives `size` and `channels`, params.yaml the rest."""

from collections.abc import Callable

from torch import nn

from difftables.nets.unet import UNet
from difftables.nets.vgg import VGG

NETS: dict[str, Callable[..., nn.Module]] = {"unet": UNet, "vgg": VGG}
