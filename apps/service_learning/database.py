"""The SQLite file of what is learnt from logs: its tables, and transactions."""

import contextlib
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from apps.errors import DiskFullError, LearningFileError
from apps.sqlite_files import check_format, connect_private

FORMAT = 1  # of the file
FILE_NAME = "learning.sqlite"

# decisions are only ever added; what is in force is what they come to, see `apps.service_learning.review`
_TABLES = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS conversations (seq INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, time REAL,
    request TEXT, is_later INTEGER NOT NULL DEFAULT 0, outcome REAL) STRICT;
CREATE TABLE IF NOT EXISTS private_counts (kind TEXT PRIMARY KEY, count INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS shapes (kind TEXT NOT NULL, shape TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (kind, shape)) STRICT;
CREATE TABLE IF NOT EXISTS groups (id TEXT PRIMARY KEY, draft TEXT NOT NULL, born INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE IF NOT EXISTS members (group_id TEXT NOT NULL, place INTEGER NOT NULL, conversation INTEGER NOT NULL,
    path TEXT NOT NULL, PRIMARY KEY (group_id, place)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS decisions (seq INTEGER PRIMARY KEY AUTOINCREMENT, time TEXT NOT NULL, person TEXT NOT NULL,
    decision TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS publications (decision INTEGER PRIMARY KEY, is_written INTEGER NOT NULL,
    files TEXT NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS conversations_by_time ON conversations (time);
CREATE INDEX IF NOT EXISTS members_by_conversation ON members (conversation);
"""


class LearningDatabase:
    """One connection to the file, for all threads; each waits for the one before it.

    Args:
        path: of the file, which is made if it is not there.

    Raises:
        LearningFileError: if it is no such file; any method may raise it.
        WorkspaceError: if a later version of this library wrote it.
        DiskFullError: if the disk is full; what was stored before is intact.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        with self._explained():
            self._connection = connect_private(path, isolation_level=None)
            try:
                check_format(path, self._connection, FORMAT)
                self._connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} COMMIT;")
                self._connection.execute("INSERT OR IGNORE INTO facts VALUES ('salt', ?)", (secrets.token_hex(16),))
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    def read(self, query: str, *values: Any) -> list[Any]:
        """Return the rows of a query."""
        with self._lock, self._explained():
            return self._connection.execute(query, values).fetchall()

    def fact(self, name: str) -> str | None:
        """Return a value that was kept under a name, or None."""
        rows = self.read("SELECT value FROM facts WHERE name = ?", name)
        return str(rows[0][0]) if rows else None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Give the connection; all that is done with it happens, or nothing."""
        with self._lock, self._explained():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if isinstance(error, LearningFileError | DiskFullError):
                raise
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                msg = f"the disk has no room for {self._path}; nothing of this is stored, what was before is intact"
                raise DiskFullError(msg) from error
            msg = f"what was learnt from logs in {self._path} cannot be used: {error}; check the file and the disk"
            raise LearningFileError(msg) from error


def put_fact(connection: sqlite3.Connection, name: str, value: str) -> None:
    """Keep a value under a name, in place of an earlier one."""
    connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))
