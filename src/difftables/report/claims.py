"""What the cells of two rows of a table say of a claim: the effect first, then a word for it."""

from dataclasses import dataclass, replace
from typing import Any

from difftables.evidence import effects, families
from difftables.evidence.effects import Effect
from difftables.evidence.outcomes import CONTRADICTED, DIFFERS, EQUIVALENT, HOLDS, OPPOSITE, OUTCOMES, SAME, UNTESTED, outcome, tested
from difftables.metrics.catalogue import fits, short_name
from difftables.report.cells import Cell
from difftables.report.setting import OWN_SETTING
from difftables.report.units import TRAININGS, units

Claim = dict[str, Any]
MARGIN = 0.1  # within which two values are equivalent, unless a claim states another one


@dataclass(frozen=True)
class Place:
    """A claim at one column.  Args: why: what stands in the way of a test; p: adjusted; lengths: outcomes after shorter training."""

    claim: Claim
    column: str
    first: Cell
    second: Cell
    effect: Effect | None
    kind: str  # of the units
    why: str = ""
    primary: bool = False
    p: float = 1.0
    outcome: str = UNTESTED
    lengths: tuple[tuple[str, str], ...] = ()

    @property
    def lower(self) -> bool:
        """Whether lower values are better."""
        return (self.claim.get("direction") or self.first.better) == "lower"


def judge(claims: list[Claim], cells: list[Cell], scale: str, lengths: tuple[str, ...] = ()) -> list[Place]:
    """All claims of a paper at all their columns, with adjusted p and outcomes.

    Primary columns of the paper's claims are a family under Holm; those of our own questions another one; all other columns of either are
    corrected after Benjamini and Hochberg. A claim between trainings is settled where a quarter of the training has the same outcome.
    Args: cells: of the paper; lengths: names of shorter trainings, the shortest first.
    """
    found = _decided([place for claim in claims for place in _places(claim, cells, "")])
    shorter = {
        length: {(place.claim["id"], place.column): place.outcome for place in _decided(
            [place for claim in claims if claim.get("between") == "trainings" for place in _places(claim, cells, f"-at-{length}")]
        )}
        for length in lengths
    }  # fmt: skip
    out = []
    for place in found:
        at = tuple((length, known[place.claim["id"], place.column]) for length, known in shorter.items()
                   if (place.claim["id"], place.column) in known)  # fmt: skip
        place = replace(place, lengths=at)
        if place.outcome != UNTESTED and place.claim.get("between") == "trainings" and scale not in OWN_SETTING:
            if not at:
                place = replace(place, outcome=UNTESTED, why="one length of training") if lengths else place
            elif at[-1][1] != place.outcome:
                place = replace(place, outcome=UNTESTED, why="not settled at this training")
        if scale in OWN_SETTING:
            place = replace(place, outcome=_at_home(place))
        out.append(place)
    return out


def _decided(places: list[Place]) -> list[Place]:
    """Places with adjusted p and an outcome, family by family."""
    out = dict(enumerate(places))
    for primary in (True, False):
        for ours in (True, False):
            mine = [i for i, each in enumerate(places) if each.primary == primary and is_ours(each.claim) == ours and _open(each)]
            adjust = families.holm if primary else families.benjamini_hochberg
            raw = [tested(effect, places[i].claim.get("kind", "better")) for i in mine if (effect := places[i].effect) is not None]
            for i, p in zip(mine, adjust(raw), strict=True):
                out[i] = replace(places[i], p=p)
    return [replace(each, outcome=_word(each)) for each in out.values()]


def _at_home(place: Place) -> str:
    """The word for an outcome at the paper's own setting."""
    as_said = EQUIVALENT if place.claim.get("kind") == "equivalent" else SAME
    return {as_said: HOLDS, OPPOSITE: CONTRADICTED, DIFFERS: CONTRADICTED}.get(place.outcome, place.outcome)


def _open(place: Place) -> bool:
    return place.effect is not None and not place.why and not place.effect.exact


def _word(place: Place) -> str:
    if place.effect is None or place.why:
        return UNTESTED
    kind = place.claim.get("kind", "better")
    return outcome(place.effect, tested(place.effect, kind) if place.effect.exact else place.p, place.lower, kind)


def is_ours(claim: Claim) -> bool:
    return bool(claim.get("asked_by") == "ours")


# -- one claim ---------------------------------------------------------------------------------------------------


def _measured(claim: Claim, cells: list[Cell], suffix: str = "") -> list[Cell]:
    table, status = claim["table"] + suffix, ("measured", "closed-form")
    return [c for c in cells if c.table == table and c.status in status and claim.get("column", c.column_id) == c.column_id]


def _subject(claim: Claim, cells: list[Cell], suffix: str = "") -> Cell | None:
    """The first measured cell of the claim's metric, or of any where it names none."""
    return next((c for c in _measured(claim, cells, suffix) if "metric" not in claim or fits(c.metric_id, claim["metric"])), None)


def metric_of(claim: Claim, cells: list[Cell]) -> str:
    """The name of the metric a claim is about: of the first measured variant of the one it names, or else the table's first."""
    found = _subject(claim, cells)
    return found.metric if found is not None else short_name(claim["metric"]) if "metric" in claim else ""


def _places(claim: Claim, cells: list[Cell], suffix: str) -> list[Place]:
    """A claim at each column in which both rows have values, the primary one marked."""
    rows: dict[str, dict[str, Cell]] = {}
    first = _subject(claim, cells, suffix)
    for cell in _measured(claim, cells, suffix):
        if first is not None and cell.metric_id == first.metric_id:
            rows.setdefault(cell.row_id, {})[cell.column_id] = cell
    a, b = rows.get(claim["better"], {}), rows.get(claim["than"], {})
    columns = [column for column in a if column in b and a[column].value is not None and b[column].value is not None]
    named = claim.get("primary") if claim.get("primary") in columns else columns[(len(columns) - 1) // 2] if columns else None
    return [replace(_place(claim, column, a[column], b[column]), primary=column == named) for column in columns]


def _place(claim: Claim, column: str, a: Cell, b: Cell) -> Place:
    margin = float(claim.get("margin", MARGIN))
    if a.status == b.status == "closed-form":
        ratio = (a.value or 0.0) / b.value if b.value else None
        return Place(claim, column, a, b, None if ratio is None else effects.exact(ratio, margin), "closed form")
    (first, kind), (second, other) = units(a), units(b)
    effect = (effects.drawn if a.draws else effects.paired)(first, second, margin) if kind == other else None
    why = "" if effect is not None else "too few repetitions"
    if claim.get("between") == "trainings" and kind != TRAININGS:
        why = "one training"
    return Place(claim, column, a, b, effect, kind, why)


def counts(places: list[Place], claims: list[Claim], ours: bool = False) -> dict[str, int]:
    """How many claims came out how, at their primary columns; ours: of our own questions.  A claim without cells is not tested."""
    asked = [claim["id"] for claim in claims if is_ours(claim) == ours]
    primary = {place.claim["id"]: place.outcome for place in places if place.primary}
    found = [primary.get(name, UNTESTED) for name in asked]
    return {word: found.count(word) for word in (*OUTCOMES, HOLDS, CONTRADICTED) if word in OUTCOMES or word in found}
