"""Durable log of what people did with items: one SQLite file, the truth about a workspace's events."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NoReturn

from apps.errors import DiskFullError, EventFileError
from apps.sqlite_files import check_format, compact_sqlite, connect_private
from retrievers import DatedEvent, Event, EventKind, identify_event

_Row = tuple[str, str, str, int, str, str, float | None, str, int | None, float | None, str]
Source = Literal["client", "import", "file"]  # over HTTP, by `tunechain events import`, of events.csv

_FORMAT = 1  # raised when an earlier version could not read what is written
_TABLES = (
    "CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY AUTOINCREMENT, user TEXT NOT NULL, "
    "item TEXT NOT NULL, kind TEXT NOT NULL, second INTEGER NOT NULL, time TEXT NOT NULL, text TEXT NOT NULL, "
    "opinion REAL, source TEXT NOT NULL, list_id TEXT NOT NULL DEFAULT '', place INTEGER, propensity REAL, "
    "UNIQUE (user, item, kind, second)) STRICT",
    "CREATE TABLE IF NOT EXISTS files (name TEXT PRIMARY KEY, digest TEXT NOT NULL) STRICT",
)
# since format 1; earlier versions leave them out, which they may
_LATER_COLUMNS = {"list_id": "TEXT NOT NULL DEFAULT ''", "place": "INTEGER", "propensity": "REAL"}
_ADD = (
    "INSERT INTO events (user, item, kind, second, time, text, opinion, list_id, place, propensity, source) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
# an event that a client sent stays when the file it also stood in is replaced
_KEEP = "UPDATE events SET source = ? WHERE user = ? AND item = ? AND kind = ? AND second = ? AND source = 'file'"
_LOOKED_AT = 200  # of the latest events, for each person that is asked for: all of them would take seconds
_COLUMNS = "number, user, item, kind, time, text, opinion, list_id, place, propensity"


@dataclass(slots=True, eq=False)
class _Batch:
    """Events that wait to be committed."""

    rows: Sequence[_Row]
    num_new: int = 0
    error: BaseException | None = None
    is_done: bool = False


class EventLog:
    """The events of a workspace, in one SQLite file that is made with the first of them.

    What `add` has returned of is on the disk, once: an event of the same user, item, kind and second is the same event.
    Writers that come while another one commits are committed together. Processes may share the file.

    Example:
        >>> import tempfile
        >>> log = EventLog(Path(tempfile.mkdtemp()) / "events.sqlite")
        >>> click = Event(user="anna", item="a1", event="click", time=datetime(2026, 3, 1, tzinfo=UTC))
        >>> log.add([click]), log.add([click]), [event.item for event in log.history("anna")]
        (1, 0, ['a1'])
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._waiting_lock = threading.Lock()
        self._waiting: list[_Batch] = []

    def add(self, events: Sequence[DatedEvent], *, source: Source = "client") -> int:
        """Keep events and return how many were not there yet; all of them are on the disk, or none.

        Raises:
            DiskFullError: if there is no room for them.
            EventFileError: if the file cannot be used; any method may raise it.
        """
        batch = _Batch([_row(event, source) for event in events])
        with self._waiting_lock:
            self._waiting.append(batch)
        with self._write_lock:
            if not batch.is_done:
                with self._waiting_lock:
                    batches, self._waiting = self._waiting, []
                self._commit(batches)
        if batch.error is not None:
            raise batch.error
        return batch.num_new

    def replace_file(self, name: str, digest: str, events: Sequence[DatedEvent]) -> None:
        """Keep the events of a file in place of those of its earlier content."""
        with self._write_lock, self._writing() as database, database:
            database.execute("DELETE FROM events WHERE source = 'file'")
            database.executemany(_ADD, [_row(event, "file") for event in events])
            database.execute("INSERT OR REPLACE INTO files (name, digest) VALUES (?, ?)", (name, digest))

    def file_digest(self, name: str) -> str:
        """Return the digest of the file whose events are kept; nothing if there are none."""
        with self._reading() as database:
            row = (
                None
                if database is None
                else database.execute("SELECT digest FROM files WHERE name = ?", (name,)).fetchone()
            )
        return "" if row is None else str(row[0])

    def history(self, user: str, *, with_shown: bool = True) -> list[Event]:
        """Return a user's events, oldest first; if asked so, without what was only shown to them."""
        with self._reading() as database:
            which = "user = ?" if with_shown else f"user = ? AND kind != '{EventKind.SHOW.value}'"
            query = f"SELECT {_COLUMNS} FROM events WHERE {which} ORDER BY time, number"  # noqa: S608  # fixed
            rows = [] if database is None else database.execute(query, (user,)).fetchall()
        return [_event(row) for row in rows]

    def recent_users(self, count: int) -> list[tuple[str, int, datetime]]:
        """Return who did anything last, latest first, with the number of their events and the time of the last one."""
        latest = "SELECT DISTINCT user FROM (SELECT user FROM events ORDER BY number DESC LIMIT ?)"
        query = (
            f"SELECT user, count(*), max(time) FROM events WHERE user IN ({latest}) "  # noqa: S608  # fixed
            "GROUP BY user ORDER BY max(time) DESC, user LIMIT ?"
        )
        with self._reading() as database:
            rows = [] if database is None else database.execute(query, (_LOOKED_AT * count, count)).fetchall()
        return [(user, number, datetime.fromisoformat(time)) for user, number, time in rows]

    def read(self, *, after: int = 0) -> tuple[list[Event], int]:
        """Return the events that came into the log after a number, oldest first, and the last number."""
        with self._reading() as database:
            query = f"SELECT {_COLUMNS} FROM events WHERE number > ?"  # noqa: S608  # fixed
            rows = [] if database is None else database.execute(query, (after,)).fetchall()
        last = max((row[0] for row in rows), default=after)
        return sorted(map(_event, rows), key=lambda event: event.time), last

    def forget(self, user: str) -> None:
        """Delete the events of a user, so that no byte of them is left in the file."""
        self._delete("DELETE FROM events WHERE user = ?", user)

    def forget_before(self, moment: datetime) -> int:
        """Delete the events from before a moment with a time zone, and return how many there were."""
        return self._delete("DELETE FROM events WHERE second < ?", int(moment.timestamp()))

    def _delete(self, sql: str, value: str | int) -> int:
        if not self.path.exists():
            return 0
        with self._write_lock, self._writing() as database:
            with database:
                num_deleted = database.execute(sql, (value,)).rowcount
            compact_sqlite(database)
        return num_deleted

    def close(self) -> None:
        """Let go of the file; the next use opens it again."""
        with self._write_lock, self._read_lock:
            self._close()

    def _close(self) -> None:
        for connection in (self._writer, self._reader):
            if connection is not None:
                connection.close()
        self._writer = self._reader = None

    def _commit(self, batches: Sequence[_Batch]) -> None:
        """Commit batches together; what went wrong is told to each."""
        try:
            with self._writing() as database, database:
                for batch in batches:
                    batch.num_new = database.executemany(_ADD, batch.rows).rowcount if batch.rows else 0
                    if batch.num_new < len(batch.rows):
                        database.executemany(_KEEP, [(row[-1], *row[:4]) for row in batch.rows])
        except BaseException as error:  # whatever it is, no batch may be taken for committed
            for batch in batches:
                batch.error = error
        for batch in batches:
            batch.is_done = True

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        try:
            if self._writer is None:
                self._writer = _connect(self.path)
                for table in _TABLES:
                    self._writer.execute(table)
            yield self._writer
        except (sqlite3.Error, OSError) as error:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            self._refuse(error)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        with self._read_lock:
            try:
                if self._reader is None and self.path.exists() and self.path.stat().st_size:
                    self._reader = _connect(self.path)
                yield self._reader
            except (sqlite3.Error, OSError) as error:
                if self._reader is not None:
                    self._reader.close()
                    self._reader = None
                self._refuse(error)

    def _refuse(self, error: Exception) -> NoReturn:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            msg = f"there is no room for events in {self.path}; make room on its disk, then send them again"
            raise DiskFullError(msg) from error
        if isinstance(error, EventFileError):
            raise error
        msg = f"the events in {self.path} cannot be used: {error}; check the file and the disk"
        raise EventFileError(msg) from error


