import pytest
import torch

from difftables.nets.adm import ADM
from difftables.nets.ncsnpp import NCSNpp
from difftables.nets.tasnet import TasNet
from difftables.nets.unet import Attention, Down, UNet, cosines_first, sinusoid
from difftables.nets.vgg import VGG
from difftables.nets.wavegrad import WaveGrad, level_embedding


def parameters(net):
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(
    ("size", "mult", "count"),
    [(32, (1, 2, 2, 2), 35_746_307), (64, (1, 2, 2, 2, 4), 78_700_803), (256, (1, 1, 2, 2, 4, 4), 113_673_219)],
)
def test_unet_has_the_papers_parameters(size, mult, count):
    """CIFAR-10, CelebA-64 and LSUN-256 of the DDPM code base."""
    with torch.device("meta"):
        assert parameters(UNet(size, 3, 128, mult, 2, (16,), 0.1)) == count


def test_estimator_has_the_papers_parameters():
    """VGG11's plan with 32 filters: 2,306,240 without the head, one linear layer of 256 + 1."""
    assert parameters(VGG(3, 32)) == 2_306_240 + 257


def test_unet_keeps_the_shape_and_starts_at_zero():
    net = UNet(8, 1, 16, (1, 2), 1, (4,), 0.0)
    out = net(torch.randn(3, 1, 8, 8), torch.tensor([0, 500, 999]))
    assert out.shape == (3, 1, 8, 8)
    assert not out.any()  # the last convolution is zero at first, as in the DDPM code


def test_every_parameter_of_the_unet_learns():
    torch.manual_seed(0)
    net = UNet(8, 1, 16, (1, 2), 1, (4,), 0.0)
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.1)
    net(torch.randn(2, 1, 8, 8), torch.tensor([3, 700])).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())


def test_unet_that_cannot_be_halved_is_refused():
    with pytest.raises(ValueError, match=r"\b8 px, not 20\b"):
        UNet(20, 3, 32, (1, 2, 2, 2), 1, (), 0.0)


def test_sinusoid_values():
    """First rate 1, last rate 1/10000; sines first."""
    e = sinusoid(torch.tensor([0.0, 1.0]), 8)
    assert e[0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    torch.testing.assert_close(
        e[1, [0, 3, 4, 7]],
        torch.tensor([1.0, 1e-4, 1.0, 1e-4]).sin().where(torch.tensor([1, 1, 0, 0]) > 0, torch.tensor([1.0, 1e-4, 1.0, 1e-4]).cos()),
    )


def test_estimator_gives_one_number_a_sample():
    assert VGG(1, 8, pools=3)(torch.randn(5, 1, 8, 8)).shape == (5,)


def small_wavegrad():
    return WaveGrad(20, 12, factors=(3, 2, 2), up=(12, 8, 8), down=(4, 8, 12), mel=16)


@pytest.mark.parametrize(("bands", "count"), [(80, 15_810_401), (128, 15_920_993)])
def test_wavegrad_has_the_ports_parameters(bands, count):
    """80 bands: the port by Vovk. 128: its first convolution alone grows, by 48 x 3 x 768 weights."""
    assert count - 15_810_401 == (bands - 80) * 3 * 768
    assert parameters(WaveGrad(bands, 300)) == count


def test_wavegrad_keeps_the_length_and_every_parameter_learns():
    torch.manual_seed(0)
    net = small_wavegrad()
    x, mel = torch.randn(3, 60), torch.randn(3, 20, 5)
    out = net(x, torch.rand(3), mel)
    assert out.shape == x.shape
    out.square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())


def test_wavegrad_treats_samples_apart():
    net = small_wavegrad().eval()
    x, a, mel = torch.randn(4, 60), torch.rand(4), torch.randn(4, 20, 5)
    torch.testing.assert_close(net(x, a, mel)[2:3], net(x[2:3], a[2:3], mel[2:3]))


def test_wavegrad_hears_waveform_level_and_mel():
    net = small_wavegrad().eval()
    x, a, mel = torch.randn(1, 60), torch.tensor([0.5]), torch.randn(1, 20, 5)
    first = net(x, a, mel)
    for other in (net(x + 0.1, a, mel), net(x, a + 0.01, mel), net(x, a, mel + 0.1)):
        assert (other - first).abs().max() > 1e-4


@pytest.mark.parametrize(("samples", "bands", "frames"), [(61, 20, 5), (60, 20, 6), (60, 19, 5)])
def test_a_mel_that_does_not_fit_the_waveform_is_one_line(samples, bands, frames):
    with pytest.raises(ValueError, match=rf"{bands} bands.*{frames} frames.*{samples} samples") as caught:
        small_wavegrad()(torch.zeros(1, samples), torch.ones(1), torch.zeros(1, bands, frames))
    assert "\n" not in str(caught.value)


def test_factors_must_multiply_to_the_hop():
    with pytest.raises(ValueError, match=r"factors.*\b300\b.*hop is 256"):
        WaveGrad(80, 256)
    with pytest.raises(ValueError, match="factors, up and down"):
        WaveGrad(80, 300, up=(8, 8))


