"""Suspected label errors: planted ones are found, clean rows are left alone, and no row is judged by its own model."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llms.errors import TrainingDataError
from llms.finetuning.data.examples import LabelledText
from llms.finetuning.labelling.label_errors import find_label_errors, out_of_fold_probabilities

LABELS = ("a", "b", "c", "d")


def _planted(seed, *, num_rows=400, share=0.05):
    """Return texts, label ids with some of them wrong, the rows that are, and vectors that tell the true labels."""
    random = np.random.default_rng(seed)
    truth = random.integers(len(LABELS), size=num_rows)
    centres = random.normal(size=(len(LABELS), 16)) * 2
    vectors = centres[truth] + random.normal(size=(num_rows, 16)) * 0.5
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    wrong = random.choice(num_rows, size=round(num_rows * share), replace=False)
    given_ids = truth.copy()
    given_ids[wrong] = (truth[wrong] + random.integers(1, len(LABELS), size=len(wrong))) % len(LABELS)
    return [f"text {i}" for i in range(num_rows)], given_ids, set(wrong.tolist()), truth, vectors


@pytest.mark.parametrize("seed", range(3))
def test_four_fifths_of_planted_errors_are_found_with_their_true_label(seed):
    texts, label_ids, wrong, truth, vectors = _planted(seed)
    probabilities = out_of_fold_probabilities(texts, label_ids, vectors=vectors, seed=seed)
    rows = [LabelledText(text, LABELS[label]) for text, label in zip(texts, label_ids, strict=True)]
    errors = find_label_errors(rows, probabilities)
    found = [error.place for error in errors]
    assert len(wrong & set(found)) >= 0.8 * len(wrong)
    assert len(wrong & set(found)) >= 0.8 * len(found)
    assert all(error.suggested_label == LABELS[truth[error.place]] for error in errors if error.place in wrong)
    assert [error.margin for error in errors] == sorted(error.margin for error in errors)


def test_rows_without_errors_are_left_alone():
    texts, label_ids, _, _, vectors = _planted(0, share=0.0)
    probabilities = out_of_fold_probabilities(texts, label_ids, vectors=vectors, seed=0)
    rows = [LabelledText(text, LABELS[label]) for text, label in zip(texts, label_ids, strict=True)]
    assert len(find_label_errors(rows, probabilities)) <= 0.01 * len(rows)


def test_the_thresholds_are_those_worked_out_by_hand():
    # mean self-confidence: x (0.9 + 0.6) / 2 = 0.75, y (0.7 + 0.2) / 2 = 0.45
    rows = [
        LabelledText(text, label, line=line) for line, (text, label) in enumerate(["1x", "2x", "3y", "4y"], start=2)
    ]
    errors = find_label_errors(rows, [[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.8, 0.2]])
    assert [(error.text, error.suggested_label, error.margin, error.line) for error in errors] == [("4", "x", -0.6, 5)]
    # below the threshold of 0.75 the other label is likelier but not believed
    assert find_label_errors(rows, [[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.7, 0.3]]) == []


def test_columns_follow_the_labels_named():
    rows = [LabelledText(text, label) for text, label in ("1x", "2x", "3y", "4y")]
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.8, 0.2]])
    assert find_label_errors(rows, probabilities[:, ::-1], labels=["y", "x"]) == find_label_errors(rows, probabilities)


def test_a_label_no_model_could_learn_is_not_judged():
    texts = [f"text {i}" for i in range(21)]
    label_ids = [0] * 10 + [1] * 10 + [2]
    vectors = np.eye(3)[label_ids] + np.random.default_rng(0).normal(size=(21, 3)) * 0.01
    probabilities = out_of_fold_probabilities(texts, label_ids, vectors=vectors, seed=0)
    assert probabilities[20, 2] == 0
    rows = [LabelledText(text, "abc"[label]) for text, label in zip(texts, label_ids, strict=True)]
    assert find_label_errors(rows, probabilities) == []


@given(st.lists(st.sampled_from(["a", "A!", "b", "c", "d", "e", "f"]), min_size=20, max_size=40), st.integers(0, 3))
def test_equal_texts_are_judged_by_one_model_and_rows_sum_to_1(texts, seed):
    label_ids = [ord(text[0].lower()) % 2 for text in texts]
    vectors = np.array([[ord(text[0].lower()) - 96, len(text)] for text in texts], dtype=float)
    try:
        probabilities = out_of_fold_probabilities(texts, label_ids, vectors=vectors, seed=seed)
    except TrainingDataError:
        return
    assert np.allclose(probabilities.sum(axis=1), 1)
    again = out_of_fold_probabilities(texts, label_ids, vectors=vectors, seed=seed)
    assert np.array_equal(probabilities, again)
    vectors[:, 1] = 0
    same = out_of_fold_probabilities(texts, label_ids, vectors=vectors, seed=seed)
    for text in ("a", "b"):
        equals = [row for row, other in zip(same, texts, strict=True) if other.lower().strip("!") == text]
        assert all(np.allclose(row, equals[0]) for row in equals)


@pytest.mark.parametrize(
    ("probabilities", "labels", "reason"),
    [
        ([[0.5, 0.5]], None, "2 rows and 2 labels, got the shape"),
        ([[1.0], [1.0]], ["x"], "no column for the label 'y'"),
        ([[2.0, -1.0], [0.5, 0.5]], None, "sum to 1"),
        ([[3.0, 1.0], [0.5, 0.5]], None, "softmax"),
        ([[float("nan"), 1.0], [0.5, 0.5]], None, "softmax"),
    ],
)
def test_values_that_are_no_probabilities_of_these_rows_are_refused(probabilities, labels, reason):
    with pytest.raises(TrainingDataError, match=reason):
        find_label_errors([LabelledText("a", "x"), LabelledText("b", "y")], probabilities, labels=labels)


def test_too_few_rows_and_parts_of_different_length_are_refused():
    with pytest.raises(TrainingDataError, match="one vector for each of 2 texts"):
        out_of_fold_probabilities(["a", "b"], [0, 1], vectors=np.zeros((3, 2)), seed=0)
    with pytest.raises(TrainingDataError, match="two labels to learn from"):
        out_of_fold_probabilities(["a", "b"], [0, 1], vectors=np.zeros((2, 2)), seed=0)
    assert find_label_errors([], np.zeros((0, 0))) == []
