"""Ways to run a net that change its last digits: compiled, as CUDA graphs, in bfloat16, channels last."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from bench.subjects import Wrap


def compiled(backend: str) -> Wrap:
    """torch.compile."""
    return lambda net: torch.compile(net, backend=backend)


def graphed(backend: str) -> Wrap:
    """torch.compile with CUDA graphs: `reduce-overhead`, a mode of the backend `inductor` only."""
    return lambda net: torch.compile(net, mode="reduce-overhead") if backend == "inductor" else torch.compile(net, backend=backend)


def bfloat16(net: nn.Module) -> Callable[..., Tensor]:
    """Autocast to bfloat16, as `train.precision` does in training."""

    def forward(x: Tensor, c_noise: Tensor, *cond: Tensor) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16):
            return net(x, c_noise, *cond).float()

    return forward


def channels_last(net: nn.Module) -> Callable[..., Tensor]:
    """Weights and images with channels as their last dimension in memory."""
    net.to(memory_format=torch.channels_last)
    return lambda x, *args: net(x.contiguous(memory_format=torch.channels_last), *args)


def variants(device: torch.device, backend: str) -> dict[str, Wrap]:
    """The variants by name.  Those that compile are for a GPU, where minutes of compiling pay, and for tests, whose backend is quick."""
    found: dict[str, Wrap] = {"bfloat16": bfloat16, "channels-last": channels_last}
    if device.type == "cuda" or backend != "inductor":
        found |= {"compile": compiled(backend), "CUDA graphs": graphed(backend)}
    return found
