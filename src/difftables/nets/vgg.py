"""The noise-level estimator of Noise Estimation for images: VGG11's convolutions with narrower layers."""

from torch import Tensor, nn

PLAN = (1, "M", 2, "M", 4, 4, "M", 8, 8, "M", 8, 8, "M")


class VGG(nn.Module):
    """u(x): [B, channels, H, W] to [B], the estimate of log(1 - alpha_bar) in nats.

    Args:
        channels: image channels.
        width: filters of the first layer; 32 in the paper, where VGG11 has 64.
        pools: how many of the five poolings to keep; an 8x8 image has room for three.
    Source: San-Roman et al. 2021; the pooled head (mean over pixels, one linear layer) is ours: the paper's is unknown.
    """

    def __init__(self, channels: int, width: int, pools: int = 5) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        here = channels
        for item in PLAN:
            if isinstance(item, int):
                layers += [nn.Conv2d(here, item * width, 3, padding=1), nn.ReLU()]
                here = item * width
            elif pools > 0:
                layers.append(nn.MaxPool2d(2))
                pools -= 1
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(here, 1)
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x).mean(dim=(2, 3)))[:, 0]
