"""Effects, families and outcomes: against scipy, hand-worked tables and simulated data with known answers."""

from math import exp, log

import numpy as np
import pytest
from scipy import stats

from difftables.evidence import effects, families
from difftables.evidence.outcomes import DIFFERS, EQUIVALENT, OPPOSITE, SAME, UNTESTED, UNTOLD, outcome
from difftables.report.cells import Cell
from difftables.report.claims import counts, judge
from difftables.report.statistics import detectable, mark_best
from difftables.report.units import IMAGES, SAMPLINGS, TRAININGS, spread_kind, units


def cell(row, values, column="5", seeds="5x1", table="T", **more):
    fields = {"better": "lower", "metric": "FD", "metric_id": "fd", "value": sum(values) / len(values), "values": list(values)} | more
    return Cell("p", table, row, column, row_id=row, column_id=column, seeds=seeds, **fields)


def claim(name="c", **more):
    return {"id": name, "claim": "a beats b", "source": "T", "table": "T", "better": "a", "than": "b"} | more


def test_an_effect_is_that_of_a_paired_t_test_on_logs():
    a, b = [1.0, 1.2, 0.9, 1.1, 1.3], [1.4, 1.3, 1.25, 1.2, 1.5]
    gaps = np.log(a) - np.log(b)
    known, found = stats.ttest_rel(np.log(a), np.log(b)), effects.paired(a, b, 0.1)
    ends = known.confidence_interval(0.95)
    assert found.p == pytest.approx(known.pvalue)
    assert (found.low, found.ratio, found.high) == pytest.approx((exp(ends.low), exp(gaps.mean()), exp(ends.high)))
    one_sided = [
        stats.ttest_1samp(gaps, -log(1.1), alternative="greater").pvalue,
        stats.ttest_1samp(gaps, log(1.1), alternative="less").pvalue,
    ]
    assert found.p_outside == pytest.approx(max(one_sided))


def test_the_detectable_effect_is_found_with_the_power_it_says():
    """By the noncentral t distribution; 1.68 standard deviations for five pairs, 3.26 for three."""
    for units_, sd in ((3, 3.26), (5, 1.68), (10, 1.00)):
        noise = np.random.default_rng(units_).standard_normal(units_)
        gaps = (noise - noise.mean()) / noise.std(ddof=1) * 0.1
        found = effects.paired(list(np.exp(gaps)), [1.0] * units_, 0.1)
        assert log(found.detectable) / 0.1 == pytest.approx(sd, abs=0.01)
        edge = stats.t.ppf(0.975, units_ - 1)
        shifted = stats.nct(units_ - 1, log(found.detectable) / 0.1 * units_**0.5)
        assert shifted.sf(edge) + shifted.cdf(-edge) == pytest.approx(0.8, abs=1e-3)


def test_values_below_zero_are_compared_by_differences():
    found = effects.paired([-0.1, 0.1, 0.0], [1.0, 1.1, 0.9], 0.1)
    assert found.ratio == pytest.approx(1 + np.mean([-1.1, -1.0, -0.9]))
    assert effects.paired([1.0], [1.0], 0.1) is None
    assert effects.paired([1.0, 2.0], [1.0], 0.1) is None


def test_holm_and_benjamini_hochberg_by_hand():
    p = [0.01, 0.04, 0.03, 0.005]
    assert families.holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # 4, 3, 2, 1 times the sorted ones, never falling
    assert families.benjamini_hochberg(p) == pytest.approx([0.02, 0.04, 0.04, 0.02])  # 4/1, 4/2, 4/3, 4/4, never rising from the end
    assert families.holm([]) == []


def test_outcomes_of_closed_forms_are_those_of_their_values():
    for ratio, kind, word in (
        (0.5, "better", SAME),
        (2.0, "better", OPPOSITE),
        (1.0, "better", EQUIVALENT),
        (1.05, "equivalent", EQUIVALENT),
    ):
        found = effects.exact(ratio, 0.1)
        assert outcome(found, found.p_outside if kind == "equivalent" else found.p, lower=True, kind=kind) == word
    assert outcome(effects.exact(2.0, 0.1), 1.0, lower=True, kind="equivalent") == DIFFERS
    assert outcome(effects.exact(2.0, 0.1), 0.0, lower=False, kind="better") == SAME
    assert outcome(None, 1.0, lower=True, kind="better") == UNTESTED


def simulate(ratio, rng, claims=10, trainings=5, sd=0.05, own=0.2):
    """Cells of claims whose first rows have a known ratio to the second: a shared part of each training, and noise of each row."""
    cells = []
    for i in range(claims):
        shared = own * rng.standard_normal(trainings)
        for row, shift in ((f"a{i}", log(ratio)), (f"b{i}", 0.0)):
            cells.append(cell(row, np.exp(shared + shift + sd * rng.standard_normal(trainings))))
    return cells, [claim(f"c{i}", better=f"a{i}", than=f"b{i}", between="trainings") for i in range(claims)]


def test_false_findings_within_a_paper_are_at_most_five_per_cent():
    rng, repeats = np.random.default_rng(1), 400
    wrong = covered = total = 0
    for _ in range(repeats):
        cells, claims = simulate(1.0, rng)
        places = judge(claims, cells, "study")
        wrong += any(place.outcome in (SAME, OPPOSITE) for place in places)
        covered += sum(place.effect.low <= 1 <= place.effect.high for place in places)
        total += len(places)
    assert wrong <= stats.binom.ppf(0.999, repeats, 0.05)
    assert 0.93 <= covered / total <= 0.97


