"""Live monitor: one endless run over the recorded stream first, then over requests; nothing acknowledged is lost."""

import contextlib
import logging
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from filelock import Timeout

from apps.errors import DiskFullError, MonitoringFileError
from apps.monitoring_state import MonitoringStore
from apps.server.problems import ProblemError
from apps.server.schemas import AlertsReply
from chains.monitoring import (
    Alert,
    MonitoringChain,
    MonitoringReport,
    MonitoringSession,
    Post,
    Trend,
    cut_batches,
    sort_posts,
)
from llms.errors import TuneChainError

_log = logging.getLogger(__name__)

_KEPT_ALERTS = 200
_KEPT_TREND = timedelta(weeks=8)
_TICK_S = 20.0  # between two looks whether silence has brought an alert
_TAKE_OVER_S = 1.0  # between two looks whether another server still has the file
_POSTS_BETWEEN_STATES = 20_000  # a start takes so many again, which is a matter of seconds
_SETTLING_S = 1.0  # to open the file, at most, before posts are refused
_HISTORY = "recorded stream"
_READING = "The recorded stream is still being read; try again later."
_UNUSABLE = "Monitoring cannot be used; the log of the server says why."
_ENDING = "The server is shutting down."


@dataclass(slots=True)
class _Job:
    """Posts to be watched, and where their report is waited for."""

    posts: Sequence[Post]
    done: Future[MonitoringReport] = field(default_factory=Future)


