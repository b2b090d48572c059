"""Networks: plain F(x, c_noise), ignorant of diffusion. The pipeline gives `size` and `channels`, params.yaml the rest."""

from difftables.nets.unet import UNet
from difftables.nets.vgg import VGG

NETS = {"unet": UNet, "vgg": VGG}
