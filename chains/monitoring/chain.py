"""Opinion monitoring as one LangChain object: posts in, report out."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import run_in_executor
from typing_extensions import override

from chains.monitoring.entities import Entity, EntityLinker
from chains.monitoring.options import MonitoringOptions
from chains.monitoring.schema import MonitoringReport, MonitoringRequest, Post
from chains.monitoring.session import Classifier, MonitoringSession
from chains.requests import parse_request
from retrievers import utc_now

TEXTS_PER_BATCH = 256  # large enough for a classifier to sort by length, small enough for early reports


def build_monitoring_chain(
    *,
    topic: Classifier,
    sentiment: Classifier,
    options: MonitoringOptions | None = None,
    entities: Iterable[Entity] = (),
    clock: Callable[[], datetime] = utc_now,
) -> "MonitoringChain":
    """Return the chain posts -> readings, alerts and trend; the classifiers are passed in.

    `invoke` treats one request as a whole stream. `transform` is the live mode: requests come one after the
    other, each gives one or more reports, and what was learnt is kept between them; a request without posts lets
    the time of the clock pass in a live stream. Within a request the posts are taken in the order of their times;
    `open_session` takes them as they come. A post whose text a classifier cannot read is set aside as
    failed. A request may also be a plain dict. Live runs are not recorded as one trace, because a trace keeps every
    input and a live stream has no end; the classifiers' runs are.

    Args:
        topic: text -> what the post is about.
        sentiment: text -> how it speaks; must give a probability of `options.negative_label`.
        options: how to watch; the defaults accept one false alarm per topic in two months.
        entities: companies, each of which is watched like a topic.
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
    return MonitoringChain(
        topic=topic,
        sentiment=sentiment,
        options=options or MonitoringOptions(),
        linker=EntityLinker(entities),
        clock=clock,
    )


class MonitoringChain(Runnable[MonitoringRequest, MonitoringReport]):
    """The chain that `build_monitoring_chain` returns: posts in, report out."""

    def __init__(
        self,
        *,
        topic: Classifier,
        sentiment: Classifier,
        options: MonitoringOptions,
        linker: EntityLinker,
        clock: Callable[[], datetime],
    ) -> None:
        self.name = "opinion_monitoring"
        self._topic = topic
        self._sentiment = sentiment
        self._options = options
        self._linker = linker
        self._clock = clock

    @property
    def options(self) -> MonitoringOptions:
        """How it watches."""
        return self._options

    def open_session(self) -> MonitoringSession:
        """Return a new run, whose state can be kept and whose posts are taken in the order in which they come."""
        return MonitoringSession(
            topic=self._topic,
            sentiment=self._sentiment,
            options=self._options,
            clock=self._clock,
            linker=self._linker,
        )

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
        session = self.open_session()
        for request in input:
            for posts in cut_batches(_sorted_posts(request)):
                yield session.observe(posts, config)
            if (passed := session.tick()) != MonitoringReport():
                yield passed
        yield session.finish()

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
        session = self.open_session()
        async for request in input:
            for posts in cut_batches(_sorted_posts(request)):
                # in a thread, because classifying would block every other task
                yield await run_in_executor(config, session.observe, posts, config)
            if (passed := session.tick()) != MonitoringReport():
                yield passed
        yield await asyncio.to_thread(session.finish)


def _sorted_posts(request: MonitoringRequest | Mapping[str, Any]) -> list[Post]:
    return sort_posts(parse_request(request, MonitoringRequest).posts)


def sort_posts(posts: Iterable[Post]) -> list[Post]:
    """Return posts by time; those of one moment by id."""
    return sorted(posts, key=lambda post: (post.time.timestamp(), post.id))


def cut_batches(posts: Sequence[Post]) -> Iterator[Sequence[Post]]:
    """Yield posts in parts of a size that is good to classify."""
    for start in range(0, len(posts), TEXTS_PER_BATCH):
        yield posts[start : start + TEXTS_PER_BATCH]
