"""The SQLite file of a monitor: its tables, the way from an earlier format, and connections for several threads."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from apps.errors import DiskFullError, MonitoringFileError
from apps.sqlite_files import check_format, connect_private
from chains.monitoring import UNKNOWN_TOPIC

FORMAT = 2  # of the file
KEPT_S = 8 * 7 * 86_400.0

_TABLES = """
CREATE TABLE IF NOT EXISTS posts (seq INTEGER PRIMARY KEY, source TEXT NOT NULL, id TEXT NOT NULL, time REAL NOT NULL,
    post TEXT NOT NULL, topic TEXT, sentiment TEXT, topic_name TEXT, sentiment_name TEXT,
    is_copy INTEGER NOT NULL DEFAULT 0, entities TEXT, UNIQUE (source, id)) STRICT;
CREATE TABLE IF NOT EXISTS entity_posts (entity TEXT NOT NULL, time REAL NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (entity, time, seq)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS marks (seq INTEGER PRIMARY KEY, last_post INTEGER NOT NULL, watermark REAL NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS alerts (id TEXT PRIMARY KEY, raised_at REAL NOT NULL, alert TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS hours (topic TEXT NOT NULL, start INTEGER NOT NULL, posts INTEGER NOT NULL,
    negative INTEGER NOT NULL, neutral INTEGER NOT NULL, positive INTEGER NOT NULL, copies INTEGER NOT NULL,
    baseline_share REAL, PRIMARY KEY (topic, start)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS numbers (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS dead_letter (source TEXT NOT NULL, id TEXT NOT NULL, time TEXT NOT NULL, text TEXT NOT NULL,
    reason TEXT NOT NULL, tries INTEGER NOT NULL, PRIMARY KEY (source, id)) STRICT;
CREATE TABLE IF NOT EXISTS learnt (place INTEGER PRIMARY KEY CHECK (place = 0), last_post INTEGER NOT NULL,
    version INTEGER NOT NULL, state BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS read_files (name TEXT PRIMARY KEY, stamp TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS outbox (seq INTEGER PRIMARY KEY, sink TEXT NOT NULL, alert TEXT NOT NULL,
    state TEXT NOT NULL, day TEXT NOT NULL, message TEXT NOT NULL, status TEXT NOT NULL, tries INTEGER NOT NULL,
    next_try REAL NOT NULL, changed REAL NOT NULL, reason TEXT NOT NULL, UNIQUE (sink, alert, state)) STRICT;
CREATE TABLE IF NOT EXISTS verdicts (alert TEXT PRIMARY KEY, verdict TEXT NOT NULL, judge TEXT NOT NULL,
    time REAL NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS review (source TEXT NOT NULL, id TEXT NOT NULL, text TEXT NOT NULL, topic TEXT NOT NULL,
    sentiment TEXT NOT NULL, alert TEXT NOT NULL, PRIMARY KEY (source, id)) STRICT;
CREATE INDEX IF NOT EXISTS posts_by_time ON posts (time);
CREATE INDEX IF NOT EXISTS posts_by_topic ON posts (topic_name, time);
CREATE INDEX IF NOT EXISTS posts_by_source ON posts (source, time);
CREATE INDEX IF NOT EXISTS posts_by_topic_and_source ON posts (topic_name, source, time);
CREATE INDEX IF NOT EXISTS hours_by_start ON hours (start);
CREATE INDEX IF NOT EXISTS alerts_by_time ON alerts (raised_at, id);
CREATE INDEX IF NOT EXISTS outbox_by_status ON outbox (status, next_try);
"""
_FROM_FORMAT_1 = f"""
ALTER TABLE posts ADD COLUMN topic_name TEXT;
ALTER TABLE posts ADD COLUMN sentiment_name TEXT;
ALTER TABLE posts ADD COLUMN is_copy INTEGER NOT NULL DEFAULT 0;
ALTER TABLE posts ADD COLUMN entities TEXT;
UPDATE posts SET sentiment_name = json_extract(sentiment, '$.label'),
    topic_name = iif(json_extract(topic, '$.accepted'), json_extract(topic, '$.label'), '{UNKNOWN_TOPIC}')
    WHERE topic IS NOT NULL;
INSERT INTO hours SELECT topic, CAST(start AS INTEGER), json_extract(point, '$.posts'),
    json_extract(point, '$.negative'), json_extract(point, '$.neutral'), json_extract(point, '$.positive'),
    json_extract(point, '$.copies'), json_extract(point, '$.baseline_share') FROM trend;
DROP TABLE trend;
"""  # noqa: S608  # a constant of ours


class MonitoringDatabase:
    """One connection to the file of a monitor, for all threads; each waits for the one before it.

    Args:
        path: of the file, which is made if it is not there; without one all is in memory.
        owns_format: whether an earlier format may be brought up to date, which one connection does at a time.

    Attributes:
        connection: to be used within `transaction` or `read` only.

    Raises:
        MonitoringFileError: if it is no such file; any method may raise it.
        DiskFullError: if the disk is full; what was stored before is intact.
    """

    def __init__(self, path: Path | None = None, *, owns_format: bool = True) -> None:
        self._path = path
        self._lock = threading.RLock()
        with self._explained():
            if path is None:
                self.connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
                self.connection.executescript(_TABLES)
                return
            self.connection = connect_private(path, isolation_level=None)
            try:
                if owns_format:
                    self._prepare(path)
            except BaseException:
                self.connection.close()
                raise

    def _prepare(self, path: Path) -> None:
        (found,) = self.connection.execute("PRAGMA user_version").fetchone()
        if found < FORMAT:
            is_old = self.connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'trend'").fetchone()
            script = _FROM_FORMAT_1 if is_old else ""
            hours = next(line for line in _TABLES.split(";") if "EXISTS hours " in line)
            statements = f"{hours}; {script} {_TABLES}" if is_old else _TABLES
            # all or nothing: a half-changed file would be neither of one format nor of the other
            try:
                self.connection.executescript(
                    f"BEGIN IMMEDIATE; {statements} PRAGMA user_version = {FORMAT:d}; COMMIT;"
                )
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise
        check_format(path, self.connection, FORMAT)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self.connection.close()

    def read(self, query: str, *values: Any) -> list[Any]:
        """Return the rows of a query."""
        with self._lock, self._explained():
            return self.connection.execute(query, values).fetchall()

    @contextlib.contextmanager
    def transaction(self, kind: str = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
        """Give the connection; all that is done with it happens, or nothing."""
        with self._lock, self._explained():
            self.connection.execute(f"BEGIN {kind}")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    def reading(self) -> contextlib.AbstractContextManager[sqlite3.Connection]:
        """Give the connection for several queries that see one and the same state."""
        return self.transaction("DEFERRED")

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if isinstance(error, MonitoringFileError | DiskFullError):
                raise
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                msg = f"the disk has no room for {self._path}; nothing of this is stored, what was before is intact"
                raise DiskFullError(msg) from error
            msg = f"the state of monitoring in {self._path} cannot be used: {error}; check the file and the disk"
            raise MonitoringFileError(msg) from error
