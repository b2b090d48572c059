"""Levels of Soft Diffusion: operator strength and noise against time, and how the strengths are chosen from data."""

import decimal
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from difftables.diffusion.level import Level, concatenate

Distances = Tensor  # [K, K], between corrupted distributions
VALUES_AT_ONCE = 2**24  # of all levels of some images: 128 MB in float64


def geometric_noise(t: Tensor, lowest: float, highest: float, reached: float) -> Tensor:
    """std(t) = lowest (highest / lowest)^min(t / reached, 1), [K].

    Source: Soft Diffusion (Daras et al. 2022), whose noise grows to its maximum at about a quarter of the time and stays; the
    clamp is ours.
    """
    return lowest * (highest / lowest) ** (t.double() / reached).clamp(max=1)


def interpolated_schedule(nodes: Tensor, steps: int, lowest: float, highest: float, reached: float) -> Level:
    """A schedule of `steps` levels and the clean one: strength linear in time between nodes, which are evenly spaced in [0, 1].

    t_i = i / steps,  i = steps .. 1;  strength(t) interpolates nodes, [M], rising, at t = k / (M - 1)

    Raises: ValueError when the nodes do not rise.
    """
    if (nodes.diff() <= 0).any():
        raise ValueError("operator strengths must rise from node to node; check the candidate grid")
    t = torch.arange(steps, 0, -1, dtype=torch.float64) / steps
    position = t * (len(nodes) - 1)
    low = position.long().clamp(max=len(nodes) - 2)
    strength = torch.lerp(nodes.double()[low], nodes.double()[low + 1], position - low)
    level = Level.variance_exploding(geometric_noise(t, lowest, highest, reached), strength)
    return concatenate([level, Level.clean()])


def schedule_of_nodes(nodes: Tensor, lowest: float, highest: float, reached: float) -> Level:
    """A schedule whose levels are the nodes, [M], rising, node k at t = k / (M - 1); noisiest first, the clean level last."""
    t = torch.linspace(0, 1, len(nodes), dtype=torch.float64)
    level = Level.variance_exploding(geometric_noise(t, lowest, highest, reached), nodes)
    return concatenate([level.map(lambda values: values.flip(0)), Level.clean()])


def paired_distances(x0: Tensor, levels: Level, corrupt: Callable[[Tensor, Level], Tensor]) -> Distances:
    """W2 between A_a x0 + std_a n and A_b x0 + std_b n for all pairs of levels, [K, K].

    W^2 = E |A_a x0 - A_b x0|^2 + d (std_a - std_b)^2

    Exact without noise where the operators commute and are symmetric and positive, since each image is then its best match, else an
    upper bound.

    Args: x0: clean samples, [N, ...]; corrupt: A x, of samples and levels.
    """
    size, square = x0[0].numel(), torch.zeros(len(levels), len(levels), dtype=torch.float64, device=x0.device)
    for part in x0.split(max(1, VALUES_AT_ONCE // (len(levels) * size))):
        images = torch.stack([corrupt(part, levels[i].expand(len(part))).flatten() for i in range(len(levels))]).double()
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
    """The shortest longest edge of all paths from the first node to the last: e_b = min_{a < b} max(e_a, d_ab), e_0 = 0."""
    least = torch.zeros(len(distances), dtype=distances.dtype)
    for b in range(1, len(distances)):
        least[b] = torch.maximum(least[:b], distances[:b, b]).min()
    return least[-1].item()


def choose_path(distances: Distances, nodes: int, epsilon: float | None = None, rounds: int = 40) -> tuple[list[int], float]:
    """The shortest path with `nodes` nodes, or the nearest number below, and its longest edge, made as short as bisection can.

    Args: epsilon: the longest edge allowed, in place of bisection; `nodes` is then ignored.
    Raises: ValueError when no path has edges so short, naming the smallest epsilon of any path, or for fewer candidates than nodes.
    Source: Soft Diffusion (Daras et al. 2022), scheduler: 256 candidates, 32 nodes.
    """
    low, high = smallest_edge(distances), float(distances.max())
    if epsilon is not None:
        if epsilon < low:
            # Rounded up, so that what is printed can be typed back.
            enough = decimal.Context(prec=4, rounding=decimal.ROUND_CEILING).create_decimal_from_float(low)
            raise ValueError(f"no path through the candidates has all edges up to epsilon = {epsilon:g}; set epsilon to {enough:f} or more")
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


@dataclass(frozen=True)
class ChosenLevels:
    """Operator strengths chosen on data.

    Args: schedule: of the nodes; path: their indices among the candidates; edges: distances between them; longest: the longest edge
        allowed; wanted: the number of nodes asked for.
    """

    schedule: Level
    path: list[int]
    edges: list[float]
    longest: float
    wanted: int


def choose_levels(
    strengths: Tensor, distances: Distances, nodes: int, epsilon: float | None, noise: tuple[float, float, float]
) -> ChosenLevels:
    """The nodes of the shortest path through candidate strengths, [K], rising, and their schedule.

    Args: distances: between the candidates, [K, K]; nodes, epsilon: of `choose_path`; noise: lowest, highest, reached of
        `geometric_noise`.
    Raises: ValueError, as `choose_path`.
    """
    path, longest = choose_path(distances, nodes, epsilon)
    edges = [distances[a, b].item() for a, b in pairwise(path)]
    wanted = nodes if epsilon is None else len(path)
    return ChosenLevels(schedule_of_nodes(strengths[path], *noise), path, edges, longest, wanted)
