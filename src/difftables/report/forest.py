"""A forest plot of a paper: each claim as an effect with its interval, the paper's own effect as a cross."""

import textwrap
from typing import Any

from difftables.evidence.outcomes import CONTRADICTED, DIFFERS, EQUIVALENT, HOLDS, OPPOSITE, SAME, UNTESTED, UNTOLD
from difftables.report.cells import Cell
from difftables.report.claims import MARGIN, Claim, Place, is_ours, metric_of
from difftables.report.figures import pyplot

# Colour (Okabe and Ito), marker, and whether it is filled: outcomes differ without colour too.
LOOKS = {
    SAME: ("#0072B2", "o", True), HOLDS: ("#0072B2", "o", True), OPPOSITE: ("#D55E00", "s", True), CONTRADICTED: ("#D55E00", "s", True),
    EQUIVALENT: ("#009E73", "D", True), DIFFERS: ("#CC79A7", "^", True), UNTOLD: ("#555555", "o", False), UNTESTED: ("#999999", "o", False),
}  # fmt: skip
WIDEST = 20.0  # ratios beyond it are drawn at the edge, with an arrow
TICKS = (0.05, 0.1, 0.2, 0.5, 0.8, 1.0, 1.25, 2.0, 5.0, 10.0, 20.0)


def oriented(place: Place) -> tuple[float, float, float] | None:
    """Ratio and interval, turned so that below 1 the first row is the better one; None where nothing was compared."""
    if place.effect is None:
        return None
    found = place.effect.ratio, place.effect.low, place.effect.high
    ratio, low, high = (min(max(each, 1 / WIDEST), WIDEST) for each in found)
    return (ratio, low, high) if place.lower else (1 / ratio, 1 / high, 1 / low)


def reported(place: Place) -> float | None:
    """The paper's ratio, turned likewise."""
    if "reported" not in place.claim:
        return None
    first, second = place.claim["reported"]
    ratio = float(first / second)
    return ratio if place.lower else 1 / ratio


def forest(places: list[Place], claims: list[Claim], cells: list[Cell]) -> Any:
    """The figure: a line a claim at its primary column, those of the paper above our own questions; ratios on a logarithmic axis."""
    plt = pyplot()
    primary = {place.claim["id"]: place for place in places if place.primary}
    listed = [*(claim for claim in claims if not is_ours(claim)), *(claim for claim in claims if is_ours(claim))]
    theirs = sum(not is_ours(claim) for claim in listed)
    figure, axis = plt.subplots(figsize=(9.5, 0.42 * len(listed) + 1.6))
    used, known = set[str](), [1.0]
    for line, claim in enumerate(listed):
        place = primary.get(claim["id"])
        found = oriented(place) if place is not None else None
        if place is None or found is None:
            axis.text(1.0, line, "not run", color=LOOKS[UNTESTED][0], fontsize=7, va="center", ha="center", backgroundcolor="white")
            continue
        colour, marker, filled = LOOKS[place.outcome]
        ratio, low, high = found
        axis.plot([low, high], [line, line], color=colour, linewidth=1.6, solid_capstyle="butt")
        for end, arrow in ((low, "<"), (high, ">")):
            if end in (1 / WIDEST, WIDEST):
                axis.plot([end], [line], arrow, color=colour, markersize=5)
        axis.plot([ratio], [line], marker, color=colour, markersize=6, markerfacecolor=colour if filled else "white")
        used.add(place.outcome)
        known += found
        if (cross := reported(place)) is not None:
            axis.plot([cross], [line], "x", color="black", markersize=7, markeredgewidth=1.5)
            known.append(cross)
        if place.outcome == UNTESTED:
            axis.text(1.02, line, place.why, transform=axis.get_yaxis_transform(), fontsize=7, va="center", color="#777777")
    axis.axvline(1.0, color="black", linewidth=0.8)
    axis.axvspan(1 / (1 + MARGIN), 1 + MARGIN, color="#009E73", alpha=0.08, linewidth=0)
    if 0 < theirs < len(listed):
        axis.axhline(theirs - 0.5, color="#999999", linewidth=0.8, linestyle=":")
        axis.text(1.0, theirs - 0.52, "our own questions below", transform=axis.get_yaxis_transform(), fontsize=7, ha="right", va="bottom")
    low, high = min(0.7, min(known) / 1.1), max(1.45, max(known) * 1.1)
    axis.set(xscale="log", xlim=(low, high), ylim=(len(listed) - 0.4, -0.6))
    axis.minorticks_off()
    ticks = [tick for tick in TICKS if low <= tick <= high]
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_yticks(range(len(listed)), [_label(claim, cells) for claim in listed], fontsize=7)
    axis.set_xlabel(
        "ratio of the two rows, turned so that lower favours the claim\n"
        "\N{LEFTWARDS ARROW} as claimed        the other way \N{RIGHTWARDS ARROW}"
    )
    _legend(axis, used, any("reported" in claim for claim in listed))
    return figure


def _label(claim: Claim, cells: list[Cell]) -> str:
    """The claim in two short lines, with its table and metric."""
    text = claim["claim"].removeprefix("Our question: ")
    where = ", ".join(filter(None, (claim["table"], metric_of(claim, cells))))
    return "\n".join(textwrap.wrap(f"{text} ({where})", 78, max_lines=2, placeholder=" ..."))


def _legend(axis: Any, used: set[str], crossed: bool) -> None:
    from matplotlib.lines import Line2D

    shown = []
    for word, (colour, marker, filled) in LOOKS.items():
        if word in used:
            face = colour if filled else "white"
            shown.append(Line2D([], [], color=colour, marker=marker, markerfacecolor=face, linewidth=1.6, label=word))
    if crossed:
        shown.append(Line2D([], [], color="black", marker="x", linestyle="", markeredgewidth=1.5, label="the paper's ratio"))
    axis.legend(handles=shown, loc="upper left", bbox_to_anchor=(0.0, -0.9 / axis.figure.get_figheight()), ncols=3, fontsize=7)
