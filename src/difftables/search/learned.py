"""Search methods that optimise a schedule: by a solver's error bound, and by gradient to a teacher's ends. No torch until one runs."""

from typing import TYPE_CHECKING, Any

from difftables.common.variants import Variants

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from difftables.config.sampling import Learned, Sampling, Search
    from difftables.diffusion.level import Level
    from difftables.sampling.loaded_run import LoadedRun
    from difftables.search.by_gradient import Block
    from difftables.search.student import Counter, Ends, Loss, Pairs

    Score = Callable[[Tensor], float] | None


def dmn(run: "LoadedRun", sampler: "Sampling", steps: int, score: "Score" = None, *, seed: int) -> "tuple[Level, dict[str, Any]]":
    """The levels that minimise the error bound of a multistep solver of the sampler's order, N + 1 levels, and the cost, no evaluation.

    Args: score: not used; seed: not used, nothing is random.
    Source: Xue et al. 2024 (DM-NonUniform), for pixels.
    """
    import time

    from difftables.search import error_bound

    began, ends = time.perf_counter(), ends_of(run, sampler)
    order = min(getattr(sampler.solver, "order", 1), error_bound.LARGEST_ORDER)
    sigma = error_bound.minimise(ends, steps, order)
    bounds = {
        name: error_bound.bound(-each.log(), ends.process, order).item()
        for name, each in (("bound", sigma), ("uniform_bound", ends.power_law(steps, float("inf"))))
    }
    return ends.schedule(sigma), {"network_evaluations": 0, "order": order} | bounds | {"seconds": round(time.perf_counter() - began, 2)}


def ld3(
    run: "LoadedRun",
    sampler: "Sampling",
    steps: int,
    score: "Score" = None,
    *,
    learned: "Learned",
    samples: int,
    seed: int,
) -> "tuple[Level, dict[str, Any]]":
    """Levels, and then also the levels that the net is conditioned on, learned by gradient from a teacher's ends, and the cost.

    Two sevenths of the updates move the levels, the rest both. A killed search starts again: it takes seconds.

    Args: score: not used; learned, samples, seed: of config.sampling.Search; samples: conditions of the net that the pairs share.
    Raises: ValueError for a solver that adds noise, or whose gradient is not finite.
    Source: Tong et al. 2024 (LD3).
    """
    first = round(learned.updates * 2 / 7)
    blocks = [(("logits",), first), (("logits", "shifts"), learned.updates - first)]
    return _learned(run, sampler, steps, learned, samples, seed, blocks)


def ld3_levels(
    run: "LoadedRun",
    sampler: "Sampling",
    steps: int,
    score: "Score" = None,
    *,
    learned: "Learned",
    samples: int,
    seed: int,
) -> "tuple[Level, dict[str, Any]]":
    """As `ld3`, without conditioned levels: the net receives the level of its sample."""
    return _learned(run, sampler, steps, learned, samples, seed, [(("logits",), learned.updates)])


