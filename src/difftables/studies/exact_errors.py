"""What solvers do on exact problems: distance to the exact end, order, and the distribution of the samples where it is closed."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor

from difftables.config.solvers import AnySolver
from difftables.diffusion.corruptions import scale
from difftables.diffusion.level import Level
from difftables.sampling.solvers import bind
from difftables.studies.exact_problems import PROBLEMS, Mixture

FLOOR = 1e-10  # of distances: below it they are rounding
STARTS = 256  # of a mixture in one dimension; fewer in more, whose distances are means over dimensions too
FEWEST = 64
CUTS = 10  # halvings of the first step where an order is measured
ORDER_STARTS = 32


@dataclass(frozen=True)
class Range:
    """Levels from sigma = highest to lowest; clean: whether a step to 0 follows, one of the steps."""

    highest: float
    lowest: float
    clean: bool = False

    def even(self, steps: int) -> Level:
        """steps + 1 levels evenly spaced in log sigma, alpha = 1.  Raises: ValueError for fewer steps than there are ends."""
        return self.chain(self.log_levels(steps - self.clean))

    def log_levels(self, steps: int) -> Tensor:
        """log sigma at steps + 1 even places, [steps + 1]."""
        if steps < 1:
            raise ValueError(f"a chain from sigma = {self.highest:g} to {self.lowest:g} needs a step between them; ask for more steps")
        return torch.linspace(math.log(self.highest), math.log(self.lowest), steps + 1, dtype=torch.float64)

    def chain(self, log_sigma: Tensor) -> Level:
        """Levels of log sigma, and 0 behind them where the range ends clean."""
        sigma = log_sigma.exp()
        return Level.variance_exploding(torch.cat([sigma, torch.zeros(1, dtype=torch.float64)]) if self.clean else sigma)

    def graded(self, steps: int) -> Level:
        """`even`, the first step cut in two again and again.

        Lengths h 2^-CUTS, h 2^-CUTS, h 2^(1-CUTS), .., h/2: a multistep solver starts with low orders, whose error would otherwise be
        that of the whole chain.
        """
        levels = self.log_levels(steps - self.clean)
        cuts = (levels[1] - levels[0]) * 0.5 ** torch.arange(CUTS, 0, -1, dtype=torch.float64)
        return self.chain(torch.cat([levels[:1], levels[0] + cuts, levels[1:]]))


class Counted:
    """A denoiser that counts its calls."""

    def __init__(self, denoise: Callable[[Tensor, Level], Tensor]) -> None:
        self.denoise, self.calls = denoise, 0

    def __call__(self, x: Tensor, level: Level) -> Tensor:
        self.calls += 1
        return self.denoise(x, level)


def no_noise(x: Tensor) -> Tensor:
    """The noise of a solver that is taken for deterministic.  Raises: ValueError; such a solver draws none."""
    raise ValueError("a solver that draws noise has no distance to the end of the same start; move its row to a table of distributions")


def solve(
    problem: Mixture, solver: AnySolver, x: Tensor, schedule: Level | list[Level], randn: Callable[[Tensor], Tensor] = no_noise
) -> tuple[Tensor, int]:  # fmt: skip
    """Where a solver ends, [B, d], and its calls of the exact denoiser.  Args: x: [B, d], at the first level."""
    denoise = Counted(problem.denoise)
    training = schedule if isinstance(schedule, Level) else schedule[0]
    return bind(solver, training)(x, schedule, denoise=denoise, corrupt=scale, randn=randn), denoise.calls


def steps_of(solver: AnySolver, calls: int, clean: bool = False) -> int | None:
    """The steps with which a solver makes exactly so many calls; None where it has none.

    Calls are a line in the steps, which two short runs tell.
    """
    slope, offset = _calls(solver.model_dump_json(), clean)
    steps, rest = divmod(calls - offset, slope)
    return steps if rest == 0 and steps > clean else None


@cache
def _calls(written: str, clean: bool) -> tuple[int, int]:
    """Calls of one more step, and of none.  Args: written: a solver as JSON."""
    x, span = torch.ones(1, 1, dtype=torch.float64), Range(20.0, 0.01, clean)
    solver = read_solver(json.loads(written))
    few, more = (solve(PROBLEMS["gaussian"](), solver, x, span.even(steps), torch.zeros_like)[1] for steps in (8, 9))
    return more - few, few - 8 * (more - few)


def read_solver(given: dict[str, Any]) -> AnySolver:
    """A solver of a table's row.  Args: given: as params.yaml has it, checked before."""
    return TypeAdapter[AnySolver](AnySolver).validate_python(given)


