"""How much a bad schedule hurts: many random schedules of one length, as they are and adjusted, on the same noise."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from difftables.config.sampling import Compared
from difftables.diffusion.level import concatenate
from difftables.metrics.metric import Score
from difftables.sampling.loaded_run import LoadedRun
from difftables.search import grids


def random_schedules(
    run: LoadedRun, samplers: Sequence[Compared], candidates: Tensor, score: Callable[[Tensor], list[Score]], *, count: int, samples: int,
    seed: int,
) -> dict[str, Any]:  # fmt: skip
    """A score for each sampler and random schedule.

    Args: candidates: rates, [K, steps], least noisy first, of which `count` are drawn; score: samples, as files hold them, to one score;
        samples: of each schedule.
    Returns: "shared", what all records share, and "records".
    Raises: ValueError where no sample of a schedule can be scored.
    """
    steps = candidates.shape[1]
    schedules = grids.random_schedules(count, candidates, seed + 1)
    keys = [("robustness", seed, index) for index in range(samples)]
    at_once = max(1, run.batch // samples)
    records, scores = list[dict[str, Any]](), list[Score]()
    for sampler in samplers:
        adapt = run.adjustment(sampler, sampler.family)
        for start in range(0, len(schedules), at_once):
            batch = schedules[start : start + at_once]
            levels = [concatenate([schedule[i].expand(samples) for schedule in batch]) for i in range(steps + 1)]
            x = run.generate_by_schedule(levels, keys, len(batch), sampler, adapt, part="test")
            for i, generated in enumerate(run.medium.stored(x).split(samples)):
                (scored,) = score(generated)
                if scored.value is None:
                    raise ValueError(f"{scored.metric} could score no sample of random schedule {start + i}; raise the training steps")
                scores.append(scored)
                records.append(
                    {"sampler": sampler.name, "method": sampler.method, "solver": sampler.solver.kind, "schedule": start + i,
                     "value": scored.value,
                     "first_alpha_bar": batch[i].alpha_bar[0].item()}
                )  # fmt: skip
        print(f"{sampler.name}, {sampler.method}: {len(schedules)} schedules", flush=True)
    failed = sum(scored.failed or 0 for scored in scores)
    shared = {
        "id": scores[0].id, "metric": scores[0].metric, "better": scores[0].better, "failed": failed, "steps": steps, "n": samples,
        "grid": len(candidates),
    }  # fmt: skip
    return {"shared": shared, "records": records}
