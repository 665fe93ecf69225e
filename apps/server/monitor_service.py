"""Live monitor: one endless run of the monitoring chain, over the recorded stream first, then over requests."""

import logging
import queue
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta

from langchain_core.runnables import Runnable

from apps.server.problems import ProblemError
from apps.server.schemas import AlertsReply
from chains.monitoring import Alert, MonitoringReport, MonitoringRequest, Post, Trend

_log = logging.getLogger(__name__)

_KEPT_ALERTS = 200
_KEPT_TREND = timedelta(weeks=8)
_POSTS_PER_STEP = 256  # of the recorded stream; between two steps the server can be stopped


@dataclass(slots=True)
class _Job:
    """Posts to be watched, and where their report is waited for."""

    posts: tuple[Post, ...]
    reports: list[MonitoringReport] = field(default_factory=list)
    done: Future[MonitoringReport] = field(default_factory=Future)


class LiveMonitor:
    """One endless run of the monitoring chain in a thread of its own; any thread may ask it.

    The chain keeps what it learnt between requests, so all posts must go through one run, one after the other.

    Args:
        chain: what watches; its `transform` is used.
        read_history: gives the posts recorded so far, which are watched before any other.
    """

    def __init__(
        self,
        chain: Runnable[MonitoringRequest, MonitoringReport],
        *,
        read_history: Callable[[], Sequence[Post]] = tuple,
    ) -> None:
        self._chain = chain
        self._read_history = read_history
        self._history: deque[tuple[Post, ...]] = deque()
        self._inbox: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._job = _Job(())
        self._loading = True
        self._stopping = False
        self._lock = threading.Lock()  # guards what `snapshot` reads
        self._alerts: OrderedDict[str, Alert] = OrderedDict()
        self._trend = Trend()
        self._num_posts = 0
        self._thread = threading.Thread(target=self._work, name="live-monitor", daemon=True)

    def start(self) -> None:
        """Begin to read the recorded stream; returns at once."""
        self._thread.start()

    def stop(self, *, timeout_s: float = 10.0) -> None:
        """End after the step that is running; waiting for it has a limit."""
        self._stopping = True
        self._inbox.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def observe(self, posts: Iterable[Post]) -> MonitoringReport:
        """Return what the posts brought; waits for those that came before.

        Raises:
            ProblemError: with status 503, while the recorded stream is being read: posts of today would make all of
                it late.
        """
        if self._loading or self._stopping:
            raise ProblemError(
                503, "The recorded stream is still being read; try again later.", headers={"Retry-After": "10"}
            )
        job = _Job(tuple(posts))
        self._inbox.put(job)
        return job.done.result()

    def snapshot(self) -> AlertsReply:
        """Return the alerts and the trend of all posts so far; never waits for a model."""
        with self._lock:
            alerts, trend = tuple(self._alerts.values()), self._trend.collect()
            num_posts, loading = self._num_posts, self._loading
        return AlertsReply(alerts=alerts, trend=trend, num_posts=num_posts, loading=loading)

    def _work(self) -> None:
        self._load_history()
        while not self._stopping:
            try:
                for report in self._chain.transform(self._requests()):
                    self._keep(report)
            except Exception as error:
                # what was learnt is lost with the run, but the next posts begin a new one
                _log.exception("the monitoring chain failed; it starts anew")
                if not self._job.done.done():
                    self._job.done.set_exception(error)
        self._refuse_waiting()

    def _load_history(self) -> None:
        try:
            posts = sorted(self._read_history(), key=lambda post: post.time)
        except Exception:
            _log.exception("the recorded stream cannot be read; monitoring starts without it")
            return
        starts = range(0, len(posts), _POSTS_PER_STEP)
        self._history.extend(tuple(posts[start : start + _POSTS_PER_STEP]) for start in starts)

    def _requests(self) -> Iterator[MonitoringRequest]:
        """Yield one request after the other; the chain asks for the next when all reports of the last are out."""
        while (job := self._next_job()) is not None:
            self._job = job
            yield MonitoringRequest(posts=job.posts)
            job.done.set_result(MonitoringReport.merge(job.reports))

    def _next_job(self) -> _Job | None:
        if self._stopping:
            return None
        if self._history:
            return _Job(self._history.popleft())
        self._loading = False
        return self._inbox.get()

    def _keep(self, report: MonitoringReport) -> None:
        """Add a report to the state, which never grows beyond its bounds."""
        self._job.reports.append(report)
        with self._lock:
            self._num_posts += len(report.readings)
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
                job.done.set_exception(ProblemError(503, "The server is shutting down."))
