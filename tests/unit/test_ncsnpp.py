import math

import pytest
import torch

from difftables.common import registry
from difftables.nets.ncsnpp import FOURIER_SCALE, DoubleChannels, Fourier, HalveChannels, HalveConv, NCSNpp, join
from difftables.nets.unet import sinusoid

DDPM = {"embedding": "positional", "fir": False, "residual_input": False}  # DDPM++; the defaults are NCSN++
LONG, SHORT = (1, 2, 2, 2), (2, 2, 2)


def parameters(net):
    return sum(p.numel() for p in net.parameters())


def small(**options):
    torch.manual_seed(0)
    return NCSNpp(8, 2, 16, (1, 2), 1, (4,), 0.0, **options).eval()


def shaken(net):
    """Weights that let every input through, unlike the last layers at first."""
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.2)
    return net


@pytest.mark.parametrize(
    ("size", "mult", "options", "count"),
    [
        (64, LONG, {"embedding": "positional"}, 62_693_251),  # score SDE: NCSN++ VE, CelebA-64
        (32, LONG, {}, 62_758_787),  # score SDE: NCSN++ VE, CIFAR-10; EDM's baseline
        (64, LONG, {}, 62_758_787),
        (32, LONG, DDPM, 61_804_419),  # EDM's baseline DDPM++
        (32, SHORT, DDPM | {"augment": 9}, 55_733_891),  # EDM: DDPM++, CIFAR-10
        (32, SHORT, DDPM | {"augment": 9, "classes": 10}, 55_735_299),
        (32, SHORT, DDPM, 55_732_739),
        (32, SHORT, {"augment": 9}, 56_397_827),  # EDM: NCSN++, CIFAR-10
        (32, SHORT, {"augment": 9, "classes": 10}, 56_400_643),
        (32, SHORT, {}, 56_395_523),
        (64, LONG, DDPM | {"augment": 9}, 61_805_571),  # EDM: FFHQ-64 and AFHQv2-64
        (64, LONG, {"augment": 9}, 62_761_091),
    ],
)
def test_the_papers_parameters(size, mult, options, count):
    with torch.device("meta"):
        net = NCSNpp(size, 3, 128, mult, 4, (16,), 0.1, **options)
    assert parameters(net) == count
    assert sum(isinstance(m, Fourier) and m.frequencies.numel() for m in net.modules()) == (0 if "embedding" in options else 128)


@pytest.mark.parametrize("options", [{}, DDPM, {"rescale": False}, {"biggan": False}, DDPM | {"biggan": False}])
def test_the_shape_is_kept_and_the_start_is_next_to_zero(options):
    """The last convolution has Xavier weights times 1e-5 and no bias: about 1e-5 for an input of any size, and not zero."""
    out = small(**options)(10 * torch.randn(3, 2, 8, 8), torch.tensor([-1.0, 0.0, 1.0]))
    assert out.shape == (3, 2, 8, 8)
    assert 1e-7 < out.square().mean().sqrt() < 3e-5


@pytest.mark.parametrize("options", [{}, DDPM | {"biggan": False}])
def test_every_parameter_learns(options):
    net = shaken(small(augment=3, classes=4, **options))
    net(torch.randn(2, 2, 8, 8), torch.tensor([0.3, -0.7]), torch.tensor([1, 3]), torch.randn(2, 3)).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())


def test_level_class_and_augmentation_are_heard_sample_by_sample():
    net = shaken(small(augment=3, classes=4))
    x, c, y, a = torch.randn(3, 2, 8, 8), torch.randn(3), torch.tensor([0, 1, 2]), torch.randn(3, 3)
    first = net(x, c, y, a)
    torch.testing.assert_close(net(x[1:2], c[1:2], y[1:2], a[1:2]), first[1:2])
    for other in (net(x + 0.1, c, y, a), net(x, c + 0.1, y, a), net(x, c, y + 1, a), net(x, c, y, a + 0.1)):
        assert (other - first).abs().max() > 1e-4
    torch.testing.assert_close(net(x, c, y), net(x, c, y, torch.zeros(3, 3)))