class LiveMonitor:
    """One endless run of opinion monitoring in a thread of its own; any thread may ask it.

    All posts go through one run, one request after the other. A request is answered once all that it brought is on
    the disk; after a restart the run goes on where it was, without classifying a text again.

    Args:
        chain: what watches.
        path: of the file that keeps the state; without one it is lost at the end. Where another process has the file,
            it is taken over when that one ends.
        read_history: gives the posts recorded so far, which are watched before any other.
        stamp_history: gives what changes when these do, so that they are read only once; None reads them at each start.
        tick_s: seconds between two looks at the clock.
    """

    def __init__(
        self,
        chain: MonitoringChain,
        *,
        path: Path | None = None,
        read_history: Callable[[], Sequence[Post]] = tuple,
        stamp_history: Callable[[], object] = lambda: None,
        tick_s: float = _TICK_S,
    ) -> None:
        self._chain = chain
        self._path = path
        self._read_history = read_history
        self._stamp_history = stamp_history
        self._tick_s = tick_s
        self._inbox: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._problem = _READING  # "" once posts are taken
        self._settled = threading.Event()  # once it is known whether posts have to wait for others
        self._stopping = threading.Event()
        self._session: MonitoringSession | None = None  # None where memory and disk may differ
        self._num_unlearnt = 0
        self._next_tick_s = 0.0
        self._lock = threading.Lock()  # guards what `snapshot` reads
        self._alerts: OrderedDict[str, Alert] = OrderedDict()
        self._trend = Trend()
        self._numbers: dict[str, int] = {}
        self._thread = threading.Thread(target=self._work, name="live-monitor", daemon=True)

    def start(self) -> None:
        """Begin to read the recorded stream; returns at once."""
        self._thread.start()

    def stop(self, *, timeout_s: float = 10.0) -> None:
        """End after the step that is running; waiting for it has a limit."""
        self._stopping.set()
        self._inbox.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def observe(self, posts: Iterable[Post]) -> MonitoringReport:
        """Return what the posts brought, once it is on the disk; waits for those that came before.

        Raises:
            ProblemError: with status 503, while the recorded stream is being read: posts of today would make all of
                it late.
            DiskFullError: if the disk is full; nothing of the request is stored.
        """
        self._settled.wait(_SETTLING_S)
        if problem := self._problem or (_ENDING if self._stopping.is_set() else ""):
            raise ProblemError(503, problem, headers={"Retry-After": "10"})
        job = _Job(sort_posts(posts))
        self._inbox.put(job)
        while self._thread.is_alive():
            with contextlib.suppress(TimeoutError):
                return job.done.result(timeout=1.0)
        self._refuse_waiting()  # what came when the thread looked for the last time
        return job.done.result()

    def snapshot(self) -> AlertsReply:
        """Return the alerts and the trend of all posts so far; never waits for a model."""
        with self._lock:
            alerts, trend, numbers = tuple(self._alerts.values()), self._trend.collect(), dict(self._numbers)
        num_posts, loading = numbers.pop("counted", 0), self._problem not in ("", _UNUSABLE)
        return AlertsReply(alerts=alerts, trend=trend, num_posts=num_posts, loading=loading, **numbers)

    # --- the thread

    def _work(self) -> None:
        try:
            store = self._open()
            if store is not None:
                with contextlib.closing(store):
                    self._run(store)
        except Exception:
            _log.exception("monitoring has ended")
            self._problem = _UNUSABLE
        finally:
            self._stopping.set()
            self._settled.set()
            self._refuse_waiting()

    def _open(self) -> MonitoringStore | None:
        """Return the store, or None if the monitor is stopped before another process lets go of the file."""
        while not self._stopping.is_set():
            try:
                return MonitoringStore(self._path)
            except Timeout:
                self._problem = "Another server has the monitoring of this workspace; it is taken over when that ends."
                self._settled.set()
                self._stopping.wait(_TAKE_OVER_S)
        return None

    def _run(self, store: MonitoringStore) -> None:
        self._recall(store)
        self._resume(store)
        self._watch_history(store)
        self._problem = ""
        self._settled.set()
        while not self._stopping.is_set():
            try:
                job = self._inbox.get(timeout=self._tick_s)
            except queue.Empty:
                job = None
            if job is not None:
                self._answer(store, job)
            self._pass_time(store)
        self._keep_learnt(store)

    def _answer(self, store: MonitoringStore, job: _Job) -> None:
        try:
            job.done.set_result(self._take(store, job.posts))
        except Exception as error:  # the client is told, and the next posts find everything as it was
            job.done.set_exception(error)

    def _recall(self, store: MonitoringStore) -> None:
        """Show what earlier runs have found."""
        alerts, trend, numbers = store.read_alerts(most=_KEPT_ALERTS), store.read_trend(), store.read_numbers()
        with self._lock:
            self._alerts = OrderedDict((alert.id, alert) for alert in alerts)
            self._trend = Trend(trend)
            self._numbers = numbers

    def _resume(self, store: MonitoringStore) -> MonitoringSession:
        """Return a run that has come to where the store is."""
        if self._session is not None:
            return self._session
        for last_post, learnt in (store.read_learnt(), (0, None)):
            try:
                self._session = self._learn_again(store, learnt, after=last_post)
            except (LookupError, TypeError, ValueError):
                _log.exception("what was learnt of the stream does not fit the settings and models; it is learnt anew")
                self._num_unlearnt = _POSTS_BETWEEN_STATES  # kept with the next posts, so that no start tries again
            else:
                return self._session
        self._session = self._chain.open_session()
        return self._session

    def _learn_again(
        self, store: MonitoringStore, learnt: Mapping[str, Any] | None, *, after: int
    ) -> MonitoringSession:
        session = self._chain.open_session()
        if learnt is not None:
            session.monitor.load(learnt)
        for stretch in store.replay(after=after):
            session.monitor.replay(stretch.posts, stretch.readings, watermark_s=stretch.watermark_s)
        return session

    def _watch_history(self, store: MonitoringStore) -> None:
        try:
            stamp = self._stamp_history()
            if stamp is not None and store.was_read(_HISTORY, stamp):
                return
            history = sort_posts(self._read_history())
            self._problem = _READING
            if history:
                self._settled.set()
            for posts in cut_batches(history):
                if self._stopping.is_set():
                    return
                self._take(store, posts, is_history=True)
            if stamp is not None:
                store.note_read(_HISTORY, stamp)
        except (MonitoringFileError, DiskFullError):
            _log.exception("the recorded stream cannot be stored; monitoring goes on without the rest of it")
        except Exception:
            _log.exception("the recorded stream cannot be read; monitoring goes on without the rest of it")

    def _take(self, store: MonitoringStore, posts: Sequence[Post], *, is_history: bool = False) -> MonitoringReport:
        """Return what posts brought, once it is stored; where that fails, nothing has changed.

        Args:
            store: where it is kept.
            posts: to be taken in this order.
            is_history: whether they come from a file that is read at each start; its repeats are no news.
        """
        session = self._resume(store)
        known = store.find_known(posts)
        dead = store.find_dead(posts)
        # what could not be read is tried again, unless it is too late for that
        known |= dead - {post.key for post in session.monitor.select(post for post in posts if post.key in dead)}
        fresh = [post for post in posts if post.key not in known]
        report = session.observe(fresh)
        if not is_history:
            num_known = len(posts) - len(fresh)
            report = report.model_copy(update={"duplicates": report.duplicates + num_known})
        self._store(lambda: store.add(fresh, report, watermark_s=session.monitor.watermark_s))
        self._show(report)
        self._num_unlearnt += len(fresh)
        if self._num_unlearnt >= _POSTS_BETWEEN_STATES:
            self._keep_learnt(store)
        return report

    def _pass_time(self, store: MonitoringStore) -> None:
        """Let the clock move a live stream that is silent."""
        if time.monotonic() < self._next_tick_s:
            return
        self._next_tick_s = time.monotonic() + self._tick_s
        try:
            session = self._resume(store)
            report = session.tick()
            if report != MonitoringReport():
                self._store(lambda: store.add_passed_time(report, watermark_s=session.monitor.watermark_s))
                self._show(report)
        except TuneChainError as error:
            _log.error("what a silence brought cannot be stored: %s", error)

    def _store(self, write: Callable[[], None]) -> None:
        try:
            write()
        except BaseException:
            self._session = None  # it is ahead of the disk; the next posts find it as the disk has it
            raise

    def _keep_learnt(self, store: MonitoringStore) -> None:
        if self._session is None or not self._num_unlearnt:
            return
        try:
            store.keep_learnt(self._session.monitor.dump(), watermark_s=self._session.monitor.watermark_s)
            self._num_unlearnt = 0
        except TuneChainError as error:  # posts are stored; the next start only takes longer
            _log.warning("what was learnt of the stream cannot be kept now: %s", error)

    def _show(self, report: MonitoringReport) -> None:
        """Add a report to what is shown, which never grows beyond its bounds."""
        with self._lock:
            for name in self._numbers:
                self._numbers[name] += len(report.readings) if name == "counted" else getattr(report, name)
            for alert in report.alerts:
                self._alerts[alert.id] = alert
                if len(self._alerts) > _KEPT_ALERTS:
                    self._alerts.popitem(last=False)
            self._trend.add(report.trend)
            self._trend.keep_last(_KEPT_TREND)

    def _refuse_waiting(self) -> None:
        while not self._inbox.empty():
            job = self._inbox.get()
            if job is not None:
                job.done.set_exception(ProblemError(503, _ENDING))