def test_level_embedding_is_the_formula():
    """[sin, cos](5000 a 10^(-4 k / d)): the first frequency is 5000, the last 5000 x 10^(-4 (d - 1) / d)."""
    a = torch.tensor([0.3, 1.0], dtype=torch.float64)
    found = level_embedding(a, 8)
    assert found.shape == (2, 8)
    torch.testing.assert_close(found[:, 0], (5000 * a).sin())
    torch.testing.assert_close(found[:, 7], (5000 * a * 10 ** (-4 * 3 / 4)).cos())


def test_tasnet_gives_a_number_a_waveform_whatever_its_length():
    torch.manual_seed(0)
    net = TasNet(8, 16, 1, 3, 16)
    for length in (320, 1000):
        out = net(torch.randn(3, length))
        assert out.shape == (3,)
    out.sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_a_tiny_wavegrad_overfits_one_segment():
    """Through the same loss, level density, preconditioning and sampler as every other net: one chirp comes back out of noise."""
    from functools import partial

    from difftables.common.seeds import SampleNoise, generator
    from difftables.diffusion import training_schedules
    from difftables.diffusion.beta_families import fitted
    from difftables.diffusion.corruptions import scale
    from difftables.diffusion.denoiser import bind_condition, edm_coefficients, precondition, sqrt_alpha_bar
    from difftables.sampling.solvers import walk
    from difftables.training import level_densities
    from difftables.training.losses import denoising_loss, inverse_out
    from difftables.training.targets import clean

    torch.manual_seed(0)
    net, t = small_wavegrad(), torch.arange(240) / 240
    x0, mel = 0.3 * (2 * torch.pi * (5 + 10 * t) * t).sin()[None], torch.randn(1, 20, 20)
    training = training_schedules.linear(1000, 1e-6, 0.01)
    denoise = precondition(net, partial(edm_coefficients, sigma_data=0.2), sqrt_alpha_bar(training))
    optimiser = torch.optim.Adam(net.parameters(), lr=5e-3)
    batch = x0.expand(8, -1)
    for step in range(250):
        stream = generator("overfit", step)
        level = level_densities.log_sigma(training, 8, stream)
        noise = torch.randn(batch.shape, generator=stream)
        loss = denoising_loss(
            batch, level, noise, denoise=denoise, corrupt=scale, target=clean, weight=partial(inverse_out, sigma_data=0.2),
            penalty=torch.abs, cond=mel.expand(8, -1, -1),
        ).mean()  # fmt: skip
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    randn = SampleNoise([("overfit", 0)])
    schedule = fitted(training.alpha_bar[0].item(), 12, 1e-6, "fibonacci")
    with torch.inference_mode():
        noise = randn(torch.empty(1, 240))
        x = walk(
            noise,
            schedule,
            denoise=bind_condition(denoise, mel),
            corrupt=scale,
            rule="ddpm-small",
            noisy_end=False,
            churn=None,
            randn=randn,
        )
    assert (x - x0).square().mean() < 0.2 * x0.square().mean()  # an untrained net gives more than 1


def test_an_upsampler_sees_the_low_resolution_image_enlarged():
    """What it is given at 4 px is what it would be given at 8 px after bilinear enlargement; another image, another answer."""
    torch.manual_seed(0)
    net = UNet(8, 1, 8, (1, 2), 1, (4,), 0.0, extra=1).eval()
    torch.nn.init.normal_(net.outlet.weight)
    x, t, low = torch.randn(2, 1, 8, 8), torch.ones(2), torch.randn(2, 1, 4, 4)
    large = torch.nn.functional.interpolate(low, size=(8, 8), mode="bilinear", align_corners=False)
    torch.testing.assert_close(net(x, t, None, low), net(x, t, None, large))
    assert not torch.allclose(net(x, t, None, low), net(x, t, None, low + 1))


def shaken(net):
    """Weights that let every input through, unlike the last layers at first."""
    torch.manual_seed(0)
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.2)
    return net.eval()


