"""Other rules for surges, so that the monitor's tests are compared with what people use: drift detectors and vendors'.

Each rule takes hourly counts and gives one value per hour; the higher, the more it speaks for a surge.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.monitoring_detector import HISTORY_H, QUIET_H, Counts, Onset, Streams
from llms.arrays import DoubleArray

WINDOW_POSTS = (50, 150)  # of the test of windows; the small one finds steep surges, the large one weak ones
DELTAS = tuple(10.0**-power for power in (1, 2, 3, 4, 6, 8, 10, 13, 16, 20, 25, 30))  # of ADWIN, from often to rarely
VENDOR_RATIO, VENDOR_SDS = 2.0, 2.0  # the vendors' own settings


def score_hour_ratio(_posts: Counts, negatives: Counts) -> DoubleArray:
    """Return the negatives of an hour over the mean of the six hours before; a vendor alerts above 2."""
    return negatives / np.maximum(_mean_before(negatives, 6), 1 / 6)


def score_day_sds(_posts: Counts, negatives: Counts) -> DoubleArray:
    """Return by how many standard deviations 24 hours lie above the seven days before; a vendor alerts above 2."""
    total = np.cumsum(negatives, axis=1)
    day = total - _shift(total, 24)
    before = np.stack([_shift(day, 24 * number) for number in range(1, 8)])
    return (day - before.mean(axis=0)) / np.maximum(before.std(axis=0), 1.0)


def score_window_test(posts: Counts, negatives: Counts) -> DoubleArray:
    """Return the largest -log10 p of Fisher's exact test, the last posts against the history, over two windows.

    This is the rule of alibi-detect's `FETDriftOnline` as its documentation describes it, at the end of each hour
    and without the smoothing of its statistic; thresholds are set as for every other rule here.
    """
    from scipy.stats import hypergeom

    num_history, ones_history = (counts[:, :HISTORY_H].sum(axis=1) for counts in (posts, negatives))
    scores = np.zeros(posts.shape)
    for topic in range(len(posts)):
        ends = np.cumsum(posts[topic])
        labels = _order_posts(posts[topic], negatives[topic], seed=topic)
        ones = np.concatenate([[0], np.cumsum(labels)])
        for size in WINDOW_POSTS:
            starts = np.maximum(ends - size, 0)
            found, seen = ones[ends] - ones[starts], ends - starts
            total, good = num_history[topic] + seen, ones_history[topic] + found
            p_value = hypergeom.sf(found - 1, total, good, seen)
            scores[topic] = np.maximum(scores[topic], -np.log10(np.maximum(p_value, 1e-300)))
    return scores


RULES: dict[str, Callable[[Counts, Counts], DoubleArray]] = {
    "exact test of the last 50 and 150 posts": score_window_test,
    "vendor: hour over the six before": score_hour_ratio,
    "vendor: day over its week, in standard deviations": score_day_sds,
}


def count_vendor_alarms(streams: Streams) -> dict[str, float]:
    """Return the alarms per quiet topic and month of the vendors' rules with their own settings.

    An alarm lasts until the rule no longer holds.
    """
    rules = {score_hour_ratio: VENDOR_RATIO, score_day_sds: VENDOR_SDS}
    counts: dict[str, float] = {}
    for rule, limit in rules.items():
        above = rule(streams.posts, streams.negatives)[:, QUIET_H - 1 :] > limit
        name = next(name for name, listed in RULES.items() if listed is rule)
        counts[name] = float((above[:, 1:] & ~above[:, :-1]).sum() / len(above))
    return counts


def trace_adwin(quiet: Streams, surging: Streams, onsets: list[Onset]) -> NDArray[np.float64]:
    """Return (onsets, hours) from 24 h before each onset: 1 where ADWIN finds a rise, 0 elsewhere.

    Its `delta` is the one of `DELTAS` that leaves nearest to 37 % of the quiet topics silent.
    """
    silent = np.array([_find_silent_share(quiet, delta) for delta in DELTAS])
    delta = DELTAS[int(np.abs(silent - 0.37).argmin())]
    traces = []
    for onset in onsets:
        posts, negatives = surging.posts[onset.topic].copy(), surging.negatives[onset.topic].copy()
        window = slice(onset.hour, onset.hour + len(onset.posts))
        posts[window], negatives[window] = onset.posts, onset.negatives
        rises = _find_rises(posts[: window.stop], negatives[: window.stop], delta, seed=onset.topic)
        traces.append(rises[onset.hour - 24 :])
    return np.array(traces, dtype=np.float64)


def _find_silent_share(streams: Streams, delta: float) -> float:
    topics = zip(streams.posts, streams.negatives, strict=True)
    rises = [
        _find_rises(posts, negatives, delta, seed=n)[QUIET_H:].any() for n, (posts, negatives) in enumerate(topics)
    ]
    return 1 - float(np.mean(rises))


def _find_rises(posts: Counts, negatives: Counts, delta: float, *, seed: int) -> NDArray[np.bool_]:
    """Return in which hours ADWIN, fed with the label of each post, finds that the mean has risen."""
    from river.drift import ADWIN

    detector = ADWIN(delta=delta)
    labels = _order_posts(posts, negatives, seed=seed).tolist()
    rises = np.zeros(len(posts), dtype=bool)
    at = 0
    for hour, count in enumerate(posts.tolist()):
        for label in labels[at : at + count]:
            before = detector.estimation
            detector.update(label)
            if detector.drift_detected and detector.estimation > before:
                rises[hour] = True
        at += count
    return rises


def _order_posts(posts: Counts, negatives: Counts, *, seed: int) -> Counts:
    """Return the labels of posts one by one, in a random order within each hour."""
    random = np.random.default_rng(seed)
    hours = np.repeat(np.arange(len(posts)), posts)
    place = np.arange(len(hours)) - np.repeat(np.cumsum(posts) - posts, posts)
    labels = (place < negatives[hours]).astype(np.int64)
    return labels[np.lexsort((random.random(len(hours)), hours))]


def _mean_before(values: Counts, length: int) -> DoubleArray:
    total = np.cumsum(values, axis=1) - values
    return (total - _shift(total, length)) / length


def _shift(values: NDArray[np.int64], hours: int) -> NDArray[np.int64]:
    """Return values of so many hours ago; 0 before there were any."""
    shifted = np.zeros_like(values)
    shifted[:, hours:] = values[:, : values.shape[1] - hours]
    return shifted
