"""SQLite files of a workspace: private, written through to the disk, of a format that is known."""

import sqlite3
from pathlib import Path
from typing import Any

from apps.errors import WorkspaceError
from apps.private_files import make_private

_TIMEOUT_S = 30.0


def connect_private(path: Path, *, isolation_level: Any) -> sqlite3.Connection:
    """Open a file that only its owner reads; what is committed survives a power cut, what is deleted is overwritten.

    Args:
        path: it is made if it is not there.
        isolation_level: as of `sqlite3.connect`.
    """
    make_private(path)
    connection = sqlite3.connect(path, timeout=_TIMEOUT_S, check_same_thread=False, isolation_level=isolation_level)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # of the builds of SQLite some have another default
        connection.execute("PRAGMA secure_delete = ON")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def check_format(path: Path, connection: sqlite3.Connection, newest: int) -> None:
    """Note the format in a file, or refuse one that only a later version reads.

    Args:
        newest: the format that is written; raised when an earlier version could not read it.

    Raises:
        WorkspaceError: if it is of a later format.
    """
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found > newest:
        msg = (
            f"{path} was written by a later version of TuneChain (format {found}, this one reads up to {newest}); use "
            "that version, or restore the file from before the upgrade"
        )
        raise WorkspaceError(msg)
    if found < newest:  # files from before formats were counted are read as they are
        connection.execute(f"PRAGMA user_version = {newest:d}")


def compact_sqlite(connection: sqlite3.Connection) -> None:
    """Write a database anew without what was deleted from it, and empty its write-ahead log."""
    connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
