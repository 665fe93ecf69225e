"""How good a classifier is: pure functions on arrays.

Precision, recall, F1 and their averages are scikit-learn's, so that figures can be compared with anyone's.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["classification_metrics", "expected_calibration_error", "per_class_report"]


def expected_calibration_error(confidences: npt.ArrayLike, correct: npt.ArrayLike, *, num_bins: int = 15) -> float:
    """Return the mean gap between how sure the model was and how often it was right, in [0, 1].

    Args:
        confidences: probability of the chosen label, one per row, in [0, 1].
        correct: whether that label was right.
        num_bins: bins of equal width; the figure depends on it, so state it beside the figure.

    Returns:
        The gap per bin, weighted by the bin's share of rows; 0.0 for no rows.

    Example:
        >>> expected_calibration_error([0.9, 0.9, 0.6, 0.6], [True, True, True, False])
        0.1

    References:
        Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning",
        AAAI 2015.
    """
    confidence = np.asarray(confidences, dtype=float)
    right = np.asarray(correct, dtype=float)
    if confidence.size == 0:
        return 0.0
    bins = np.minimum((confidence * num_bins).astype(int), num_bins - 1)
    gap_sums = np.bincount(bins, weights=confidence - right, minlength=num_bins)
    return round(float(np.abs(gap_sums).sum() / confidence.size), 10)


def classification_metrics(
    expected: Sequence[str], predicted: Sequence[str], confidences: Sequence[float] | None = None
) -> dict[str, float]:
    """Return accuracy, macro-F1 and, where confidences are given, the calibration error.

    Example:
        >>> classification_metrics(["a", "b"], ["a", "a"])["accuracy"]
        0.5
    """
    from sklearn.metrics import accuracy_score, f1_score

    metrics = {
        "accuracy": float(accuracy_score(expected, predicted)),
        "macro_f1": float(f1_score(expected, predicted, average="macro", zero_division=0)),
    }
    if confidences is not None:
        right = [want == got for want, got in zip(expected, predicted, strict=True)]
        metrics["ece"] = expected_calibration_error(confidences, right)
    return metrics


def per_class_report(expected: Sequence[str], predicted: Sequence[str]) -> dict[str, Any]:
    """Return precision, recall, F1 and support per class with micro, macro and weighted averages.

    Also `confusion`: labels and a matrix with one row per expected and one column per predicted label.
    """
    from sklearn.metrics import precision_recall_fscore_support

    labels = sorted(set(expected) | set(predicted))
    columns = precision_recall_fscore_support(expected, predicted, labels=labels, zero_division=0)
    classes = {
        label: _row(*(float(column[i]) for column in columns[:3]), support=int(columns[3][i]))
        for i, label in enumerate(labels)
    }
    averages = {}
    for average in ("micro", "macro", "weighted"):
        precision, recall, f1, _ = precision_recall_fscore_support(
            expected, predicted, labels=labels, average=average, zero_division=0
        )
        averages[average] = _row(float(precision), float(recall), float(f1), support=len(expected))
    pairs = Counter(zip(expected, predicted, strict=True))
    matrix = [[pairs[want, got] for got in labels] for want in labels]
    return {"classes": classes, "averages": averages, "confusion": {"labels": labels, "matrix": matrix}}


def _row(precision: float, recall: float, f1: float, *, support: int) -> dict[str, float]:
    return {"precision": precision, "recall": recall, "f1": f1, "support": support}