def test_cosines_first_values():
    """First rate 1, last rate 10000^(-3/4) of four; cosines first."""
    e = cosines_first(torch.tensor([0.0, 2.0]), 8)
    assert e[0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    angles = torch.tensor([2.0, 2 * 10000**-0.75])
    torch.testing.assert_close(e[1, [0, 3, 4, 7]], torch.cat([angles.cos(), angles.sin()]))


def test_the_paddings_shift_what_a_strided_convolution_sees_by_one_pixel():
    """Padded after, the kernel's centre is on pixel 2i + 1; padded around, on pixel 2i."""
    x = torch.arange(36.0).reshape(1, 1, 6, 6)
    for padding, first in (("asymmetric", 1), ("symmetric", 0)):
        part = Down(1, padding)
        with torch.no_grad():
            part.conv.weight.zero_()
            part.conv.bias.zero_()
            part.conv.weight[0, 0, 1, 1] = 1
        assert torch.equal(part(x), x[..., first::2, first::2])


def test_norms_have_the_groups_and_eps_that_are_set():
    def norms(**options):
        found = [m for m in UNet(8, 1, 16, (1, 2), 1, (4,), 0.0, **options).modules() if isinstance(m, torch.nn.GroupNorm)]
        return {(m.num_channels, m.num_groups, m.eps) for m in found}

    assert norms() == {(16, 4, 1e-6), (32, 8, 1e-6), (48, 12, 1e-6), (64, 32, 1e-6)}
    assert norms(groups=4, eps=1e-5) == {(16, 4, 1e-5), (32, 4, 1e-5), (48, 4, 1e-5), (64, 4, 1e-5)}


def test_heads_by_their_width():
    """Heads of 8 channels: 2 of 16 and 4 of 32 channels; the same as `heads` where all attention has one width."""
    wide = UNet(8, 1, 16, (1, 2), 1, (8, 4), 0.0, head_width=8)
    assert {m.qkv.in_channels: m.heads for m in wide.modules() if isinstance(m, Attention)} == {16: 2, 32: 4}
    one, other = (shaken(UNet(8, 1, 16, (1, 2), 1, (4,), 0.0, **options)) for options in ({"heads": 4}, {"head_width": 8}))
    x, t = torch.randn(2, 1, 8, 8), torch.tensor([3.0, 700.0])
    assert torch.equal(one(x, t), other(x, t))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"embedding": "fourier"}, "'fourier'"),
        ({"padding": "same"}, "'same'"),
        ({"head_width": 5}, "heads of 5"),
        ({"heads": 2, "head_width": 8}, "head_width = 8"),
    ],
)
def test_an_option_that_a_unet_has_not_is_one_line(options, words):
    with pytest.raises(ValueError, match=words) as caught:
        UNet(8, 1, 16, (1, 2), 1, (4,), 0.0, **options)
    assert "\n" not in str(caught.value)


def small_adm(**options):
    return ADM(8, 2, 8, (1, 2), 1, (4,), 0.0, **{"head_width": 8, "classes": 4, "augment": 3, **options})


def test_adm_has_the_papers_parameters():
    """ImageNet-64 of EDM: 295.9 million."""
    with torch.device("meta"):
        assert parameters(ADM(64, 3, 192, (1, 2, 3, 4), 3, (32, 16, 8), 0.1, classes=1000)) == 295_899_267


def test_adm_keeps_the_shape_and_starts_at_zero():
    out = small_adm()(torch.randn(3, 2, 8, 8), torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([0, 1, 3]))
    assert out.shape == (3, 2, 8, 8)
    assert not out.any()


def test_every_parameter_of_adm_learns():
    net = shaken(small_adm())
    net(torch.randn(2, 2, 8, 8), torch.tensor([0.3, -0.7]), torch.tensor([1, 3]), torch.randn(2, 3)).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())


def test_adm_hears_level_class_and_augmentation_sample_by_sample():
    net = shaken(small_adm())
    x, c, y, a = torch.randn(3, 2, 8, 8), torch.randn(3), torch.tensor([0, 1, 2]), torch.randn(3, 3)
    first = net(x, c, y, a)
    torch.testing.assert_close(net(x[1:2], c[1:2], y[1:2], a[1:2]), first[1:2])
    for other in (net(x + 0.1, c, y, a), net(x, c + 0.1, y, a), net(x, c, y + 1, a), net(x, c, y, a + 0.1)):
        assert (other - first).abs().max() > 1e-4
    torch.testing.assert_close(net(x, c, y), net(x, c, y, torch.zeros(3, 3)))


def test_what_an_adm_has_not_is_one_line():
    x, c, y = torch.zeros(1, 2, 8, 8), torch.zeros(1), torch.zeros(1, dtype=torch.int64)
    for call, words in (
        (lambda: ADM(20, 3, 64, (1, 2, 2, 2), 1, (), 0.0), r"\b8 px, not 20\b"),
        (lambda: small_adm(head_width=64), "heads of 64"),
        (lambda: small_adm()(x, c), "condition_on: labels"),
        (lambda: small_adm(augment=0)(x, c, y, torch.zeros(1, 9)), "`augment`"),
    ):
        with pytest.raises(ValueError, match=words) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_nets_of_doubles_embed_in_doubles():
    """The same net in single and in double precision: their outputs differ by rounding of single precision, and not more."""
    for kind, arguments in (
        (UNet, {}), (UNet, {"embedding": "iddpm"}), (ADM, {"head_width": 8}), (NCSNpp, {}), (NCSNpp, {"embedding": "positional"}),
    ):  # fmt: skip
        net = shaken(kind(8, 2, 16, (1, 2), 1, (4,), 0.0, **arguments))
        x, c = torch.randn(2, 2, 8, 8), torch.tensor([0.2, -0.4])
        single = net(x, c)
        double = net.double()(x.double(), c.double())
        assert double.dtype == torch.float64
        torch.testing.assert_close(double, single.double(), rtol=1e-4, atol=1e-4 * single.abs().max().item())
