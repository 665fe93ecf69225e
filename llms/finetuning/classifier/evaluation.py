"""Evaluation of classifiers on held-out rows: how scores become probabilities, and probabilities decisions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, log_softmax, softmax

from llms.arrays import FloatArray
from llms.classifier.head import ScoreParts
from llms.classifier.out_of_scope import ScopeModel
from llms.metrics import classification_metrics, clopper_pearson_lower_bound, micro_f1

_SCOPE_LOSS_SHARE = 0.02  # of in-scope texts that may be taken for out of scope
# few held-out rows must not lead to absurd certainty; a cosine counts by how much of the way to 1 it goes
_PRIOR_NEIGHBOUR_SCALE = 3.0
_PRIOR_SPREAD = 1.5  # of the log scales: a factor of about 4.5 either way is nothing special


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyTarget:
    """What the thresholds are fitted for.

    Attributes:
        accepted_accuracy: share of the accepted answers that shall be right.
        confidence: how sure that shall be, by the Clopper-Pearson bound; 0 takes the share on the held-out rows as
            it is, which few rows need: a bound of 95 % at 98 % right takes 150 rows without a mistake.
        label_set_confidence: share of texts whose right label is among `Classification.labels`.
    """

    accepted_accuracy: float = 0.95
    confidence: float = 0.0
    label_set_confidence: float = 0.95


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the held-out rows say about a classifier.

    Attributes:
        scales: of the head's three parts.
        facts: the thresholds, the promises they were fitted for, and how far the held-out rows bear these out.
    """

    scales: tuple[float, float, float]
    scope: ScopeModel
    min_probability: float
    min_in_scope: float
    metrics: dict[str, float]
    facts: dict[str, float]


def fit_calibration(
    parts: ScoreParts,
    targets: npt.NDArray[Any],
    accuracy_target: AccuracyTarget,
    labels: Sequence[str],
    *,
    has_outside: bool = False,
) -> Calibration:
    """Return the scales with the least log loss on the held-out rows, and the thresholds that follow.

    The scope threshold is the 2 % quantile of the held-out rows' own scores: no out-of-scope texts are needed.

    Args:
        parts: what a head that has not seen the held-out rows says of them.
        targets: (texts,) label ids, or (texts, labels) 0 and 1 where several labels may apply.
        has_outside: whether the last label stands for texts that belong to none of the others.
    """
    scales = _fit_scales(parts, targets)
    if targets.ndim == 2:
        return _calibrate_several(parts, targets, scales)
    probabilities = softmax(parts.combine(scales), axis=-1)
    predicted, confidences = probabilities.argmax(axis=1), probabilities.max(axis=1)
    outside = len(labels) - 1 if has_outside else len(labels)
    is_inside = targets != outside
    scope = ScopeModel.fit(parts.signs[is_inside])
    in_scope = scope.score(parts.signs, outside=probabilities[:, outside] if has_outside else None)
    min_in_scope = float(np.quantile(in_scope[is_inside], _SCOPE_LOSS_SHARE))
    # a text that is taken for an outside one is never accepted, so it tells nothing of those that are
    counts = predicted != outside
    right = predicted[counts] == targets[counts]
    threshold = _lowest_good_threshold(confidences[counts], right, accuracy_target)
    named = [[labels[i] for i in ids] for ids in (targets, predicted)]
    metrics = classification_metrics(named[0], named[1], confidences.tolist())
    facts = _accepted_facts(confidences[counts], right, threshold, accuracy_target, num_texts=len(targets))
    facts |= {
        "label_set_confidence": accuracy_target.label_set_confidence,
        "label_set_min_probability": _label_set_threshold(
            probabilities[np.arange(len(targets)), targets], accuracy_target.label_set_confidence
        ),
    }
    return Calibration(scales, scope, threshold, min_in_scope, _held_out(metrics), facts)


def _fit_scales(parts: ScoreParts, targets: npt.NDArray[Any]) -> tuple[float, float, float]:
    from scipy.optimize import minimize

    room = max(1e-3, 1.0 - float(parts.neighbours.mean()))
    prior = np.log([1.0, 1.0, _PRIOR_NEIGHBOUR_SCALE / room])
    likelihood = _likelihood_of_several if targets.ndim == 2 else _likelihood_of_one

    def loss(log_scales: npt.NDArray[np.float64]) -> float:
        distance = (log_scales - prior) / _PRIOR_SPREAD
        return float(-likelihood(parts.combine(np.exp(log_scales)), targets) + 0.5 * (distance**2).sum())

    best = minimize(loss, prior, method="Nelder-Mead", options={"maxiter": 600})
    first, second, third = (float(value) for value in np.exp(best.x))
    return first, second, third