@pytest.mark.parametrize("fir", [True, False])
def test_resampling_keeps_a_constant_inside_and_up_keeps_the_mean(fir):
    x = torch.full((2, 3, 8, 8), 1.7)
    for part in (HalveChannels(fir), DoubleChannels(fir)):
        inner = part(x)[..., 1:-1, 1:-1]
        torch.testing.assert_close(inner, torch.full_like(inner, 1.7))
        torch.testing.assert_close(part.kernel.sum(), torch.tensor(1.0))
    dot = torch.zeros(1, 1, 8, 8)
    dot[..., 3, 4] = 1
    for x in (dot, torch.nn.functional.pad(torch.randn(2, 3, 6, 6), (1, 1, 1, 1))):  # nothing is lost over the border
        torch.testing.assert_close(DoubleChannels(fir)(x).mean(), x.mean())


def test_fir_values():
    """Rows of (1, 3, 3, 1) / 8: y[i] = (x[2i-1] + 3 x[2i] + 3 x[2i+1] + x[2i+2]) / 8, and for up (1, 3) and (3, 1) / 4 of neighbours."""
    row = torch.tensor([1.0, 4.0, -2.0, 3.0, 0.5, 7.0])
    x = row.expand(1, 1, 6, 6)
    halved, doubled = HalveChannels(True)(x)[0, 0, 1], DoubleChannels(True)(x)[0, 0, 5]
    assert halved.tolist() == pytest.approx([(3 * 1 + 3 * 4 - 2) / 8, (4 - 6 + 9 + 0.5) / 8, (3 + 1.5 + 21) / 8])
    assert doubled[1:5].tolist() == pytest.approx([(3 * 1 + 4) / 4, (1 + 3 * 4) / 4, (3 * 4 - 2) / 4, (4 - 3 * 2) / 4])
    assert HalveChannels(False)(x)[0, 0, 1].tolist() == pytest.approx([2.5, 0.5, 3.75])
    assert DoubleChannels(False)(x)[0, 0, 5].tolist() == row.repeat_interleave(2).tolist()


@pytest.mark.parametrize("fir", [True, False])
def test_up_is_four_times_the_transpose_of_down(fir):
    torch.manual_seed(0)
    x, y = torch.randn(1, 2, 8, 8, dtype=torch.float64), torch.randn(1, 2, 4, 4, dtype=torch.float64)
    down, up = HalveChannels(fir).double()(x), DoubleChannels(fir).double()(y)
    torch.testing.assert_close(4 * (down * y).sum(), (x * up).sum())


@pytest.mark.parametrize("fir", [True, False])
def test_the_strided_convolution_filters_first(fir):
    """A kernel that reads its centre alone leaves the filter, whose output is halved at the pixels between 2i and 2i + 1."""
    part = HalveConv(2, 2, fir)
    with torch.no_grad():
        part.conv.weight.zero_()
        part.conv.weight[[0, 1], [0, 1], 1, 1] = 1
    x = torch.randn(1, 2, 8, 8)
    torch.testing.assert_close(part(x), HalveChannels(fir)(x))


def test_rescaling_keeps_the_variance():
    torch.manual_seed(0)
    x, y = torch.randn(2, 100_000, dtype=torch.float64)
    assert join(x, y, True).var().item() == pytest.approx(1, abs=0.02)
    assert join(x, y, False).var().item() == pytest.approx(2, abs=0.04)
    torch.testing.assert_close(join(x, y, True) * math.sqrt(2), x + y)


