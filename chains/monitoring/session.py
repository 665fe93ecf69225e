"""One run of opinion monitoring over a stream: posts are classified, then admitted, then processed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from langchain_core.runnables import Runnable, RunnableConfig

from chains.monitoring.entities import EntityLinker
from chains.monitoring.monitor import OpinionMonitor
from chains.monitoring.options import MonitoringOptions
from chains.monitoring.schema import Alert, MonitoringReport, Post, Reading, SetAside
from llms import Classification
from llms.errors import ContextOverflowError, InputTextError, TuneChainError

Classifier = Runnable[str, Classification]
_Key = tuple[str, str]
_FAULTS_OF_TEXTS = (InputTextError, ContextOverflowError)  # of our own errors; all others are the model's


class MonitoringSession:
    """Watches a stream whose posts come in parts; `observe` changes nothing where it raises.

    Posts are taken in the order in which they are given, so that it does not matter how a stream is cut. Not safe for
    several threads.

    Args:
        topic: text -> what the post is about.
        sentiment: text -> how it speaks.
        options: how to watch.
        clock: the present time.
        linker: finds the companies that a text names.

    Attributes:
        monitor: what the stream has come to.
    """

    def __init__(
        self,
        *,
        topic: Classifier,
        sentiment: Classifier,
        options: MonitoringOptions,
        clock: Callable[[], datetime],
        linker: EntityLinker | None = None,
    ) -> None:
        self._topic = topic
        self._sentiment = sentiment
        self._linker = linker or EntityLinker()
        self._clock = clock
        self._now = clock()
        # one time for a whole part: a post must not stop being in the future while it is classified
        self.monitor = OpinionMonitor(options, clock=lambda: self._now)

    def observe(self, posts: Sequence[Post], config: RunnableConfig | None = None) -> MonitoringReport:
        """Return what posts bring; one whose text a classifier cannot read is set aside and spoils no other.

        Raises:
            ChainInputError: if the sentiment classifier does not know the negative label.
            Exception: what a classifier raises, if it reads none of several texts, or if it says that it is the
                model's fault.
        """
        self._now = self._clock()
        readings, faults = self._classify(self.monitor.select(posts), config)
        self.monitor.check_labels(readings.values())
        failed = [SetAside(post=post, reason="failed", detail=faults[post.key]) for post in posts if post.key in faults]
        admitted = self.monitor.admit(post for post in posts if post.key not in faults)
        counted = tuple(readings[post.key] for post in admitted.posts)
        progress = self.monitor.process(counted)
        reasons = [item.reason for item in admitted.set_aside]
        return MonitoringReport(
            readings=counted,
            alerts=keep_latest(progress.alerts),
            trend=progress.trend,
            late=reasons.count("late"),
            future=reasons.count("future"),
            duplicates=admitted.duplicates,
            failed=len(failed),
            set_aside=(*admitted.set_aside, *failed),
            copies=progress.copies,
        )

    def tick(self) -> MonitoringReport:
        """Return what the silence since the last post brings, where the stream is live."""
        self._now = self._clock()
        progress = self.monitor.tick()
        return MonitoringReport(alerts=keep_latest(progress.alerts), trend=progress.trend, copies=progress.copies)

    def finish(self) -> MonitoringReport:
        """Return what the waiting posts bring, because the stream has ended."""
        progress = self.monitor.finish()
        return MonitoringReport(alerts=keep_latest(progress.alerts), trend=progress.trend, copies=progress.copies)

    def _classify(
        self, posts: Sequence[Post], config: RunnableConfig | None
    ) -> tuple[Mapping[_Key, Reading], Mapping[_Key, str]]:
        """Return the readings of posts, and what is wrong with the texts of the others."""
        errors: dict[_Key, Exception] = {}
        readings = {item.post.key: item for item in self._read(posts, _drop_own_name(config), errors)}
        if len(errors) > 1 and not readings:  # then it is not the texts
            raise next(iter(errors.values()))
        return readings, {key: f"{type(error).__name__}: {error}" for key, error in errors.items()}

    def _read(self, posts: Sequence[Post], config: RunnableConfig, errors: dict[_Key, Exception]) -> list[Reading]:
        """Return the readings of posts, in halves where they cannot be read together, and add to `errors`."""
        if not posts:
            return []
        texts = [post.text for post in posts]
        try:
            kinds = zip(posts, self._topic.batch(texts, config), self._sentiment.batch(texts, config), strict=True)
            return [
                Reading(post=post, topic=topic, sentiment=sentiment, entities=self._linker.find(post.text))
                for post, topic, sentiment in kinds
            ]
        except Exception as error:
            if isinstance(error, TuneChainError) and not isinstance(error, _FAULTS_OF_TEXTS):
                raise
            if len(posts) == 1:
                errors[posts[0].key] = error
                return []
        half = len(posts) // 2
        return [*self._read(posts[:half], config, errors), *self._read(posts[half:], config, errors)]


def keep_latest(alerts: Iterable[Alert]) -> tuple[Alert, ...]:
    """Return each alert once, in its last state."""
    return tuple({alert.id: alert for alert in alerts}.values())


def _drop_own_name(config: RunnableConfig | None) -> RunnableConfig:
    """Return the configuration for the classifiers: name and id of a run belong to the chain alone."""
    kept: dict[str, Any] = {key: value for key, value in (config or {}).items() if key not in {"run_id", "run_name"}}
    return cast("RunnableConfig", kept)
