"""How good a classifier is: pure functions on arrays.

Precision, recall, F1 and their averages are scikit-learn's, so that figures can be compared with anyone's. What
confidences are worth is measured in `llms.confidence_metrics`, whose names are offered here, too.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from llms.confidence_metrics import (
    ReliabilityBin,
    area_under_risk_coverage,
    area_under_roc,
    coverage_at_accuracy,
    expected_calibration_error,
    reliability_bins,
)
from llms.errors import OptionValueError

__all__ = [
    "ReliabilityBin",
    "area_under_risk_coverage",
    "area_under_roc",
    "classification_metrics",
    "clopper_pearson_bounds",
    "clopper_pearson_lower_bound",
    "coverage_at_accuracy",
    "expected_calibration_error",
    "multi_label_report",
    "per_class_report",
    "reliability_bins",
]


def clopper_pearson_bounds(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return between which two shares the true one lies, given that `successes` of `trials` were seen.

    Never too narrow: it covers the true share at least as often as `confidence` says, whatever the share is.

    Raises:
        OptionValueError: as `clopper_pearson_lower_bound`.

    Example:
        >>> [round(bound, 4) for bound in clopper_pearson_bounds(9, 10)]
        [0.555, 0.9975]

    References:
        Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial",
        Biometrika 1934.
    """
    one_sided = (1 + confidence) / 2  # what may be missed is shared between the two ends
    low = clopper_pearson_lower_bound(successes, trials, one_sided)
    return low, 1 - clopper_pearson_lower_bound(trials - successes, trials, one_sided)


def clopper_pearson_lower_bound(successes: int, trials: int, confidence: float = 0.95) -> float:
    """Return the lower end of a one-sided interval for a share; 0.0 without successes.

    Raises:
        OptionValueError: if `successes` is not in [0, `trials`], or `confidence` not in (0, 1).

    Example:
        Twenty of twenty: the share whose twentieth power is 5 %.

        >>> round(clopper_pearson_lower_bound(20, 20), 4)
        0.8609
    """
    from scipy.stats import beta

    if not 0 <= successes <= trials or not 0 < confidence < 1:
        msg = (
            "successes must lie between 0 and trials and confidence between 0 and 1, "
            f"got {successes} of {trials} at {confidence}"
        )
        raise OptionValueError(msg)
    if successes == 0:
        return 0.0
    return float(beta.ppf(1 - confidence, successes, trials - successes + 1))


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


def multi_label_report(expected: Sequence[Collection[str]], predicted: Sequence[Collection[str]]) -> dict[str, Any]:
    """Return the figures of a classifier that gives each text any number of labels.

    Returns:
        `classes` and `averages` (micro, macro, weighted, samples) as in `per_class_report`; `subset_accuracy`, the
        share of texts with exactly the expected labels; `hamming_loss`, the share of wrong yes-or-no decisions.
        A text without any label counts 0 in the samples average even where that is right, as in scikit-learn.

    Raises:
        OptionValueError: if no text has a label, the two differ in length, or a text's labels are one string.

    Example:
        >>> report = multi_label_report([{"a", "b"}, {"a"}], [{"a"}, {"a"}])
        >>> report["subset_accuracy"], report["hamming_loss"], round(report["averages"]["micro"]["f1"], 2)
        (0.5, 0.25, 0.8)
    """
    from sklearn.metrics import precision_recall_fscore_support

    labels, wanted, found = _label_indicators(expected, predicted)
    # scikit-learn takes a single column for yes and no, so there is always an empty one more, which nothing counts
    padded = [np.pad(indicators, ((0, 0), (0, 1))) for indicators in (wanted, found)]
    counted = list(range(len(labels)))
    columns = precision_recall_fscore_support(*padded, labels=counted, zero_division=0)
    classes = {
        label: _row(*(float(column[i]) for column in columns[:3]), support=int(columns[3][i]))
        for i, label in enumerate(labels)
    }
    averages = {}
    for average in ("micro", "macro", "weighted", "samples"):
        precision, recall, f1, _ = precision_recall_fscore_support(
            *padded, labels=counted, average=average, zero_division=0
        )
        averages[average] = _row(float(precision), float(recall), float(f1), support=int(wanted.sum()))
    return {
        "classes": classes,
        "averages": averages,
        "subset_accuracy": float((wanted == found).all(axis=1).mean()),
        "hamming_loss": float((wanted != found).mean()),
    }


def _label_indicators(
    expected: Sequence[Collection[str]], predicted: Sequence[Collection[str]]
) -> tuple[list[str], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the labels in order, and who has which: two arrays (texts, labels) of 0 and 1."""
    if len(expected) != len(predicted):
        msg = f"expected one set of labels per text, got {len(expected)} expected and {len(predicted)} predicted"
        raise OptionValueError(msg)
    wrong = next((row for row in (*expected, *predicted) if isinstance(row, str)), None)
    if wrong is not None:
        msg = f"expected a set of labels per text, got the text {wrong!r}; put it into a set"
        raise OptionValueError(msg)
    labels = sorted({label for row in (*expected, *predicted) for label in row})
    if not labels:
        msg = f"none of the {len(expected)} texts has a label, so there is nothing to measure; check the label column"
        raise OptionValueError(msg)
    wanted, found = (
        np.array([[int(label in row) for label in labels] for row in rows]) for rows in (expected, predicted)
    )
    return labels, wanted, found


def _row(precision: float, recall: float, f1: float, *, support: int) -> dict[str, float]:
    return {"precision": precision, "recall": recall, "f1": f1, "support": support}