@dataclass(frozen=True)
class Starts:
    """Starts of a problem and their exact ends, each [B, d]."""

    start: Tensor
    end: Tensor


@cache
def starts_of(name: str, highest: float, lowest: float, count: int) -> Starts:
    """Starts y + highest n of a problem by its name, and where the probability flow takes them at sigma = lowest.

    A centred Gaussian gets one start of one std in each dimension: errors are proportional to the start, and so is their root mean
    square.
    """
    problem = PROBLEMS[name]()
    start = problem.starts(count, highest, name)
    if problem.centred:
        start = (problem.variances + highest**2).sqrt()
    return Starts(start, problem.end(start, highest, lowest))


def starts_used(name: str) -> int:
    """How many starts stand for a mixture."""
    return max(STARTS // PROBLEMS[name]().dimensions, FEWEST)


def distance(name: str, solver: AnySolver, schedule: Level, count: int) -> tuple[float, int]:
    """RMS distance per dimension between a deterministic solver's ends and the exact ones of the same starts, and its calls.

    Args: name: of PROBLEMS; schedule: the exact ends are at its last level; count: of starts.
    Returns: the distance, at least FLOOR; NaN and infinity stay.
    """
    sigma = schedule.sigma
    pairs = starts_of(name, sigma[0].item(), sigma[-1].item(), count)
    ends, calls = solve(PROBLEMS[name](), solver, pairs.start, schedule)
    return _rms(ends - pairs.end), calls


def _rms(error: Tensor) -> float:
    return max(error.square().mean().sqrt().item(), FLOOR)


def order(name: str, solver: AnySolver, span: Range, steps: int, count: int = ORDER_STARTS) -> float | None:
    """log2 of the error of `steps` steps over that of twice as many, the first step graded.

    A last step of lower order is a convention that would hide it: final orders are kept here.
    Returns: None where an error is at the floor.
    """
    if "final_order" in type(solver).model_fields:
        solver = solver.model_copy(update={"final_order": "kept"})
    few, more = (distance(name, solver, span.graded(each), count)[0] for each in (steps, 2 * steps))
    return None if FLOOR in (few, more) or not math.isfinite(few) else math.log2(few / more)


class Impulses:
    """Noise for linear solvers: sample j > 0 of a batch gets 1 at the j-th draw, and everything else 0."""

    def __init__(self) -> None:
        self.draws = 0

    def __call__(self, x: Tensor) -> Tensor:
        """The next draw, [B, ...]."""
        self.draws += 1
        noise = torch.zeros_like(x)
        noise[self.draws : self.draws + 1] = 1
        return noise


@dataclass(frozen=True)
class Closed:
    """Samples of a linear solver on a centred Gaussian: variance of samples and of the exact marginal at the last level, each [d].

    Args: amplitude: factor of the start, over that of the probability flow, [d].
    """

    variance: Tensor
    exact: Tensor
    amplitude: Tensor
    calls: int

    @property
    def ratio(self) -> float:
        """Mean over dimensions of the variance over the exact one."""
        return (self.variance / self.exact).mean().item()

    @property
    def divergence(self) -> float:
        """KL(samples || exact) per dimension, nats: mean of (r - 1 - log r) / 2."""
        ratio = self.variance / self.exact
        return (0.5 * (ratio - 1 - ratio.log())).mean().item()

    @property
    def transport(self) -> float:
        """W2 to the exact distribution over sqrt(d): the root mean square of sqrt(v) - sqrt(exact)."""
        return (self.variance.sqrt() - self.exact.sqrt()).square().mean().sqrt().item()


def closed(problem: Mixture, solver: AnySolver, schedule: Level) -> Closed:
    """The exact distribution of a linear solver's samples from exact starts: v = A^2 v_0 + sum_j B_j^2.

    A is where a start of 1 ends without noise, B_j where the j-th draw of noise ends alone. No sample is drawn.
    Raises: ValueError for a problem that is no centred Gaussian.
    """
    if not problem.centred:
        raise ValueError("only a centred Gaussian makes solvers linear; measure other problems by their samples")
    counter, one = Impulses(), torch.ones(1, problem.dimensions, dtype=torch.float64)
    calls = solve(problem, solver, one, schedule, counter)[1]
    x = torch.zeros(1 + counter.draws, problem.dimensions, dtype=torch.float64)
    x[0] = 1
    ends = solve(problem, solver, x, schedule, Impulses())[0]
    sigma, prior = schedule.sigma, problem.variances[0]
    first, last = prior + sigma[0] ** 2, prior + sigma[-1] ** 2
    return Closed(ends[0] ** 2 * first + (ends[1:] ** 2).sum(dim=0), last, ends[0] / (last / first).sqrt(), calls)
