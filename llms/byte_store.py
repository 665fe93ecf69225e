"""Bytes by key in one SQLite file, as a LangChain store: a cache that outlives the process."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from langchain_core.stores import BaseStore
from typing_extensions import override

from llms.errors import ByteStoreError, OptionValueError

_SCHEMA_VERSION = 1
# the total is kept by triggers: adding it up at each write would read the whole file
_SCHEMA = (
    "CREATE TABLE entries (key TEXT PRIMARY KEY, size_bytes INTEGER NOT NULL, used_at INTEGER NOT NULL, "
    "value BLOB NOT NULL)",
    "CREATE INDEX entries_used_at ON entries (used_at)",
    "CREATE TABLE total (size_bytes INTEGER NOT NULL)",
    "INSERT INTO total VALUES (0)",
    "CREATE TRIGGER entry_added AFTER INSERT ON entries BEGIN "
    "UPDATE total SET size_bytes = size_bytes + new.size_bytes; END",
    "CREATE TRIGGER entry_removed AFTER DELETE ON entries BEGIN "
    "UPDATE total SET size_bytes = size_bytes - old.size_bytes; END",
    "CREATE TRIGGER entry_replaced AFTER UPDATE OF size_bytes ON entries BEGIN "
    "UPDATE total SET size_bytes = size_bytes - old.size_bytes + new.size_bytes; END",
    f"PRAGMA user_version = {_SCHEMA_VERSION}",
)
_KEYS_AT_A_TIME = 500  # SQLite takes a bounded number of values in one statement
_ROOM_SHARE = 0.9  # how full the store is after it was emptied to make room: else each write would remove again


class SqliteByteStore(BaseStore[str, bytes]):
    """Values of bytes by key, kept in one file that several threads and processes may use at once.

    A write is on the disk as a whole or not at all. The file is made at construction; its folder too.

    Args:
        path: the SQLite file, or ":memory:" for a store that ends with the process.
        max_bytes: what keys and values may take together; beyond it the longest unused are removed, and a value
            that alone is larger is not kept. None: no limit.
        timeout_s: how long a call waits for another process that writes.

    Raises:
        ByteStoreError: if the file is no store of this kind, or cannot be read or written; from any method.
        OptionValueError: if `max_bytes` or `timeout_s` is not positive.

    Example:
        >>> store = SqliteByteStore(":memory:")
        >>> store.mset([("a/1", b"one"), ("b/1", b"two")])
        >>> store.mget(["a/1", "c/1"]), list(store.yield_keys(prefix="b/"))
        ([b'one', None], ['b/1'])
    """

    def __init__(self, path: str | Path, *, max_bytes: int | None = None, timeout_s: float = 30.0) -> None:
        if max_bytes is not None and max_bytes < 1:
            msg = f"max_bytes must be at least 1, or None for no limit; got {max_bytes}"
            raise OptionValueError(msg)
        if timeout_s <= 0:
            msg = f"timeout_s must be positive, got {timeout_s}"
            raise OptionValueError(msg)
        self.path = str(path)
        self.max_bytes = max_bytes
        self._lock = threading.RLock()  # one connection, so one statement at a time
        self._connection = self._open(timeout_s)

    @override
    def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        found: dict[str, bytes] = {}
        with self._transaction(writes=self.max_bytes is not None) as connection:
            for part in _parts(list(dict.fromkeys(keys))):
                marks = ",".join("?" * len(part))
                rows = connection.execute(f"SELECT key, value FROM entries WHERE key IN ({marks})", part)  # noqa: S608
                found.update(rows.fetchall())
                if self.max_bytes is not None:
                    now = _next_use(connection)
                    connection.execute(
                        f"UPDATE entries SET used_at = ? WHERE key IN ({marks})",  # noqa: S608  # question marks only
                        [now, *part],
                    )
        return [found.get(key) for key in keys]

    @override
    def mset(self, key_value_pairs: Sequence[tuple[str, bytes]]) -> None:
        sized = [(key, _entry_bytes(key, value), value) for key, value in key_value_pairs]
        limit = self.max_bytes
        with self._transaction(writes=True) as connection:
            now = _next_use(connection)
            if limit is not None:
                too_large = [(key,) for key, size, _ in sized if size > limit]
                connection.executemany("DELETE FROM entries WHERE key = ?", too_large)
                sized = [entry for entry in sized if entry[1] <= limit]
            connection.executemany(
                "INSERT INTO entries (key, size_bytes, value, used_at) VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE "
                "SET size_bytes = excluded.size_bytes, value = excluded.value, used_at = excluded.used_at",
                [(*entry, now + index) for index, entry in enumerate(sized)],
            )
            if limit is not None:
                _make_room(connection, limit)

    @override
    def mdelete(self, keys: Sequence[str]) -> None:
        with self._transaction(writes=True) as connection:
            connection.executemany("DELETE FROM entries WHERE key = ?", [(key,) for key in keys])

    @override
    def yield_keys(self, *, prefix: str | None = None) -> Iterator[str]:
        """Yield the keys that begin with `prefix`, sorted; keys written meanwhile may be among them or not."""
        prefix = prefix or ""
        page = self._page(">=", prefix)
        while page:
            for key in page:
                if not key.startswith(prefix):  # sorted, so no later one does either
                    return
                yield key
            page = self._page(">", page[-1])

    @property
    def size_bytes(self) -> int:
        """What keys and values take together now."""
        with self._transaction(writes=False) as connection:
            return _size_bytes(connection)

    def close(self) -> None:
        """Let go of the file; a later call is refused."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _page(self, comparison: str, key: str) -> list[str]:
        with self._transaction(writes=False) as connection:
            query = f"SELECT key FROM entries WHERE key {comparison} ? ORDER BY key LIMIT ?"  # noqa: S608  # > or >=
            return [found for (found,) in connection.execute(query, (key, _KEYS_AT_A_TIME))]

    def _open(self, timeout_s: float) -> sqlite3.Connection:
        with self._errors():
            if self.path != ":memory:":
                Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=timeout_s, check_same_thread=False, isolation_level=None)
        try:
            with self._errors():
                connection.execute("PRAGMA journal_mode = WAL")  # readers do not wait for a writer
                connection.execute("PRAGMA synchronous = NORMAL")  # with WAL, a power cut loses the last writes at most
                self._create_or_check(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _create_or_check(self, connection: sqlite3.Connection) -> None:
        with _begun(connection, writes=True):  # two processes that open a new file make its tables once
            (found,) = connection.execute("PRAGMA user_version").fetchone()
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            if not tables and found == 0:
                for statement in _SCHEMA:
                    connection.execute(statement)
            elif found != _SCHEMA_VERSION or "entries" not in tables:
                msg = (
                    f"{self.path} is an SQLite file, but no byte store of version {_SCHEMA_VERSION} "
                    f"(version {found}, tables {', '.join(tables) or 'none'}); give another path"
                )
                raise ByteStoreError(msg)

    @contextlib.contextmanager
    def _transaction(self, *, writes: bool) -> Iterator[sqlite3.Connection]:
        with self._lock, self._errors(), _begun(self._connection, writes=writes):
            yield self._connection

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Give what SQLite and the file system refuse our name, and say which file it is."""
        try:
            yield
        except (sqlite3.Error, OSError, UnicodeError) as error:  # a lone surrogate in a key is a UnicodeError
            msg = f"the byte store {self.path} cannot be used: {error}; check the file, its folder and the free space"
            raise ByteStoreError(msg) from error


@contextlib.contextmanager
def _begun(connection: sqlite3.Connection, *, writes: bool) -> Iterator[None]:
    # IMMEDIATE: a transaction that reads first and writes later could be refused in the middle
    connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
    try:
        yield
    except BaseException:
        if connection.in_transaction:  # a full disk has ended it already
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _next_use(connection: sqlite3.Connection) -> int:
    """Return a number larger than that of every use so far: an order that no clock can turn back."""
    (last,) = connection.execute("SELECT max(used_at) FROM entries").fetchone()
    return 0 if last is None else int(last) + 1


def _size_bytes(connection: sqlite3.Connection) -> int:
    (size,) = connection.execute("SELECT size_bytes FROM total").fetchone()
    return int(size)


def _entry_bytes(key: str, value: bytes) -> int:
    if not isinstance(value, bytes):
        msg = f"a byte store takes bytes, got {type(value).__name__} for the key {key!r}; encode it first"
        raise ByteStoreError(msg)
    return len(key.encode("utf-8", errors="surrogatepass")) + len(value)


def _make_room(connection: sqlite3.Connection, max_bytes: int) -> None:
    excess = _size_bytes(connection) - max_bytes
    if excess <= 0:
        return
    excess += int(max_bytes * (1 - _ROOM_SHARE))
    removed: list[tuple[str]] = []
    newest = connection.execute("SELECT key FROM entries ORDER BY used_at DESC LIMIT 1").fetchone()
    for key, size in connection.execute("SELECT key, size_bytes FROM entries ORDER BY used_at"):
        if excess <= 0 or (key,) == newest:
            break
        removed.append((key,))
        excess -= size
    connection.executemany("DELETE FROM entries WHERE key = ?", removed)


def _parts(keys: list[str]) -> Iterator[list[str]]:
    for begin in range(0, len(keys), _KEYS_AT_A_TIME):
        yield keys[begin : begin + _KEYS_AT_A_TIME]
