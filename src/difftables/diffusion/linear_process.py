"""The linear variance-preserving process in continuous time, t from 0 to 1, with rates beta(t) = beta_min + beta_d t."""

from dataclasses import dataclass

from difftables.config.run import Schedule


@dataclass(frozen=True)
class LinearRates:
    """beta_min, the rate at t = 0, and beta_d, what it grows by until t = 1."""

    beta_d: float
    beta_min: float


SONG = LinearRates(beta_d=19.9, beta_min=0.1)  # of Song et al. 2021 (score SDE), whose discrete form is the schedule of Ho et al. 2020


def rates_of(schedule: Schedule) -> LinearRates:
    """The rates whose discrete form a training schedule is: beta_min = T first, beta_d = T (last - first); SONG for other families.

    Raises: ValueError where the rates do not grow.
    Source: Song et al. 2021 (score SDE), App. B: beta_i = beta_min / T + i (beta_max - beta_min) / (T (T - 1)).
    """
    if schedule.family != "linear":
        return SONG
    first, last = ((schedule.model_extra or {})[name] * schedule.steps for name in ("first", "last"))
    if last <= first:
        raise ValueError(f"has rates from {first:g} to {last:g} in continuous time; its last has to be above its first")
    return LinearRates(last - first, first)
