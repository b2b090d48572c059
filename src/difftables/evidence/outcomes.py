"""Words for an effect that say no more than it bears out."""

from typing import Literal

from difftables.evidence.effects import LEVEL, Effect

SAME, OPPOSITE, EQUIVALENT, DIFFERS = "same sign here", "opposite sign here", "equivalent", "differs here"
UNTOLD, UNTESTED = "cannot be told", "not tested"
HOLDS, CONTRADICTED = "holds", "contradicted"  # of runs at the paper's own setting
OUTCOMES = (SAME, OPPOSITE, EQUIVALENT, DIFFERS, UNTOLD, UNTESTED)
Kind = Literal["better", "equivalent"]


def outcome(effect: Effect | None, p: float, lower: bool, kind: Kind, p_outside: float | None = None) -> str:
    """The outcome of a claim: a claim of a difference has a sign; one of equivalence is shown, or a difference beyond the margin is.

    Args: p: adjusted, of what the claim's kind tests: no effect for `better`, a ratio outside the margin for `equivalent`; lower: whether
        lower values are better; p_outside: in place of the effect's own.
    """
    if effect is None:
        return UNTESTED
    outside = effect.p_outside if p_outside is None else p_outside
    if kind == "equivalent":
        if p < LEVEL:
            return EQUIVALENT
        return DIFFERS if outside > 1 - LEVEL / 2 else UNTOLD
    if p < LEVEL and effect.ratio != 1:
        return SAME if (effect.ratio < 1) == lower else OPPOSITE
    return EQUIVALENT if outside < LEVEL else UNTOLD


def tested(effect: Effect, kind: Kind) -> float:
    """The p-value that a claim of this kind enters its family with."""
    return effect.p_outside if kind == "equivalent" else effect.p


def could_be(effect: Effect) -> str:
    """How large an untold effect may be, as ends of its interval."""
    return f"could be {effect.low - 1:+.0%} to {effect.high - 1:+.0%}"
