import pytest
import torch

from difftables.nets.unet import UNet, sinusoid
from difftables.nets.vgg import VGG


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
    with pytest.raises(ValueError, match="multiple of 8 px, not 20"):
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
