"""Delay until surges of negative opinion are found, at one false alarm per topic and month.

Simulated hourly streams (seasonal volume and share, both overdispersed, an imperfect classifier) with known
onsets. Every method gets its threshold from the same quiet topics, so that delays can be compared; the share
and volume tests are also run as they are delivered, with the thresholds they derive themselves.

Run: `python -m benchmarks.monitoring_detector` (about 6 minutes) or with `--topics 60 --onset-topics 30`.
"""

import argparse
import copy
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from chains.monitoring import Post, Reading
from chains.monitoring.baseline import fit_baseline
from chains.monitoring.detectors import SurgeDetector
from chains.monitoring.likelihood import STEP_S, STEPS_PER_HOUR
from chains.monitoring.options import MonitoringOptions
from chains.monitoring.topic import TopicMonitor
from chains.monitoring.windows import HourlyHistory
from llms import Classification
from llms.arrays import DoubleArray

Counts = NDArray[np.int64]

FIRST_HOUR = (20_000 // 7 * 7 + 4) * 24  # a Monday, 00:00 UTC
HISTORY_H, WARM_UP_H, TEST_H = 28 * 24, 7 * 24, 30 * 24
QUIET_H = HISTORY_H + WARM_UP_H
ONSET_HOURS = (2, 8, 14, 20)
SEARCH_H = 72  # an alarm later than this does not count
SILENT_SHARE = 0.37  # exp(-1): what one alarm per month on average leaves silent
RECALL, FALSE_POSITIVES = 0.87, 0.04
OURS = ("share and volume tests", "share test alone", "volume test alone")
BUDGET = 0.5  # larger than the default, so that 400 topic-months hold enough alarms to count


@dataclass(frozen=True)
class Streams:
    """Hourly counts of several topics: (topics, hours)."""

    hours: Counts  # (hours,) since the epoch
    posts: Counts
    negatives: Counts  # as the classifier sees them
    logit: DoubleArray  # of the true share


@dataclass(frozen=True)
class Variety:
    """How a stream differs from the usual one, in ways that are no surge."""

    zone_h: int = 0  # ahead of UTC
    time_zone: str = "UTC"  # the setting
    share_day_sd: float = 0.0  # of the logit
    volume_day_sd: float = 0.0  # of the logarithm
    growth_a_day: float = 0.0


VARIETIES = {
    "day of UTC-8, set": Variety(zone_h=-8, time_zone="Etc/GMT+8"),
    "share varies by day (sd .25 of the logit)": Variety(share_day_sd=0.25),
    "volume varies by day (sd .3 of the logarithm)": Variety(volume_day_sd=0.3),
    "volume grows 3 % a day": Variety(growth_a_day=0.03),
}


@dataclass(frozen=True)
class Onset:
    """One surge in one topic."""

    topic: int
    hour: int  # index into the hours of the stream
    posts: Counts  # (72,) counts from the onset on
    negatives: Counts


def draw_streams(random: np.random.Generator, rate: float, topics: int, variety: Variety | None = None) -> Streams:
    variety = variety or Variety()
    hours = FIRST_HOUR + np.arange(QUIET_H + TEST_H)
    local = hours + variety.zone_h
    hour, weekend = local % 24, (local // 24 + 3) % 7 >= 5
    day = (1 + 0.7 * np.sin(2 * np.pi * (hour - 8) / 24)) * np.where(weekend, 0.55, 1.0)
    volume = rate * day * np.exp(random.normal(0, 0.35, (topics, 1)))
    volume = volume * np.exp(_draw_by_day(random, variety.volume_day_sd, volume.shape))
    volume = volume * (1 + variety.growth_a_day) ** ((hours - hours.mean()) / 24)
    posts = random.poisson(volume * random.gamma(8, 1 / 8, volume.shape))
    wave = 0.45 * np.cos(2 * np.pi * (hour - 2) / 24) + 0.35 * weekend
    logit = np.log(0.12 / 0.88) + wave + random.normal(0, 0.2, (topics, 1))
    logit = logit + _draw_by_day(random, variety.share_day_sd, volume.shape)
    return Streams(hours, posts, draw_negatives(random, posts, logit), logit)


def _draw_by_day(random: np.random.Generator, day_sd: float, shape: tuple[int, ...]) -> DoubleArray | float:
    """Return what all hours of a day have in common: (topics, hours)."""
    if not day_sd:
        return 0.0
    days: DoubleArray = random.normal(0, day_sd, (shape[0], shape[1] // 24))
    return np.repeat(days, 24, axis=1)


def draw_negatives(random: np.random.Generator, posts: Counts, logit: DoubleArray) -> Counts:
    share = 1 / (1 + np.exp(-logit))
    sharpness = 1 / 0.02 - 1
    true = random.binomial(posts, random.beta(share * sharpness, (1 - share) * sharpness))
    return random.binomial(true, RECALL) + random.binomial(posts - true, FALSE_POSITIVES)


def draw_onset(
    random: np.random.Generator, streams: Streams, rate: float, kind: str, position: tuple[int, int]
) -> Onset:
    topic, start = position
    window = slice(start, start + SEARCH_H)
    posts, negatives = streams.posts[topic, window].copy(), streams.negatives[topic, window].copy()
    if kind == "burst":
        extra = random.poisson(max(0.35 * rate, 1.0), 12)
        posts[:12] += extra
        negatives[:12] += random.binomial(extra, RECALL)
    else:
        rise, length = (np.log(3.2), 24) if kind == "jump" else (np.log(2.0), 48)
        logit = streams.logit[topic, start : start + length] + rise
        negatives[:length] = draw_negatives(random, posts[:length], logit)
    return Onset(topic, start, posts, negatives)


# --- methods with one value per hour ---------------------------------------------------------------------


def score_counts(_posts: Counts, negatives: Counts) -> DoubleArray:
    """Return the z-score of an hour's negatives against the seven days before."""
    return (negatives - _sum_before(negatives, 168) / 168) / np.sqrt(
        np.maximum(_sum_before(negatives**2, 168) / 168 - (_sum_before(negatives, 168) / 168) ** 2, 0.25)
    )


def score_rolling_share(posts: Counts, negatives: Counts) -> DoubleArray:
    """Return how far the share of the last 24 hours lies above the history's, in standard errors."""
    baseline = _find_baseline(posts, negatives)
    last_posts = _sum_before(posts, 24) + posts - np.roll(posts, 24, axis=1)
    last_negatives = _sum_before(negatives, 24) + negatives - np.roll(negatives, 24, axis=1)
    return (last_negatives - last_posts * baseline) / np.sqrt(np.maximum(last_posts, 1) * baseline * (1 - baseline))


def score_static_ewma(posts: Counts, negatives: Counts) -> DoubleArray:
    """Return the smoothed residual of the share against the history's (weight 0.2)."""
    baseline = _find_baseline(posts, negatives)
    residual = (negatives - posts * baseline) / np.sqrt(np.maximum(posts, 1) * baseline * (1 - baseline))
    residual /= residual[:, :HISTORY_H].std(axis=1, keepdims=True)
    return _accumulate(residual, lambda before, now: 0.8 * before + 0.2 * now)


def score_static_cusum(posts: Counts, negatives: Counts) -> DoubleArray:
    """Return the binomial CUSUM against the history's share (odds ratio 2.2)."""
    baseline = _find_baseline(posts, negatives)
    raised = 2.2 * baseline / (1 - baseline + 2.2 * baseline)
    gain = negatives * np.log(raised / baseline) + (posts - negatives) * np.log((1 - raised) / (1 - baseline))
    return _accumulate(gain, lambda before, now: np.maximum(0.0, before + now))


HourlyRule = Callable[[Counts, Counts], DoubleArray]
HOURLY: dict[str, HourlyRule] = {
    "static binomial CUSUM": score_static_cusum,
    "static EWMA": score_static_ewma,
    "rolling 24 h share": score_rolling_share,
    "7-day z-score of counts": score_counts,
}


def _find_baseline(posts: Counts, negatives: Counts) -> DoubleArray:
    sums = negatives[:, :HISTORY_H].sum(axis=1, keepdims=True) / posts[:, :HISTORY_H].sum(axis=1, keepdims=True)
    return np.clip(sums, 0.01, 0.99)


def _sum_before(values: Counts, length: int) -> DoubleArray:
    """Return the sum of the `length` hours before each hour; wrong in the first ones, which nobody reads."""
    total = np.cumsum(values, axis=1) - values
    return (total - np.roll(total, length, axis=1)).astype(np.float64)


def _accumulate(values: DoubleArray, step: Callable[[DoubleArray, DoubleArray], DoubleArray]) -> DoubleArray:
    result, state = np.zeros_like(values, dtype=np.float64), np.zeros(len(values))
    for hour in range(values.shape[1]):
        state = result[:, hour] = step(state, values[:, hour])
    return result


# --- the tests of chains.monitoring, ten minutes at a time ------------------------------------------------


class SteppedTests:
    """Both tests of one topic without the alert around them, so that thresholds can be set afterwards."""

    def __init__(self) -> None:
        self.history = HourlyHistory(first_hour=FIRST_HOUR)
        self.detector: SurgeDetector | None = None

    def add_hour(self, hour: int, steps: list[list[float]]) -> list[tuple[float, float]]:
        """Return both statistics over their thresholds, after each step."""
        if hour >= FIRST_HOUR + WARM_UP_H and (hour - FIRST_HOUR) % 24 == 0:
            self.history.advance(hour)
            baseline = fit_baseline(self.history.collect(before_hour=hour))
            if self.detector is None:
                self.detector = SurgeDetector(baseline, alarms_per_month=1.0)
            self.detector.refit(baseline)
        ratios = []
        for position, scores in enumerate(steps):
            self.history.add(hour, scores)
            if self.detector is not None:
                self.detector.add(hour * STEPS_PER_HOUR + position, scores)
                tests = self.detector.share, self.detector.volume
                ratios.append((tests[0].value / tests[0].threshold, tests[1].value / tests[1].threshold))
        return ratios


def spread_hour(random: np.random.Generator, posts: Counts, negatives: Counts) -> Iterator[list[list[float]]]:
    """Yield each hour's posts by step, at random times, as negative probabilities of 0 or 1."""
    chances = [1 / STEPS_PER_HOUR] * STEPS_PER_HOUR
    others = random.multinomial(posts - negatives, chances)
    ones = random.multinomial(negatives, chances)
    for zeros_by_step, ones_by_step in zip(others.tolist(), ones.tolist(), strict=True):
        yield [[0.0] * zero + [1.0] * one for zero, one in zip(zeros_by_step, ones_by_step, strict=True)]


def combine(ratios: DoubleArray) -> DoubleArray:
    """Return (3, steps): either test, the share test, the volume test."""
    return np.vstack([ratios.max(axis=1), ratios.T])


def find_quiet_maxima(random: np.random.Generator, streams: Streams) -> DoubleArray:
    """Return (3, topics): the highest value each of our statistics reaches in the test month."""
    maxima = []
    for posts, negatives in zip(streams.posts, streams.negatives, strict=True):
        tests, highest = SteppedTests(), np.zeros(3)
        for index, steps in enumerate(spread_hour(random, posts, negatives)):
            ratios = tests.add_hour(FIRST_HOUR + index, steps)
            if index >= QUIET_H:
                highest = np.maximum(highest, combine(np.array(ratios)).max(axis=1))
        maxima.append(highest)
    return np.array(maxima).T


def trace_onsets(
    random: np.random.Generator, streams: Streams, onsets: dict[str, list[Onset]]
) -> dict[str, DoubleArray]:
    """Return by kind (onsets, 3, 24 + 72 hours of steps): our statistics around every onset."""
    traces: dict[str, list[DoubleArray]] = {kind: [] for kind in onsets}
    for topic in range(len(streams.posts)):
        starts = {onset.hour: position for position, onset in enumerate(onsets["jump"]) if onset.topic == topic}
        tests, recent = SteppedTests(), []
        for index, steps in enumerate(spread_hour(random, streams.posts[topic], streams.negatives[topic])):
            if index in starts:
                for kind, listed in onsets.items():
                    onset, branch, after = listed[starts[index]], copy.deepcopy(tests), list(recent[-24:])
                    hours = spread_hour(random, onset.posts, onset.negatives)
                    after += [branch.add_hour(FIRST_HOUR + index + later, steps) for later, steps in enumerate(hours)]
                    traces[kind].append(combine(np.array(after).reshape(-1, 2)))
            recent = [*recent[-24:], tests.add_hour(FIRST_HOUR + index, steps)]
    return {kind: np.array(listed) for kind, listed in traces.items()}


# --- scores -----------------------------------------------------------------------------------------------


def find_threshold(maxima: DoubleArray) -> float:
    return float(np.quantile(maxima, SILENT_SHARE))


def describe_delays(traces: DoubleArray, threshold: float, steps_per_hour: int) -> str:
    """Return "median h / % within 6 h / % within 24 h" of traces (onsets, steps) that begin 24 h before."""
    above = traces > threshold
    before = 24 * steps_per_hour
    kept = above[~above[:, :before].any(axis=1), before:]
    delay = np.where(kept.any(axis=1), (kept.argmax(axis=1) + 1) / steps_per_hour, np.inf)
    middle = float(np.median(delay))
    median = f"{middle:.1f}" if np.isfinite(middle) else "never"
    return f"{median} / {np.mean(delay <= 6):.0%} / {np.mean(delay <= 24):.0%}".replace("%", "")


def trace_hourly(method: HourlyRule, streams: Streams, onsets: list[Onset]) -> DoubleArray:
    posts = np.stack([streams.posts[onset.topic] for onset in onsets])
    negatives = np.stack([streams.negatives[onset.topic] for onset in onsets])
    for position, onset in enumerate(onsets):
        window = slice(onset.hour, onset.hour + SEARCH_H)
        posts[position, window], negatives[position, window] = onset.posts, onset.negatives
    values = method(posts, negatives)
    return np.stack([row[o.hour - 24 : o.hour + SEARCH_H] for row, o in zip(values, onsets, strict=True)])


def measure_rate(
    seed: int,
    rate: float,
    kinds: list[str],
    sizes: tuple[int, int],
    *,
    rules: Mapping[str, HourlyRule] | None = None,
    with_others: Callable[[Streams, Streams, dict[str, list[Onset]]], dict[str, list[str]]] = lambda *_: {},
) -> dict[str, list[str]]:
    """Return the table's cells by method, one per kind of onset.

    Args:
        seed: of everything that is drawn.
        rate: posts an hour.
        kinds: of onsets.
        sizes: quiet topics, and topics with four onsets each.
        rules: with one value per hour, beside the monitor's tests.
        with_others: quiet streams, surging streams and onsets -> cells of methods of other forms.
    """
    random = np.random.default_rng([seed, int(rate)])
    quiet, surging = (draw_streams(random, rate, topics) for topics in sizes)
    days = random.integers(2, 26, (sizes[1], len(ONSET_HOURS)))
    days.sort(axis=1)
    positions = [
        (t, QUIET_H + 24 * int(d) + h) for t in range(sizes[1]) for d, h in zip(days[t], ONSET_HOURS, strict=True)
    ]
    onsets = {kind: [draw_onset(random, surging, rate, kind, position) for position in positions] for kind in kinds}
    ours = [find_threshold(maxima) for maxima in find_quiet_maxima(random, quiet)]
    traces = trace_onsets(random, surging, onsets)
    cells = {
        name: [describe_delays(traces[kind][:, row], ours[row], STEPS_PER_HOUR) for kind in kinds]
        for row, name in enumerate(OURS)
    }
    for name, method in (HOURLY if rules is None else rules).items():
        threshold = find_threshold(method(quiet.posts, quiet.negatives)[:, QUIET_H:].max(axis=1))
        cells[name] = [describe_delays(trace_hourly(method, surging, onsets[kind]), threshold, 1) for kind in kinds]
    cells |= with_others(quiet, surging, onsets)
    print(f"{rate:g} posts/h: our thresholds x {ours[0]:.2f} give one false alarm per topic and month\n", flush=True)
    return cells


def measure_budget(seed: int, rate: float, topics: int, name: str = "") -> str:
    """Return what the delivered monitor raises on quiet topics, thresholds untouched."""
    random = np.random.default_rng([seed, int(rate * 10), 1])
    variety = VARIETIES.get(name, Variety())
    streams = draw_streams(random, rate, topics, variety)
    options = MonitoringOptions(false_alarms_per_topic_month=BUDGET, time_zone=variety.time_zone)
    alarms, silent = 0, 0
    for posts, negatives in zip(streams.posts, streams.negatives, strict=True):
        monitor = TopicMonitor("topic", options, start_s=FIRST_HOUR * 3600.0)
        raised = 0
        for index, steps in enumerate(spread_hour(random, posts, negatives)):
            for position, scores in enumerate(steps):
                end_s = (FIRST_HOUR + index) * 3600 + (position + 1) * STEP_S
                for score in scores:
                    monitor.add(_reading(score, end_s - STEP_S))
                opened = [alert for alert in monitor.advance(end_s) if alert.state == "open" and not alert.escalations]
                raised += len(opened) if index >= QUIET_H else 0
        alarms, silent = alarms + raised, silent + (raised == 0)
    budget = options.false_alarms_per_topic_month
    what = f"{rate:g} posts/h{', ' if name else ''}{name}"
    return f"| {what} | {budget:g} | {alarms / topics:.2f} | {silent / topics:.0%} | {np.exp(-budget):.0%} |"


def _reading(score: float, time_s: float) -> Reading:
    # unchecked: millions are made here
    post = Post.model_construct(id="", source="", text="", time=datetime.fromtimestamp(time_s, UTC))
    sentiment = Classification.model_construct(label="", probability=score, probabilities={"negative": score})
    return Reading.model_construct(post=post, topic=sentiment, sentiment=sentiment)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--topics", type=int, default=400, help="quiet topics that set the thresholds")
    parser.add_argument("--onset-topics", type=int, default=130, help="topics with four onsets each")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    started, sizes = time.process_time(), (chosen.topics, chosen.onset_topics)
    busy = measure_rate(chosen.seed, 15.0, ["jump", "weak", "burst"], sizes)
    sparse = measure_rate(chosen.seed, 4.0, ["jump"], sizes)
    print("| Method | 15/h jump 12 -> 30 % | 15/h weak 12 -> 21 % | 15/h burst | 4/h jump |")
    print("|---|---|---|---|---|")
    for name, cells in busy.items():
        print(f"| {name} | {' | '.join(cells + sparse[name])} |")
    print("\nMedian delay in h / % within 6 h / % within 24 h, at one false alarm per topic and month.\n")
    print("| Quiet stream | false alarms allowed per topic-month | raised | silent topics | expected silent |")
    print("|---|---|---|---|---|")
    for rate in (15.0, 4.0, 0.7):
        print(measure_budget(chosen.seed, rate, chosen.topics), flush=True)
    for name in VARIETIES:
        print(measure_budget(chosen.seed, 15.0, max(1, chosen.topics // 4), name), flush=True)
    size = f"--topics {chosen.topics} --onset-topics {chosen.onset_topics} --seed {chosen.seed}"
    print(f"\nCommand: `python -m benchmarks.monitoring_detector {size}`")
    print(f"One core of {platform.machine()}, {time.process_time() - started:.0f} s of CPU, numpy {np.__version__}.")


if __name__ == "__main__":
    main()