def s4s(
    run: "LoadedRun",
    sampler: "Sampling",
    steps: int,
    score: "Score" = None,
    *,
    learned: "Learned",
    samples: int,
    seed: int,
) -> "tuple[Level, dict[str, Any]]":
    """Weights of predictions and levels, learned in turn by gradient from a teacher's ends, and the cost; weights start at the base's.

    Args: as of `ld3`.
    Source: Frankel et al. 2025 (S4S), alternating form.
    Departs: L2 or log-mel in place of LPIPS; the weights are those of the base at the present levels plus what is learned.
    """
    lengths = [learned.updates * (i + 1) // learned.blocks - learned.updates * i // learned.blocks for i in range(learned.blocks)]
    blocks = [(("weights",) if i % 2 == 0 else ("logits",), length) for i, length in enumerate(lengths)]
    return _learned(run, sampler, steps, learned, samples, seed, blocks)


def ends_of(run: "LoadedRun", sampler: "Sampling") -> "Ends":
    """The ends of a schedule that is searched for a run: those of its training, or of the sampler's grid.

    Raises: ValueError for a training schedule without a process.
    """
    from difftables.diffusion import subschedules
    from difftables.diffusion.level import PROCESSES
    from difftables.search.student import Ends

    if run.training.process not in PROCESSES:
        raise ValueError("a training schedule without a process has no level between its levels; use one of TRAINING_SCHEDULES")
    grid = sampler.grid
    lowest, highest = (None, None) if grid is None else (grid.lowest, grid.highest)
    sigma = subschedules.ends(run.training, lowest, highest).tolist()
    return Ends(sigma[0], sigma[1], run.training.process, grid is None or grid.clean)


def _learned(
    run: "LoadedRun", sampler: "Sampling", steps: int, learned: "Learned", samples: int, seed: int, 
    blocks: "Sequence[Block]",
) -> "tuple[Level, dict[str, Any]]":  # fmt: skip
    import time
    from dataclasses import replace

    import torch

    from difftables.search.by_gradient import Budget, best_start, learn
    from difftables.search.student import Counter

    began, counted = time.perf_counter(), Counter(run.denoise)
    names = {name for each, _ in blocks for name in each}
    student = student_of(run, sampler, counted)
    with torch.no_grad():
        pairs = teacher_pairs(run, sampler, counted, student.ends, learned, samples, seed)
    of_teacher, loss = counted.forward, LOSSES[run.spec.data.medium](run)
    order = getattr(sampler.solver, "order", None) if "weights" in names else None
    train, check = pairs[: learned.pairs], pairs[learned.pairs :]
    parameters = best_start(student, steps, order, check, loss)
    if "shifts" in names:
        parameters = replace(parameters, shifts=torch.zeros(steps, dtype=torch.float64))
    budget = Budget(learned.batch, learned.check_every, learned.radius, learned.rate, learned.conditioned_rate, seed)
    best = learn(student, parameters, train, check, loss, blocks, budget)
    return best.schedule, {
        "network_evaluations": counted.forward, "teacher_evaluations": of_teacher, "backward_evaluations": counted.backward,
        "updates": best.updates, "first_loss": best.first_loss, "loss": best.loss, "seconds": round(time.perf_counter() - began, 2),
    }  # fmt: skip


def student_of(run: "LoadedRun", sampler: "Sampling", denoise: "Counter") -> Any:
    """The chain of a run's sampler as a function of its schedule, a `Student`."""
    from functools import partial

    from difftables.diffusion.linear_process import SONG, rates_of
    from difftables.sampling.solvers import SOLVERS, bind
    from difftables.search.student import Student

    solver = sampler.solver
    if solver.planned:
        solve: Callable[..., Tensor] = partial(SOLVERS[solver.kind], **{name: value for name, value in solver if name != "kind"})
    else:
        solve = bind(solver, run.training, rates_of(run.spec.schedule) if solver.process == "vp" else SONG)
    return Student(solve, denoise, run.corrupt, ends_of(run, sampler), sampler.clip, getattr(solver, "prediction", "clean"))


def teacher_pairs(
    run: "LoadedRun", sampler: "Sampling", denoise: "Counter", ends: "Ends", learned: "Learned", samples: int, seed: int
) -> "Pairs":
    """Starts and the ends of Heun's method down a power law of `teacher_steps` steps: `pairs` to learn from, then as many to check on."""
    import torch

    from difftables.common.seeds import SampleNoise
    from difftables.config.solvers import Heun
    from difftables.sampling.solvers import bind
    from difftables.search.student import Pairs, Student

    count = 2 * learned.pairs
    shape, cond = run.medium.shape_and_condition("search", samples)
    cond = None if cond is None else cond[torch.arange(count) % len(cond)].to(run.device)
    schedule = ends.schedule(ends.power_law(learned.teacher_steps, 7.0)).to(run.device)
    noise = SampleNoise([("learned", seed, index) for index in range(count)])
    start = run.prior(noise, torch.empty(count, *shape, device=run.device), schedule[0])
    teacher = Student(bind(Heun(kind="heun")), denoise, run.corrupt, ends, sampler.clip)
    parts = [slice(first, first + run.batch) for first in range(0, count, run.batch)]
    reached = [teacher(start[part], schedule, None if cond is None else cond[part]) for part in parts]
    return Pairs(start, torch.cat(reached), cond)


def pixel_loss(run: "LoadedRun") -> "Loss":
    """Mean squared difference over pixels, [B]."""
    return lambda ends, teacher: (ends - teacher).square().flatten(1).mean(dim=1)


def mel_loss(run: "LoadedRun") -> "Loss":
    """Mean squared difference of log10 mel spectrograms, [B]."""
    mel = run.medium.mel  # type: ignore[union-attr]
    return lambda ends, teacher: (mel(ends) - mel(teacher)).square().flatten(1).mean(dim=1)


# How far the ends of a student are from those of its teacher, by medium.
LOSSES: "Variants[Callable[[LoadedRun], Loss]]" = {"images": pixel_loss, "speech": mel_loss}


def no_samples(search: "Search", steps: int, calls: int) -> int:
    """Samples that `dmn` generates."""
    return 0


def chains_of_learning(search: "Search", steps: int, calls: int) -> int:
    """Chains whose cost a learned schedule has, for a step count: the teacher's, an update as 1 + 2 + 1 passes, starts and checks."""
    learned = search.learned
    checks = 3 + 1 + learned.updates // learned.check_every
    teacher = -(-2 * learned.pairs * (2 * learned.teacher_steps - 1) // calls)
    return teacher + 4 * learned.updates * learned.batch + checks * learned.pairs
