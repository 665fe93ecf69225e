"""Ledger of an index: which file gave which documents, so that unchanged files are not parsed again."""

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from apps.errors import WorkspaceError

_NAME = "files.sqlite"
_FORMAT = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    source TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, ids TEXT NOT NULL, num_ids INTEGER NOT NULL
)
"""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file, what it was when it was indexed, and the ids of its chunks; no fingerprint: not surely all of it."""

    source: str
    fingerprint: str
    ids: tuple[str, ...]


class FileLedger:
    """The files of one index, kept in a small database beside its documents.

    It is a memory, not the truth: whoever opens it compares it with the store and may fill it anew from there. A
    damaged one, or one of another format, is begun anew by itself.

    Args:
        folder: that of the store. None keeps everything in memory.
        timeout_s: how long to wait for another program that is writing.

    Raises:
        WorkspaceError: if it cannot be opened or written.

    Example:
        >>> with FileLedger(None) as ledger:
        ...     ledger.write([FileEntry("a.md", "5e1f", ("id-1", "id-2"))])
        ...     ledger.fingerprints(), ledger.num_ids()
        ({'a.md': '5e1f'}, 2)
    """

    def __init__(self, folder: Path | None, *, timeout_s: float = 5.0) -> None:
        self._timeout_s = timeout_s
        self._path = folder / _NAME if folder else None
        with self._typed_errors():
            self._database = self._open()

    def __enter__(self) -> "FileLedger":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        self._database.close()

    def fingerprints(self) -> dict[str, str]:
        """Return the fingerprint of each file."""
        with self._typed_errors():
            return dict(self._database.execute("SELECT source, fingerprint FROM files").fetchall())

    def ids(self, source: str) -> tuple[str, ...]:
        """Return the ids of a file's chunks; none for an unknown file."""
        with self._typed_errors():
            row = self._database.execute("SELECT ids FROM files WHERE source = ?", [source]).fetchone()
        return tuple(json.loads(row[0])) if row else ()

    def num_ids(self) -> int:
        """Return how many chunks all files have."""
        with self._typed_errors():
            return int(self._database.execute("SELECT coalesce(sum(num_ids), 0) FROM files").fetchone()[0])

    def write(self, entries: Iterable[FileEntry]) -> None:
        """Write these files, replacing what was known of them, and make it durable."""
        rows = [(entry.source, entry.fingerprint, json.dumps(entry.ids), len(entry.ids)) for entry in entries]
        with self._typed_errors(), self._database:
            self._database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", rows)

    def mark_unfinished(self, sources: Iterable[str]) -> None:
        """Forget the fingerprints of these files, since their chunks are about to change."""
        with self._typed_errors(), self._database:
            rows = [(source,) for source in sources]
            self._database.executemany("UPDATE files SET fingerprint = '' WHERE source = ?", rows)

    def remove(self, sources: Iterable[str]) -> None:
        """Forget these files."""
        with self._typed_errors(), self._database:
            self._database.executemany("DELETE FROM files WHERE source = ?", [(source,) for source in sources])

    def fill(self, ids_by_source: Mapping[str, Sequence[str]]) -> None:
        """Make the ledger say what a store holds; files whose chunks are as known keep their fingerprint."""
        known = self.fingerprints()
        entries = [
            FileEntry(source, known[source] if set(ids) == set(self.ids(source)) else "", tuple(ids))
            if source in known
            else FileEntry(source, "", tuple(ids))
            for source, ids in ids_by_source.items()
        ]
        self.remove(source for source in known if source not in ids_by_source and self.ids(source))
        self.write(entries)

    def _open(self) -> sqlite3.Connection:
        try:
            return _connect(self._path, self._timeout_s)
        except sqlite3.OperationalError:  # locked, or not to be opened: the file itself may be good
            raise
        except sqlite3.DatabaseError:
            if self._path:
                self._path.unlink()
            return _connect(self._path, self._timeout_s)

    @contextlib.contextmanager
    def _typed_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            msg = f"{self._path} cannot be read or written: {error}; end other programs that use it, or delete it"
            raise WorkspaceError(msg) from error


def _connect(path: Path | None, timeout_s: float) -> sqlite3.Connection:
    database = sqlite3.connect(path or ":memory:", timeout=timeout_s)
    try:
        database.execute(_SCHEMA)
        if database.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            msg = "the file is damaged"
            raise sqlite3.DatabaseError(msg)
        if database.execute("PRAGMA user_version").fetchone()[0] not in (0, _FORMAT):
            database.execute("DROP TABLE files")
            database.execute(_SCHEMA)
        database.execute(f"PRAGMA user_version = {_FORMAT}")
        database.commit()
    except BaseException:
        database.close()
        raise
    return database
