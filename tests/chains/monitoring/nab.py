"""Scores of the Numenta Anomaly Benchmark: early detections in labelled windows count more, false ones cost.

References:
    Lavin and Ahmad, "Evaluating Real-time Anomaly Detection Algorithms", ICMLA 2015.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]

PROBATION_SHARE, MAX_PROBATION = 0.15, 750
# the standard profile
HIT, FALSE_ALARM, MISS = 1.0, 0.11, 1.0


@dataclass(frozen=True)
class Series:
    """One labelled series.

    Attributes:
        name: of its file.
        values: (points,).
        seconds: (points,) Unix times.
        windows: first and last point of each labelled window.
    """

    name: str
    values: NDArray[np.float64]
    seconds: NDArray[np.int64]
    windows: Sequence[tuple[int, int]]


def score_series(flags: Flags, windows: Sequence[tuple[int, int]]) -> float:
    """Return the raw score of the detections in one series.

    Of a window its best detection counts, and each detection outside costs, less so right after a window. What is
    detected in the probation at the beginning counts for nothing.

    Args:
        flags: (points,) which points were detected.
        windows: first and last point of each window, in order.

    Example:
        >>> flags = np.zeros(1000, dtype=bool)
        >>> score_series(flags, [(400, 499)])
        -1.0
    """
    probation = min(int(PROBATION_SHARE * len(flags)), MAX_PROBATION)
    detected = np.flatnonzero(flags)
    detected = detected[detected >= probation]
    total, is_inside = 0.0, np.zeros(len(detected), dtype=bool)
    for first, last in windows:
        inside = (first <= detected) & (detected <= last)
        is_inside |= inside
        if last < probation:
            continue
        width = last - first + 1
        places = (detected[inside] - last - 1) / width
        total += HIT * float(_sigmoid(places).max()) / float(_sigmoid(np.array(-1.0))) if inside.any() else -MISS
    ends = np.array([-np.inf, *(last for _, last in windows)])
    lengths = np.array([1.0, *(last - first for first, last in windows)])
    outside = detected[~is_inside]
    before = np.searchsorted(ends, outside, side="left") - 1  # the window that ended last
    total += FALSE_ALARM * float(_sigmoid((outside - ends[before]) / lengths[before]).sum())
    return total


def normalise(total: float, num_windows: int) -> float:
    """Return a sum of raw scores on the scale from 0 (nothing detected) to 100 (all at once, nothing else)."""
    null = -MISS * num_windows
    return 100 * (total - null) / (HIT * num_windows - null)


def score_common(table: NDArray[np.float64], num_windows: int) -> tuple[int, float]:
    """Return the setting that is best for all series together, and its score.

    Args:
        table: (settings, series) raw scores.
        num_windows: of all series.
    """
    best = int(table.sum(axis=1).argmax())
    return best, normalise(float(table[best].sum()), num_windows)


def score_left_out(table: NDArray[np.float64], num_windows: int) -> float:
    """Return the score where each series has the setting that is best for all others; see `score_common`."""
    others = table.sum(axis=1, keepdims=True) - table
    chosen = others.argmax(axis=0)
    return normalise(float(table[chosen, np.arange(table.shape[1])].sum()), num_windows)


def score_thresholds(
    series: Sequence[Series], detect: Callable[[int, float], Flags], thresholds: Sequence[float]
) -> NDArray[np.float64]:
    """Return (thresholds, series) raw scores.

    Args:
        series: all of them.
        detect: number of a series and a threshold -> its detections.
        thresholds: to try.
    """
    rows = [[score_series(detect(n, limit), one.windows) for n, one in enumerate(series)] for limit in thresholds]
    return np.array(rows)


def _sigmoid(place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the worth of a detection by its place: -1 at the start of a window, 0 right after its end."""
    worth: NDArray[np.float64] = 2 / (1 + np.exp(5 * np.minimum(place, 100.0))) - 1
    return np.where(place >= 3.0, -1.0, worth)
