"""The effect of one row against another, as a ratio, with its interval, from paired units."""

from dataclasses import dataclass, replace
from math import exp, inf, log

LEVEL = 0.05  # of all tests; intervals cover 1 - LEVEL
POWER = 0.8  # with which the smallest detectable effect would be found


@dataclass(frozen=True)
class Effect:
    """A ratio of two rows' values.

    Args: ratio, low, high: first over second, and the ends of its 95 % interval; p: of no effect, two-sided; p_outside: of a ratio outside
        [1 / (1 + margin), 1 + margin], by two one-sided tests; detectable: the least ratio above 1 that so many units find with 80 %, None
        where that is not known; units: how many pairs; exact: of closed forms, without an interval.
    """

    ratio: float
    low: float
    high: float
    p: float
    p_outside: float
    detectable: float | None
    units: int
    exact: bool = False


def paired(first: list[float], second: list[float], margin: float) -> Effect | None:
    """The effect of paired units: Student's t on log ratios, exp(mean(log a - log b)).

    Where a value is zero or negative, as KID may be, differences stand in units of the second row's mean, and the ratio is 1 + their mean.
    Returns: None for fewer than two pairs, different numbers of them, or a second mean of zero.
    """
    import numpy as np

    if len(first) != len(second) or len(first) < 2:
        return None
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    logarithmic = bool((a > 0).all() and (b > 0).all())
    if not logarithmic and b.mean() == 0:
        return None
    gaps = np.log(a) - np.log(b) if logarithmic else (a - b) / abs(b.mean())
    low, high = (-log(1 + margin), log(1 + margin)) if logarithmic else (1 / (1 + margin) - 1, margin)
    if np.ptp(gaps) <= 1e-12 * max(1.0, float(np.abs(gaps).max())):  # a difference that does not vary is known without a test
        return replace(exact(_back(logarithmic, float(gaps[0])), margin), units=len(gaps), exact=False)
    from statsmodels.stats.power import TTestPower
    from statsmodels.stats.weightstats import DescrStatsW

    found = DescrStatsW(gaps)
    ends = found.tconfint_mean(LEVEL)
    least = TTestPower().solve_power(nobs=len(gaps), alpha=LEVEL, power=POWER) * float(gaps.std(ddof=1))
    p, p_outside = float(found.ttest_mean(0.0)[1]), float(found.ttost_mean(low, high)[0])
    ratio, lowest, highest, detectable = (_back(logarithmic, float(each)) for each in (gaps.mean(), *ends, least))
    return Effect(ratio, lowest, highest, p, p_outside, detectable, len(gaps))


def drawn(first: list[float], second: list[float], margin: float) -> Effect | None:
    """The effect of paired bootstrap draws: the median ratio, percentiles, and shares of draws as p.

    Returns: None for different numbers of draws, fewer than forty, or values that are not all above zero.
    """
    if len(first) != len(second) or len(first) < 40 or min(*first, *second) <= 0:
        return None
    gaps, total = sorted(log(a) - log(b) for a, b in zip(first, second, strict=True)), len(first)
    low, high, edge = gaps[int(LEVEL / 2 * total)], gaps[min(total - 1, int((1 - LEVEL / 2) * total))], log(1 + margin)
    beyond = [_share([each <= 0 for each in gaps]), _share([each >= 0 for each in gaps])]
    outside = [_share([each <= -edge for each in gaps]), _share([each >= edge for each in gaps])]
    return Effect(exp(gaps[total // 2]), exp(low), exp(high), min(1.0, 2 * min(beyond)), max(outside), None, total)


def _share(hits: list[bool]) -> float:
    """The share of draws that hit, never zero: one more than was drawn, of which one more hits."""
    return (1 + hits.count(True)) / (len(hits) + 1)


def exact(ratio: float, margin: float) -> Effect:
    """The effect of two closed forms, which have no error."""
    within = 1 / (1 + margin) < ratio < 1 + margin
    return Effect(ratio, ratio, ratio, 1.0 if ratio == 1 else 0.0, 0.0 if within else 1.0, None, 1, exact=True)


def _back(logarithmic: bool, gap: float) -> float:
    """A gap on the scale of a test as a ratio."""
    return 1 + gap if not logarithmic else exp(gap) if gap < 700 else inf
