"""The cheapest way down a grid of levels in a given number of jumps, where a jump has its price whatever was before it."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Ways:
    """The cheapest ways from each level of a grid to the last one.

    Args: cost: of the best way in n + 1 jumps, [N, K], infinite where there is none; following: where its first jump ends, [N, K].
    """

    cost: Tensor
    following: Tensor

    def way(self, jumps: int) -> list[int]:
        """Indices of the levels on the best way from the first level to the last, jumps + 1 of them, both ends among them.

        Raises: ValueError for more jumps than were asked for, or than the grid has.
        """
        if not 1 <= jumps <= len(self.cost) or not bool(torch.isfinite(self.cost[jumps - 1, 0])):
            levels = self.cost.shape[1]
            raise ValueError(f"a grid of {levels} levels has no way of {jumps} jumps; raise search.*.grid_levels or ask for fewer steps")
        way = [0]
        for left in range(jumps - 1, -1, -1):
            way.append(int(self.following[left, way[-1]]))
        return way


def cheapest_ways(cost: Tensor, jumps: int, gamma: float = 1.0) -> Ways:
    """The cheapest ways of 1 .. `jumps` jumps, all at once.

    V_1(i) = C_{i, K-1},  V_n(i) = min_{j > i} C_ij + gamma V_{n-1}(j)

    Args: cost: C_ij of a jump from level i to level j > i, [K, K]; the rest is not read. It may be negative. gamma: weight of what follows
        a jump, 1 for a sum.
    Source: the recursion of Chen et al. 2024 (GITS), Algorithm 1.
    """
    count = len(cost)
    later = torch.ones(count, count, dtype=torch.bool).triu(1)
    price = torch.where(later, cost.double(), float("inf"))
    best, following = [price[:, -1]], [torch.full((count,), count - 1)]
    for _ in range(1, jumps):
        least = (price + gamma * best[-1][None]).min(dim=1)
        best.append(least.values)
        following.append(least.indices)
    return Ways(torch.stack(best), torch.stack(following))
