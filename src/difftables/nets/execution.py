"""How a net is called: in which precision and layout, compiled or not. The defaults leave it as it is."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from difftables.config.run import Execution


def executed(net: nn.Module, execution: Execution) -> Callable[..., Tensor]:
    """The net as its denoiser calls it: (x, c_noise, further inputs) to a tensor of x's dtype.

    Its parameters stay float32, and files of nets are the same for all executions; channels-last changes their order in memory only.
    """
    if execution == Execution():
        return net
    if execution.tf32:  # of the process: the backward pass is outside of the call
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    last, lower = execution.layout == "channels_last", execution.precision == "bfloat16"
    if last:
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    inner = torch.compile(net, dynamic=False) if execution.compile else net

    def call(x: Tensor, *inputs: Any) -> Tensor:
        x_inside = x.contiguous(memory_format=torch.channels_last) if last and x.dim() == 4 else x
        with torch.autocast(x.device.type, torch.bfloat16, enabled=lower or torch.is_autocast_enabled(x.device.type)):
            return inner(x_inside, *inputs).to(x.dtype)

    return call
