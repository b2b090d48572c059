"""Rows that others need: samples that theirs are compared with, and schedules found on another net."""

from collections.abc import Callable
from typing import Any

from difftables.common.errors import ConfigError, nearest
from difftables.common.names import full, local, paper_of
from difftables.planning.params import Loaded
from difftables.search.methods import METHODS

Row = dict[str, Any]


def companions(params: Loaded, rows: list[Row], steps_of: Callable[[Row, str | None, list[int]], list[int]]) -> list[Row]:
    """The rows that `rows` need beside themselves: of their ends, and of the searches whose schedules they take.

    Args: rows: of all tables, each with its run; steps_of: (row, run, none) to the steps of its sampler.
    Raises: ConfigError, of `ends_of` and `found_by`.
    """
    sampled, added = [row for row in rows if "sampler" in row], list[Row]()
    for row in sampled:
        ends, found_by_row = ends_of(params, row["run"], row["sampler"]), found_by(params, row["run"], row["sampler"])
        if ends is not None:
            added.append(row | {"sampler": ends, "steps": steps_of({"sampler": ends}, row["run"], [])})
        if found_by_row is not None:
            run, sampler = found_by_row
            added.append(row | {"run": run, "sampler": sampler})
    return added


def ends_of(params: Loaded, run: str, sampler: str) -> str | None:
    """The sampler that a row names as its `ends`, by its full name; None where it names none.

    Args: sampler: of the row; its name may lack the paper where that is the run's.
    Raises: ConfigError for ends that are not there, or that have not one step count.
    """
    name = full(sampler, paper_of(run))
    row = params.samplers[name]
    if row.ends is None:
        return None
    ends = full(row.ends, paper_of(name))
    if ends not in params.samplers:
        raise ConfigError(f"samplers.{name}.ends is {row.ends!r}{_near(row.ends, params.samplers, name)}")
    if len(params.samplers[ends].steps or []) != 1:
        raise ConfigError(f"samplers.{name}.ends names {row.ends!r}, which has not one step count; set its steps, as in steps: [100]")
    return ends


def found_by(params: Loaded, run: str, sampler: str) -> tuple[str, str] | None:
    """Run and sampler, by their full names, of the search whose schedules a row takes; None for a row with a schedule of its own net.

    Args: of `ends_of`.
    Raises: ConfigError for a run or a sampler that is not there, or that searches for no schedule.
    """
    name = full(sampler, paper_of(run))
    found_on = params.samplers[name].found_on
    if found_on is None:
        return None
    other, theirs = full(found_on.run, paper_of(name)), full(found_on.sampler, paper_of(name))
    for key, value, asked, known in (("run", other, found_on.run, params.runs), ("sampler", theirs, found_on.sampler, params.samplers)):
        if value not in known:
            raise ConfigError(f"samplers.{name}.found_on.{key} is {asked!r}{_near(asked, known, name)}")
    if params.samplers[theirs].schedule not in METHODS:
        raise ConfigError(
            f"samplers.{name}.found_on names sampler {found_on.sampler!r}, which searches for no schedule; name one that does"
        )
    return other, theirs


def _near(name: str, known: Any, sampler: str) -> str:
    return nearest(name, [local(each, paper_of(sampler)) for each in known])
