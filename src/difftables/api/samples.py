"""Samples from a run: any solver, any schedule, and noise that belongs to each sample."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, ValidationError
from torch import Tensor

from difftables.common.errors import nearest
from difftables.common.seeds import SampleNoise
from difftables.config.sampling import Learned, Sampling, Search
from difftables.config.solvers import MODELS, Solver
from difftables.diffusion.level import Level, concatenate, same_process
from difftables.planning.params import explain
from difftables.sampling.generate import Generated
from difftables.sampling.loaded_run import LoadedRun
from difftables.sampling.rules import RULES
from difftables.sampling.sampling_schedules import SCHEDULES
from difftables.sampling.solvers import Solve
from difftables.search.methods import METHODS

AnySchedule = str | Path | Level | Tensor | Sequence[float]
Key = int | tuple[int, int]
Model = TypeVar("Model", bound=BaseModel)


def sample(
    run: LoadedRun, seeds: Sequence[Key], *, solver: str | Mapping[str, Any] | Solver | Solve = "ddim", schedule: AnySchedule = "strided",
    steps: int | None = None, cond: Tensor | None = None, batch: int | None = None, noise: Callable[..., Any] = SampleNoise,
    **settings: Any,
) -> Generated:  # fmt: skip
    """One sample per seed: `x`, [K, ...], with `nfe`, the measured network calls of a chain, and `seconds`.

    Args:
        run: of `wrap`, `from_diffusers` or `load`.
        seeds: of the samples. A sample depends on its seed only, whatever the others, the batch and the device; a pair (seed, index) is
            the sample of that number in the tables.
        solver: a kind of config.solvers.MODELS, maybe with its order, as lms-3, or a step of RULES; the same with arguments,
            {"kind": ..., ...}; its model; or a function (x, schedule, *, denoise, corrupt, randn) to x.
        schedule: a name of SCHEDULES, the path of a schedule file, a Level, or sigmas, falling; of the last two it has the steps.
        cond: the condition of each sample, [K, ...], for nets that receive one.
        batch: samples at once, in place of the run's.
        noise: of sampling.generate.generate_samples.
        settings: of config.sampling.Sampling: clip, grid, sections, skip, adapt, ...
    Raises: ValueError, one line, for names, settings or levels that do not fit each other or the run.
    """
    own = solver if callable(solver) and not isinstance(solver, Solver) else None
    sampling = _sampling(run, "ddim" if own is not None else solver, schedule, settings)  # type: ignore[arg-type]
    chosen = levels(run, schedule, steps, solver=sampling.solver, **settings)
    keys = [("sample", *each) if isinstance(each, tuple) else ("sample", each, 0) for each in seeds]
    if not keys:
        raise ValueError("there are no seeds; pass one for each sample, e.g. range(16)")
    shape, of_data = run.medium.shape_and_condition("test", len(keys))
    cond = of_data if cond is None else cond
    if cond is not None and len(cond) != len(keys):
        raise ValueError(f"cond has {len(cond)} entries for {len(keys)} seeds; pass one per sample")
    further = {"noise": noise} | ({} if batch is None else {"batch": batch}) | ({} if own is None else {"solve": own})
    return run.generate_at(keys, sampling, chosen, shape, cond, **further)[0]


def levels(run: LoadedRun, schedule: AnySchedule = "strided", steps: int | None = None, **settings: Any) -> Level:
    """The levels that `sample` visits, N + 1, noisiest first.  Args, Raises: as of `sample`."""
    if isinstance(schedule, Level):
        return schedule
    if not isinstance(schedule, str | Path):
        return _of_sigmas(run, torch.as_tensor(schedule, dtype=torch.float64))
    if steps is None:
        raise ValueError(f"schedule {schedule} has as many levels as one asks for; pass steps=")
    solver = settings.pop("solver", "ddim")
    return run.first_schedule(_sampling(run, solver, schedule, settings), steps)


def find_schedule(
    run: LoadedRun, method: str, steps: int, *, solver: str | Mapping[str, Any] | Solver = "ddim",
    score: Callable[[Tensor], float] | None = None, **numbers: Any,
) -> tuple[Level, dict[str, Any]]:  # fmt: skip
    """A schedule found by a search method, N + 1 levels, and what the search cost: network evaluations, seconds, ...

    Args: method: a name of METHODS; solver: of `sample`; score: samples as metrics read them to a number, lower is better, for methods
        that score samples; numbers: of config.sampling.Search, those that the method reads, others have their defaults; and settings of
        `sample`.
    Raises: ValueError, one line, for a name, a number that the method does not read or that is missing, or a search that fails.
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}{nearest(method, METHODS)}")
    found, process = METHODS[method], run.training.process
    if process not in found.processes:
        fitting = [name for name, each in METHODS.items() if process in each.processes]
        raise ValueError(f"method {method} finds no schedule for {process} levels; use {', '.join(fitting)}")
    if found.scored and score is None:
        raise ValueError(f"method {method} scores samples; pass score=, a function of samples to a number")
    settings = {name: numbers.pop(name) for name in list(numbers) if name not in found.reads and name in Sampling.model_fields}
    if further := sorted(numbers.keys() - set(found.reads)):
        raise ValueError(f"method {method} reads no {further[0]!r}{nearest(further[0], [*found.reads, *Sampling.model_fields])}")
    fields = {name: each for name, each in Search.model_fields.items() if name in found.reads}
    defaults = {name: each.get_default(call_default_factory=True) for name, each in fields.items() if not each.is_required()}
    full = {"seed": 0} | defaults | numbers
    if isinstance(full.get("learned"), dict):
        full["learned"] = _validated(Learned, full["learned"], f"method {method}: learned")
    if missing := [name for name in found.reads if name not in full]:
        raise ValueError(f"method {method} reads {', '.join(missing)}; pass each as a number of the search")
    sampling = _sampling(run, solver, "strided", settings)
    return found.find(run, sampling, steps, score, **{name: full[name] for name in found.reads})


