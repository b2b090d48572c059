"""Schedules on exact problems: formulas, loss curves, trajectories, bounds, learning, and the best of all by brute force."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from difftables.common.seeds import generator
from difftables.common.variants import Variants
from difftables.config.solvers import AnySolver
from difftables.diffusion.corruptions import scale
from difftables.diffusion.level import Level
from difftables.sampling.solvers import bind
from difftables.search import curve_levels, error_bound
from difftables.search.by_gradient import Budget, best_start, learn
from difftables.search.dynamic_program import cheapest_ways
from difftables.search.loss_curve import LossCurve, score_steps, squared_errors
from difftables.search.student import Counter, Ends, Pairs, Student
from difftables.search.trajectories import jump_costs, trajectories
from difftables.studies.exact_errors import Range, no_noise
from difftables.studies.exact_problems import PROBLEMS, Mixture

GRID = 61  # levels of the power law, rho = 7, from which searches choose
SAMPLES = 64  # that searches measure on
AT_ONCE = 1 << 21  # numbers of a batch of candidates
BUDGET = Budget(batch=8, check_every=4, radius=0.0, rate=5e-3, conditioned_rate=0.1, seed=0)
UPDATES = 150


@dataclass(frozen=True)
class Task:
    """What a schedule is for.

    Args: name: of PROBLEMS; span: fixed ends, of which the lower is not clean; jumps: levels minus one; solver: deterministic; closed:
        whether loss curve and score are the closed forms of a centred Gaussian, or measured on samples.
    """

    name: str
    span: Range
    jumps: int
    solver: AnySolver
    closed: bool = False

    @property
    def problem(self) -> Mixture:
        """The data."""
        return PROBLEMS[self.name]()

    @property
    def ends(self) -> Ends:
        """The ends as those of a learned schedule."""
        return Ends(self.span.highest, self.span.lowest, "ve", clean=False)

    @property
    def grid(self) -> Tensor:
        """GRID levels, sigma."""
        return self.ends.power_law(GRID - 1, 7.0)


@dataclass(frozen=True)
class Found:
    """A schedule, sigma, [jumps + 1], and the evaluations of the denoiser that its search made, samples times calls."""

    sigma: Tensor
    evaluations: int = 0


def power_law(task: Task) -> Found:
    """Even in sigma^(1/7)."""
    return Found(task.ends.power_law(task.jumps, 7.0))


def log_snr(task: Task) -> Found:
    """Even in log sigma."""
    return Found(task.ends.power_law(task.jumps, math.inf))


def arctan(task: Task) -> Found:
    """sigma = c tan(theta), theta even between the ends, c the root mean square std of the data: best for DDIM on a Gaussian of std c.

    Source: the Gaussian case of Sabour et al. 2024 (Align Your Steps).
    """
    c = std_of(task.problem)
    high, low = math.atan(task.span.highest / c), math.atan(task.span.lowest / c)
    sigma = c * torch.linspace(high, low, task.jumps + 1, dtype=torch.float64).tan()
    return Found(sigma)


def arctan_to_clean(task: Task) -> Found:
    """sigma = c tan(theta), theta even down to 0: the last of the jumps + 1 steps ends clean without a visit to the lowest level."""
    c = std_of(task.problem)
    angles = math.atan(task.span.highest / c) * torch.arange(task.jumps + 1, 0, -1, dtype=torch.float64) / (task.jumps + 1)
    return Found(c * angles.tan())


def std_of(problem: Mixture) -> float:
    """The root of the data's variance, mean over dimensions."""
    mean = problem.weights @ problem.means
    return (problem.weights @ (problem.variances + (problem.means - mean) ** 2)).mean().sqrt().item()


def curve_of(task: Task) -> tuple[LossCurve, int]:
    """The loss curve on the grid and its evaluations."""
    problem, sigma = task.problem, task.grid
    if task.closed:
        squares = sigma[:, None] ** 2
        return LossCurve(sigma, (problem.variances * squares / (problem.variances + squares)).sum(dim=1)), 0
    clean, noise = clean_and_noise(task.name)
    errors = squared_errors(problem.denoise, clean, Level.variance_exploding(sigma), noise)
    return LossCurve(sigma, errors.mean(dim=1)).repaired()[0], errors.numel()


@cache
def clean_and_noise(name: str) -> tuple[Tensor, Tensor]:
    """Data and noise that searches measure on, [SAMPLES, d] each."""
    problem = PROBLEMS[name]()
    clean = problem.starts(SAMPLES, 0.0, "search", name)
    return clean, torch.randn(clean.shape, generator=generator("exact", "search-noise", name), dtype=torch.float64)


def entropic(task: Task) -> Found:
    """`curve_levels.entropic`."""
    curve, evaluations = curve_of(task)
    return Found(curve_levels.entropic(curve, task.jumps), evaluations)


def rescaled_entropic(task: Task) -> Found:
    """`curve_levels.rescaled_entropic`."""
    curve, evaluations = curve_of(task)
    return Found(curve_levels.rescaled_entropic(curve, task.jumps), evaluations)


def least_bound(task: Task) -> Found:
    """`curve_levels.least_path_bound`."""
    curve, evaluations = curve_of(task)
    return Found(curve_levels.least_path_bound(curve, task.jumps), evaluations)


