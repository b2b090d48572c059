"""Levels of Soft Diffusion: operator strength and noise against time, and how the strengths are chosen from data."""

import decimal
from collections.abc import Callable

import torch
from torch import Tensor

from difftables.diffusion.level import Level, concatenate

Distances = Tensor  # [K, K], between corrupted distributions
VALUES = 2**24  # at once, of all levels of some images: 128 MB


def geometric_noise(t: Tensor, lowest: float, highest: float, reached: float) -> Tensor:
    """std(t) = lowest (highest / lowest)^min(t / reached, 1), [K].

    Source: Soft Diffusion (Daras et al. 2022), whose noise grows to its maximum at about a quarter of the time and stays; the
    clamp is ours.
    """
    return lowest * (highest / lowest) ** (t.double() / reached).clamp(max=1)


def along(nodes: Tensor, steps: int, lowest: float, highest: float, reached: float) -> Level:
    """A schedule of `steps` levels and the clean one: strength linear in time between nodes, which lie evenly in [0, 1].

    t_i = i / steps,  i = steps .. 1;  strength(t) interpolates nodes, [M], rising, at t = k / (M - 1)

    Raises: ValueError when the nodes do not rise.
    """
    if (nodes.diff() <= 0).any():
        raise ValueError("operator strengths must rise from node to node; check the candidate grid")
    t = torch.arange(steps, 0, -1, dtype=torch.float64) / steps
    place = t * (len(nodes) - 1)
    low = place.long().clamp(max=len(nodes) - 2)
    strength = torch.lerp(nodes.double()[low], nodes.double()[low + 1], place - low)
    level = Level.variance_exploding(geometric_noise(t, lowest, highest, reached), strength)
    return concatenate([level, Level.clean()])


def of_nodes(nodes: Tensor, lowest: float, highest: float, reached: float) -> Level:
    """A schedule of the nodes themselves, [M], rising, node k at t = k / (M - 1), noisiest first, and the clean level."""
    t = torch.linspace(0, 1, len(nodes), dtype=torch.float64)
    level = Level.variance_exploding(geometric_noise(t, lowest, highest, reached), nodes)
    return concatenate([level.each(lambda values: values.flip(0)), Level.clean()])


def paired_distances(x0: Tensor, levels: Level, apply: Callable[[Tensor, Level], Tensor]) -> Distances:
    """W2 between A_a x0 + std_a n and A_b x0 + std_b n for all pairs of levels, [K, K].

    W^2 = E |A_a x0 - A_b x0|^2 + d (std_a - std_b)^2

    Exact without noise where the operators commute and are symmetric and positive (each image is its own best match), else an
    upper bound.  Args: x0: clean samples, [N, ...].
    """
    size, square = x0[0].numel(), torch.zeros(len(levels), len(levels), dtype=torch.float64, device=x0.device)
    for part in x0.split(max(1, VALUES // (len(levels) * size))):
        images = torch.stack([apply(part, levels[i].expand(len(part))).flatten() for i in range(len(levels))]).double()
        norms = images.square().sum(1)
        square += norms[:, None] + norms[None] - 2 * images @ images.T
    return (square.clamp(min=0) / len(x0) + size * (levels.std[:, None] - levels.std[None]) ** 2).sqrt()


def shortest_path(distances: Distances, longest: float) -> list[int]:
    """The shortest path from the first node to the last over edges a < b no longer than `longest`; [] where there is none.

    Nodes are in rising order, so one pass of dynamic programming is Dijkstra's answer.
    """
    count = len(distances)
    last = [0] * count
    allowed = distances.masked_fill(distances > longest, float("inf"))
    costs = torch.full((count,), float("inf"), dtype=torch.float64)
    costs[0] = 0.0
    for b in range(1, count):
        best = costs[:b] + allowed[:b, b]
        last[b] = int(best.argmin())
        costs[b] = best[last[b]]
    if not torch.isfinite(costs[-1]):
        return []
    path = [count - 1]
    while path[-1]:
        path.append(last[path[-1]])
    return path[::-1]


def smallest_edge(distances: Distances) -> float:
    """The least longest edge of any path from the first node to the last: e_b = min_{a < b} max(e_a, d_ab), e_0 = 0."""
    least = torch.zeros(len(distances), dtype=distances.dtype)
    for b in range(1, len(distances)):
        least[b] = torch.maximum(least[:b], distances[:b, b]).min()
    return least[-1].item()


def chosen(distances: Distances, nodes: int, epsilon: float | None = None, rounds: int = 40) -> tuple[list[int], float]:
    """The path of `nodes` nodes, or the nearest number below, and the least longest edge that gives it, found by bisection.

    Args: epsilon: the longest edge allowed, in place of bisection; `nodes` then says nothing.
    Raises: ValueError when no path has edges so short, naming the smallest that one has, or for fewer candidates than nodes.
    Source: Soft Diffusion (Daras et al. 2022), scheduler: 256 candidates, 32 nodes.
    """
    low, high = smallest_edge(distances), float(distances.max())
    if epsilon is not None:
        if epsilon < low:
            # Rounded up, so that what is printed can be typed back.
            enough = decimal.Context(prec=4, rounding=decimal.ROUND_CEILING).create_decimal_from_float(low)
            raise ValueError(
                f"no path with edges up to {epsilon:g} leads through the candidates; the smallest epsilon that has one is {enough:f}"
            )
        return shortest_path(distances, epsilon), epsilon
    if not 2 <= nodes <= len(distances):
        raise ValueError(f"{nodes} levels cannot be chosen out of {len(distances)} candidates")
    best = shortest_path(distances, high), high
    for _ in range(rounds):
        middle = 0.5 * (low + high)
        path = shortest_path(distances, middle)
        if len(path) > nodes:
            low = middle
        else:
            high, best = middle, (path, middle)
    return best
