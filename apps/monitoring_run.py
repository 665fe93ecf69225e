"""One run of opinion monitoring over the posts that a store keeps: what is watched is kept, and nothing twice."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from apps.monitoring_state import MAX_TRIES, MonitoringStore
from apps.monitoring_view import MonitoringView
from apps.sources.source import Position
from chains.monitoring import (
    MonitoringChain,
    MonitoringReport,
    MonitoringSession,
    Post,
    cut_batches,
    sort_posts,
)
from llms.errors import TuneChainError

_log = logging.getLogger(__name__)

_POSTS_BETWEEN_STATES = 20_000  # a start takes so many again, which is a matter of seconds
_HISTORY = "recorded stream"


class MonitoringRun:
    """Goes on where a store is; memory and disk never differ for longer than an error.

    Not safe for several threads.

    Args:
        chain: what watches.
        store: what keeps it.
        on_stored: called after posts or a silence have brought something.
    """

    def __init__(
        self, chain: MonitoringChain, store: MonitoringStore, *, on_stored: Callable[[], None] = lambda: None
    ) -> None:
        self._chain = chain
        self._store = store
        self._on_stored = on_stored
        self._session: MonitoringSession | None = None  # None where memory and disk may differ
        self._num_unlearnt = 0

    def resume(self) -> MonitoringSession:
        """Return a session that has come to where the store is."""
        if self._session is not None:
            return self._session
        for last_post, learnt in (self._store.read_learnt(), (0, None)):
            try:
                self._session = self._learn_again(learnt, after=last_post)
            except (LookupError, TypeError, ValueError):
                _log.exception("what was learnt of the stream does not fit the settings and models; it is learnt anew")
                self._num_unlearnt = _POSTS_BETWEEN_STATES  # kept with the next posts, so that no start tries again
            else:
                return self._session
        self._session = self._chain.open_session()
        return self._session

    def _learn_again(self, learnt: Mapping[str, Any] | None, *, after: int) -> MonitoringSession:
        session = self._chain.open_session()
        if learnt is not None:
            session.monitor.load(learnt)
        for stretch in self._store.replay(after=after):
            session.monitor.replay(stretch.posts, stretch.readings, watermark_s=stretch.watermark_s)
        return session

    def take(
        self,
        posts: Sequence[Post],
        *,
        is_history: bool = False,
        tries_dead: bool = False,
        position: Position | None = None,
    ) -> MonitoringReport:
        """Return what posts brought, once it is stored; where that fails, nothing has changed.

        Args:
            posts: to be taken in this order.
            is_history: whether they may have been read before, from a file or a feed; repeats are no news then.
            tries_dead: try texts again that could not be read five times.
            position: of their source, stored with them.
        """
        store, session = self._store, self.resume()
        known = store.find_known(posts)
        dead = store.find_dead(posts)
        # what could not be read is tried again, unless that was often enough or it is too late for it
        known |= dead - {post.key for post in session.monitor.select(post for post in posts if post.key in dead)}
        if not tries_dead:
            known |= store.find_dead(posts, min_tries=MAX_TRIES)
        fresh = [post for post in posts if post.key not in known]
        report = session.observe(fresh)
        if not is_history:
            num_known = len(posts) - len(fresh)
            report = report.model_copy(update={"duplicates": report.duplicates + num_known})
        self._put(lambda: store.add(fresh, report, watermark_s=session.monitor.watermark_s, position=position))
        self._num_unlearnt += len(fresh)
        if self._num_unlearnt >= _POSTS_BETWEEN_STATES:
            self.keep_learnt()
        return report

    def retry_dead(self) -> MonitoringReport:
        """Try texts again that no classifier could read, and return what they brought."""
        posts = MonitoringView(self._store.database).read_dead_posts()
        return MonitoringReport.merge([self.take(part, tries_dead=True) for part in cut_batches(posts)])

    def pass_time(self) -> MonitoringReport:
        """Return what the clock brought in a live stream that is silent."""
        session = self.resume()
        report = session.tick()
        if report != MonitoringReport():
            self._put(lambda: self._store.add_passed_time(report, watermark_s=session.monitor.watermark_s))
        return report

    def catch_up(
        self,
        read: Callable[[], Sequence[Post]],
        *,
        stamp: object = None,
        on_begin: Callable[[int], None] = lambda _: None,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Watch posts that are recorded in a file, unless it was read to its end as it is now.

        Args:
            read: gives the posts.
            stamp: what changes when these do; None reads them each time.
            on_begin: told how many there are, before the first is watched.
            is_stopped: whether to end before the next part of them.
        """
        if stamp is not None and self._store.was_read(_HISTORY, stamp):
            return
        history = sort_posts(read())
        on_begin(len(history))
        for posts in cut_batches(history):
            if is_stopped():
                return
            self.take(posts, is_history=True)
        if stamp is not None:
            self._store.note_read(_HISTORY, stamp)

    def keep_learnt(self) -> None:
        """Keep what was learnt, so that the next start need not learn it again."""
        if self._session is None or not self._num_unlearnt:
            return
        try:
            self._store.keep_learnt(self._session.monitor.dump(), watermark_s=self._session.monitor.watermark_s)
            self._num_unlearnt = 0
        except TuneChainError as error:  # posts are stored; the next start only takes longer
            _log.warning("what was learnt of the stream cannot be kept now: %s", error)

    def _put(self, write: Callable[[], None]) -> None:
        try:
            write()
        except BaseException:
            self._session = None  # it is ahead of the disk; the next posts find it as the disk has it
            raise
        self._on_stored()
