"""Counts by event time: the hours a baseline is learnt from, and the windows of the trend."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chains.monitoring.options import HISTORY, MonitoringOptions
from chains.monitoring.schema import Reading, TrendPoint

NUM_HOURS = int(HISTORY.total_seconds() // 3600)
OUTAGE_H = 48  # a topic silent for longer was not collected; its empty hours say nothing of its volume


@dataclass(frozen=True, slots=True)
class HourCounts:
    """The usable hours of one topic, oldest first."""

    hours: NDArray[np.int64]  # (hours,) hours since the epoch
    posts: NDArray[np.float64]  # (hours,)
    negatives: NDArray[np.float64]  # (hours,) sums of negative probabilities
    high_posts: NDArray[np.float64]  # (hours,) posts more likely negative than not
    high_negatives: NDArray[np.float64]  # (hours,) sums of their negative probabilities


class HourlyHistory:
    """The last eight weeks of one topic in hourly counts; memory does not grow.

    Example:
        >>> history = HourlyHistory(first_hour=100)
        >>> history.add(102, [0.9, 0.1])
        >>> history.collect().posts.tolist()
        [0.0, 0.0, 2.0]
    """

    def __init__(self, *, first_hour: int) -> None:
        self._first_hour = first_hour
        self._last_hour = first_hour
        self._counts = np.zeros((NUM_HOURS, 4))  # a ring over the hours: posts, negatives, the same of high ones
        self._masked = np.zeros(NUM_HOURS, dtype=bool)

    @property
    def first_hour(self) -> int:
        """The hour since which the topic has been observed, also where older hours are forgotten."""
        return self._first_hour

    def advance(self, hour: int) -> None:
        """Open all hours up to `hour`, empty."""
        for opened in range(max(self._last_hour + 1, hour - NUM_HOURS + 1), hour + 1):
            self._counts[opened % NUM_HOURS] = 0.0
            self._masked[opened % NUM_HOURS] = False
        self._last_hour = max(self._last_hour, hour)

    def add(self, hour: int, scores: list[float]) -> None:
        """Count posts of an hour that is not before the last one added.

        Args:
            hour: hours since the epoch.
            scores: probability of being negative, one per post.
        """
        self.advance(hour)
        high = [score for score in scores if score > 0.5]
        self._counts[hour % NUM_HOURS] += (len(scores), sum(scores), len(high), sum(high))

    def dump(self) -> dict[str, Any]:
        """Return everything, as plain values; of the counts only the hours that had posts."""
        filled = np.flatnonzero(self._counts[:, 0])
        return {
            "first_hour": self._first_hour,
            "last_hour": self._last_hour,
            "filled": filled.tolist(),
            "counts": self._counts[filled].tolist(),
            "masked": np.flatnonzero(self._masked).tolist(),
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "HourlyHistory":
        """Return the history that `dump` described."""
        history = cls(first_hour=state["first_hour"])
        history._last_hour = state["last_hour"]
        if state["filled"]:
            history._counts[state["filled"]] = state["counts"]
        history._masked[state["masked"]] = True
        return history

    def mask(self, first_hour: int, last_hour: int) -> None:
        """Leave these hours out of the baseline, because a surge was on."""
        oldest = max(first_hour, self._last_hour - NUM_HOURS + 1)
        for hour in range(oldest, min(last_hour, self._last_hour) + 1):
            self._masked[hour % NUM_HOURS] = True

    def forget_before(self, hour: int) -> None:
        """Let the history begin at `hour`, with nothing masked."""
        self._first_hour = hour
        self._masked[:] = False

    def collect(self, *, before_hour: int | None = None) -> HourCounts:
        """Return the counted hours without masked ones and outages.

        Args:
            before_hour: leave out this and later hours, because they are not over.
        """
        end = self._last_hour + 1 if before_hour is None else min(before_hour, self._last_hour + 1)
        hours = np.arange(max(self._first_hour, self._last_hour - NUM_HOURS + 1), end)
        counts = self._counts[hours % NUM_HOURS]
        kept = ~self._masked[hours % NUM_HOURS] & ~_find_outages(counts[:, 0])
        columns = counts[kept].T
        return HourCounts(hours[kept], columns[0], columns[1], columns[2], columns[3])


def _find_outages(posts: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which hours belong to a run of empty ones longer than an outage."""
    outages = np.zeros(len(posts), dtype=bool)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], posts == 0, [False])).astype(int)))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        outages[start:end] = end - start > OUTAGE_H
    return outages


class TrendCounter:
    """Trend points of readings that come in the order of their times."""

    def __init__(self, options: MonitoringOptions) -> None:
        self._options = options
        self._window_s = options.window.total_seconds()
        self._current: dict[str, tuple[int, float | None]] = {}  # topic -> its window and that one's baseline share

    def count(self, reading: Reading, *, topic: str, baseline_share: float | None, is_copy: bool = False) -> TrendPoint:
        """Return the point of one post; the first of a window fixes the window's `baseline_share`."""
        index = int(reading.post.time.timestamp() // self._window_s)
        label = reading.sentiment.label
        is_negative = label == self._options.negative_label
        is_positive = label == self._options.positive_label
        if self._current.get(topic, (None, None))[0] != index:
            self._current[topic] = (index, baseline_share)
        return TrendPoint(
            topic=topic,
            start=datetime.fromtimestamp(index * self._window_s, UTC),
            posts=int(not is_copy),
            negative=int(is_negative and not is_copy),
            neutral=int(not is_negative and not is_positive and not is_copy),
            positive=int(is_positive and not is_copy),
            copies=int(is_copy),
            baseline_share=self._current[topic][1],
        )

    def dump(self) -> dict[str, tuple[int, float | None]]:
        """Return everything, as plain values."""
        return dict(self._current)

    def load(self, state: Mapping[str, tuple[int, float | None]]) -> None:
        """Go on from what `dump` returned."""
        self._current = {topic: (index, share) for topic, (index, share) in state.items()}
