"""Loss-aware density of levels: drawn more often where the loss is large, weighted so that the mean loss stays the same."""

import torch
from torch import Tensor, nn

from difftables.diffusion.level import Level
from difftables.diffusion.subschedules import timestep


class LossAware(nn.Module):
    """p_t proportional to sqrt(E L_t^2) over the last losses of each level, mixed with a uniform floor.

    Uniform until every level has `memory` losses. A sample's loss has the weight 1 / (T p_t), whose mean under p is 1.
    It is a module, so that its history is saved and resumed with the net.

    Args: schedule: of training, noisiest first; memory: losses kept of each level; floor: share of the uniform distribution.
    Source: Nichol and Dhariwal 2021 (Improved DDPM), importance sampling; the floor is only in the released code.
    """

    history: Tensor
    filled: Tensor

    def __init__(self, schedule: Level, memory: int = 10, floor: float = 0.001) -> None:
        super().__init__()
        self.schedule, self.floor = schedule, floor
        steps = len(schedule) - 1
        self.register_buffer("history", torch.zeros(steps, memory, dtype=torch.float64))
        self.register_buffer("filled", torch.zeros(steps, dtype=torch.long))

    @property
    def warm(self) -> bool:
        """Whether every level has its full history."""
        return bool((self.filled == self.history.shape[1]).all())

    def probabilities(self) -> Tensor:
        """p of each level of the schedule, noisiest first, [T]."""
        steps = len(self.history)
        uniform = torch.full((steps,), 1 / steps, dtype=torch.float64)
        if not self.warm:
            return uniform
        root = self.history.square().mean(dim=1).sqrt()
        return torch.lerp(root / root.sum(), uniform, self.floor) if root.sum() > 0 else uniform

    def forward(self, schedule: Level, count: int, stream: torch.Generator) -> Level:
        """Levels for a batch, [count]."""
        return schedule[torch.multinomial(self.probabilities(), count, replacement=True, generator=stream)]

    def _index(self, level: Level) -> Tensor:
        return len(self.history) - 1 - timestep(level, self.schedule)

    def weights(self, level: Level) -> Tensor:
        """1 / (T p) of each level, [B]."""
        return 1 / (len(self.history) * self.probabilities()[self._index(level)])

    def remember(self, level: Level, losses: Tensor) -> None:
        """Push the unweighted losses, [B], into the history of their levels, the oldest out first."""
        memory = self.history.shape[1]
        for index, loss in zip(self._index(level).tolist(), losses.detach().double().tolist(), strict=True):
            kept = int(self.filled[index])
            if kept == memory:
                self.history[index, :-1] = self.history[index, 1:].clone()
            self.history[index, min(kept, memory - 1)] = loss
            self.filled[index] = min(kept + 1, memory)
