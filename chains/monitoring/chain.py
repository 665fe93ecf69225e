"""Opinion monitoring as one LangChain object: posts in, report out."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import run_in_executor
from typing_extensions import override

from chains.monitoring.monitor import OpinionMonitor
from chains.monitoring.options import MonitoringOptions
from chains.monitoring.schema import Alert, MonitoringReport, MonitoringRequest, Post, Reading
from chains.requests import parse_request
from llms import Classification
from retrievers import utc_now

TEXTS_PER_BATCH = 256  # large enough for a classifier to sort by length, small enough for early reports

Classifier = Runnable[str, Classification]


def build_monitoring_chain(
    *,
    topic: Classifier,
    sentiment: Classifier,
    options: MonitoringOptions | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> Runnable[MonitoringRequest, MonitoringReport]:
    """Return the chain posts -> readings, alerts and trend; the classifiers are passed in.

    `invoke` treats one request as a whole stream. `transform` is the live mode: requests come one after the
    other, each gives one or more reports, and what was learnt is kept between them. Within a request the
    posts are taken in the order of their times. A request may also be a plain dict. Live runs are not
    recorded as one trace, because a trace keeps every input and a live stream has no end; the classifiers'
    runs are.

    Args:
        topic: text -> what the post is about.
        sentiment: text -> how it speaks; must give a probability of `options.negative_label`.
        options: how to watch; the defaults accept one false alarm per topic in two months.
        clock: the present time, which decides what is dated in the future.

    Raises:
        ChainInputError: from the chain, if a request has not the form of `MonitoringRequest` or the
            sentiment classifier does not know the negative label.

    Example:
        >>> from llms.fakes import FixedClassifier
        >>> chain = build_monitoring_chain(
        ...     topic=FixedClassifier({"app": "app", "fee": "fees"}),
        ...     sentiment=FixedClassifier({"down": "negative", "great": "positive"}, default="neutral"),
        ... )
        >>> post = {"id": "1", "source": "forum", "text": "The app is down", "time": "2026-03-02T09:30:00Z"}
        >>> report = chain.invoke({"posts": [post, post]})
        >>> report.readings[0].topic.label, report.trend[0].negative, report.duplicates
        ('app', 1, 1)
    """
    return _MonitoringChain(topic=topic, sentiment=sentiment, options=options or MonitoringOptions(), clock=clock)


class _MonitoringChain(Runnable[MonitoringRequest, MonitoringReport]):
    """The chain that `build_monitoring_chain` returns."""

    def __init__(
        self,
        *,
        topic: Classifier,
        sentiment: Classifier,
        options: MonitoringOptions,
        clock: Callable[[], datetime],
    ) -> None:
        self.name = "opinion_monitoring"
        self._topic = topic
        self._sentiment = sentiment
        self._options = options
        self._clock = clock

    @override
    def invoke(self, input: MonitoringRequest, config: RunnableConfig | None = None, **kwargs: Any) -> MonitoringReport:
        # LangChain's stub does not list functions of input and config, but it calls them
        report_all = cast("Callable[[MonitoringRequest], MonitoringReport]", self._report_all)
        return self._call_with_config(report_all, input, config)

    def _report_all(self, request: MonitoringRequest, config: RunnableConfig) -> MonitoringReport:
        return MonitoringReport.merge(self.transform(iter([request]), config))

    @override
    def stream(
        self, input: MonitoringRequest, config: RunnableConfig | None = None, **kwargs: Any | None
    ) -> Iterator[MonitoringReport]:
        yield from self.transform(iter([input]), config)

    @override
    def transform(
        self, input: Iterator[MonitoringRequest], config: RunnableConfig | None = None, **kwargs: Any | None
    ) -> Iterator[MonitoringReport]:
        monitor = OpinionMonitor(self._options, clock=self._clock)
        for request in input:
            for posts in _cut_batches(_sorted_posts(request)):
                yield self._observe(monitor, posts, config)
        yield _finish(monitor)

    @override
    async def astream(
        self, input: MonitoringRequest, config: RunnableConfig | None = None, **kwargs: Any | None
    ) -> AsyncIterator[MonitoringReport]:
        async def give_once() -> AsyncIterator[MonitoringRequest]:
            yield input

        async for report in self.atransform(give_once(), config):
            yield report

    @override
    async def atransform(
        self,
        input: AsyncIterator[MonitoringRequest],
        config: RunnableConfig | None = None,
        **kwargs: Any | None,
    ) -> AsyncIterator[MonitoringReport]:
        monitor = OpinionMonitor(self._options, clock=self._clock)
        async for request in input:
            for posts in _cut_batches(_sorted_posts(request)):
                # in a thread, because classifying would block every other task
                yield await run_in_executor(config, self._observe, monitor, posts, config)
        yield await asyncio.to_thread(_finish, monitor)

    def _observe(
        self, monitor: OpinionMonitor, posts: Sequence[Post], config: RunnableConfig | None
    ) -> MonitoringReport:
        """Return what one batch of posts brings."""
        admitted = monitor.admit(posts)
        readings = self._classify(admitted.posts, config)
        progress = monitor.process(readings)
        reasons = [item.reason for item in admitted.set_aside]
        return MonitoringReport(
            readings=tuple(readings),
            alerts=_keep_latest(progress.alerts),
            trend=progress.trend,
            late=reasons.count("late"),
            future=reasons.count("future"),
            duplicates=admitted.duplicates,
            set_aside=admitted.set_aside,
        )

    def _classify(self, posts: Sequence[Post], config: RunnableConfig | None) -> list[Reading]:
        texts = [post.text for post in posts]
        inner = _drop_own_name(config)
        topics = self._topic.batch(texts, inner)
        sentiments = self._sentiment.batch(texts, inner)
        return [
            Reading(post=post, topic=topic, sentiment=sentiment)
            for post, topic, sentiment in zip(posts, topics, sentiments, strict=True)
        ]


def _finish(monitor: OpinionMonitor) -> MonitoringReport:
    progress = monitor.finish()
    return MonitoringReport(alerts=_keep_latest(progress.alerts), trend=progress.trend)


def _drop_own_name(config: RunnableConfig | None) -> RunnableConfig:
    """Return the configuration for the classifiers: name and id of a run belong to this chain alone."""
    kept = {key: value for key, value in (config or {}).items() if key not in {"run_id", "run_name"}}
    return cast("RunnableConfig", kept)


def _keep_latest(alerts: Sequence[Alert]) -> tuple[Alert, ...]:
    """Return each alert once, in its last state."""
    return tuple({alert.id: alert for alert in alerts}.values())


def _sorted_posts(request: MonitoringRequest | Mapping[str, Any]) -> list[Post]:
    """Return the posts of a request by time; posts of one moment by id."""
    posts = parse_request(request, MonitoringRequest).posts
    return sorted(posts, key=lambda post: (post.time.timestamp(), post.id))


def _cut_batches(posts: Sequence[Post]) -> Iterator[Sequence[Post]]:
    for start in range(0, len(posts), TEXTS_PER_BATCH):
        yield posts[start : start + TEXTS_PER_BATCH]
