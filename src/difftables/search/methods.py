"""Search methods: functions that find a schedule for a row, and what each needs. No torch until a function runs.

A method is a function in a module of its own and an entry of METHODS; a sampler asks for it by `schedule: NAME`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any

from difftables.common.variants import Variants
from difftables.search.by_curve import (
    along_trajectories,
    curve_evaluations,
    entropic,
    least_bound,
    none_a_step_count,
    rescaled_entropic,
    score_evaluations,
    score_optimal,
    trajectory_evaluations,
)
from difftables.search.frozen import adjusted, frozen, samples_behind_mean
from difftables.search.grid import samples_of_candidates, searched
from difftables.search.learned import chains_of_learning, dmn, ld3, ld3_levels, no_samples, s4s
from difftables.search.refined import refined, samples_of_walk

if TYPE_CHECKING:
    from difftables.config.sampling import Sampler, Search
    from difftables.diffusion.level import Level


@dataclass(frozen=True)
class Method:
    """A search method: the function that finds a schedule, and what the plan reads of it.

    Args:
        find: (run, sampler, steps, score, *, <numbers of Search that it reads>) to the schedule, N + 1 levels, and its cost, of which
            `seconds` is one entry.
        samples: the number of Search that counts the samples of a schedule.
        generates: (search, steps, network calls of a chain) to the samples generated for a step count.
        sampler: a row to the sampler that generates them; it has that row's solver.
        scored: whether the samples are scored, so that the job reads what the medium's scorer reads.
        whole: whether utterances are generated whole, or as long as a training segment.
        processes: of the training schedules that it finds schedules for, keys of level.PROCESSES.
        data: whether it reads clean samples, so that the job reads the data set.
        shared: search to the network evaluations that it measures once, for all step counts of a job together.
        grid: whether the sampler's grid bounds the ends of what it finds.
        weights: whether its schedules hold weights of their steps, which the sampler's solver reads.
    """

    find: "Callable[..., tuple[Level, dict[str, Any]]]"
    samples: str
    generates: "Callable[[Search, int, int], int]"
    sampler: "Callable[[Sampler], Sampler]"
    scored: bool
    whole: bool
    processes: tuple[str, ...] = ("vp",)
    data: bool = False
    shared: "Callable[[Search], int] | None" = None
    grid: bool = False
    weights: bool = False

    @property
    def reads(self) -> list[str]:
        """The numbers of Search that the method reads: its keyword-only arguments."""
        return [each.name for each in signature(self.find).parameters.values() if each.kind is each.KEYWORD_ONLY]


ANY_PROCESS = ("vp", "sub-vp", "ve")


def unchanged(row: "Sampler") -> "Sampler":
    """The sampler of the row whose schedule is searched."""
    return row


METHODS: Variants[Method] = {
    "searched": Method(
        find=searched, samples="samples", generates=samples_of_candidates, sampler=unchanged, scored=True, whole=False,
    ),
    "refined": Method(
        find=refined, samples="samples", generates=samples_of_walk, sampler=unchanged, scored=True, whole=False, data=True,
    ),
    "frozen": Method(
        find=frozen, samples="frozen_samples", generates=samples_behind_mean, sampler=adjusted, scored=False, whole=True,
    ),
    "entropic": Method(
        find=entropic, samples="curve_samples", generates=none_a_step_count, sampler=unchanged, scored=False, whole=False,
        processes=ANY_PROCESS, data=True, shared=curve_evaluations,
    ),
    "rescaled-entropic": Method(
        find=rescaled_entropic, samples="curve_samples", generates=none_a_step_count, sampler=unchanged, scored=False, whole=False,
        processes=ANY_PROCESS, data=True, shared=curve_evaluations,
    ),
    "klub": Method(
        find=least_bound, samples="curve_samples", generates=none_a_step_count, sampler=unchanged, scored=False, whole=False,
        processes=ANY_PROCESS, data=True, shared=curve_evaluations,
    ),
    "score-optimal": Method(
        find=score_optimal, samples="curve_samples", generates=none_a_step_count, sampler=unchanged, scored=False, whole=False,
        processes=ANY_PROCESS, data=True, shared=score_evaluations,
    ),
    "gits": Method(
        find=along_trajectories, samples="starts", generates=none_a_step_count, sampler=unchanged, scored=False, whole=False,
        processes=ANY_PROCESS, shared=trajectory_evaluations,
    ),
    "dmn": Method(
        find=dmn, samples="samples", generates=no_samples, sampler=unchanged, scored=False, whole=False, processes=ANY_PROCESS,
        grid=True,
    ),
    "ld3": Method(
        find=ld3, samples="samples", generates=chains_of_learning, sampler=unchanged, scored=False, whole=False,
        processes=ANY_PROCESS, grid=True,
    ),
    "ld3-levels": Method(
        find=ld3_levels, samples="samples", generates=chains_of_learning, sampler=unchanged, scored=False, whole=False,
        processes=ANY_PROCESS, grid=True,
    ),
    "s4s": Method(
        find=s4s, samples="samples", generates=chains_of_learning, sampler=unchanged, scored=False, whole=False,
        processes=ANY_PROCESS, grid=True, weights=True,
    ),
}  # fmt: skip
