"""What figures draw: smoothing, ratios, stars, dots."""

from math import log

import pytest

from difftables.report.cells import Cell
from difftables.report.figures import Line, pyplot
from difftables.report.kinds.dot_plot import dots, draw_dots
from difftables.report.kinds.gradients import draw_dots as draw_scales
from difftables.report.kinds.learning import draw_learning, smoothed
from difftables.report.kinds.steps import draw_against_steps
from difftables.report.kinds.variance import over_first


def test_a_curve_that_falls_by_a_constant_factor_is_its_own_smooth_inside():
    """The geometric mean of a geometric sequence around its middle is the middle; a mean of values would lie above."""
    steps = list(range(1, 102))
    values = [1000 * 0.9**step for step in steps]
    found = smoothed(steps, values, 10)
    assert found[50] == pytest.approx(values[50])
    assert log(found[0]) == pytest.approx(log(values[0]) + 2.5 * log(0.9))


def test_learning_curves_end_where_the_shortest_does():
    figure = draw_learning({"a": [(step, 2.0) for step in range(10, 1010, 10)], "b": [(step, 3.0) for step in range(4, 404, 4)]})
    assert {max(line.get_xdata()) for line in figure.axes[0].lines} == {400}
    pyplot().close(figure)


def test_errors_are_drawn_over_those_of_the_first_row():
    found = over_first({"a": [(1.0, 2.0, 0.2), (2.0, 4.0, 0.4)], "b": [(1.0, 3.0, 0.3), (2.0, 2.0, 0.2)]})
    assert found["a"] == [(1.0, 1.0, 0.0), (2.0, 1.0, 0.0)]
    assert found["b"] == [(1.0, 1.5, 0.0), (2.0, 0.5, 0.0)]


def stars(rows, told):
    figure = draw_against_steps({"": rows}, "FD", None, {}, 5, {}, told)
    found = [(line.get_xdata()[0], line.get_markerfacecolor()) for line in figure.axes[0].lines if line.get_marker() == "*"]
    pyplot().close(figure)
    return found


def test_a_star_is_filled_only_where_the_row_is_told_from_all_others():
    rows = [Line("a", "fixed", [3, 5, 10], [1.0, 1.0, 1.0], [0.1] * 3), Line("b", "ddim", [3, 5, 10], [2.0, 2.0, 2.0], [0.1] * 3)]
    found = stars(rows, {("a", 5)})
    assert [x for x, _ in found] == [3, 5, 10]
    assert [face == "white" for _, face in found] == [True, False, True]


def test_two_step_counts_are_dots_side_by_side():
    rows = [Line(name, "fixed", [10, 50], [value, value], [0.1, 0.1]) for name, value in (("a", 1.0), ("b", 2.0))]
    figure = draw_against_steps({"": rows}, "FD", None, {}, 5, {}, set())
    drawn = [line for line in figure.axes[0].lines if line.get_marker() in "os"]
    assert all(line.get_linestyle() == "None" for line in drawn)
    assert len({line.get_xdata()[0] for line in drawn}) == 2
    pyplot().close(figure)


def test_dots_show_ours_and_the_papers_apart():
    cells = [
        Cell("p", "T", "A", "FD", metric="FD", better="lower", value=3.0, sd=0.5, column_id="fd"),
        Cell("p", "T", "A", "CIFAR-10", column_id="cifar", paper_value="1.97", paper_metric="FID", paper_dataset="CIFAR-10"),
        Cell("p", "T", "B", "FD", metric="FD", status="not-run", column_id="fd"),
    ]
    found = dots(cells, ["fd", "cifar"])
    assert list(found.values()) == [[("A", 3.0, 0.5)], [("A", 1.97, 0.0)]]
    assert dots(cells[2:], ["fd"]) == {}
    figure = draw_dots(found)
    assert [axis.get_xlabel() for axis in figure.axes] == ["FD (lower is better)", "paper: FID, CIFAR-10"]
    pyplot().close(figure)


def test_noise_scales_have_intervals_on_a_logarithmic_axis():
    figure = draw_scales({"a": ("vlb", 100.0, 200.0), "b": ("hybrid", 10.0, 1.0)}, "noise scale")
    axis = figure.axes[0]
    assert axis.get_xscale() == "log"
    ends = [segment[:, 0] for bar in axis.containers for segment in bar.lines[2][0].get_segments()]
    assert [tuple(end) for end in ends] == [pytest.approx((5.0, 300.0)), pytest.approx((9.0, 11.0))]
    pyplot().close(figure)
