"""Adam and the clip of gradients on lists of tensors: torch's fused kernel without the class around it.

The class costs more than the step of a small net's weights, and it imports torch's compiler, 1.4 s of every training.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

BETAS, EPS = (0.9, 0.999), 1e-8


class Adam:
    """Adam on parameters, each with its moments and its number of steps; a parameter without a gradient stays as it is.

    m <- m + (1 - b1) (g - m),  v <- b2 v + (1 - b2) g^2,  p <- p - lr m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps)

    To the bit `torch.optim.Adam(parameters, fused=True)`.

    Args: parameters: changed in place by `step`.
    Source: Kingma and Ba 2015, Algorithm 1.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = list(parameters)
        self.mean, self.square = ([torch.zeros_like(p, memory_format=torch.preserve_format) for p in self.parameters] for _ in range(2))
        self.count = torch.zeros(len(self.parameters), device=self.parameters[0].device)
        self.counts = list(self.count.unbind())  # views

    def clear(self) -> None:
        """Drop the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Change the parameters along their gradients.  Args: rate: lr."""
        live = [i for i, parameter in enumerate(self.parameters) if parameter.grad is not None]
        chosen: list[list[Any]] = [[values[i] for i in live] for values in (self.parameters, self.mean, self.square, self.counts)]
        parameters, mean, square, counts = chosen
        self.count[live if len(live) < len(self.parameters) else ...] += 1
        torch._fused_adam_(
            parameters, [p.grad for p in parameters], mean, square, [], counts,
            lr=rate, beta1=BETAS[0], beta2=BETAS[1], weight_decay=0.0, eps=EPS, amsgrad=False, maximize=False,
        )  # fmt: skip

    def state(self) -> dict[str, Any]:
        """Moments and numbers of steps, for `load`."""
        return {"mean": self.mean, "square": self.square, "count": self.count}

    def load(self, state: dict[str, Any]) -> None:
        """Take over the moments and numbers of steps of `state`."""
        for mine, saved in zip([*self.mean, *self.square, self.count], [*state["mean"], *state["square"], state["count"]], strict=True):
            mine.copy_(saved)


@torch.no_grad()
def clip_gradients(parameters: Sequence[Tensor], limit: float | None) -> Tensor:
    """Scale all gradients by min(1, limit / (norm + 1e-6)).

    Args: limit: None: they stay.  Returns: their joint norm before, a scalar.
    Source: as `torch.nn.utils.clip_grad_norm_`, to the bit; a factor of one is not applied on the CPU, where it can be read for free.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    if limit is not None:
        factor = (limit / (norm + 1e-6)).clamp(max=1.0)
        if norm.device.type != "cpu" or factor != 1:
            torch._foreach_mul_(gradients, factor)
    return norm
