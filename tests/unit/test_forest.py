"""Forest plots: effects turned so that left is what the claim says."""

import pytest
from test_evidence import cell, claim

from difftables.report.claims import judge
from difftables.report.figures import pyplot
from difftables.report.forest import forest, oriented, reported


def places(**more):
    cells = [cell("a", [1.0, 1.1, 0.9, 1.05, 0.95]), cell("b", [2.0, 2.1, 1.9, 2.0, 2.05])]
    if more.get("direction") == "higher":
        for each in cells:
            each.better = "higher"
    found = claim(reported=[1.0, 4.0], **more)
    return found, cells, judge([found], cells, "study")


def test_below_one_favours_the_claim_whatever_way_is_better():
    _, _, (lower,) = places()
    ratio, low, high = oriented(lower)
    assert low < ratio < high < 1
    assert reported(lower) == pytest.approx(0.25)
    _, _, (higher,) = places(direction="higher")
    assert oriented(higher) == pytest.approx((1 / ratio, 1 / high, 1 / low))
    assert reported(higher) == pytest.approx(4.0)


def test_the_figure_has_the_interval_the_point_and_the_papers_cross():
    found, cells, judged = places()
    figure = forest(judged, [found, claim("other", table="none")], cells)
    axis = figure.axes[0]
    drawn = {line.get_marker(): list(line.get_xdata()) for line in axis.lines if len(line.get_xdata()) == 1}
    ratio, low, high = oriented(judged[0])
    assert drawn["x"] == pytest.approx([0.25])
    assert drawn["o"] == pytest.approx([ratio])
    bars = [list(line.get_xdata()) for line in axis.lines if len(line.get_xdata()) == 2 and line.get_linewidth() == 1.6]
    assert bars == [pytest.approx([low, high])]
    assert axis.get_xscale() == "log"
    assert any(text.get_text() == "not run" for text in axis.texts)
    pyplot().close(figure)
