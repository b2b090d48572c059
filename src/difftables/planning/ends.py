"""The sampler that a row's samples are compared with, one by one from the same noise."""

from difftables.common.errors import ConfigError, nearest
from difftables.common.names import full, local, paper_of
from difftables.planning.params import Loaded


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
        near = nearest(row.ends, [local(each, paper_of(name)) for each in params.samplers])
        raise ConfigError(f"samplers.{name}.ends is {row.ends!r}{near}")
    if len(params.samplers[ends].steps or []) != 1:
        raise ConfigError(f"samplers.{name}.ends names {row.ends!r}, which has not one step count; set its steps, as in steps: [100]")
    return ends
