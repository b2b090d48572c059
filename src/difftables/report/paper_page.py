"""The page of a paper's folder: its tables, its claims as effects, and what the claims whose sign differs would need."""

from dataclasses import replace

from difftables.evidence.outcomes import DIFFERS, EQUIVALENT, OPPOSITE, UNTESTED, UNTOLD, could_be, tested
from difftables.report.cells import Cell
from difftables.report.claims import MARGIN, Claim, Place, counts, is_ours, metric_of
from difftables.report.page import Page
from difftables.report.setting import equal_parts

HEAD = ["| claim | where | effect | paper | outcome | p, adjusted | units | equal to the paper's |", "|---|---|---|---|---|---|---|---|"]


def paper_page(paper: str, scale: str, pages: list[Page], places: list[Place], claims: list[Claim], lengths: list[str]) -> str:
    """README.md of a paper's folder.  Args: pages: of its tables, in order; places: of judge(); lengths: of shorter training."""
    cells = [cell for page in pages for cell in page.cells]
    whole = [page for page in pages if not page.table.endswith(tuple(f"-at-{length}" for length in lengths) or ("\0",))]
    out = [f"# {paper} at scale `{scale}`", "", "[All papers](../README.md) · [how it is made](../how-it-is-made.md)", "", "## Tables", ""]
    out += _contents(whole)
    if len(whole) < len(pages):
        shorter = [page for page in pages if page not in whole]
        out += ["", "<details><summary>After shorter training</summary>", "", *_contents(shorter), "", "</details>"]
    if claims:
        out += ["", "![claims as ratios with 95 % intervals; left of 1 is as claimed](forest.png)"]
    for ours, title in ((False, "Claims"), (True, "Our own questions")):
        if any(is_ours(claim) == ours for claim in claims):
            out += ["", f"## {title}", "", f"{said(counts(places, claims, ours))}.", "", *lines(places, claims, cells, ours, scale)]
    out += _turned(places)
    return "\n".join(out) + "\n"


def said(found: dict[str, int]) -> str:
    """Counts of outcomes in one line."""
    return ", ".join(f"{number} {word}" for word, number in found.items() if number)


def _contents(pages: list[Page]) -> list[str]:
    return [f"- [{page.table}]({page.table}.md): {page.title}" for page in pages]


def _turned(places: list[Place]) -> list[str]:
    """What would have to be true of each claim of the paper that came out otherwise."""
    found = [place for place in places if place.primary and place.outcome in (OPPOSITE, DIFFERS) and not is_ours(place.claim)]
    if not found:
        return []
    out = ["", "## Claims that came out otherwise, and what would have to be true for the paper's to hold here", ""]
    return out + [f"- {place.claim['claim']} {place.claim.get('would_need', 'No reason is known to us.')}" for place in found]


def lines(places: list[Place], claims: list[Claim], cells: list[Cell], ours: bool, scale: str) -> list[str]:
    """A Markdown table of claims at their primary columns, and one of the other columns, folded."""
    out = [*HEAD]
    asked = [claim for claim in claims if is_ours(claim) == ours]
    primary = {place.claim["id"]: place for place in places if place.primary}
    for claim in asked:
        place = primary.get(claim["id"])
        where = ", ".join(each for each in (claim["table"], metric_of(claim, cells), place and place.first.column) if each)
        source = "" if ours else f" *({claim['source']})*"
        rest = _line(place, scale) if place is not None else f" | {_reported(claim)} | {UNTESTED}: not run | | | "
        out.append(f"| {claim['claim']}{source} | {where} | {rest} |")
    others = [place for place in places if not place.primary and is_ours(place.claim) == ours]
    if others:
        out += ["", "<details><summary>The other columns, corrected after Benjamini and Hochberg</summary>", ""]
        out += HEAD
        out += [
            f"| `{place.claim['id']}` | {place.first.column} | {_line(replace(place, claim=_bare(place.claim)), scale)} |"
            for place in others
        ]
        out += ["", "</details>"]
    return out


def _bare(claim: Claim) -> Claim:
    return {key: value for key, value in claim.items() if key != "reported"}


def _line(place: Place, scale: str) -> str:
    effect, number = place.effect, f"{place.first.value or 0:.3g} / {place.second.value or 0:.3g}"
    shown = number
    if effect is not None:
        shown = f"{effect.ratio:.3g}" + ("" if effect.exact else f" ({effect.low:.3g} to {effect.high:.3g})") + f"; {number}"
    if place.first.nfe != place.second.nfe and "" not in (place.first.nfe, place.second.nfe):
        shown += f"; **calls differ: {place.first.nfe} and {place.second.nfe}**"
    word = f"**{place.outcome}**" if place.outcome not in (UNTESTED, UNTOLD) else place.outcome
    if place.outcome in (EQUIVALENT, DIFFERS):
        word += f" {'within' if place.outcome == EQUIVALENT else 'by more than'} {100 * float(place.claim.get('margin', MARGIN)):.0f} %"
        word += ", as claimed" if place.outcome == EQUIVALENT and place.claim.get("kind") == "equivalent" else ""
    elif place.outcome == UNTOLD and effect is not None:
        word += f" ({could_be(effect)})"
    elif place.outcome == UNTESTED:
        word += f": {place.why or 'not run'}"
    if place.lengths:
        word += "; " + ", ".join(f"{length}: {known}" for length, known in place.lengths)
    tests = effect is not None and not effect.exact and not place.why
    p = f"{tested(effect, place.claim.get('kind', 'better')):.2g}, {place.p:.2g}" if effect is not None and tests else ""
    number_of = f"{effect.units} " if effect is not None and not effect.exact else ""
    kind = f"{place.kind} draws" if place.first.draws else place.kind
    equal = "" if is_ours(place.claim) else equal_parts(place.first, place.second, scale)
    return f"{shown} | {_reported(place.claim, place)} | {word} | {p} | {number_of}{kind} | {equal}"


def _reported(claim: Claim, place: Place | None = None) -> str:
    if "reported" not in claim:
        return ""
    first, second = claim["reported"]
    doubtful = place is not None and any("unverified" in cell.paper_source for cell in (place.first, place.second))
    doubtful = doubtful or "unverified" in claim["source"]
    return f"{first / second:.3g}; {first:g} / {second:g}" + (" (unverified)" if doubtful else "")
