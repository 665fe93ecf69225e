"""The state of opinion monitoring: which posts count, and what their readings change."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from chains.errors import ChainInputError
from chains.monitoring.event_time import PostIntake
from chains.monitoring.options import MonitoringOptions
from chains.monitoring.schema import Alert, Post, Reading, SetAside, Trend, TrendPoint
from chains.monitoring.topic import TopicMonitor
from chains.monitoring.windows import TrendCounter
from retrievers import utc_now


@dataclass(frozen=True, slots=True)
class Admitted:
    """Which of the posts that came count; `set_aside` holds the late and the future ones."""

    posts: tuple[Post, ...]
    set_aside: tuple[SetAside, ...]
    duplicates: int


@dataclass(frozen=True, slots=True)
class Progress:
    """The alerts that a stretch of the stream opened or closed, by event time, and the counts it added."""

    alerts: tuple[Alert, ...]
    trend: tuple[TrendPoint, ...]


class OpinionMonitor:
    """Watches all topics of one stream; its memory does not grow with the length of the stream.

    Posts are admitted first, so that only those that count need to be classified; then their readings are processed.
    Not safe for several threads: one stream, one monitor, one thread at a time.

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
        self._intake = PostIntake(
            allowed_lateness=self.options.allowed_lateness,
            max_future=self.options.max_future,
            max_jump=self.options.max_jump,
            clock=clock,
        )
        self._trend = TrendCounter(self.options)
        self._topics: dict[str, TopicMonitor] = {}

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
        for reading in accepted:
            self._check_label(reading)
        for reading in accepted:
            self._intake.hold(reading)
        changed, trend = self._count(self._intake.release())
        for topic in self._topics.values():
            changed += topic.advance(self._intake.watermark_s)
        return Progress(_sort_by_time(changed), trend)

    def finish(self) -> Progress:
        """Return what the waiting posts bring, because the stream has ended."""
        changed, trend = self._count(self._intake.release(everything=True))
        for topic in self._topics.values():
            changed += topic.finish(self._intake.end_s)
        return Progress(_sort_by_time(changed), trend)

    def _count(self, readings: Iterable[Reading]) -> tuple[list[Alert], tuple[TrendPoint, ...]]:
        changed: list[Alert] = []
        trend = Trend()
        for reading in readings:
            name = reading.topic.label
            if name not in self._topics:
                start_s = reading.post.time.timestamp()
                self._topics[name] = TopicMonitor(name, self.options, start_s=start_s)
            topic = self._topics[name]
            changed += topic.add(reading)
            trend.add([self._trend.count(reading, baseline_share=topic.find_baseline_share())])
        return changed, trend.collect()

    def _check_label(self, reading: Reading) -> None:
        labels = reading.sentiment.probabilities
        if self.options.negative_label not in labels:
            msg = (
                f'the sentiment classifier must give a probability of "{self.options.negative_label}", but it '
                f"knows {', '.join(sorted(labels)) or 'no label'}; name its negative label in "
                "MonitoringOptions(negative_label=...), or as monitoring.negative_label in tunechain.toml"
            )
            raise ChainInputError(msg)


def _sort_by_time(alerts: list[Alert]) -> tuple[Alert, ...]:
    return tuple(sorted(alerts, key=lambda alert: (alert.closed_at or alert.raised_at, alert.id)))
