"""Alerts of the recorded stream, for programs that look at it now and then."""

import contextlib
import threading
from collections.abc import Sequence
from pathlib import Path

from filelock import Timeout

from apps.alert_outbox import OutboxRules
from apps.monitoring_database import MonitoringDatabase
from apps.monitoring_run import MonitoringRun
from apps.monitoring_state import MonitoringStore
from apps.monitoring_view import MonitoringView
from apps.recorded_stream import RecordedStream
from chains.monitoring import Alert, MonitoringChain

_MOST = 1_000


class RecordedAlerts:
    """What the recorded stream has brought; no post of it is classified twice.

    Where a workspace keeps the state of its monitor, that state is gone on with, as a server would; while a server has
    it open, what the server has found is told.

    Args:
        chain: what watches.
        stream: the recorded stream.
        path: of the file of the workspace's monitor; without one the state lives as long as this object.
        rules: which alerts are to be told of, and where; a server sends them.
    """

    def __init__(
        self,
        chain: MonitoringChain,
        stream: RecordedStream,
        *,
        path: Path | None = None,
        rules: OutboxRules | None = None,
    ) -> None:
        self._chain = chain
        self._stream = stream
        self._path = path
        self._rules = rules
        self._lock = threading.Lock()
        self._in_memory: tuple[MonitoringStore, MonitoringRun] | None = None

    def read(self) -> tuple[Sequence[Alert], int]:
        """Return the alerts, oldest first, and how many posts were counted."""
        with self._lock:  # a first call may take a while; a second one should wait for it and not do the same work
            if self._path is None:
                if self._in_memory is None:
                    store = MonitoringStore()
                    self._in_memory = store, MonitoringRun(self._chain, store)
                store, run = self._in_memory
                self._catch_up(run)
                return _look(store.database)
            return self._read_file(self._path)

    def _read_file(self, path: Path) -> tuple[Sequence[Alert], int]:
        try:
            with contextlib.closing(MonitoringStore(path, rules=self._rules)) as store:
                run = MonitoringRun(self._chain, store)
                self._catch_up(run)
                run.keep_learnt()
                return _look(store.database)
        except Timeout:
            with contextlib.closing(MonitoringDatabase(path, owns_format=False)) as database:
                return _look(database)

    def _catch_up(self, run: MonitoringRun) -> None:
        run.catch_up(self._stream.read, stamp=self._stream.stamp())


def _look(database: MonitoringDatabase) -> tuple[Sequence[Alert], int]:
    view = MonitoringView(database)
    alerts, _ = view.read_alerts(most=_MOST, max_bytes=10**9)
    return alerts, view.read_numbers()["counted"]
