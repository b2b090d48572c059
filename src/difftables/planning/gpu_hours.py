"""Estimated GPU-hours of jobs: multiply-adds of nets times the number of their calls; never measured. No torch here.

A rule that uses a GPU is a function in `RULES`; other rules count as zero hours.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from difftables.common.variants import Variants
from difftables.config.run_spec import RunSpec
from difftables.config.sampling import Sampling
from difftables.planning import net_costs
from difftables.planning.net_costs import COSTS, feature_cost
from difftables.planning.plan import Workflow
from difftables.search.methods import METHODS

Wildcards = Mapping[str, str]
Job = tuple[str, Wildcards]  # a rule and its wildcards
Forward = Callable[..., float]  # (net, data, whole=False) to multiply-adds of one sample, as `net_costs.forward_cost`

PASSES = 3  # of a training step: one forward pass, and a backward pass that costs two
RK45_CALLS = 150  # of the net, at a tolerance of 1e-5: about what papers report


def sample_cost(run: RunSpec, sampler: Sampling, steps: int, forward: Forward, whole: bool = True) -> float:
    """Multiply-adds of drawing one sample; a constant for solvers that choose their calls.

    Shuffled levels are found by a chain before. An exact estimator (oracle, known mel) and a loss curve are left out.
    """
    calls = sampler.solver.calls(steps)
    found = (RK45_CALLS if calls is None else calls) * forward(run.net, run.data, whole)
    if sampler.adapt == "estimator" and run.adjust and run.estimator:
        update = run.adjust.update
        estimates = steps - 1 if update is None else sum(left < steps for left in update)
        found += estimates * forward(run.estimator.net, run.data, whole)
    return 2 * found if sampler.shuffled else found


def train(plan: Workflow, w: Wildcards, forward: Forward) -> float:
    """steps x batch x 3 forward; references of a stable target are left out."""
    run = plan.train_spec(w["run"], w["seed"]).run
    return run.train.steps * run.train.batch * PASSES * forward(run.net, run.data)


def train_estimator(plan: Workflow, w: Wildcards, forward: Forward) -> float:
    """steps x batch x 3 forward."""
    run = plan.train_estimator_spec(w["run"], w["seed"]).run
    training = run.estimator.train
    return training.steps * training.batch * PASSES * forward(run.estimator.net, run.data)


def search_schedule(plan: Workflow, w: Wildcards, forward: Forward) -> float:
    """What the method draws, features where it is scored, and what it measures once for all step counts."""
    spec, found = plan.search_spec(w["run"], w["sampler"]), 0.0
    method, sampler = METHODS[spec.method], spec.sampler
    search = getattr(plan.params.search, plan.medium(w["run"]))
    for steps in spec.steps:
        each = sample_cost(spec.run, sampler, steps, forward, method.whole) + feature_cost(spec.features)
        found += method.generates(search, steps, sampler.solver.calls(steps) or steps) * each
    if method.shared is not None:
        found += method.shared(search) * forward(spec.run.net, spec.run.data, method.whole)
    return found


def sample(plan: Workflow, w: Wildcards, forward: Forward) -> float:
    """n x seeds x the sum of the chains over step counts."""
    spec = plan.sample_spec(w["run"], w["sampler"])
    chains = sum(sample_cost(spec.run, spec.sampler, steps, forward) for steps in spec.steps)
    return spec.n * len(spec.seeds) * chains


def measure(plan: Workflow, w: Wildcards, forward: Forward) -> float:
    """n x seeds x step counts, features only: the CPU takes distances between them."""
    spec, drawn = plan.measure_spec(w["run"], w["seed"], w["sampler"]), plan.sample_spec(w["run"], w["sampler"])
    return drawn.n * len(drawn.seeds) * len(drawn.steps) * feature_cost(spec.features)


def reference(plan: Workflow, w: Wildcards, forward: Forward) -> float:
    """Features of as many images as are measured: how many real ones there are is known once they are read."""
    return plan.params.evaluation.images.n * feature_cost(plan.features())


def likelihood(plan: Workflow, w: Wildcards, forward: Forward) -> float:
    """n x T: shorter chains ask nothing new."""
    spec = plan.likelihood_spec(w["run"], w["seed"])
    return spec.evaluation.likelihood_n * max(spec.steps) * forward(spec.run.net, spec.run.data, True)


def errors(plan: Workflow, w: Wildcards, forward: Forward) -> float:
    """levels x n, of the estimator."""
    spec = plan.errors_spec(w["run"], w["seed"])
    e, run = spec.evaluation, spec.run
    return e.error_levels * e.error_n * forward(run.estimator.net, run.data, True)


def robustness(plan: Workflow, w: Wildcards, forward: Forward) -> float:
    """schedules x n x the chains of all samplers, and features."""
    spec = plan.robustness_spec(w["run"], w["seed"])
    e = spec.evaluation
    each = sum(sample_cost(spec.run, sampler, e.robustness_steps, forward) + feature_cost(spec.features) for sampler in spec.samplers)
    return e.robustness_schedules * e.robustness_n * each


def gradients(plan: Workflow, w: Wildcards, forward: Forward) -> float:
    """Three objectives x batches x batch x 3 forward; the warm-up is left out."""
    spec = plan.gradients_spec(w["run"], w["seed"])
    e = spec.evaluation
    return 3 * e.gradient_batches * e.gradient_batch * PASSES * forward(spec.run.net, spec.run.data)


def variance(plan: Workflow, w: Wildcards, forward: Forward) -> float:
    """levels x n; sums over the data are left out."""
    spec = plan.variance_spec(w["run"], w["seed"])
    e = spec.evaluation
    return e.variance_levels * e.variance_n * forward(spec.run.net, spec.run.data)


RULES: Variants[Callable[[Workflow, Wildcards, Forward], float]] = {
    "train": train, "train_estimator": train_estimator, "search": search_schedule, "sample": sample, "measure": measure,
    "reference": reference, "likelihood": likelihood, "errors": errors, "robustness": robustness, "gradients": gradients,
    "variance": variance,
}  # fmt: skip


def by_rule(plan: Workflow, jobs: Iterable[Job], known: Mapping[str, float]) -> dict[str, tuple[int, float | None]]:
    """Jobs and GPU-hours of each rule, the most first; 0 hours without a GPU, None where a net is unknown.

    hours = 2 multiply-adds / (rate 3600 s)
    """
    grouped: dict[str, list[Job]] = {}
    for rule, wildcards in jobs:
        grouped.setdefault(rule, []).append((rule, wildcards))
    return by_group(plan, grouped, known)


def by_group(plan: Workflow, groups: Mapping[str, Iterable[Job]], known: Mapping[str, float]) -> dict[str, tuple[int, float | None]]:
    """Jobs and GPU-hours of groups of jobs, by name, the most first; as `by_rule`. A job of several groups counts in each."""
    found = {name: (len(jobs), _hours(plan, jobs, known)) for name, each in groups.items() for jobs in [list(each)]}
    return dict(sorted(found.items(), key=_most_first))


def _hours(plan: Workflow, jobs: Iterable[Job], known: Mapping[str, float]) -> float | None:
    """GPU-hours of some jobs; None where a net is unknown."""
    rate, forward = plan.params.resources.teraflops * 1e12, partial(net_costs.forward_cost, known)
    try:
        return sum((2 * RULES[rule](plan, wildcards, forward) / rate / 3600 for rule, wildcards in jobs if rule in RULES), 0.0)
    except net_costs.UnknownNet:
        return None


def _most_first(entry: tuple[str, tuple[int, float | None]]) -> float:
    return float("-inf") if entry[1][1] is None else -entry[1][1]


def table(
    plan: Workflow, jobs: Iterable[Job], known: Mapping[str, float] | None = None, tables: Mapping[str, Iterable[Job]] | None = None
) -> str:  # fmt: skip
    """Jobs and GPU-hours by table and by rule as text, and what the hours rest on.  Args: tables: the jobs that each table rests on."""
    known = net_costs.read_costs() if known is None else known
    found, of_tables = by_rule(plan, jobs, known), by_group(plan, tables or {}, known)
    every = [hours for _, hours in found.values()]
    total = None if None in every else sum(hours for hours in every if hours)
    lines = [*_aligned("table, with what it shares", of_tables), ""] if of_tables else []
    lines += _aligned("rule", found | {"total": (sum(count for count, _ in found.values()), total)})
    if total is None:
        lines.append(f"unknown: a net is not in {COSTS}; run `python -m difftables multiply_adds`")
    lines.append(
        f"Estimates, never measured: multiply-adds of the nets ({COSTS}), a training step as {PASSES} forward passes, RK45 as "
        f"{RK45_CALLS} calls, at {plan.params.resources.teraflops:g} TFLOP/s sustained (resources.teraflops; 50 is assumed of one H100, "
        "and nets too small to fill a card reach a fraction of it)."
    )
    return "\n".join(lines)


def _aligned(head: str, found: Mapping[str, tuple[int, float | None]]) -> list[str]:
    """A line a name, with jobs and GPU-hours."""
    rows = [(head, "jobs", "GPU-hours"), *((name, f"{count:,}", shown(hours)) for name, (count, hours) in found.items())]
    width = max(15, *(len(name) for name, _, _ in rows))
    return [f"{name:<{width}}  {count:>6}  {hours:>10}" for name, count, hours in rows]


def shown(hours: float | None) -> str:
    """GPU-hours as text."""
    if hours is None:
        return "unknown"
    if not hours:
        return "-"
    return "< 0.1" if hours < 0.1 else f"{hours:,.1f}" if hours < 10 else f"{hours:,.0f}"
