"""Metrics of classifiers, confidences and rankings: pure functions on arrays.

Precision, recall, F1 and their averages are scikit-learn's, so that figures can be compared with anyone's.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from llms.arrays import BoolArray, DoubleArray, FloatArray
from llms.errors import OptionValueError


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
    return low, clopper_pearson_upper_bound(successes, trials, one_sided)


def clopper_pearson_lower_bound(successes: int, trials: int, confidence: float = 0.95) -> float:
    """Return the lower end of a one-sided interval for a share; 0.0 without successes.

    Raises:
        OptionValueError: if `successes` is not in [0, `trials`], or `confidence` not in (0, 1).

    Example:
        Twenty of twenty: the share whose twentieth power is 5 %.

        >>> round(clopper_pearson_lower_bound(20, 20), 4)
        0.8609
    """
    from scipy.special import betaincinv  # scipy.stats gives the same, and takes half a second to import

    if not 0 <= successes <= trials or not 0 < confidence < 1:
        msg = (
            "successes must lie between 0 and trials and confidence between 0 and 1, "
            f"got {successes} of {trials} at {confidence}"
        )
        raise OptionValueError(msg)
    if successes == 0:
        return 0.0
    return float(betaincinv(successes, trials - successes + 1, 1 - confidence))


def clopper_pearson_upper_bound(successes: int, trials: int, confidence: float = 0.95) -> float:
    """Return the upper end of a one-sided interval for a share; 1.0 where all, or none were tried.

    Raises:
        OptionValueError: as `clopper_pearson_lower_bound`.

    Example:
        None of twenty: 14 % would be missed once in twenty times.

        >>> round(clopper_pearson_upper_bound(0, 20), 4)
        0.1391
    """
    return 1 - clopper_pearson_lower_bound(trials - successes, trials, confidence)


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


def micro_f1(predicted: npt.NDArray[np.bool_], expected: npt.NDArray[np.bool_]) -> float:
    """Return the F1 of all decisions together; 1 where there was nothing to find and nothing was found.

    Args:
        predicted: one decision per text and label, (texts, labels).
        expected: the right ones, of the same shape.

    Example:
        >>> micro_f1(np.array([[True, True]]), np.array([[True, False]]))
        0.6666666666666666
    """
    total = int(predicted.sum()) + int(expected.sum())
    return 2 * int((predicted & expected).sum()) / total if total else 1.0


def first_ranks(scores: FloatArray, relevant: BoolArray) -> npt.NDArray[np.int64]:
    """Return the rank of the first relevant column of each row; equal scores count against it.

    Example:
        >>> first_ranks(np.array([[0.9, 0.5, 0.5]]), np.array([[False, True, False]])).tolist()
        [3]
    """
    best = np.where(relevant, scores, -np.inf).max(axis=1, keepdims=True)  # (rows, 1)
    ranks: npt.NDArray[np.int64] = 1 + ((scores >= best) & ~relevant).sum(axis=1)
    return ranks


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


class ReliabilityBin(NamedTuple):
    """The rows whose confidence lies between `low` and `high`: how sure the model was, how often it was right."""

    low: float
    high: float
    mean_confidence: float
    accuracy: float
    num_rows: int


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
    confidence, right = _paired(confidences, correct)
    if confidence.size == 0:
        return 0.0
    gap_sums = np.bincount(_bin_numbers(confidence, num_bins), weights=confidence - right, minlength=num_bins)
    return round(float(np.abs(gap_sums).sum() / confidence.size), 10)


def reliability_bins(confidences: npt.ArrayLike, correct: npt.ArrayLike, *, num_bins: int = 15) -> list[ReliabilityBin]:
    """Return how often the model was right at each level of confidence: the points of a reliability diagram.

    The bins are those of `expected_calibration_error`, which is the mean of their gaps weighted by rows.

    Returns:
        Bins of equal width, lowest first; those without rows are left out.

    Example:
        >>> [bin.accuracy for bin in reliability_bins([0.9, 0.9, 0.6, 0.6], [True, True, True, False], num_bins=10)]
        [0.5, 1.0]

    References:
        Guo et al., "On calibration of modern neural networks", ICML 2017, section 2.
    """
    confidence, right = _paired(confidences, correct)
    numbers = _bin_numbers(confidence, num_bins)
    counts = np.bincount(numbers, minlength=num_bins)
    sure = np.bincount(numbers, weights=confidence, minlength=num_bins)
    hits = np.bincount(numbers, weights=right, minlength=num_bins)
    return [
        ReliabilityBin(
            low=i / num_bins,
            high=(i + 1) / num_bins,
            mean_confidence=float(sure[i] / counts[i]),
            accuracy=float(hits[i] / counts[i]),
            num_rows=int(counts[i]),
        )
        for i in np.flatnonzero(counts).tolist()
    ]


def area_under_risk_coverage(confidences: npt.ArrayLike, correct: npt.ArrayLike) -> float:
    """Return the mean share of mistakes among the surest answers over all thresholds (AURC); lower is better.

    It is small if the model is right often and its mistakes are what it is least sure of. Answers of equal
    confidence are accepted together, so their order does not matter.

    Returns:
        A share in [0, 1]; 0.0 for no rows.

    Example:
        The shares of mistakes are 0, 0, 1/3 and 1/4.

        >>> round(area_under_risk_coverage([0.9, 0.8, 0.7, 0.6], [True, True, False, True]), 4)
        0.1458

    References:
        Geifman, Uziel and El-Yaniv, "Bias-reduced uncertainty estimation for deep neural classifiers", ICLR 2019.
    """
    accuracy, group_sizes = _accuracy_by_threshold(confidences, correct)
    if accuracy.size == 0:
        return 0.0
    return float(np.average(1 - accuracy, weights=group_sizes))


def coverage_at_accuracy(confidences: npt.ArrayLike, correct: npt.ArrayLike, accuracy: float) -> float:
    """Return the largest share of rows that can be answered, surest first, with at least `accuracy` of them right.

    Returns:
        A share in [0, 1]; 0.0 where no threshold is good enough. Answers of equal confidence are taken together.

    Example:
        Two of two are right, then two of three, then three of four.

        >>> coverage_at_accuracy([0.9, 0.8, 0.7, 0.6], [True, True, False, True], 0.95)
        0.5
        >>> coverage_at_accuracy([0.9, 0.8, 0.7, 0.6], [True, True, False, True], 0.75)
        1.0
    """
    reached, group_sizes = _accuracy_by_threshold(confidences, correct)
    good = np.flatnonzero(reached >= accuracy - 1e-12)
    return float(group_sizes[: good[-1] + 1].sum() / group_sizes.sum()) if good.size else 0.0


def area_under_roc(in_scope_scores: npt.ArrayLike, out_of_scope_scores: npt.ArrayLike) -> float:
    """Return how often a text in scope scores higher than one out of scope, in [0, 1]; a tie counts half.

    1 parts the two perfectly, 0.5 is chance.

    Raises:
        OptionValueError: if either kind has no scores.

    Example:
        Of four pairs, three are in order.

        >>> area_under_roc([0.9, 0.4], [0.5, 0.1])
        0.75

    References:
        Hanley and McNeil, "The meaning and use of the area under a receiver operating characteristic curve",
        Radiology 1982.
    """
    from sklearn.metrics import roc_auc_score

    inside, outside = np.asarray(in_scope_scores, dtype=float), np.asarray(out_of_scope_scores, dtype=float)
    if not inside.size or not outside.size:
        msg = f"scores of both kinds are needed, got {inside.size} in scope and {outside.size} out of scope; add texts"
        raise OptionValueError(msg)
    kinds = np.repeat([1, 0], [inside.size, outside.size])
    return float(roc_auc_score(kinds, np.concatenate([inside, outside])))


def _paired(confidences: npt.ArrayLike, correct: npt.ArrayLike) -> tuple[DoubleArray, DoubleArray]:
    confidence, right = np.asarray(confidences, dtype=float), np.asarray(correct, dtype=float)
    if confidence.shape != right.shape:
        msg = f"expected one confidence per answer, got {confidence.size} confidences and {right.size} answers"
        raise OptionValueError(msg)
    # a softmax in single precision may leave [0, 1] by rounding; NaN fails both comparisons
    if confidence.size and not (confidence.min() >= -1e-6 and confidence.max() <= 1 + 1e-6):
        msg = f"confidences must lie in [0, 1], got {confidence.min():.3g} to {confidence.max():.3g}"
        raise OptionValueError(msg)
    return np.clip(confidence, 0.0, 1.0), right


def _bin_numbers(confidence: DoubleArray, num_bins: int) -> npt.NDArray[np.int64]:
    return np.minimum((confidence * num_bins).astype(np.int64), num_bins - 1)


def _accuracy_by_threshold(
    confidences: npt.ArrayLike, correct: npt.ArrayLike
) -> tuple[DoubleArray, npt.NDArray[np.int64]]:
    """Return the accuracy of what each distinct threshold accepts, highest threshold first, and its rows' numbers."""
    confidence, right = _paired(confidences, correct)
    levels, group_sizes = np.unique(-confidence, return_counts=True)
    hits = np.bincount(np.searchsorted(levels, -confidence), weights=right, minlength=levels.size)
    return np.cumsum(hits) / np.cumsum(group_sizes), group_sizes
