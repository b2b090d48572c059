"""Other executions of a net compute the same function, with other last digits, and only where they are asked for."""

import pytest
import torch

from difftables.config.run import Execution
from difftables.nets.execution import executed
from difftables.nets.unet import UNet


@pytest.fixture
def net():
    """A small U-Net whose last layers are not zero."""
    torch.manual_seed(0)
    net = UNet(size=4, channels=1, width=8, mult=[1, 2], blocks=1, attention=[2], dropout=0.0)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return net


@pytest.fixture
def inputs():
    stream = torch.Generator().manual_seed(1)
    return torch.randn(3, 1, 4, 4, generator=stream), torch.tensor([0.0, 5.0, 900.0])


def test_the_default_is_the_net_itself(net):
    assert executed(net, Execution()) is net


# float32 has 24 bits, bfloat16 has 8: a rounding is 2^-25 or 2^-9 of a number, and a net of some forty layers adds up some of them.
@pytest.mark.parametrize(
    ("execution", "close", "changes"),
    [
        (Execution(layout="channels_last"), 1e-5, None),
        (Execution(precision="bfloat16"), 0.1, True),
        (Execution(precision="bfloat16", layout="channels_last"), 0.1, True),
    ],
    ids=lambda value: str(value.model_dump(exclude_defaults=True)) if isinstance(value, Execution) else "",
)
def test_an_execution_computes_the_same_function_and_its_gradient(net, inputs, execution, close, changes):
    expected = net(*inputs)
    expected.square().mean().backward()
    gradient = torch.cat([p.grad.flatten() for p in net.parameters()])
    net.zero_grad()
    call = executed(net, execution)
    made = call(*inputs)
    assert made.dtype == torch.float32
    made.square().mean().backward()
    for ours, theirs in ((made, expected), (torch.cat([p.grad.flatten() for p in net.parameters()]), gradient)):
        error = (ours - theirs).norm() / theirs.norm()
        assert error < close
        assert not changes or error > 1e-4
    with torch.inference_mode():
        again = call(*inputs)
    assert (again - expected).norm() / expected.norm() < close


def test_a_compiled_net_computes_the_same_function():
    layer = torch.nn.Linear(3, 3)
    call = executed(layer, Execution(compile=True))
    x = torch.randn(2, 3)
    with torch.inference_mode():
        torch.testing.assert_close(call(x), layer(x))
