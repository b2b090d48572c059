"""The noise-level estimator of Noise Estimation for images: VGG11's convolutions, narrower."""

from torch import Tensor, nn

LAYERS = (1, "M", 2, "M", 4, 4, "M", 8, 8, "M", 8, 8, "M")  # width of a convolution over the first, or a max-pooling


class VGG(nn.Module):
    """u(x): [B, channels, H, W] to [B], the estimate of log(1 - alpha_bar) in nats.

    Args:
        channels: image channels.
        width: filters of the first layer; 32 in the paper, where VGG11 has 64.
        pools: number of poolings, at most five; an 8x8 image can be halved three times.
    Source: San-Roman et al. 2021; the pooled head (mean over pixels, one linear layer) is ours, since the paper does not state its head.
    """

    def __init__(self, channels: int, width: int, pools: int = 5) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        features = channels
        for layer in LAYERS:
            if isinstance(layer, int):
                layers += [nn.Conv2d(features, layer * width, 3, padding=1), nn.ReLU()]
                features = layer * width
            elif pools > 0:
                layers.append(nn.MaxPool2d(2))
                pools -= 1
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(features, 1)
        for module in self.layers:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x).mean(dim=(2, 3)))[:, 0]
