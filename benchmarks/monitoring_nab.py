"""The ten Twitter series of the Numenta Anomaly Benchmark: the monitor's volume test beside a moving Gaussian.

They are numbers of posts, not of negative ones, and labelled partly by hand; no text comes with them.
"""

import csv
import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.monitoring_detector import FIRST_HOUR, SteppedTests
from chains.monitoring.likelihood import STEPS_PER_HOUR
from llms.arrays import DoubleArray
from tests.chains.monitoring.nab import Flags, Series, score_common, score_left_out, score_thresholds

FOLDER = "realTweets"
BIN_S = 300
COOL_DOWN_BINS = 24 * 3600 // BIN_S  # the detector of a monitor tells of one surge once
MAX_COUNT = 400  # of a bin: a few of a million posts would decide everything
WINDOW, STEP = 6_400, 100  # of the moving Gaussian, as in the benchmark's own
WEEK_H = 7 * 24
EPOCH_MONDAY_H = 4 * 24  # 1 January 1970 was a Thursday
PUBLISHED = {"HTM": 68.0, "Twitter ADVec": 59.6, "moving Gaussian": 51.4, "best of all published (ARTime)": 81.8}


def read_series(folder: Path) -> list[Series]:
    """Return the series with their windows; see the folder's own notes on where they come from."""
    labels = json.loads((folder / "labels" / "combined_windows.json").read_text("utf-8"))
    return [_read_one(path, labels[f"{FOLDER}/{path.name}"]) for path in sorted((folder / "data" / FOLDER).iterdir())]


def _read_one(path: Path, windows: list[list[str]]) -> Series:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    seconds = np.array([_to_s(row["timestamp"]) for row in rows])
    places = [tuple(int(np.searchsorted(seconds, _to_s(moment))) for moment in window) for window in windows]
    values = np.array([float(row["value"]) for row in rows])
    return Series(path.stem, values, seconds, [(first, last) for first, last in places])


def _to_s(moment: str) -> int:
    return int(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp())


def describe_nab(folder: Path) -> Iterator[str]:
    """Yield the section of the page."""
    series = read_series(folder)
    num_windows = sum(len(one.windows) for one in series)
    yield "| method | one threshold for all | that of the other nine | published |"
    yield "|---|---|---|---|"
    for name, (common, left_out) in _measure(series, num_windows).items():
        published = PUBLISHED.get(name)
        yield f"| {name} | {common:.1f} | {left_out:.1f} | {'' if published is None else published} |"
    for name, published in PUBLISHED.items():
        if name != "moving Gaussian":
            yield f"| {name} | | | {published} |"


def _measure(series: list[Series], num_windows: int) -> dict[str, tuple[float, float]]:
    ratios = [_test_volume(one) for one in series]
    odds = [_score_gaussian(one.values) for one in series]

    def by_volume(number: int, threshold: float) -> Flags:
        return _raise_alarms(ratios[number], threshold)

    def by_gaussian(number: int, threshold: float) -> Flags:
        return odds[number] >= threshold

    limits = {
        "volume test of the monitor": (by_volume, np.geomspace(0.05, 40, 120)),
        "moving Gaussian": (by_gaussian, 1 - np.geomspace(1e-16, 0.2, 200)),
    }
    figures: dict[str, tuple[float, float]] = {}
    for name, (detect, thresholds) in limits.items():
        table = score_thresholds(series, detect, thresholds.tolist())
        figures[name] = score_common(table, num_windows)[1], score_left_out(table, num_windows)
    return figures


def _test_volume(series: Series) -> DoubleArray:
    """Return (bins,) the volume test over its threshold, after each step of ten minutes."""
    hours, steps = series.seconds // 3600, series.seconds // 600
    monday = (int(hours[0]) - EPOCH_MONDAY_H) // WEEK_H * WEEK_H + EPOCH_MONDAY_H
    counts = np.bincount(steps - hours[0] * STEPS_PER_HOUR, np.minimum(series.values, MAX_COUNT)).astype(np.int64)
    counts = np.pad(counts, (0, -len(counts) % STEPS_PER_HOUR))
    tests = SteppedTests()
    ratios: list[float] = []
    for number, of_hour in enumerate(counts.reshape(-1, STEPS_PER_HOUR).tolist()):
        found = tests.add_hour(FIRST_HOUR + int(hours[0]) - monday + number, [[1.0] * count for count in of_hour])
        ratios += [volume for _, volume in found] or [0.0] * STEPS_PER_HOUR
    # a step is known at its end, which is the end of the later one of its bins
    last_step = (series.seconds + BIN_S) // 600 - 1 - hours[0] * STEPS_PER_HOUR
    return np.array([0.0, *ratios])[np.clip(last_step + 1, 0, len(ratios))]


def _raise_alarms(ratios: DoubleArray, threshold: float) -> Flags:
    """Return the bins in which an alarm is raised: the first above the threshold, and none for a day after it."""
    flags = np.zeros(len(ratios), dtype=bool)
    above = np.flatnonzero(ratios >= threshold)
    while len(above):
        flags[above[0]] = True
        above = above[above > above[0] + COOL_DOWN_BINS]
    return flags


def _score_gaussian(values: DoubleArray) -> DoubleArray:
    """Return 1 less the tail of a normal distribution at each value, fitted to the bins before it."""
    scores = np.zeros(len(values))
    for at in range(1, len(values)):
        start, end = _find_window(at)
        mean, deviation = _fit(values[start:end])
        scores[at] = 1 - 0.5 * math.erfc(abs(float(values[at]) - mean) / deviation / math.sqrt(2))
    return scores


def _find_window(at: int) -> tuple[int, int]:
    """Return the bins that a value is compared with: all before it, then windows that move on by whole steps."""
    if at <= WINDOW:
        return 0, at
    moved = (at - WINDOW) // STEP * STEP
    return moved, moved + WINDOW


def _fit(window: DoubleArray) -> tuple[float, float]:
    return float(window.mean()), float(window.std()) or 1e-6
