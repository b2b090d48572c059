"""Adam without its class and attention without its check for hidden rows: facts on paper, and torch's own results to the bit."""

import pytest
import torch
import torch.nn.functional as F

from difftables.nets.attention import attend
from difftables.training.adam import Adam, clip_gradients


def parameters(seed: int = 0) -> list[torch.Tensor]:
    stream = torch.Generator().manual_seed(seed)
    sizes = [(7, 3, 3, 3), (7,), (33,), (1,)]
    return [torch.randn(size, generator=stream).requires_grad_() for size in sizes]


def set_gradients(of: list[torch.Tensor], step: int) -> None:
    """Random gradients; the last parameter receives none at each third step."""
    stream = torch.Generator().manual_seed(step)
    for parameter in of:
        parameter.grad = torch.randn(parameter.shape, generator=stream)
    if step % 3 == 1:
        of[-1].grad = None


def test_the_first_step_of_adam_goes_by_the_rate_against_the_gradient():
    """m / (1 - b1) = g and v / (1 - b2) = g^2 at t = 1, so that p moves by lr sign(g), whatever the size of g."""
    weight = torch.tensor([1.0, 2.0, -3.0], requires_grad=True)
    weight.grad = torch.tensor([5.0, -0.01, 0.3])
    Adam([weight]).step(0.1)
    torch.testing.assert_close(weight.detach(), torch.tensor([0.9, 2.1, -3.1]))


@pytest.mark.parametrize("limit", [None, 3.0])
def test_fifty_steps_are_those_of_torch_to_the_bit(limit):
    ours, theirs = parameters(), parameters()
    adam, reference = Adam(ours), torch.optim.Adam(theirs, fused=True)
    for step in range(50):
        set_gradients(ours, step)
        set_gradients(theirs, step)
        norm = clip_gradients(ours, limit)
        assert norm.equal(torch.nn.utils.clip_grad_norm_(theirs, limit or float("inf")))
        for group in reference.param_groups:
            group["lr"] = 0.01 / (step + 1)
        adam.step(0.01 / (step + 1))
        reference.step()
    assert all(a.equal(b) for a, b in zip(ours, theirs, strict=True))


def test_a_loaded_adam_goes_on_with_the_same_bits():
    whole, cut = parameters(), parameters()
    first, undisturbed = Adam(cut), Adam(whole)
    for step in range(4):
        for adam in (undisturbed, first):
            set_gradients(adam.parameters, step)
            adam.step(0.1)
        if step == 1:
            state, first = first.state(), Adam(cut)
            first.load(state)
    assert all(a.equal(b) for a, b in zip(whole, cut, strict=True))


def test_gradients_of_norm_five_are_scaled_to_the_limit():
    weight = torch.zeros(2, requires_grad=True)
    weight.grad = torch.tensor([3.0, 4.0])
    assert clip_gradients([weight], 1.0) == 5
    torch.testing.assert_close(weight.grad, torch.tensor([0.6, 0.8]))
    assert clip_gradients([weight], None) == weight.grad.norm()
    torch.testing.assert_close(weight.grad, torch.tensor([0.6, 0.8]))


def test_attention_to_equal_keys_is_the_mean_of_the_values():
    q, v = torch.randn(2, 5, 4), torch.randn(2, 5, 4)
    torch.testing.assert_close(attend(q, torch.ones(2, 5, 4), v), v.mean(dim=1, keepdim=True).expand(2, 5, 4))


@pytest.mark.parametrize("heads", [1, 4])
def test_attention_and_its_gradients_are_those_of_torch_to_the_bit(heads):
    results = []
    for function in (attend, F.scaled_dot_product_attention):
        x = torch.randn(8, 48, 16, generator=torch.Generator().manual_seed(0)).requires_grad_()
        q, k, v = x.transpose(1, 2).chunk(3, dim=2)  # strides as in the nets
        if heads > 1:
            q, k, v = (part.unflatten(2, (heads, -1)).transpose(1, 2) for part in (q, k, v))
        h = function(q, k, v)
        h.square().sum().backward()
        results.append((h, x.grad))
    assert all(a.equal(b) for a, b in zip(*results, strict=True))
