"""Files that appear whole, and reach the disk; locks that one program holds."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from llms.errors import ModelNotFoundError, TuneChainError

__all__ = ["end_of_whole_lines", "hold_lock", "replace_text", "sync_file", "sync_files", "sync_folder"]


def replace_text(path: Path, text: str) -> None:
    """Write a file that is there whole or, after an error, a kill or a power cut, as it was before.

    Raises:
        ModelNotFoundError: if the folder of `path` does not exist.
        OSError: if it cannot be written.
    """
    if not path.parent.is_dir():
        msg = f"there is no folder {path.parent} to write {path.name} into; give the folder of a saved model"
        raise ModelNotFoundError(msg)
    new = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        with new.open("w", encoding="utf-8", errors="replace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def end_of_whole_lines(file: BinaryIO) -> int:
    """Return the size of a file without a last line that a kill has cut."""
    file.seek(0)
    return file.read().rfind(b"\n") + 1


@contextlib.contextmanager
def hold_lock(file: Path, refusal: TuneChainError) -> Iterator[None]:
    """Hold a lock that ends with its process; `refusal` is raised at once where another one holds it."""
    from filelock import FileLock, Timeout  # as slow to import as all that uses this module

    lock = FileLock(file, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise refusal from error
    try:
        yield
    finally:
        lock.release()


def sync_files(folder: Path) -> None:
    """Return when every file in `folder` and the folder itself are on the disk, so that a power cut spares them."""
    paths = sorted(folder.rglob("*"))
    for path in paths:
        if path.is_file():
            sync_file(path)
    for path in (*filter(Path.is_dir, paths), folder, folder.parent):
        sync_folder(path)


def sync_folder(folder: Path) -> None:
    """Make names that were added to or removed from a folder durable."""
    if os.name != "nt":  # there a folder cannot be opened, and renames are durable without it
        _sync(folder, os.O_RDONLY)


def sync_file(path: Path) -> None:
    """Return when what was written into a file is on the disk."""
    _sync(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)  # files may be read-only, which only Windows minds


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
