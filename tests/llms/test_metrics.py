"""Figures of a classifier against hand-worked values and scikit-learn's own report."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, classification_report

from llms.errors import OptionValueError
from llms.metrics import (
    classification_metrics,
    clopper_pearson_bounds,
    clopper_pearson_lower_bound,
    expected_calibration_error,
    multi_label_report,
    per_class_report,
)

_pairs = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abcd")), min_size=1, max_size=30)
_label_sets = st.lists(st.tuples(st.sets(st.sampled_from("abc")), st.sets(st.sampled_from("abcd"))), max_size=20)


@pytest.mark.parametrize(
    ("confidences", "correct", "expected"),
    [
        ([], [], 0.0),
        ([1.0, 1.0], [True, True], 0.0),
        ([1.0, 1.0], [False, False], 1.0),
        ([0.9, 0.9, 0.6, 0.6], [1, 1, 1, 0], 0.1),  # two bins: |0.9 - 1| and |0.6 - 0.5|, half the rows each
        ([0.95, 0.85, 0.95, 0.85], [1, 1, 0, 0], 0.4),  # 0.95 in the last bin: 0.45; 0.85 in the one before: 0.35
        ([0.0], [False], 0.0),
    ],
)
def test_calibration_error_equals_the_hand_worked_value(confidences, correct, expected):
    assert expected_calibration_error(confidences, correct, num_bins=10) == pytest.approx(expected)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1), st.integers(1, 20))
def test_calibration_error_is_a_share(rows, num_bins):
    confidences, correct = zip(*rows, strict=True)
    assert 0.0 <= expected_calibration_error(confidences, correct, num_bins=num_bins) <= 1.0


@given(_pairs)
def test_the_report_is_that_of_scikit_learn(pairs):
    expected, predicted = zip(*pairs, strict=True)
    labels = sorted(set(expected) | set(predicted))
    theirs = classification_report(expected, predicted, labels=labels, output_dict=True, zero_division=0)
    ours = per_class_report(expected, predicted)
    for label in labels:
        row = ours["classes"][label]
        assert {**row, "f1-score": row["f1"]} == pytest.approx({**theirs[label], "f1": row["f1"]})
    for average in ("macro", "weighted"):
        row = ours["averages"][average]
        theirs_row = theirs[f"{average} avg"]
        assert [row["precision"], row["recall"], row["f1"], row["support"]] == pytest.approx(list(theirs_row.values()))
    metrics = classification_metrics(expected, predicted)
    assert metrics["accuracy"] == pytest.approx(accuracy_score(expected, predicted))
    assert metrics["macro_f1"] == pytest.approx(theirs["macro avg"]["f1-score"])


@given(_pairs)
def test_rows_of_the_confusion_are_the_expected_labels(pairs):
    expected, predicted = zip(*pairs, strict=True)
    confusion = per_class_report(expected, predicted)["confusion"]
    for label, row in zip(confusion["labels"], confusion["matrix"], strict=True):
        assert sum(row) == expected.count(label)
    assert sum(map(sum, confusion["matrix"])) == len(pairs)


def test_the_calibration_error_is_given_only_with_confidences():
    assert set(classification_metrics(["a"], ["a"])) == {"accuracy", "macro_f1"}
    assert classification_metrics(["a", "b"], ["a", "a"], [0.75, 0.75])["ece"] == pytest.approx(0.25)


def test_figures_of_several_labels_equal_the_hand_worked_values():
    report = multi_label_report([{"a", "b"}, {"a"}, {"c"}], [{"a"}, {"a", "c"}, {"c"}])
    assert {label: row["f1"] for label, row in report["classes"].items()} == pytest.approx({"a": 1, "b": 0, "c": 2 / 3})
    f1 = {name: row["f1"] for name, row in report["averages"].items()}
    # micro: 3 right of 4 guesses and 4 expected; weighted: a counts twice; samples: 2/3, 2/3 and 1
    assert f1 == pytest.approx({"micro": 0.75, "macro": 5 / 9, "weighted": (2 + 0 + 2 / 3) / 4, "samples": 7 / 9})
    assert report["subset_accuracy"] == pytest.approx(1 / 3)
    assert report["hamming_loss"] == pytest.approx(2 / 9)


@given(_label_sets)
def test_the_report_of_several_labels_is_that_of_scikit_learn(rows):
    assume(len(set().union(*(want | got for want, got in rows))) > 1)  # theirs takes one label for yes and no
    expected, predicted = zip(*rows, strict=True)
    labels = sorted(set().union(*expected, *predicted))
    indicators = [[[int(label in row) for label in labels] for row in side] for side in (expected, predicted)]
    theirs = classification_report(
        *map(np.array, indicators), labels=range(len(labels)), target_names=labels, output_dict=True, zero_division=0
    )
    ours = multi_label_report(expected, predicted)
    for name, row in {**ours["classes"], **{f"{key} avg": row for key, row in ours["averages"].items()}}.items():
        assert list(row.values()) == pytest.approx(list(theirs[name].values()))


def test_one_label_alone_can_be_reported():
    report = multi_label_report([{"a"}, set()], [{"a"}, {"a"}])
    assert report["classes"]["a"] == pytest.approx({"precision": 0.5, "recall": 1, "f1": 2 / 3, "support": 1})
    assert report["averages"]["micro"] == pytest.approx(report["classes"]["a"])
    assert report["averages"]["samples"]["f1"] == pytest.approx(0.5)
    assert report["subset_accuracy"] == report["hamming_loss"] == 0.5


@pytest.mark.parametrize(
    ("expected", "predicted", "message"),
    [
        ([{"a"}], [], "1 expected and 0 predicted"),
        ([set()], [set()], "none of the 1 texts has a label"),
        (["ab"], [{"a"}], "put it into a set"),
        ([{"a"}], [""], "put it into a set"),
    ],
)
def test_what_are_no_sets_of_labels_is_refused(expected, predicted, message):
    with pytest.raises(OptionValueError, match=message):
        multi_label_report(expected, predicted)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (0, 10, 0.0, 0.3085),  # the upper end solves (1 - p) ** 10 = 0.025
        (10, 10, 0.6915, 1.0),
        (5, 10, 0.1871, 0.8129),
        (0, 0, 0.0, 1.0),
    ],
)
def test_bounds_equal_those_of_the_tables(successes, trials, low, high):
    assert clopper_pearson_bounds(successes, trials) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_bounds_enclose_the_share_seen(counts):
    successes, trials = counts
    low, high = clopper_pearson_bounds(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1
    assert low <= clopper_pearson_lower_bound(successes, trials) <= successes / trials


@pytest.mark.parametrize(("successes", "trials", "confidence"), [(-1, 2, 0.9), (3, 2, 0.9), (1, 2, 1.0), (1, 2, 0.0)])
def test_counts_that_are_no_share_are_refused(successes, trials, confidence):
    with pytest.raises(OptionValueError, match="successes must lie"):
        clopper_pearson_lower_bound(successes, trials, confidence)
