"""Checks of one run's operator and of one sampler's schedule, before any job. No torch in here."""

from pathlib import Path

from difftables.common import registry
from difftables.common.errors import ConfigError
from difftables.config.sampling import Sampler
from difftables.diffusion import timesteps
from difftables.planning.params import Loaded


def check_operator(params: Loaded, name: str) -> None:
    """An operator must grow with its schedule, fit into the image if it is measured in pixels, and start from what is there."""
    run, data = params.runs[name], params.data[params.runs[name].data]
    strongest = (params.schedules[run.schedule].model_extra or {}).get("strongest", 0.0)
    if (run.corruption == "scale") != (strongest == 0):
        grows = "operator grows" if strongest else "operator stays the identity"
        raise ConfigError(
            f"runs.{name} has corruption {run.corruption!r}, but the {grows} with its schedule {run.schedule!r}; change one of them"
        )
    if data.medium != "images" and run.prior in registry.names("diffusion.priors.IMAGES_OF_PRIOR"):
        raise ConfigError(f"runs.{name}.prior is {run.prior}, which is made from images, but data.{run.data} has none")
    if data.medium == "images" and run.corruption in ("blur", "mask") and strongest > data.size:
        raise ConfigError(
            f"schedules.{run.schedule}.strongest is {strongest:g} px, but the images of run {name!r} are {data.size} px wide; lower it"
        )


def check_schedule(row: Sampler, name: str, longest: int, steps: list[int]) -> None:
    """Raise ValueError unless the sampler has a schedule for each step count."""
    path = row.schedule
    strided = {"even": timesteps.even, "whole-stride": timesteps.whole, "trailing": timesteps.trailing}
    try:
        if path in strided and not row.sections:
            for count in steps:
                strided[path](longest, count)
        if row.sections:
            timesteps.sections(longest, row.sections)
    except ValueError as error:
        raise ValueError(f"samplers.{name}: {error}") from None
    # Those shipped in workflow/ are read by the tests; reading takes torch, and torch takes two seconds to import.
    if not path.endswith(".csv") or path.startswith("workflow/"):
        return
    from difftables.diffusion.schedule_file import read_schedules

    found = read_schedules(Path(path))
    for count in steps:
        if count not in found:
            raise ValueError(f"samplers.{name}.schedule: {path} has no schedule of {count} steps, which a table asks for")
