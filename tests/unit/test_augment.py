import math

import pytest
import torch

from difftables.data.augment import LABELS, augment, inverse, random_transforms, resampled
from difftables.nets import NETS

OPERATIONS = {"x-flip": [0], "y-flip": [1], "scale": [2], "rotation": [3, 4], "stretch": [5, 6], "translation": [7, 8]}


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def images(count=8, height=16, width=16):
    return 2 * torch.rand(count, 3, height, width, generator=stream(9)) - 1


def done(scale=0.0, turn=0.0, stretch=0.0, axis=0.0, shift=(0.0, 0.0)):
    """The matrix of one image."""
    return inverse(*(torch.tensor([v], dtype=torch.float64) for v in (scale, turn, stretch, axis, shift)))


def places(size=32):
    """Right and down from the centre, in pixels."""
    at = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    return at[None, :].expand(size, size), at[:, None].expand(size, size)


def blob(std, right=0.0, down=0.0, size=32):
    u, v = places(size)
    return torch.exp(-((u - right) ** 2 + (v - down) ** 2) / (2 * std**2))[None, None]


def moment(image, power_right, power_down):
    u, v = places(image.shape[-1])
    return float((u**power_right * v**power_down * image).sum() / image.sum())


def test_without_probability_there_are_mirror_images_alone():
    x = images(64)
    kept = x.clone()
    y, labels = augment(x, 0.0, stream())
    assert labels.shape == (64, LABELS)
    assert (labels[:, 1:] == 0).all()
    assert 0 < labels[:, 0].sum() < 64
    for before, after, flipped in zip(x, y, labels[:, 0], strict=True):
        assert torch.equal(after, before.flip(-1) if flipped == 1 else before)
    assert torch.equal(x, kept)


def test_the_stream_decides_all():
    x = images()
    first, again, other = (augment(x, 0.7, stream(seed)) for seed in (1, 1, 2))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[1], other[1])


def test_images_that_are_not_resampled_keep_their_bits_and_the_others_are_flipped_first():
    x = images(64, 12, 16)
    matrices, expected = random_transforms(64, 0.3, (12, 16), stream())
    y, labels = augment(x, 0.3, stream())
    assert torch.equal(labels, expected)
    still = (labels[:, 2:] == 0).all(1)
    assert 4 < still.sum() < 60
    for i in range(64):
        flipped = x[i].flip([d for d, label in ((-1, labels[i, 0]), (-2, labels[i, 1])) if label == 1])
        if still[i]:
            assert torch.equal(y[i], flipped)
        else:
            torch.testing.assert_close(y[i : i + 1], resampled(flipped[None], matrices[i : i + 1]))
            assert (y[i] - flipped).abs().max() > 0.01
    assert torch.equal(matrices[still], torch.eye(2, 3, dtype=torch.float64).expand(int(still.sum()), 2, 3))


def test_numbers_drawn_do_not_depend_on_the_probability():
    streams = {p: stream(3) for p in (0.0, 0.3, 0.6, 1.0)}
    labels = {p: random_transforms(500, p, (8, 8), s)[1] for p, s in streams.items()}
    assert len({float(torch.rand((), generator=s)) for s in streams.values()}) == 1
    assert torch.equal(labels[0.0][:, 0], labels[1.0][:, 0])
    for low, high in ((0.0, 0.3), (0.3, 0.6), (0.6, 1.0)):
        for name, columns in OPERATIONS.items():
            few, many = labels[low][:, columns], labels[high][:, columns]
            at = few.any(1)
            assert torch.equal(few[at], many[at]), name
            assert name == "x-flip" or many.any(1).sum() > at.sum(), name


@pytest.mark.parametrize("p", [0.12, 0.5])
def test_operations_are_as_frequent_as_asked_for_and_by_themselves(p):
    count = 4000
    labels = random_transforms(count, p, (32, 32), stream(4))[1]
    applied = torch.stack([labels[:, columns].any(1) for columns in OPERATIONS.values()]).double()
    chance = torch.tensor([0.5, p / 2, p, p, p, p], dtype=torch.float64)
    both = torch.outer(chance, chance)
    both.diagonal().copy_(chance)
    assert ((applied @ applied.T / count - both).abs() < 4 * (both * (1 - both) / count).sqrt()).all()
    tilted = (labels[labels[:, 5] != 0, 6] != 0).double()
    assert abs(tilted.mean() - 0.5) < 4 * 0.5 / len(tilted) ** 0.5


def test_sizes_of_what_is_done():
    """The standard deviation of n normal numbers is within 4 / sqrt(2 n) of its own, correlations within 4 / sqrt(n) of none."""
    labels = random_transforms(4000, 1.0, (32, 32), stream(5))[1].double()
    for values, std in ((labels[:, 2], 1.0), (labels[:, 7], 1.0), (labels[:, 8], 1.0)):
        assert abs(values.std() / std - 1) < 4 / 8000**0.5
        assert abs(values.mean()) < 4 * std / 4000**0.5
    assert abs(labels[:, 5:7].square().sum(1).mean() - 1) < 4 * (2 / 4000) ** 0.5
    assert (torch.corrcoef(labels.T) - torch.eye(LABELS)).abs().max() < 4 / 4000**0.5
    angle = torch.atan2(labels[:, 4], labels[:, 3] + 1)
    torch.testing.assert_close((labels[:, 3] + 1).square() + labels[:, 4].square(), torch.ones(4000).double(), rtol=0, atol=1e-5)
    quadrants = torch.histc(angle, 4, -math.pi, math.pi)
    assert ((quadrants - 1000).abs() < 4 * (4000 * 0.25 * 0.75) ** 0.5).all()