def _likelihood_of_one(logits: FloatArray, label_ids: npt.NDArray[Any]) -> float:
    return float(log_softmax(logits, axis=1)[np.arange(len(label_ids)), label_ids].sum())


def _likelihood_of_several(logits: FloatArray, targets: npt.NDArray[Any]) -> float:
    signs = np.where(targets > 0, 1.0, -1.0)
    return float(-np.logaddexp(0.0, -signs * logits).sum())


def _calibrate_several(parts: ScoreParts, targets: npt.NDArray[Any], scales: tuple[float, float, float]) -> Calibration:
    scope = ScopeModel.fit(parts.signs)
    min_in_scope = float(np.quantile(scope.score(parts.signs), _SCOPE_LOSS_SHARE))
    threshold, metrics = _fit_several(expit(parts.combine(scales)), targets)
    return Calibration(scales, scope, threshold, min_in_scope, metrics, {"min_probability": threshold})


def _fit_several(probabilities: FloatArray, targets: npt.NDArray[Any]) -> tuple[float, dict[str, float]]:
    """Return the threshold with the best micro-F1 on the held-out rows, and the figures at it."""
    thresholds = np.linspace(0.05, 0.95, 19)
    scores = [micro_f1(probabilities >= threshold, targets > 0) for threshold in thresholds]
    best = int(np.argmax(scores))
    exact = ((probabilities >= thresholds[best]) == (targets > 0)).all(axis=1).mean()
    return float(thresholds[best]), {"held_out_micro_f1": scores[best], "held_out_subset_accuracy": float(exact)}


def _lowest_good_threshold(
    confidences: FloatArray, correct: npt.NDArray[np.bool_], accuracy_target: AccuracyTarget
) -> float:
    """Return the lowest probability at or above which enough of the answers are right; 1.0 if there is none."""
    if not len(confidences):
        return 1.0
    order = np.argsort(-confidences, kind="stable")
    ranked = confidences[order]
    num_right = np.cumsum(correct[order])
    is_last_of_equals = np.append(ranked[1:] < ranked[:-1], True)  # equals are accepted together
    indices: list[int] = np.flatnonzero(is_last_of_equals).tolist()
    if accuracy_target.confidence:
        good = _positions_by_bound(num_right, indices, accuracy_target)
    else:
        good = [index for index in indices if num_right[index] >= accuracy_target.accepted_accuracy * (index + 1)]
    return float(ranked[good[-1]]) if good else 1.0


def _positions_by_bound(
    num_right: npt.NDArray[Any], indices: Sequence[int], accuracy_target: AccuracyTarget
) -> list[int]:
    """Return the positions whose answers are right often enough with the stated confidence.

    They are tried from the surest downwards in a fixed order, so that the confidence holds although several are
    tried: the first that has enough rows and fails ends the search.

    References:
        Angelopoulos et al., "Learn then test", 2021, fixed-sequence testing.
    """
    good: list[int] = []
    # below this many rows not even a flawless record proves the promise, so nothing is tried there
    enough = int(np.ceil(np.log(1 - accuracy_target.confidence) / np.log(accuracy_target.accepted_accuracy)))
    for index in indices:
        if index + 1 < enough:
            continue
        lower = clopper_pearson_lower_bound(int(num_right[index]), int(index) + 1, accuracy_target.confidence)
        if lower < accuracy_target.accepted_accuracy:
            break
        good.append(int(index))
    return good


def _accepted_facts(
    confidences: FloatArray,
    correct: npt.NDArray[np.bool_],
    threshold: float,
    accuracy_target: AccuracyTarget,
    *,
    num_texts: int,
) -> dict[str, float]:
    accepted = confidences >= threshold
    num_accepted, num_right = int(accepted.sum()), int(correct[accepted].sum())
    lower = clopper_pearson_lower_bound(num_right, num_accepted) if num_accepted else 0.0
    return {
        "min_probability": threshold,
        "accepted_accuracy_wanted": accuracy_target.accepted_accuracy,
        "accepted_accuracy": num_right / num_accepted if num_accepted else 0.0,
        "accepted_accuracy_lower_95": lower,
        "accepted_share": num_accepted / num_texts,
    }


def _label_set_threshold(right_probabilities: FloatArray, confidence: float) -> float:
    """Return the probability from which on labels belong to the set, so that it holds the right one often enough.

    References:
        Sadinle, Lei and Wasserman, "Least ambiguous set-valued classifiers with bounded error levels", JASA 2019.
    """
    num_rows = len(right_probabilities)
    index = int(np.ceil((num_rows + 1) * confidence))
    if index > num_rows:
        return 0.0  # too few rows for the promise: every label belongs to the set
    return float(np.sort(right_probabilities)[num_rows - index])


def _held_out(metrics: dict[str, float]) -> dict[str, float]:
    return {f"held_out_{name}": value for name, value in metrics.items()}
