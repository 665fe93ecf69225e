"""Live monitor: one endless run over the recorded stream first, then over requests; nothing acknowledged is lost."""

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from filelock import Timeout

from apps.alert_outbox import AlertOutbox, OutboxRules
from apps.alert_sender import AlertSender
from apps.alert_sinks import AlertSink
from apps.errors import DiskFullError, MonitoringFileError
from apps.monitoring_database import MonitoringDatabase
from apps.monitoring_run import MonitoringRun
from apps.monitoring_state import MonitoringStore
from apps.monitoring_view import AlertFilter, MonitoringView
from apps.server.problems import ProblemError
from apps.server.schemas import AlertsReply
from apps.sources.reading import SourceReader
from apps.sources.source import PostBatch, PostSource
from chains.monitoring import MonitoringChain, MonitoringReport, Post, sort_posts
from llms.errors import TuneChainError

_log = logging.getLogger(__name__)

Part = TypeVar("Part")

_KEPT_ALERTS = 200
_TICK_S = 20.0  # between two looks whether silence has brought an alert
_TAKE_OVER_S = 1.0  # between two looks whether another server still has the file
_SETTLING_S = 1.0  # to open the file, at most, before posts are refused
_READING = "The recorded stream is still being read; try again later."
_UNUSABLE = "Monitoring cannot be used; the log of the server says why."
_ELSEWHERE = "Another server has the monitoring of this workspace; it is taken over when that ends."
_ENDING = "The server is shutting down."


@dataclass(slots=True)
class _Job:
    """A batch to be watched, and where its report is waited for; without one, dead posts are tried again."""

    batch: PostBatch | None
    done: Future[MonitoringReport] = field(default_factory=Future)


