"""Figures of a classifier against hand-worked values and scikit-learn's own report."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, classification_report

from llms.metrics import classification_metrics, expected_calibration_error, per_class_report

_pairs = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abcd")), min_size=1, max_size=30)


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
