"""The SQLite file of a store: one writer, many readers, typed errors, and a seal that shows damage."""

import contextlib
import json
import os
import sqlite3
import threading
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from llms.files import sync_folder
from retrievers.errors import StoreBusyError, StoreDamagedError, StoreFolderError, StoreFullError

DATABASE_NAME = "store.sqlite"
_SEAL_NAME = "store.seal"
_COUNTER_NAME = "store.commits"
_LOCK_NAME = "writer.lock"
# 384 float32 numbers leave a third of a 4 KiB page empty, and a thirtieth of this one
_PAGE_BYTES = 8192
_READ_BYTES = 1 << 20
# How often this process has each file open. Closing a file that SQLite has open, too, would take SQLite's locks away,
# so its bytes are read by hand only while no object here has it open: https://sqlite.org/howtocorrupt.html, 2.2.
_OPEN_FILES: Counter[Path] = Counter()
_OPEN_FILES_LOCK = threading.Lock()
_PAGE_COUNTS = ("freelist_count", "page_count")
_FREE_SHARE = 0.1


class Database:
    """One file in write-ahead mode, or a database in memory.

    Reading never waits for writing. The first write takes the writer's lock, which other processes and other
    objects of this one then find taken until `close`. A file that was closed in order is sealed with its checksum.

    Args:
        folder: where the file lies; made if missing. None keeps everything in memory.
        durable: make every commit survive a power cut; without it the last ones may be lost, whole.

    Attributes:
        is_sealed: whether the file is byte for byte what was closed; None if it was not closed in order.

    Raises:
        StoreFolderError: if the folder cannot be opened, or holds something else.
    """

    def __init__(self, folder: Path | None, *, durable: bool = True) -> None:
        self.folder = folder
        self.lock = threading.RLock()  # of the one thread that writes
        self._durable = durable
        self._idle: list[sqlite3.Connection] = []
        self._is_closed = False
        self._writer: sqlite3.Connection | None = None
        self._file_lock: FileLock | None = None
        self._watcher: sqlite3.Connection | None = None
        self._counter: int | None = None  # file descriptor
        self.is_sealed: bool | None = True
        if folder is None:
            self._writer = _connect(":memory:", durable=False)
            return
        with self._typed_errors():
            _prepare_folder(folder)
            self._file_lock = FileLock(folder / _LOCK_NAME, timeout=0, thread_local=False)
            with _OPEN_FILES_LOCK:
                if not _OPEN_FILES[self._path]:  # else whoever has it open has checked it
                    self.is_sealed = self._compare_with_seal(folder)
                _OPEN_FILES[self._path] += 1

    @property
    def is_writer(self) -> bool:
        """Whether this object is the one that may write; then nobody else changes the file."""
        return self.folder is None or self._writer is not None

    def exists(self) -> bool:
        """Return whether the file is there."""
        return self.folder is not None and (self.folder / DATABASE_NAME).exists()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Hold one unchanging view of the file."""
        self._check_open()
        if self.folder is None:
            with self.lock, self._typed_errors():
                yield self._memory()
            return
        with self._typed_errors():
            connection = self._idle.pop() if self._idle else self._connect_reader()
            try:
                connection.execute("BEGIN")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                connection.close()
                raise
            if self._is_closed:
                connection.close()
            else:
                self._idle.append(connection)

    @contextlib.contextmanager
    def creating(self) -> Iterator[sqlite3.Connection]:
        """Hold the file for making its tables; others wait.

        Raises:
            StoreBusyError: if somebody else holds it for more than ten seconds.
        """
        if self.folder is None or self._file_lock is None:
            yield self._memory()
            return
        with self.lock, self._typed_errors(), self._file_locked(timeout_s=10):
            connection = _connect(self.folder / DATABASE_NAME, durable=True)
            try:
                yield connection
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                connection.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Hold one transaction, durable at the end; an error takes everything back.

        Raises:
            StoreBusyError: if somebody else is the writer.
            StoreFullError: if the disk took no more.
        """
        with self.lock:
            self.become_writer()
            connection = self._memory()
            with self._typed_errors():
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:  # after a full disk SQLite has rolled back itself
                        connection.execute("ROLLBACK")
                    raise

    def become_writer(self) -> bool:
        """Take the writer's lock; return whether it was taken just now.

        Raises:
            StoreBusyError: if somebody else holds it.
        """
        with self.lock:
            self._check_open()
            if self._writer is not None or self.folder is None or self._file_lock is None:
                return False
            with self._typed_errors(), self._file_locked(timeout_s=0, keep=True):
                self._unseal()
                self._counter = os.open(self.folder / _COUNTER_NAME, os.O_RDWR | os.O_CREAT, 0o644)
                self._writer = _connect(self.folder / DATABASE_NAME, durable=self._durable)
            return True

    @contextlib.contextmanager
    def _file_locked(self, *, timeout_s: float, keep: bool = False) -> Iterator[None]:
        """Hold the writer's lock; with `keep` beyond the end, unless there is an error."""
        if self._file_lock is None:
            yield
            return
        try:
            self._file_lock.acquire(timeout=timeout_s)
        except Timeout as error:
            msg = (
                f"the store in {self.folder} is being written by another process, or by another object of this one; "
                "close that one first, or write through it"
            )
            raise StoreBusyError(msg) from error
        try:
            yield
        except BaseException:
            self._file_lock.release()
            raise
        if not keep:
            self._file_lock.release()

    def vacuum(self) -> None:
        """Give the space of removed rows back to the disk, where it is worth the writing."""
        with self.lock:
            self.become_writer()
            connection = self._memory()
            with self._typed_errors():
                num_free, num_pages = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in _PAGE_COUNTS)
                if num_free > _FREE_SHARE * num_pages:
                    connection.execute("VACUUM")

    def data_version(self) -> int:
        """Return a number that changes whenever somebody else has changed the file."""
        if self.folder is None:
            return 0
        with self.lock, self._typed_errors():
            self._check_open()
            if self._watcher is None:
                self._watcher = self._connect_reader()
            version: int = self._watcher.execute("PRAGMA data_version").fetchone()[0]
            return version

    @property
    def _path(self) -> Path:
        return ((self.folder or Path()) / DATABASE_NAME).absolute()

    def _compare_with_seal(self, folder: Path) -> bool | None:
        seal = _read_seal(folder / _SEAL_NAME)
        return None if seal is None or not self.exists() else _file_seal(self._path) == seal

    def num_remembered_commits(self) -> int:
        """Return the number that `remember_commits` was last given, 0 if that is not known."""
        return _read_counter(self.folder / _COUNTER_NAME) if self.folder is not None else 0

    def remember_commits(self, count: int) -> None:
        """Note outside the file how many commits it holds: a damaged write-ahead log ends early without a word."""
        if self._counter is not None:
            os.lseek(self._counter, 0, os.SEEK_SET)
            os.write(self._counter, _counter_record(count))
            if self._durable:
                os.fsync(self._counter)

    def close(self) -> None:
        """Release the file, and seal it if nobody else has it open; calling it again does nothing."""
        with self.lock:
            if self._is_closed:
                return
            self._is_closed = True
            for connection in [*self._idle, *([self._watcher] if self._watcher else [])]:
                connection.close()
            self._idle, self._watcher = [], None
            self._release_writer()
            if self.folder is not None:
                with _OPEN_FILES_LOCK:
                    _OPEN_FILES[self._path] -= 1
                    if not _OPEN_FILES[self._path]:
                        del _OPEN_FILES[self._path]
                        with contextlib.suppress(OSError, sqlite3.Error, StoreBusyError):
                            self._seal(self.folder)  # unsealed, it is checked row by row at the next opening

    def stop_writing(self) -> None:
        """Let others write; the next write takes the lock again."""
        with self.lock:
            if self.folder is not None:
                self._release_writer()

    def _release_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            if self._counter is not None:
                os.close(self._counter)
                self._counter = None
            if self._file_lock is not None:
                self._file_lock.release()

    def _seal(self, folder: Path) -> None:
        """Note the file's checksum, if it was changed and no other process has it open."""
        if (folder / _SEAL_NAME).exists() or not self.exists():
            return
        with self._file_locked(timeout_s=0):
            connection = _connect(self._path, durable=True)
            try:
                is_busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            finally:
                connection.close()
            wal = self._path.with_name(f"{DATABASE_NAME}-wal")
            if not is_busy and not (wal.exists() and wal.stat().st_size):
                replace_file(folder / _SEAL_NAME, json.dumps(_file_seal(self._path)).encode())

    def _unseal(self) -> None:
        if self.folder is not None and (seal := self.folder / _SEAL_NAME).exists():
            seal.unlink()
            sync_folder(self.folder)

    def _connect_reader(self) -> sqlite3.Connection:
        if self.folder is None:
            return self._memory()
        path = (self.folder / DATABASE_NAME).absolute()
        wal = path.with_name(f"{DATABASE_NAME}-wal")
        # on a read-only disk SQLite cannot make its shared memory; without a log there is nothing to share
        is_frozen = not os.access(self.folder, os.W_OK) and not (wal.exists() and wal.stat().st_size)
        uri = f"{path.as_uri()}?mode=rw" if not is_frozen else f"{path.as_uri()}?mode=ro&immutable=1"
        connection = _open(uri, uri=True)
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _memory(self) -> sqlite3.Connection:
        if self._writer is None:
            raise StoreFolderError(self._closed_message())
        return self._writer

    def _check_open(self) -> None:
        if self._is_closed:
            raise StoreFolderError(self._closed_message())

    def _closed_message(self) -> str:
        return f"the store in {self.folder or 'memory'} is closed; open it anew"

    @contextlib.contextmanager
    def _typed_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._typed(error) from error
        except UnicodeDecodeError as error:  # SQLite quotes damaged names in its messages
            raise StoreDamagedError(damaged_message(self.folder, str(error))) from error
        except OSError as error:
            msg = f"the store in {self.folder} cannot be read or written: {error}; free the folder, or name another"
            raise StoreFolderError(msg) from error

    def _typed(self, error: sqlite3.Error) -> StoreFolderError:
        code = getattr(error, "sqlite_errorcode", None)
        primary = code & 0xFF if isinstance(code, int) else None
        if primary in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            msg = (
                f"the disk under {self.folder} took no more ({error}); nothing was changed: free space, then try again"
            )
            return StoreFullError(msg)
        if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return StoreDamagedError(damaged_message(self.folder, str(error)))
        if primary == sqlite3.SQLITE_READONLY:
            msg = f"the store in {self.folder} cannot be written: {error}; nothing was changed"
            return StoreFolderError(msg)
        msg = f"the store in {self.folder} cannot be read or written: {error}"
        return StoreFolderError(msg)