class LiveMonitor:
    """One endless run of opinion monitoring in a thread of its own; any thread may ask it.

    All posts go through one run, one request after the other. A request is answered once all that it brought is on
    the disk; after a restart the run goes on where it was, without classifying a text again. Sinks are told of alerts
    by another thread, which no post waits for.

    Args:
        chain: what watches.
        path: of the file that keeps the state; without one it is lost at the end. Where another process has the file,
            it is taken over when that one ends.
        read_history: gives the posts recorded so far, which are watched before any other.
        stamp_history: gives what changes when these do, so that they are read only once; None reads them at each start.
        tick_s: seconds between two looks at the clock.
        sinks: who is told of alerts, by the names in `rules`.
        rules: which alerts they are told of.
        sources: read by the monitor itself once it has come to the present.
        on_report: told what each request, batch and silence brought, in the monitor's thread.
    """

    def __init__(
        self,
        chain: MonitoringChain,
        *,
        path: Path | None = None,
        read_history: Callable[[], Sequence[Post]] = tuple,
        stamp_history: Callable[[], object] = lambda: None,
        tick_s: float = _TICK_S,
        sinks: Mapping[str, AlertSink] | None = None,
        rules: OutboxRules | None = None,
        sources: Iterable[PostSource] = (),
        on_report: Callable[[MonitoringReport], None] = lambda _: None,
    ) -> None:
        self._chain = chain
        self._path = path
        self._read_history = read_history
        self._stamp_history = stamp_history
        self._tick_s = tick_s
        self._sinks = sinks or {}
        self._rules = rules or OutboxRules(sinks=tuple(self._sinks))
        self._sources = tuple(sources)
        self._on_report = on_report
        self._inbox: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._problem = _READING  # "" once posts are taken
        self._settled = threading.Event()  # once it is known whether posts have to wait for others
        self._stopping = threading.Event()
        self._next_tick_s = 0.0
        self._view: MonitoringView | None = None
        self._outbox: AlertOutbox | None = None
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

    def join(self) -> None:
        """Wait until it ends.

        Raises:
            MonitoringFileError: if it ended by itself, because it cannot go on.
        """
        self._thread.join()
        if self._problem:
            raise MonitoringFileError(self._problem)

    def observe(self, posts: Iterable[Post]) -> MonitoringReport:
        """Return what the posts brought, once it is on the disk; waits for those that came before.

        Raises:
            ProblemError: with status 503, while the recorded stream is being read: posts of today would make all of
                it late.
            DiskFullError: if the disk is full; nothing of the request is stored.
        """
        return self._ask(_Job(PostBatch(posts=tuple(sort_posts(posts)))))

    def take(self, batch: PostBatch) -> MonitoringReport:
        """Return what a batch of a source brought, once it is on the disk together with the source's position.

        Its posts are taken in the order in which they stand.

        Raises:
            ProblemError: with status 503, as `observe`.
            DiskFullError: if the disk is full; nothing of the batch is stored.
        """
        return self._ask(_Job(batch))

    def retry_dead_letters(self) -> MonitoringReport:
        """Try texts again that no classifier could read, and return what they brought; the others stay where they are.

        Raises:
            ProblemError: with status 503, as `observe`.
        """
        return self._ask(_Job(None))

    def _ask(self, job: _Job) -> MonitoringReport:
        self._settled.wait(_SETTLING_S)
        if problem := self._problem or (_ENDING if self._stopping.is_set() else ""):
            raise ProblemError(503, problem, headers={"Retry-After": "10"})
        self._inbox.put(job)
        while self._thread.is_alive():
            with contextlib.suppress(TimeoutError):
                return job.done.result(timeout=1.0)
        self._refuse_waiting()  # what came when the thread looked for the last time
        return job.done.result()

    def snapshot(
        self,
        *,
        most: int = _KEPT_ALERTS,
        before: str | None = None,
        judged: AlertFilter = "all",
        with_trend: bool = True,
    ) -> AlertsReply:
        """Return the alerts and the trend of all posts so far; never waits for a model.

        Args:
            most: alerts at most.
            before: id of the alert before which they were raised.
            judged: which of them.
            with_trend: whether the trend comes too.

        Raises:
            UnknownAlertError: if there is no alert `before`.
        """
        loading, view = self._problem not in ("", _UNUSABLE), self._view
        if view is None:
            return AlertsReply(alerts=(), trend=(), num_posts=0, loading=loading)
        alerts, following = view.read_alerts(most=most, before=before, judged=judged)
        numbers = view.read_numbers()
        trend = view.read_trend() if with_trend else None
        return AlertsReply(
            alerts=tuple(alerts),
            next=following,
            trend=() if trend is None else trend.points,
            trend_step_hours=1 if trend is None else trend.step_hours,
            num_posts=numbers.pop("counted"),
            loading=loading,
            undelivered=self.num_undelivered,
            precision=view.read_precision(),
            **numbers,
        )

    @property
    def view(self) -> MonitoringView:
        """What people may read.

        Raises:
            ProblemError: with status 503, while the file is not open.
        """
        return self._opened(self._view)

    @property
    def outbox(self) -> AlertOutbox:
        """What sinks were told of alerts.

        Raises:
            ProblemError: with status 503, while the file is not open.
        """
        return self._opened(self._outbox)

    def _opened(self, part: Part | None) -> Part:
        if part is None:
            raise ProblemError(503, self._problem or _ENDING, headers={"Retry-After": "10"})
        return part

    @property
    def num_undelivered(self) -> int:
        """How many messages about alerts could not be delivered."""
        return 0 if self._outbox is None else self._outbox.count("dead")

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
                return MonitoringStore(self._path, rules=self._rules)
            except Timeout:
                if self._problem != _ELSEWHERE:
                    _log.warning(_ELSEWHERE)
                self._problem = _ELSEWHERE
                self._settled.set()
                self._stopping.wait(_TAKE_OVER_S)
        return None

    def _run(self, store: MonitoringStore) -> None:
        with contextlib.ExitStack() as stack:
            reading = store.database
            if self._path is not None:  # a connection of its own, so that no reader waits for what is written
                reading = stack.enter_context(contextlib.closing(MonitoringDatabase(self._path, owns_format=False)))
            self._outbox = AlertOutbox(store.database, clock=self._rules.clock, zone=self._rules.zone)
            self._view = MonitoringView(reading)
            sender = AlertSender(self._outbox, self._sinks)
            sender.start()
            stack.callback(sender.stop)
            stack.callback(self._hide)
            self._watch(MonitoringRun(self._chain, store, on_stored=sender.wake), store)

    def _hide(self) -> None:
        self._view = self._outbox = None

    def _watch(self, run: MonitoringRun, store: MonitoringStore) -> None:
        run.resume()
        self._watch_history(run)
        self._problem = ""
        self._settled.set()
        for source in self._sources:
            SourceReader(source, take=self.take, read_position=store.read_position, stopping=self._stopping).start()
        while not self._stopping.is_set():
            try:
                job = self._inbox.get(timeout=self._tick_s)
            except queue.Empty:
                job = None
            if job is not None:
                self._answer(run, job)
            self._pass_time(run)
        run.keep_learnt()

    def _watch_history(self, run: MonitoringRun) -> None:
        try:
            run.catch_up(
                self._read_history,
                stamp=self._stamp_history(),
                on_begin=self._begin_history,
                is_stopped=self._stopping.is_set,
            )
        except (MonitoringFileError, DiskFullError):
            _log.exception("the recorded stream cannot be stored; monitoring goes on without the rest of it")
        except Exception:
            _log.exception("the recorded stream cannot be read; monitoring goes on without the rest of it")

    def _begin_history(self, num_posts: int) -> None:
        self._problem = _READING
        if num_posts:
            self._settled.set()

    def _pass_time(self, run: MonitoringRun) -> None:
        """Let the clock move a live stream that is silent."""
        if time.monotonic() < self._next_tick_s:
            return
        self._next_tick_s = time.monotonic() + self._tick_s
        try:
            self._on_report(run.pass_time())
        except TuneChainError as error:
            _log.error("what a silence brought cannot be stored: %s", error)

    def _refuse_waiting(self) -> None:
        while not self._inbox.empty():
            job = self._inbox.get()
            if job is not None:
                job.done.set_exception(ProblemError(503, _ENDING))

    def _answer(self, run: MonitoringRun, job: _Job) -> None:
        try:
            report = _take(run, job.batch)
            job.done.set_result(report)
        except Exception as error:  # the client is told, and the next posts find everything as it was
            job.done.set_exception(error)
        else:
            self._on_report(report)


def _take(run: MonitoringRun, batch: PostBatch | None) -> MonitoringReport:
    if batch is None:
        return run.retry_dead()
    return run.take(batch.posts, is_history=batch.may_repeat, position=batch.position)