def test_the_fourier_embedding_is_the_formula_and_the_same_in_every_net():
    torch.manual_seed(1)
    first = Fourier(256)
    torch.manual_seed(2)
    second = Fourier(256)
    f = first.frequencies
    assert torch.equal(f, second.frequencies)
    torch.testing.assert_close(Fourier(16).frequencies[:3], torch.tensor([-18.01344, -18.43776, -4.00926]))  # checkpoints rely on them
    assert f.std().item() == pytest.approx(FOURIER_SCALE, rel=0.1)
    c = torch.tensor([0.0, 0.01])
    torch.testing.assert_close(first(c), torch.cat([(2 * math.pi * c[:, None] * f).sin(), (2 * math.pi * c[:, None] * f).cos()], 1))
    assert not list(first.parameters())


@pytest.mark.parametrize("options", [{}, DDPM])
def test_a_checkpoint_holds_the_parameters_and_nothing_else(options):
    """So the average of the weights, which is of parameters only, loads; the rest is rebuilt alike."""
    torch.manual_seed(0)
    one, other = shaken(small(**options)), small(**options)
    assert set(one.state_dict()) == {name for name, _ in one.named_parameters()}
    other.load_state_dict(one.state_dict())
    x, c = torch.randn(2, 2, 8, 8), torch.tensor([0.2, -0.4])
    assert torch.equal(one(x, c), other(x, c))


def test_stored_frequencies_are_part_of_a_checkpoint_and_stay_as_they_are():
    """So that a released net brings its frequencies, also where it is trained further."""
    torch.manual_seed(0)
    net, drawn = shaken(small(stored_frequencies=True)), small().fourier.frequencies
    assert not torch.equal(net.fourier.frequencies, drawn)  # shaken, as every parameter
    assert net.state_dict().keys() - small().state_dict().keys() == {"fourier.frequencies"}
    assert torch.equal(small(stored_frequencies=True).fourier.frequencies, drawn)
    before, optimiser = net.fourier.frequencies.clone(), torch.optim.Adam(net.parameters(), lr=0.1, fused=True)
    net(torch.randn(2, 2, 8, 8), torch.tensor([0.3, -0.7])).square().mean().backward()
    optimiser.step()
    assert torch.equal(net.fourier.frequencies, before)


def test_the_positional_embedding_is_that_of_the_unet():
    net, heard = small(**DDPM), []
    net.embed.register_forward_hook(lambda module, given, out: heard.append(given[0]))
    net(torch.randn(2, 2, 8, 8), torch.tensor([3, 900]))
    torch.testing.assert_close(heard[0], sinusoid(torch.tensor([3, 900]), 16))


def test_a_convolution_between_the_blocks_takes_the_place_of_a_block():
    """Two 3 x 3 convolutions, a 1 x 1 one, the level's projection and two norms less, one 3 x 3 convolution more."""

    def block(c):
        return 2 * (9 * c * c + c) + c * c + c + 64 * c + c + 4 * c

    here, between = 16, 32  # of the way down and up
    less = sum(block(c) - (9 * c * c + c) for c in (here, between))
    assert parameters(small()) - parameters(small(biggan=False)) == less


def test_what_cannot_be_is_one_line():
    for call, says in (
        (lambda: NCSNpp(20, 3, 32, LONG, 1, (), 0.0), r"\b8 px, not 20\b"),
        (lambda: small(embedding="sine"), "'positional' or 'fourier', not 'sine'"),
        (lambda: small(classes=4)(torch.zeros(1, 2, 8, 8), torch.zeros(1)), "condition_on: labels"),
        (lambda: small()(torch.zeros(1, 2, 8, 8), torch.zeros(1), None, torch.zeros(1, 9)), "set its `augment`"),
    ):
        with pytest.raises(ValueError, match=says) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_params_yaml_can_check_every_argument():
    asked = registry.arguments("nets.NETS", "ncsnpp")
    assert {annotation for annotation, _ in asked.values()} <= {"int", "float", "bool", "str", "Sequence[int]"}
    assert [name for name, (_, default) in asked.items() if not default] == [
        "size", "channels", "width", "mult", "blocks", "attention", "dropout",
    ]  # fmt: skip
