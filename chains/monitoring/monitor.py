"""The state of opinion monitoring: readings in, alerts and trend out."""

from collections.abc import Callable, Iterable
from datetime import datetime

from chains.errors import ChainInputError
from chains.monitoring.event_time import PostIntake, utc_now
from chains.monitoring.options import MonitoringOptions
from chains.monitoring.schema import Alert, Post, Reading, SetAside, TrendPoint
from chains.monitoring.topic import TopicMonitor
from chains.monitoring.windows import TrendCounter


class OpinionMonitor:
    """Watches all topics of one stream; its memory does not grow with the length of the stream.

    Not safe for several threads: one stream, one monitor, one thread at a time.

    Args:
        options: how to watch.
        clock: the present time, which decides what is dated in the future.

    Example:
        >>> monitor = OpinionMonitor()
        >>> post = Post(id="1", source="forum", text="The app is down", time="2026-03-02T09:30:00Z")
        >>> monitor.admit([post, post])[0].id, monitor.duplicates
        ('1', 1)
    """

    def __init__(self, options: MonitoringOptions | None = None, *, clock: Callable[[], datetime] = utc_now) -> None:
        self.options = options or MonitoringOptions()
        self.duplicates = 0
        self.late = 0
        self.future = 0
        self._intake = PostIntake(
            allowed_lateness=self.options.allowed_lateness, max_future=self.options.max_future, clock=clock
        )
        self._trend = TrendCounter(self.options)
        self._topics: dict[str, TopicMonitor] = {}
        self._set_aside: list[SetAside] = []
        self._fresh: tuple[TrendPoint, ...] = ()

    def observe(self, readings: Iterable[Reading]) -> list[Alert]:
        """Return the alerts that new readings opened or closed, by event time.

        A post waits until the stream is `allowed_lateness` past it; `finish` ends the waiting.

        Args:
            readings: in the order of arrival; repeats, late and future posts are counted and left out.

        Raises:
            ChainInputError: if a sentiment has no probability of `negative_label`.
        """
        arrived = list(readings)
        for reading in arrived:
            self._check_label(reading)
        self._set_aside = []
        return self.process([reading for reading in arrived if self._decide(reading.post)])

    def admit(self, posts: Iterable[Post]) -> list[Post]:
        """Return the posts that count, in the given order, so that only these need to be classified."""
        self._set_aside = []
        return [post for post in posts if self._decide(post)]

    def process(self, readings: Iterable[Reading]) -> list[Alert]:
        """Return the alerts that readings of admitted posts opened or closed, by event time.

        Raises:
            ChainInputError: if a sentiment has no probability of `negative_label`.
        """
        accepted = list(readings)
        for reading in accepted:
            self._check_label(reading)
        for reading in accepted:
            self._intake.hold(reading)
        changed = self._count(self._intake.release())
        for topic in self._topics.values():
            changed += topic.advance(self._intake.watermark_s)
        self._fresh = self._trend.take_fresh()
        return _sort_by_time(changed)

    def finish(self) -> list[Alert]:
        """Return what the waiting posts bring, because the stream has ended."""
        changed = self._count(self._intake.release(everything=True))
        for topic in self._topics.values():
            changed += topic.finish(self._intake.latest_s)
        self._fresh = self._trend.take_fresh()
        return _sort_by_time(changed)

    def trend(self) -> tuple[TrendPoint, ...]:
        """Return the counts of the last eight weeks, by start and topic; posts still waiting are missing."""
        return self._trend.collect()

    def fresh_trend(self) -> tuple[TrendPoint, ...]:
        """Return what the last `observe`, `process` or `finish` added to the trend."""
        return self._fresh

    def set_aside(self) -> tuple[SetAside, ...]:
        """Return the late and future posts of the last `observe` or `admit`."""
        return tuple(self._set_aside)

    def _decide(self, post: Post) -> bool:
        verdict = self._intake.admit(post)
        if verdict == "duplicate":
            self.duplicates += 1
        elif verdict != "new":
            self.late += verdict == "late"
            self.future += verdict == "future"
            self._set_aside.append(SetAside(post=post, reason=verdict))
        return verdict == "new"

    def _count(self, readings: Iterable[Reading]) -> list[Alert]:
        changed: list[Alert] = []
        for reading in readings:
            name = reading.topic.label
            if name not in self._topics:
                start_s = reading.post.time.timestamp()
                self._topics[name] = TopicMonitor(name, self.options, start_s=start_s)
            topic = self._topics[name]
            changed += topic.add(reading)
            self._trend.count(reading, baseline_share=topic.find_usual_share())
        return changed

    def _check_label(self, reading: Reading) -> None:
        labels = reading.sentiment.probabilities
        if self.options.negative_label not in labels:
            msg = (
                f'the sentiment classifier must give a probability of "{self.options.negative_label}", but it '
                f"knows {', '.join(sorted(labels)) or 'no label'}; set MonitoringOptions(negative_label=...) "
                "to the name of its negative label, or pass another classifier"
            )
            raise ChainInputError(msg)


def _sort_by_time(alerts: list[Alert]) -> list[Alert]:
    return sorted(alerts, key=lambda alert: (alert.closed_at or alert.raised_at, alert.id))