def damaged_message(folder: Path | None, what: str) -> str:
    """Return what is said about a damaged store."""
    return f"the store in {folder} is damaged: {what}; restore it from a copy, or build it anew"


def replace_file(path: Path, content: bytes) -> None:
    """Put `content` at `path` in one step that survives a power cut: either the old file or the new one is there."""
    side = path.with_name(f".{path.name}.new")
    with side.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    side.replace(path)
    sync_folder(path.parent)


def _prepare_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / DATABASE_NAME).exists():
        return
    foreign = sorted(path.name for path in folder.iterdir() if path.name != _LOCK_NAME)
    if foreign:
        msg = f"{folder} is no store: it holds {', '.join(foreign[:3])}; give an empty folder, or that of a store"
        raise StoreFolderError(msg)


def _connect(path: Path | str, *, durable: bool) -> sqlite3.Connection:
    connection = _open(str(path))
    try:
        connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _open(path: str, *, uri: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(path, uri=uri, timeout=30, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA trusted_schema = OFF")  # a crafted file must not run functions
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _counter_record(count: int) -> bytes:
    number = count.to_bytes(8, "big")
    return number + zlib.crc32(number).to_bytes(4, "big")


def _read_counter(path: Path) -> int:
    """Return the commits that were acknowledged; 0 where that is not known."""
    record = path.read_bytes() if path.exists() else b""
    count = int.from_bytes(record[:8], "big")
    return count if record == _counter_record(count) else 0


def _file_seal(path: Path) -> dict[str, int]:
    checksum = size_bytes = 0
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            checksum = zlib.crc32(block, checksum)
            size_bytes += len(block)
    return {"size_bytes": size_bytes, "crc32": checksum}


def _read_seal(path: Path) -> dict[str, int] | None:
    try:
        seal = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return seal if isinstance(seal, dict) else None
