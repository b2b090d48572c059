"""A search of a grid of rates that scores few of its candidates: it starts where a closed form says, and moves to better neighbours."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations, product

import torch
from torch import Tensor

APART = 4  # steps of the grid between the starts of two walks
MOVES = ((2, 1), (1, 1), (1, 2))  # how far, and in how many coordinates


@dataclass
class Refined:
    """Candidates that were scored: their indices in order, and their scores."""

    indices: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    @property
    def best(self) -> int:
        """The index of the candidate with the lowest score."""
        return self.indices[min(range(len(self.scores)), key=self.scores.__getitem__)]


def predicted_errors(betas: Tensor, variances: Tensor, mean: Tensor) -> Tensor:
    """Squared Wasserstein distance to the data of DDIM's samples from x ~ N(0, I), if the data were Gaussian, [K], with no network call.

    keeps_k = prod_i (c_k^2 + sigma_i sigma_{i+1}) / (c_k^2 + sigma_i^2),
    error = sum_k (sqrt(1 + sigma_0^2) keeps_k - c_k)^2 + (m_k keeps_k)^2

    Args: betas: candidates, [K, steps], least noisy first; variances, mean: c_k^2 and m_k along each principal axis of the data, [D].
    Source: ours; the ideal denoiser of Gaussian data is linear.
    """
    sigma = (torch.expm1(-torch.log1p(-betas).cumsum(dim=1))).sqrt().flip(1)
    following = torch.cat([sigma[:, 1:], torch.zeros(len(sigma), 1, dtype=sigma.dtype)], dim=1)
    keeps = torch.ones(len(betas), len(variances), dtype=torch.float64)
    for now, nxt in zip(sigma.T, following.T, strict=True):
        keeps *= (variances + (now * nxt)[:, None]) / (variances + (now**2)[:, None])
    spread = (1 + sigma[:, :1] ** 2).sqrt() * keeps - variances.sqrt()
    return (spread.square() + (mean * keeps).square()).sum(dim=1)


def principal_axes(clean: Tensor) -> tuple[Tensor, Tensor]:
    """Variances, largest first, and means of samples along their principal axes, [min(N - 1, D)] each.  Args: clean: [N, ...], N > 1."""
    flat = clean.double().flatten(1).cpu()
    mean = flat.mean(dim=0)
    _, singular, axes = torch.linalg.svd(flat - mean, full_matrices=False)
    kept = min(len(flat) - 1, flat.shape[1])
    return (singular[:kept].square() / (len(flat) - 1)).clamp(min=1e-12), axes[:kept] @ mean


def places_of(betas: Tensor, decades: tuple[float, float]) -> Tensor:
    """The mantissas of candidates of a grid, one for each group of steps that share it, [K, groups], whole numbers."""
    steps = betas.shape[1]
    ladder = torch.logspace(*decades, steps, dtype=torch.float64) if steps > 1 else torch.tensor([10.0 ** decades[1]]).double()
    mantissas = (betas / ladder).round().long()
    fresh = [0, *(i for i in range(1, steps) if not torch.equal(mantissas[:, i], mantissas[:, i - 1]))]
    return mantissas[:, fresh]


def neighbours(index: dict[tuple[int, ...], int], candidate: tuple[int, ...], length: int, apart: int) -> list[int]:
    """Candidates that differ by `length` in `apart` of their coordinates, and nowhere else; a move past the end stops at it.

    Args: index: of all candidates, by their coordinates.
    """
    lowest, highest = min(map(min, index)), max(map(max, index))
    near = list[int]()
    for which in combinations(range(len(candidate)), apart):
        for signs in product((-1, 1), repeat=apart):
            moved = list(candidate)
            for place, sign in zip(which, signs, strict=True):
                moved[place] = min(max(moved[place] + sign * length, lowest), highest)
            if (i := index.get(tuple(moved))) is not None and tuple(moved) != candidate and i not in near:
                near.append(i)
    return near


def refine(places: Tensor, predicted: Tensor, score: Callable[[int], float], most: int) -> Refined:
    """The best candidate that walks to better neighbours find, the first from the candidate that is predicted to be best.

    Neighbours differ by 2 in one coordinate, then by 1, and last by 1 in two. The one that is predicted to be better is scored
    first, and the walk moves as soon as one is better. Where no neighbour is, a new walk starts from the best prediction among candidates
    that differ by APART or more in some coordinate from all that were scored. It ends at the `most`-th score, or where nothing is left.

    Args: places: the coordinates of the candidates, whole numbers, [K, n]; predicted: lower is better, [K]; score: of one, by index.
    """
    refined, known = Refined(), dict[int, float]()
    rows = [tuple(row) for row in places.tolist()]
    index = {row: i for i, row in enumerate(rows)}

    def ask(i: int) -> float:
        known[i] = score(i)
        refined.indices.append(i)
        refined.scores.append(known[i])
        return known[i]

    while len(known) < most:
        far = torch.ones(len(places), dtype=torch.bool)
        for i in known:
            far &= (places - places[i]).abs().max(dim=1).values >= APART
        if not bool(far.any()):
            break
        now = int(torch.where(far, predicted, float("inf")).argmin())
        ask(now)
        while (better := _better(index, rows[now], predicted, now, known, ask, most)) is not None:
            now = better
    return refined


def _better(
    index: dict[tuple[int, ...], int], place: tuple[int, ...], predicted: Tensor, now: int, known: dict[int, float],
    ask: Callable[[int], float], most: int,
) -> int | None:  # fmt: skip
    """The first neighbour of a candidate that is better, or None where none is or no score is left."""
    for length, apart in MOVES:
        nearby = [i for i in neighbours(index, place, length, min(apart, len(place))) if i not in known]
        for i in sorted(nearby, key=lambda i: (predicted[i].item(), i)):
            if len(known) >= most:
                return None
            if ask(i) < known[now]:
                return i
    return None
