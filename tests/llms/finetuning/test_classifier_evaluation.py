"""Held-out rows to scales and thresholds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from llms.classifier.head import ScoreParts
from llms.finetuning.classifier.evaluation import (
    AccuracyTarget,
    Calibration,
    _fit_scales,
    _label_set_threshold,
    _lowest_good_threshold,
    fit_calibration,
)


@given(st.lists(st.tuples(st.sampled_from([0.3, 0.5, 0.7, 0.9]), st.booleans()), min_size=1, max_size=60))
def test_the_answers_at_or_above_the_threshold_are_right_often_enough(rows):
    confidences, correct = (np.array(column) for column in zip(*rows, strict=True))
    threshold = _lowest_good_threshold(confidences.astype(np.float32), correct, AccuracyTarget())
    accepted = correct[confidences.astype(np.float32) >= np.float32(threshold)]
    assert not accepted.size or accepted.mean() >= 0.95
    lower = [value for value in set(confidences) if value < threshold - 1e-6]
    for value in lower:  # it is the lowest such threshold
        assert correct[confidences >= value].mean() < 0.95


def test_with_every_answer_right_the_least_certain_is_accepted():
    threshold = _lowest_good_threshold(np.array([0.9, 0.4], np.float32), np.array([True, True]), AccuracyTarget())
    assert threshold == pytest.approx(0.4)


def test_with_every_answer_wrong_nothing_is_accepted():
    assert _lowest_good_threshold(np.array([0.9, 0.4], np.float32), np.array([False, False]), AccuracyTarget()) == 1.0


def test_where_every_text_is_taken_for_an_outside_one_nothing_is_accepted():
    targets = np.array([0, 1, 2, 2])
    logits = np.tile(np.array([0.0, 0.0, 9.0], np.float32), (4, 1))
    none = np.zeros_like(logits)
    parts = ScoreParts(logits, none, none, np.zeros((4, 4), np.float32))
    fitted = fit_calibration(parts, targets, AccuracyTarget(), ("a", "b", "none"), has_outside=True)
    assert (fitted.min_probability, fitted.facts["accepted_share"]) == (1.0, 0.0)


def test_the_fitted_scales_make_certainty_match_what_was_right():
    rng = np.random.default_rng(0)
    label_ids = rng.integers(0, 3, 400)
    logits = rng.normal(size=(400, 3)).astype(np.float32)
    logits[np.arange(400), label_ids] += 1.0
    noise = rng.normal(size=(400, 3)).astype(np.float32)  # a part that knows nothing must not count
    # twenty times too certain
    parts = ScoreParts(20 * logits, noise, np.zeros_like(noise), np.zeros((400, 4), np.float32))
    scales = _fit_scales(parts, label_ids)
    probabilities = softmax(parts.combine(scales), axis=-1)
    accuracy = (probabilities.argmax(axis=1) == label_ids).mean()
    assert probabilities.max(axis=1).mean() == pytest.approx(accuracy, abs=0.05)
    assert scales[1] < 0.15


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_a_threshold_with_a_bound_keeps_its_promise_on_new_rows(confidence):
    """Of 100 fits on 600 rows, fewer than one minus the confidence may let too many wrong answers through."""
    rng = np.random.default_rng(0)
    broken = 0
    for _ in range(100):
        confidences = rng.uniform(0.3, 1.0, 600).astype(np.float32)
        correct = rng.uniform(size=600) < confidences
        accuracy_target = AccuracyTarget(accepted_accuracy=0.8, confidence=confidence)
        threshold = _lowest_good_threshold(confidences, correct, accuracy_target)
        # the true accuracy at or above the threshold, known because being right is as likely as it is certain
        broken += (1.0 + threshold) / 2 < 0.8
    assert broken / 100 <= 1 - confidence


def test_a_bound_asks_for_more_than_the_share_itself():
    confidences = np.linspace(0.3, 1.0, 400, dtype=np.float32)
    correct = confidences > 0.5
    plain, bound = (
        _lowest_good_threshold(confidences, correct, AccuracyTarget(accepted_accuracy=0.9, confidence=confidence))
        for confidence in (0.0, 0.95)
    )
    assert plain < bound < 1.0


def test_label_sets_hold_the_right_label_as_often_as_promised():
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(50):
        fitted, new = rng.beta(4, 1, size=(2, 300)).astype(np.float32)
        threshold = _label_set_threshold(fitted, 0.9)
        shares.append((new >= threshold).mean())
    assert np.mean(shares) >= 0.895


def test_too_few_rows_for_a_promise_put_every_label_into_the_set():
    assert _label_set_threshold(np.array([0.9, 0.8], np.float32), 0.95) == 0.0


def test_outside_rows_that_would_be_accepted_raise_the_threshold():
    """A held-out text of no label that looks like a label's counts as a wrong answer; one that is told from it, not."""
    rng = np.random.default_rng(0)
    targets = np.repeat([0, 1, 2], 200)  # the last label stands for texts of no label
    seen_as = np.where(targets == 2, rng.integers(0, 2, 600), targets)
    logits = rng.normal(size=(600, 3)).astype(np.float32)
    logits[np.arange(600), seen_as] += 2.0

    def fitted(*, told_apart: bool) -> Calibration:
        own = logits.copy()
        own[targets == 2, 2] += 9.0 * told_apart
        none = np.zeros_like(own)
        return fit_calibration(
            ScoreParts(own, none, none, rng.normal(size=(600, 4)).astype(np.float32)),
            targets,
            AccuracyTarget(),
            ("a", "b", "none"),
            has_outside=True,
        )

    assert fitted(told_apart=True).min_probability < fitted(told_apart=False).min_probability
    assert fitted(told_apart=True).facts["accepted_share"] <= 2 / 3


def test_training_reports_thresholds_within_bounds(trained):
    from llms import LocalClassifier

    manifest = LocalClassifier(trained.folder).manifest
    assert 0.0 <= manifest.min_probability <= 1.0
    assert 0.0 <= manifest.min_in_scope <= 1.0
    assert manifest.encoder_scale > 0 < manifest.lexical_scale