def test_labels_tell_the_map():
    """The map y = M x + t has one polar decomposition M = P R: R is the rotation, and P's eigenvalues are 2^(0.2 (scale +- stretch))."""
    height, width = 24, 40
    matrices, labels = random_transforms(500, 0.8, (height, width), stream(6))
    labels = labels.double()
    forward = torch.linalg.inv(matrices[:, :, :2])
    u, values, v = torch.linalg.svd(forward)
    turned, stretched = u @ v, u @ torch.diag_embed(values) @ u.mT
    torch.testing.assert_close(turned[:, :, 0], labels[:, 3:5] + torch.tensor([1.0, 0.0]).double(), rtol=0, atol=1e-6)
    norm = labels[:, 5:7].norm(dim=1)
    torch.testing.assert_close(values.log2(), 0.2 * (labels[:, 2:3] + torch.stack([norm, -norm], dim=1)), rtol=0, atol=1e-6)
    axis = labels[:, 5:7, None]  # an eigenvector of P, stretched or shrunk
    torch.testing.assert_close(stretched @ axis, (axis.mT @ stretched @ axis) / (norm**2).clamp(min=1e-30)[:, None, None] * axis)
    level = labels[:, 6] == 0  # and along x it is 2^(0.2 w) with its sign
    assert level.sum() > 100
    torch.testing.assert_close(stretched[level, 0, 0].log2(), 0.2 * (labels[:, 2] + labels[:, 5])[level], rtol=0, atol=1e-6)
    shift = -(forward @ matrices[:, :, 2:])[:, :, 0]
    torch.testing.assert_close(shift, labels[:, 7:] * 0.125 * torch.tensor([width, height]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [15, 16])
@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_quarters_of_a_turn_move_pixels(size, quarters):
    """A positive angle is clockwise, torch.rot90's counter-clockwise."""
    x = images(1, size, size)
    turned = resampled(x, done(turn=quarters * math.pi / 2))
    torch.testing.assert_close(turned, torch.rot90(x, -quarters, (-2, -1)), rtol=0, atol=1e-4)


def test_whole_pixels_of_translation_move_pixels_right_and_down():
    x = images(1, 12, 20)
    y = resampled(x, done(shift=(3.0, -2.0)))
    torch.testing.assert_close(y[..., :-2, 3:], x[..., 2:, :-3], rtol=0, atol=1e-5)
    torch.testing.assert_close(y[..., :-2, :3], x[..., 2:, :3].flip(-1), rtol=0, atol=1e-5)  # what comes in is what was there, mirrored


@pytest.mark.parametrize(("scale", "factor"), [(1.0, 4.0), (0.5, 2.0), (-0.5, 0.5)])
def test_a_scale_of_one_doubles(scale, factor):
    """What is doubled still fits, and what is shrunk leaves its mirror images outside."""
    x = blob(2.0)
    y = resampled(x, done(scale=scale))
    for powers in ((2, 0), (0, 2)):
        assert moment(y, *powers) == pytest.approx(factor * moment(x, *powers), rel=0.04)


def test_a_stretch_is_along_its_axis():
    """The covariance of a round blob of variance s becomes s A A^T."""
    w, r = 0.4, 0.5
    y = resampled(blob(3.0), done(stretch=w, axis=r))
    cos, sin = math.cos(r), math.sin(r)
    long, short = 9 * 4**w, 9 * 4**-w
    assert moment(y, 2, 0) == pytest.approx(long * cos**2 + short * sin**2, rel=0.03)
    assert moment(y, 0, 2) == pytest.approx(long * sin**2 + short * cos**2, rel=0.03)
    assert moment(y, 1, 1) == pytest.approx((long - short) * sin * cos, rel=0.03)


def test_scale_turn_and_stretch_come_before_the_translation():
    """A blob at (4, 0) goes to A R(w) 2^s (4, 0) + t."""
    y = resampled(blob(1.5, right=4.0), done(scale=0.3, turn=math.pi / 2, stretch=0.2, axis=0.0, shift=(2.0, -3.0)))
    assert moment(y, 1, 0) == pytest.approx(2.0, abs=0.02)
    assert moment(y, 0, 1) == pytest.approx(4 * 2**0.3 * 2**-0.2 - 3.0, abs=0.02)


@pytest.mark.parametrize("w", [0.4, -1.1, 2.5])
def test_a_rotation_goes_where_its_angle_says_and_back(w):
    """Within the circle that the image holds; half-way between pixels a bicubic (a = -3/4) errs by -f'' / 16 in each direction."""
    u, v = places()
    inside, error = u**2 + v**2 < 15**2, 2 / (16 * 2.5**2)
    x = blob(2.5, right=5.0)
    y = resampled(x, done(turn=w))
    expected = blob(2.5, right=5 * math.cos(w), down=5 * math.sin(w))
    assert (y - expected)[..., inside].abs().max() < error
    assert (resampled(y, done(turn=-w)) - x)[..., inside].abs().max() < 2 * error


@pytest.mark.parametrize("p", [-0.1, 1.5, math.nan])
def test_a_probability_is_one(p):
    with pytest.raises(ValueError, match=r"^[^\n]*\[0, 1\][^\n]*$"):
        augment(images(), p, stream())


def test_a_net_told_of_nothing_done_is_told_nothing():
    """Its layer of labels has no bias."""
    torch.manual_seed(0)
    net = NETS["ncsnpp"](8, 3, 16, (1, 2), 1, (4,), 0.0, augment=LABELS).eval()
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.2)
    x, c = images(2, 8, 8), torch.tensor([-0.5, 0.5])
    with torch.no_grad():
        plain = net(x, c)
        torch.testing.assert_close(net(x, c, augment=torch.zeros(2, LABELS)), plain)
        for column in range(LABELS):
            assert (net(x, c, augment=torch.eye(LABELS)[[column, column]]) - plain).abs().max() > 1e-3