def test_known_effects_are_found_and_never_of_the_wrong_sign():
    rng, repeats, found = np.random.default_rng(2), 100, 0
    for _ in range(repeats):
        cells, claims = simulate(0.6, rng)
        words = [place.outcome for place in judge(claims, cells, "study")]
        assert OPPOSITE not in words
        found += words.count(SAME)
    assert found >= 0.9 * repeats * 10
    covered = sum(
        place.effect.low <= 0.6 <= place.effect.high
        for _ in range(100)
        for place in judge(*reversed(simulate(0.6, rng, claims=10)), "study")
    )
    assert 0.93 <= covered / 1000 <= 0.97


def test_a_difference_as_large_as_the_margin_is_called_equivalent_in_five_per_cent():
    rng, repeats = np.random.default_rng(3), 1000
    wrong = sum(
        effects.paired(list(np.exp(log(1.1) + 0.02 * rng.standard_normal(5))), [1.0] * 5, 0.1).p_outside < 0.05 for _ in range(repeats)
    )
    assert stats.binom.ppf(0.001, repeats, 0.05) <= wrong <= stats.binom.ppf(0.999, repeats, 0.05)


def test_the_unit_of_a_claim_between_trainings_is_a_training():
    one = [cell("a", [1.0, 1.01, 1.02], seeds="1x3"), cell("b", [2.0, 2.01, 2.03], seeds="1x3")]
    (place,) = judge([claim(between="trainings")], one, "laptop")
    assert (place.outcome, place.why) == (UNTESTED, "one training")
    (place,) = judge([claim()], one, "laptop")
    assert (place.outcome, place.kind) == (SAME, SAMPLINGS)
    five = cell("a", range(10), seeds="5x2")
    assert units(five) == ([0.5, 2.5, 4.5, 6.5, 8.5], TRAININGS)
    images = cell("a", [1.0, 2.0, 3.0, 4.0], seeds="2x1", metric_id="nll")
    assert units(images) == ([1.5, 3.5], TRAININGS)
    assert spread_kind(cell("a", [1.0, 2.0], seeds="1x1", metric_id="nll")) == IMAGES
    assert spread_kind(cell("a", [1.0], seeds="1x1")) == ""


def test_a_claim_between_trainings_is_settled_where_a_quarter_of_them_agrees():
    a, b = [1.0, 1.1, 0.9, 1.05, 0.95], [2.0, 2.1, 1.9, 2.0, 2.05]
    for quarter, word in (((a, b), SAME), ((b, a), UNTESTED)):
        cells = [cell("a", a), cell("b", b)]
        for length, (first, second) in (("sixteenth", (b, a)), ("quarter", quarter)):
            cells += [cell("a", first, table=f"T-at-{length}"), cell("b", second, table=f"T-at-{length}")]
        (place,) = judge([claim(between="trainings")], cells, "study", ("sixteenth", "quarter"))
        assert place.outcome == word
        assert place.lengths == (("sixteenth", OPPOSITE), ("quarter", SAME if quarter[0] is a else OPPOSITE))
    (place,) = judge([claim(between="trainings")], [cell("a", a), cell("b", b)], "study", ("quarter",))
    assert place.why == "one length of training"


def test_holds_is_a_word_for_the_papers_own_setting():
    cells = [cell("a", [1.0, 1.1, 0.9, 1.05, 0.95]), cell("b", [2.0, 2.1, 1.9, 2.0, 2.05])]
    assert [judge([claim()], cells, scale)[0].outcome for scale in ("study", "paper")] == [SAME, "holds"]
    assert judge([claim(better="b", than="a")], cells, "released")[0].outcome == "contradicted"


def test_one_column_decides_and_the_others_are_a_family_of_their_own():
    cells = [cell(row, [base, base + 0.1, base + 0.05], column=c, seeds="1x3") for c in "357" for row, base in (("a", 1.0), ("b", 2.0))]
    assert [p.column for p in judge([claim()], cells, "laptop") if p.primary] == ["5"]
    assert [p.column for p in judge([claim(primary="7")], cells, "laptop") if p.primary] == ["7"]
    ours, theirs = claim("ours", asked_by="ours"), claim("theirs")
    places = judge([ours, theirs], cells, "laptop")
    assert counts(places, [ours, theirs])[SAME] == counts(places, [ours, theirs], ours=True)[SAME] == 1
    assert counts([], [theirs])[UNTESTED] == 1


def test_marks_say_best_only_where_it_is_told_and_the_dagger_only_where_equivalence_is_shown():
    far, near = [2.0, 2.1, 1.9, 2.05], [1.001, 1.101, 0.902, 1.05]
    cells = [cell("a", [1.0, 1.1, 0.9, 1.05], seeds="4x1"), cell("b", near, seeds="4x1"), cell("c", far, seeds="4x1")]
    mark_best(cells)
    assert [each.verdict for each in cells] == ["", "same", ""]
    mark_best([cells[0], cells[2]])
    assert [cells[0].verdict, cells[2].verdict] == ["best", ""]
    three = [cell("a", [1.0, 1.1, 0.9], seeds="3x1"), cell("b", [1.001, 1.101, 0.901], seeds="3x1")]
    mark_best(three)
    assert "same" not in [each.verdict for each in three]
    assert detectable(cells) > 0


def test_bootstrap_draws_have_percentiles():
    rng = np.random.default_rng(4)
    first, second = np.exp(rng.normal(0.0, 0.1, 400)), np.full(400, 2.0)
    found = effects.drawn(list(first), list(second), 0.1)
    assert found.low == pytest.approx(np.quantile(first, 0.025) / 2, rel=0.02)
    assert found.p == pytest.approx(2 / 401)
    assert outcome(found, found.p, lower=True, kind="better") == SAME
    assert outcome(found, 0.2, lower=True, kind="better") == UNTOLD
