"""Held-out rows to scales and thresholds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llms.classifier_head import softmax
from llms.finetuning.calibration import Promise, _fit_scales, _lowest_good_threshold


@given(st.lists(st.tuples(st.sampled_from([0.3, 0.5, 0.7, 0.9]), st.booleans()), min_size=1, max_size=60))
def test_the_answers_at_or_above_the_threshold_are_right_often_enough(rows):
    confidences, correct = (np.array(column) for column in zip(*rows, strict=True))
    threshold = _lowest_good_threshold(confidences.astype(np.float32), correct, Promise())
    accepted = correct[confidences.astype(np.float32) >= np.float32(threshold)]
    assert not accepted.size or accepted.mean() >= 0.95
    lower = [value for value in set(confidences) if value < threshold - 1e-6]
    for value in lower:  # it is the lowest such threshold
        assert correct[confidences >= value].mean() < 0.95


def test_with_every_answer_right_the_least_certain_is_accepted():
    threshold = _lowest_good_threshold(np.array([0.9, 0.4], np.float32), np.array([True, True]), Promise())
    assert threshold == pytest.approx(0.4)


def test_with_every_answer_wrong_nothing_is_accepted():
    assert _lowest_good_threshold(np.array([0.9, 0.4], np.float32), np.array([False, False]), Promise()) == 1.0


def test_the_fitted_scales_make_certainty_match_what_was_right():
    rng = np.random.default_rng(0)
    label_ids = rng.integers(0, 3, 400)
    logits = rng.normal(size=(400, 3)).astype(np.float32)
    logits[np.arange(400), label_ids] += 1.0
    noise = rng.normal(size=(400, 3)).astype(np.float32)  # a part that knows nothing must not count
    encoder_scale, lexical_scale = _fit_scales(20 * logits, noise, label_ids)  # twenty times too certain
    probabilities = softmax(encoder_scale * 20 * logits + lexical_scale * noise)
    accuracy = (probabilities.argmax(axis=1) == label_ids).mean()
    assert probabilities.max(axis=1).mean() == pytest.approx(accuracy, abs=0.05)
    assert lexical_scale < 0.15


def test_softmax_rows_sum_to_one_even_for_huge_logits():
    probabilities = softmax(np.array([[1e4, 0.0, -1e4], [0.0, 0.0, 0.0]], np.float32))
    assert probabilities.sum(axis=1) == pytest.approx([1.0, 1.0])
    assert np.isfinite(probabilities).all()


def test_training_reports_thresholds_within_bounds(trained):
    from llms import LocalClassifier

    manifest = LocalClassifier(trained.folder).manifest
    assert 0.0 <= manifest.min_probability <= 1.0
    assert 0.0 <= manifest.min_in_scope <= 1.0
    assert manifest.encoder_scale > 0 < manifest.lexical_scale
