"""Whether a classifier knows how sure it may be: calibration, and what is gained by leaving unsure answers out."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from llms.errors import OptionValueError

__all__ = [
    "ReliabilityBin",
    "area_under_risk_coverage",
    "area_under_roc",
    "coverage_at_accuracy",
    "expected_calibration_error",
    "reliability_bins",
]

FloatArray = npt.NDArray[np.float64]


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


def _paired(confidences: npt.ArrayLike, correct: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    confidence, right = np.asarray(confidences, dtype=float), np.asarray(correct, dtype=float)
    if confidence.shape != right.shape:
        msg = f"expected one confidence per answer, got {confidence.size} confidences and {right.size} answers"
        raise OptionValueError(msg)
    # a softmax in single precision may leave [0, 1] by rounding; NaN fails both comparisons
    if confidence.size and not (confidence.min() >= -1e-6 and confidence.max() <= 1 + 1e-6):
        msg = f"confidences must lie in [0, 1], got {confidence.min():.3g} to {confidence.max():.3g}"
        raise OptionValueError(msg)
    return np.clip(confidence, 0.0, 1.0), right


def _bin_numbers(confidence: FloatArray, num_bins: int) -> npt.NDArray[np.int64]:
    return np.minimum((confidence * num_bins).astype(np.int64), num_bins - 1)


def _accuracy_by_threshold(
    confidences: npt.ArrayLike, correct: npt.ArrayLike
) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Return the accuracy of what each distinct threshold accepts, highest threshold first, and its rows' numbers."""
    confidence, right = _paired(confidences, correct)
    levels, group_sizes = np.unique(-confidence, return_counts=True)
    hits = np.bincount(np.searchsorted(levels, -confidence), weights=right, minlength=levels.size)
    return np.cumsum(hits) / np.cumsum(group_sizes), group_sizes
