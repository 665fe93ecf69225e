"""Figures about confidence against hand-worked values, against each other, and whatever order the rows come in."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from llms.errors import OptionValueError
from llms.metrics import (
    area_under_risk_coverage,
    area_under_roc,
    coverage_at_accuracy,
    expected_calibration_error,
    reliability_bins,
)

# few distinct values, so that ties are common
_rows = st.lists(st.tuples(st.integers(0, 20).map(lambda n: n / 20), st.booleans()), min_size=1, max_size=40)


@given(_rows, st.integers(1, 20))
def test_the_bins_make_up_the_calibration_error(rows, num_bins):
    confidences, correct = zip(*rows, strict=True)
    bins = reliability_bins(confidences, correct, num_bins=num_bins)
    gaps = sum(abs(found.mean_confidence - found.accuracy) * found.num_rows for found in bins) / len(rows)
    assert gaps == pytest.approx(expected_calibration_error(confidences, correct, num_bins=num_bins), abs=1e-9)
    assert sum(found.num_rows for found in bins) == len(rows)


@given(_rows)
def test_the_mean_confidence_of_a_bin_lies_within_it(rows):
    confidences, correct = zip(*rows, strict=True)
    for found in reliability_bins(confidences, correct):
        assert found.low - 1e-9 <= found.mean_confidence <= found.high + 1e-9


def test_a_bin_says_how_sure_and_how_often_right():
    found = reliability_bins([0.91, 0.93, 0.2], [True, False, False], num_bins=10)
    assert [tuple(row) for row in found] == [
        pytest.approx((0.2, 0.3, 0.2, 0.0, 1)),
        pytest.approx((0.9, 1.0, 0.92, 0.5, 2)),
    ]


@pytest.mark.parametrize(
    ("confidences", "correct", "expected"),
    [
        ([], [], 0.0),
        ([0.9, 0.8], [True, True], 0.0),
        ([0.9, 0.8], [False, False], 1.0),
        ([0.9, 0.8], [True, False], 0.25),  # 0 of 1, then 1 of 2
        ([0.9, 0.8], [False, True], 0.75),  # 1 of 1, then 1 of 2
        ([0.9, 0.9], [True, False], 0.5),  # no threshold parts them
    ],
)
def test_the_risk_equals_the_hand_worked_value(confidences, correct, expected):
    assert area_under_risk_coverage(confidences, correct) == pytest.approx(expected)


@given(_rows, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows, generator: random.Random):
    shuffled = list(rows)
    generator.shuffle(shuffled)
    for figure in (area_under_risk_coverage, lambda *columns: coverage_at_accuracy(*columns, 0.8)):
        assert figure(*zip(*rows, strict=True)) == pytest.approx(figure(*zip(*shuffled, strict=True)))


@given(_rows, st.floats(0.01, 1))
def test_the_coverage_is_the_largest_that_keeps_the_accuracy(rows, accuracy):
    confidences, correct = zip(*rows, strict=True)
    covered = coverage_at_accuracy(confidences, correct, accuracy)
    good = [0.0]
    for threshold in set(confidences):
        kept = [right for confidence, right in rows if confidence >= threshold]
        if sum(kept) / len(kept) >= accuracy - 1e-12:
            good.append(len(kept) / len(rows))
    assert covered == pytest.approx(max(good))


def test_nothing_is_covered_where_the_surest_answer_is_wrong():
    assert coverage_at_accuracy([0.9], [False], 0.5) == 0.0
    assert coverage_at_accuracy([], [], 0.5) == 0.0


@given(st.lists(st.integers(0, 5), min_size=1), st.lists(st.integers(0, 5), min_size=1))
def test_the_area_is_the_share_of_pairs_in_order(inside, outside):
    pairs = [(a > b) + 0.5 * (a == b) for a in inside for b in outside]
    area = area_under_roc(inside, outside)
    assert area == pytest.approx(sum(pairs) / len(pairs))
    assert area == pytest.approx(roc_auc_score([1] * len(inside) + [0] * len(outside), [*inside, *outside]))


@pytest.mark.parametrize("scores", [([], [0.1]), ([0.1], [])])
def test_scores_of_one_kind_alone_are_refused(scores):
    with pytest.raises(OptionValueError, match="add texts"):
        area_under_roc(*scores)


@pytest.mark.parametrize("figure", [expected_calibration_error, reliability_bins, area_under_risk_coverage])
@pytest.mark.parametrize(
    ("confidences", "message"),
    [([0.5], "1 confidences and 2"), ([0.5, 1.2], "0.5 to 1.2"), ([0.5, float("nan")], "nan")],
)
def test_confidences_that_are_none_are_refused(figure, confidences, message):
    with pytest.raises(OptionValueError, match=message):
        figure(confidences, [True, False])


def test_a_probability_that_rounding_pushed_past_one_is_taken():
    assert expected_calibration_error([1.0000001], [True]) == 0.0
