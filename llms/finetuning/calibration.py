"""Held-out rows to scales and thresholds: how scores become probabilities, and probabilities decisions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llms.classifier import ClassifierHead, softmax
from llms.finetuning.records import LabelledText
from llms.metrics import classification_metrics

__all__ = ["Calibration", "fit_calibration"]

FloatArray = npt.NDArray[np.float32]
_SCOPE_LOSS_SHARE = 0.02  # of in-scope texts that may be taken for out of scope
_PRIOR_SPREAD = 1.5  # of the log scales: a factor of about 4.5 either way is nothing special
_WANTED_ACCURACY = 0.95  # of the accepted held-out answers


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the held-out rows say about a classifier."""

    encoder_scale: float
    lexical_scale: float
    min_probability: float
    min_in_scope: float
    metrics: dict[str, float]


def fit_calibration(head: ClassifierHead, held_out: Sequence[LabelledText]) -> Calibration:
    """Return the scales with the least log loss on the held-out rows, and the thresholds that follow.

    The probability threshold is the lowest at which 95 % of the accepted held-out answers are right. The scope
    threshold is the 2 % quantile of the held-out rows' own scores: no out-of-scope texts are needed.
    """
    texts = [row.text for row in held_out]
    label_ids = np.array([head.labels.index(row.label) for row in held_out])
    vectors = head.encoder.encode(texts)
    encoder_logits = vectors @ head.weight.T + head.bias
    lexical_scores = head.lexical.scores(texts)
    encoder_scale, lexical_scale = _fit_scales(encoder_logits, lexical_scores, label_ids)
    probabilities = softmax(encoder_scale * encoder_logits + lexical_scale * lexical_scores)
    predicted = probabilities.argmax(axis=1)
    confidences = probabilities.max(axis=1)
    metrics = classification_metrics(
        [head.labels[i] for i in label_ids], [head.labels[i] for i in predicted], confidences.tolist()
    )
    return Calibration(
        encoder_scale=encoder_scale,
        lexical_scale=lexical_scale,
        min_probability=_lowest_good_threshold(confidences, predicted == label_ids),
        min_in_scope=float(np.quantile(head.in_scope(vectors), _SCOPE_LOSS_SHARE)),
        metrics={f"held_out_{name}": value for name, value in metrics.items()},
    )


def _fit_scales(
    encoder_logits: FloatArray, lexical_scores: FloatArray, label_ids: npt.NDArray[np.int64]
) -> tuple[float, float]:
    from scipy.optimize import minimize

    rows = np.arange(len(label_ids))
    prior = np.array([0.0, 0.0])  # log scales; few held-out rows must not lead to absurd certainty

    def loss(log_scales: npt.NDArray[np.float64]) -> float:
        scales = np.exp(log_scales)
        probabilities = softmax(scales[0] * encoder_logits + scales[1] * lexical_scores)
        likelihood = np.log(np.maximum(probabilities[rows, label_ids], 1e-12)).sum()
        return float(-likelihood + 0.5 * (((log_scales - prior) / _PRIOR_SPREAD) ** 2).sum())

    best = minimize(loss, prior, method="Nelder-Mead", options={"maxiter": 400})
    encoder_scale, lexical_scale = (float(value) for value in np.exp(best.x))
    return encoder_scale, lexical_scale


def _lowest_good_threshold(confidences: FloatArray, correct: npt.NDArray[np.bool_]) -> float:
    order = np.argsort(-confidences, kind="stable")
    ranked = confidences[order]
    right_share = np.cumsum(correct[order]) / np.arange(1, len(order) + 1)
    is_last_of_equals = np.append(ranked[1:] < ranked[:-1], True)  # equals are accepted together
    good = np.flatnonzero((right_share >= _WANTED_ACCURACY) & is_last_of_equals)
    return float(ranked[good[-1]]) if good.size else 1.0
