"""The state of opinion monitoring: which posts count, and what their readings change."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chains.errors import ChainInputError
from chains.monitoring.copies import CopyFinder
from chains.monitoring.entities import ENTITY_PREFIX
from chains.monitoring.event_time import PostIntake
from chains.monitoring.options import MonitoringOptions
from chains.monitoring.schema import Alert, Post, Reading, SetAside, Trend, TrendPoint
from chains.monitoring.topic import TopicMonitor
from chains.monitoring.windows import TrendCounter
from retrievers import utc_now

UNKNOWN_TOPIC = "unknown"  # of posts that the topic classifier does not accept; they are counted and not watched


@dataclass(frozen=True, slots=True)
class Admitted:
    """Which of the posts that came count; `set_aside` holds the late and the future ones."""

    posts: tuple[Post, ...]
    set_aside: tuple[SetAside, ...]
    duplicates: int


@dataclass(frozen=True, slots=True)
class Progress:
    """What a stretch of the stream brought.

    Attributes:
        alerts: those that it opened, escalated or closed, by event time.
        trend: the counts that it added.
        copies: source and id of its posts that repeat the text of another one.
    """

    alerts: tuple[Alert, ...]
    trend: tuple[TrendPoint, ...]
    copies: tuple[tuple[str, str], ...] = ()


class OpinionMonitor:
    """Watches all topics of one stream; its memory does not grow with the length of the stream.

    `select` tells which posts need to be classified. Once that is done, `admit` takes them and `process` their
    readings: what fails before changes nothing. Not safe for several threads: one stream, one monitor, one thread at a
    time.

    Args:
        options: how to watch.
        clock: the present time, which decides what is dated in the future.

    Example:
        >>> monitor = OpinionMonitor()
        >>> post = Post(id="1", source="forum", text="The app is down", time="2026-03-02T09:30:00Z")
        >>> admitted = monitor.admit([post, post])
        >>> [post.id for post in admitted.posts], admitted.duplicates
        (['1'], 1)
    """

    def __init__(self, options: MonitoringOptions | None = None, *, clock: Callable[[], datetime] = utc_now) -> None:
        self.options = options or MonitoringOptions()
        self._intake = PostIntake(self.options, clock=clock)
        self._copies = CopyFinder()
        self._trend = TrendCounter(self.options)
        self._topics: dict[str, TopicMonitor] = {}

    @property
    def watermark_s(self) -> float:
        """Unix time before which nothing is accepted any more."""
        return self._intake.watermark_s

    def select(self, posts: Iterable[Post]) -> list[Post]:
        """Return the posts that would count if they came now, each once, in the given order; nothing changes."""
        chosen = {post.key: post for post in reversed(list(posts)) if self._intake.judge(post) == "new"}
        return list(chosen.values())[::-1]

    def admit(self, posts: Iterable[Post]) -> Admitted:
        """Return the posts that count, in the given order, and what became of the others."""
        counted: list[Post] = []
        set_aside: list[SetAside] = []
        duplicates = 0
        for post in posts:
            verdict = self._intake.admit(post)
            if verdict == "new":
                counted.append(post)
            elif verdict == "duplicate":
                duplicates += 1
            else:
                set_aside.append(SetAside(post=post, reason=verdict))
        return Admitted(tuple(counted), tuple(set_aside), duplicates)

    def process(self, readings: Iterable[Reading]) -> Progress:
        """Return what readings of admitted posts brought.

        A post waits until the stream is `allowed_lateness` past it; `finish` ends the waiting.

        Raises:
            ChainInputError: if a sentiment has no probability of `negative_label`.
        """
        accepted = list(readings)
        self.check_labels(accepted)
        for reading in accepted:
            self._intake.hold(reading)
        return self._proceed()

    def tick(self) -> Progress:
        """Return what the time that the clock shows brought, where the stream is live and silent."""
        self._intake.tick()
        return self._proceed()

    def replay(self, posts: Iterable[Post], readings: Iterable[Reading], *, watermark_s: float) -> Progress:
        """Return what posts bring again that were admitted before, as of a watermark that was reached before.

        Args:
            posts: all that were admitted or late, in the order in which they came.
            readings: of those that were admitted.
            watermark_s: of the monitor once it had them.
        """
        for post in posts:
            self._intake.take(post)
        for reading in readings:
            self._intake.hold(reading)
        self._intake.advance_to(watermark_s)
        return self._proceed()

    def dump(self) -> dict[str, Any]:
        """Return everything that `load` needs to go on, as plain values; the ids of posts are not among it."""
        return {
            "intake": self._intake.dump(),
            "copies": self._copies.dump(),
            "trend": self._trend.dump(),
            "topics": {name: topic.dump() for name, topic in self._topics.items()},
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what `dump` returned."""
        self._intake.load(state["intake"])
        self._copies.load(state["copies"])
        self._trend.load(state["trend"])
        self._topics = {
            name: TopicMonitor.restore(name, self.options, values) for name, values in state["topics"].items()
        }

    def _proceed(self) -> Progress:
        """Return what brings the stream up to the watermark."""
        changed, trend, copies = self._count(self._intake.release())
        for topic in self._topics.values():
            changed += topic.advance(self._intake.watermark_s)
        return Progress(_sort_by_time(changed), trend, copies)

    def finish(self) -> Progress:
        """Return what the waiting posts bring, because the stream has ended."""
        changed, trend, copies = self._count(self._intake.release(everything=True))
        for topic in self._topics.values():
            changed += topic.finish(self._intake.end_s)
        return Progress(_sort_by_time(changed), trend, copies)

    def _count(
        self, readings: Iterable[Reading]
    ) -> tuple[list[Alert], tuple[TrendPoint, ...], tuple[tuple[str, str], ...]]:
        changed: list[Alert] = []
        trend = Trend()
        copies: list[tuple[str, str]] = []
        for reading in readings:
            is_copy = self._copies.is_copy(reading.post.text, time_s=reading.post.time.timestamp())
            if is_copy:
                copies.append(reading.post.key)
            if not reading.topic.accepted:
                trend.add([self._trend.count(reading, topic=UNKNOWN_TOPIC, baseline_share=None, is_copy=is_copy)])
            for name in _name_subjects(reading):
                topic = self._find_topic(name, reading)
                changed += topic.add(reading, is_copy=is_copy)
                share = topic.find_baseline_share()
                trend.add([self._trend.count(reading, topic=name, baseline_share=share, is_copy=is_copy)])
        return changed, trend.collect(), tuple(copies)

    def _find_topic(self, name: str, reading: Reading) -> TopicMonitor:
        if name not in self._topics:
            self._topics[name] = TopicMonitor(name, self.options, start_s=reading.post.time.timestamp())
        return self._topics[name]

    def check_labels(self, readings: Iterable[Reading]) -> None:
        """Refuse readings that cannot be processed, before anything has changed.

        Raises:
            ChainInputError: if a sentiment has no probability of `negative_label`.
        """
        for labels in (reading.sentiment.probabilities for reading in readings):
            if self.options.negative_label in labels:
                continue
            msg = (
                f'the sentiment classifier must give a probability of "{self.options.negative_label}", but it '
                f"knows {', '.join(sorted(labels)) or 'no label'}; name its negative label in "
                "MonitoringOptions(negative_label=...), or as monitoring.negative_label in tunechain.toml"
            )
            raise ChainInputError(msg)


def _name_subjects(reading: Reading) -> list[str]:
    """Return what is watched that a post is about: its topic where that is sure, and the companies it names."""
    topics = [reading.topic.label] if reading.topic.accepted else []
    return topics + [f"{ENTITY_PREFIX}{name}" for name in reading.entities]


def _sort_by_time(alerts: list[Alert]) -> tuple[Alert, ...]:
    return tuple(sorted(alerts, key=lambda alert: (alert.changed_at, alert.id)))