def score_optimal(task: Task) -> Found:
    """`curve_levels.score_optimal`."""
    problem, sigma = task.problem, task.grid
    if task.closed:
        total = problem.variances + sigma[:, None] ** 2
        return Found(curve_levels.score_optimal(sigma, (total[:-1] * (1 / total[:-1] - 1 / total[1:]) ** 2).sum(dim=1), task.jumps))
    steps = score_steps(problem.denoise, clean_and_noise(task.name)[0], Level.variance_exploding(sigma), clean_and_noise(task.name)[1])
    return Found(curve_levels.score_optimal(sigma, steps.mean(dim=1), task.jumps), 2 * steps.numel())


def gits(task: Task, cost: str = "dev", gamma: float = 1.15) -> Found:
    """The cheapest way down the grid, where a jump costs what an Euler step of a teacher's trajectory errs by.

    Raises: ValueError for the cost dev in one dimension, where every point lies on the chord.
    Source: Chen et al. 2024 (GITS), its default cost and gamma.
    """
    if cost == "dev" and task.problem.dimensions == 1:
        raise ValueError("in one dimension no point lies off the chord, so that cost dev is 0 everywhere; use l2")
    sigma, start = task.grid, pairs_of(task).start
    path = trajectories(task.problem.denoise, start, Level.variance_exploding(sigma))
    costs = jump_costs(path, sigma, cost).mean(dim=2)
    return Found(sigma[cheapest_ways(costs, task.jumps, gamma).way(task.jumps)], len(start) * (GRID - 1))


def gits_distances(task: Task) -> Found:
    """`gits` with distances to the teacher's points and no discount."""
    return gits(task, "l2", 1.0)


def dmn(task: Task) -> Found:
    """`error_bound.minimise`, for the order of the solver."""
    return Found(error_bound.minimise(task.ends, task.jumps, min(getattr(task.solver, "order", 1), task.jumps)))


def pairs_of(task: Task) -> Pairs:
    """SAMPLES starts that searches see, and their exact ends."""
    clean, noise = clean_and_noise(task.name)
    start = clean + task.span.highest * noise
    return Pairs(start, _ends_of(task.name, task.span.highest, task.span.lowest))


@cache
def _ends_of(name: str, highest: float, lowest: float) -> Tensor:
    clean, noise = clean_and_noise(name)
    return PROBLEMS[name]().end(clean + highest * noise, highest, lowest)


def ld3(task: Task) -> Found:
    """Levels learned by gradient against the exact ends, of half of the starts, chosen on the other half.

    Evaluations are of forward and backward passes; the teacher costs none.
    Source: Tong et al. 2024 (LD3), without shifts and without moving starts.
    """
    counter, pairs = Counter(task.problem.denoise), pairs_of(task)
    student = Student(bind(task.solver, Level.variance_exploding(task.grid)), counter, scale, task.ends)
    half = SAMPLES // 2

    def loss(ends: Tensor, exact: Tensor) -> Tensor:
        return (ends - exact).square().mean(dim=1)

    first = best_start(student, task.jumps, None, pairs[half:], loss)
    result = learn(student, first, pairs[:half], pairs[half:], loss, [(("logits",), UPDATES)], BUDGET)
    return Found(result.schedule.sigma, counter.forward + counter.backward)


def exhaustive(task: Task) -> Found:
    """The levels of the grid with the smallest mean squared distance to the exact ends, all ways tried."""
    sigma, pairs = task.grid, pairs_of(task)
    inner = torch.combinations(torch.arange(1, GRID - 1), task.jumps - 1)
    ways = torch.cat([torch.zeros(len(inner), 1, dtype=torch.int64), inner, torch.full((len(inner), 1), GRID - 1)], dim=1)
    count, dimensions = pairs.start.shape
    size = max(1, AT_ONCE // (count * dimensions * len(task.problem.weights)))
    solve, losses = bind(task.solver, Level.variance_exploding(sigma)), list[Tensor]()
    for part in ways.split(size):
        levels = [Level.variance_exploding(sigma[part[:, i]].repeat_interleave(count)) for i in range(task.jumps + 1)]
        start = pairs.start.repeat(len(part), 1)
        ends = solve(start, levels, denoise=task.problem.denoise, corrupt=scale, randn=no_noise)
        losses.append((ends.reshape(len(part), count, dimensions) - pairs.end).square().mean(dim=(1, 2)))
    return Found(sigma[ways[torch.cat(losses).argmin()]], len(ways) * count * task.jumps)


def path_bound(task: Task, sigma: Tensor) -> float:
    """The bound on the KL of the path of an ancestral chain on a centred Gaussian, in nats per dimension, in closed form.

    sum_i mmse(sigma_i) (1 / sigma_{i+1}^2 - 1 / sigma_i^2) / 2 - (H(sigma_0) - H(sigma_N)),  mmse = c^2 s^2 / (c^2 + s^2),
    H(s) = -log(1 + c^2 / s^2) / 2

    Source: `curve_levels.path_bound_costs`.
    """
    variance, squares = task.problem.variances, sigma[:, None] ** 2
    error = (variance * squares / (variance + squares))[:-1]
    entropy = -0.5 * torch.log1p(variance / squares)
    return (0.5 * (error * (1 / squares[1:] - 1 / squares[:-1])).sum(dim=0) - (entropy[0] - entropy[-1])).mean().item()


# Those that fit only problems of more than one dimension.
IN_A_PLANE = ("gits",)
SEARCHES: Variants[Callable[[Task], Found]] = {
    "power-law": power_law, "log-snr": log_snr, "arctan": arctan, "arctan-to-clean": arctan_to_clean, "entropic": entropic,
    "rescaled-entropic": rescaled_entropic, "klub": least_bound, "score-optimal": score_optimal, "gits": gits, "gits-l2": gits_distances,
    "dmn": dmn, "ld3": ld3, "exhaustive": exhaustive,
}  # fmt: skip