def solver_of(solver: str | Mapping[str, Any] | Solver) -> Solver:
    """The model of a solver from its kind, maybe with its order, the name of a step, or a mapping.  Raises: ValueError, one line."""
    if isinstance(solver, Solver):
        return solver
    given = {"kind": solver} if isinstance(solver, str) else dict(solver)
    kind = given.get("kind")
    name, _, order = str(kind).rpartition("-")
    if kind not in MODELS and order.isdecimal() and name in MODELS and "order" in MODELS[name].model_fields:
        kind, given = name, given | {"kind": name, "order": int(order)}
    if kind in RULES:
        given |= {"kind": "walk", "rule": kind}
    elif kind not in MODELS:
        raise ValueError(f"solver is {kind!r}{nearest(str(kind), [*MODELS, *RULES])}")
    return _validated(MODELS[given["kind"]], given, f"solver {kind}")


def _sampling(run: LoadedRun, solver: str | Mapping[str, Any] | Solver, schedule: Any, settings: Mapping[str, Any]) -> Sampling:
    """What a sampler reads, checked against the run.  Raises: ValueError, one line."""
    model, name = solver_of(solver), str(schedule) if isinstance(schedule, str | Path) else "strided"
    if name not in SCHEDULES and not name.endswith(".csv"):
        further = "; find it with find_schedule, and pass what that returns" if name in METHODS else nearest(name, SCHEDULES)
        raise ValueError(f"schedule is {name!r}{further}")
    _check(run, model)
    return _validated(Sampling, {"solver": model, "schedule": name, **settings}, "sample")


def _check(run: LoadedRun, solver: Solver) -> None:
    """Raise ValueError unless a run can do what a solver asks of it."""
    if solver.process not in (None, run.training.process):
        raise ValueError(
            f"solver {solver.kind} follows a {solver.process} process, but the levels of this net are {run.training.process}; "
            "change its clock or path, or use another solver"
        )
    if run.spec.corruption != "scale" and not solver.operators:
        raise ValueError(f"solver {solver.kind} is for noise, but this run has corruption {run.spec.corruption!r}; use a step of RULES")
    if solver.needs_variance and not (run.spec.net.model_extra or {}).get("variance"):
        raise ValueError(f"solver {solver.kind} reads a variance that this net does not predict; use another step")


def _validated(model: type[Model], values: Mapping[str, Any], where: str) -> Model:
    """A model of its values.  Raises: ValueError, one line, in place of pydantic's several."""
    try:
        return model(**values)
    except ValidationError as error:
        raise ValueError(f"{where}: {explain(error, model)}") from None


def _of_sigmas(run: LoadedRun, sigma: Tensor) -> Level:
    """Levels of falling sigmas, [N] or [N + 1], in the process of a run; the clean level is added where they do not end at 0."""
    noisy = sigma[:-1] if sigma.numel() and sigma[-1] == 0 else sigma
    if noisy.dim() != 1 or not len(noisy) or not bool((noisy > 0).all()) or bool((noisy[1:] >= noisy[:-1]).any()):
        raise ValueError(f"sigmas are to fall from the noisiest to the cleanest, and are {[round(s, 6) for s in sigma.flatten().tolist()]}")
    return concatenate([same_process(run.training, noisy), Level.clean()])
