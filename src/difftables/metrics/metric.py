"""A metric, and the score of a set of samples by it. No torch in here."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from difftables.common.clock import timed


@dataclass(frozen=True)
class Measurement:
    """A value of a metric for one set of samples.

    Args: value: None where no sample could be scored; failed: count of samples that could not be scored, None where that cannot
        happen; variant: of the metric, the end of its id; settings: values for the braces in the metric's name.
    """

    value: float | None
    failed: int | None = None
    variant: str = ""
    settings: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True)
class Metric:
    """A metric, or several that differ in one setting: their ids are this one's, a hyphen and the variant."""

    short: str  # its name where nothing was measured
    name: str = ""  # its name with the settings it was measured with, in braces; without them it is `short`
    unit: str = ""
    better: str = ""  # lower or higher; empty where neither is
    function: Callable[[Any], list[Measurement]] | None = (
        None  # of ImageSamples or SpeechSamples; None where a job of another kind measures
    )
    variants: str = ""  # a pattern of all variants


@dataclass(frozen=True)
class Score:
    """A measurement as records hold it."""

    id: str  # of METRICS, with the variant
    metric: str  # its name, with the settings it was measured with
    value: float | None
    unit: str
    better: str  # lower or higher
    failed: int | None = None


@timed("metrics")
def scores(metrics: Mapping[str, Metric], samples: Any) -> list[Score]:
    """The scores of a set of samples by each metric; those of metrics with the same variants are listed variant by variant.

    Args: metrics: by id; samples: what their functions take.
    """
    result = []
    for _, group in groupby(metrics.items(), key=lambda each: each[1].variants):
        columns = [[score(key, metric, each) for each in measured(metric, samples)] for key, metric in group]
        result += [each for row in zip(*columns, strict=True) for each in row]
    return result


def measured(metric: Metric, samples: Any) -> list[Measurement]:
    """What a metric's function returns.  Raises: LookupError for a metric without a function."""
    if metric.function is None:
        raise LookupError(f"metric {metric.short} has no function that measures samples; give its entry one")
    return metric.function(samples)


def score(metric_id: str, metric: Metric, measurement: Measurement) -> Score:
    """A measurement with the metric's id, name, unit and direction.  Raises: LookupError for a variant that the metric does not have."""
    if not re.fullmatch(metric.variants, measurement.variant):
        raise LookupError(f"metric {metric_id!r} has no variant {measurement.variant!r}; its pattern is {metric.variants!r}")
    name = (metric.name or metric.short).format(**measurement.settings)
    whole_id = f"{metric_id}-{measurement.variant}" if measurement.variant else metric_id
    return Score(whole_id, name, measurement.value, metric.unit, metric.better, measurement.failed)