def _connect(path: Path) -> sqlite3.Connection:
    connection = connect_private(path, isolation_level="")
    try:
        check_format(path, connection, _FORMAT)
        _add_later_columns(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _add_later_columns(connection: sqlite3.Connection) -> None:
    def missing() -> list[str]:
        known = {row[1] for row in connection.execute("PRAGMA table_info(events)")}
        return [name for name in _LATER_COLUMNS if known and name not in known]

    if missing():
        with connection:
            connection.execute("BEGIN IMMEDIATE")  # another process may be about to add them
            for name in missing():
                connection.execute(f"ALTER TABLE events ADD COLUMN {name} {_LATER_COLUMNS[name]}")


def _row(event: DatedEvent, source: Source) -> _Row:
    user, item, kind, second = identify_event(event)
    time = event.time.astimezone(UTC).isoformat(timespec="microseconds")  # so that texts sort as times do
    shown = event.list_id, event.place, event.propensity
    return user, item, kind.value, second, time, event.text, event.opinion, *shown, source


def _event(row: tuple[int, str, str, str, str, str, float | None, str, int | None, float | None]) -> Event:
    _, user, item, kind, time, text, opinion, list_id, place, propensity = row
    # checked before it was written; checking a million again would take the longest part of a start
    return Event.model_construct(
        user=user,
        item=item,
        event=EventKind(kind),
        time=datetime.fromisoformat(time),
        text=text,
        opinion=opinion,
        list_id=list_id,
        place=place,
        propensity=propensity,
    )
