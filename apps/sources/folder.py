"""A folder as a source: files of posts that other programs put there."""

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from apps.errors import SourceError
from apps.post_batches import read_file_batches
from apps.readers import warn_of_rejected
from apps.sources.source import Position, PostBatch, ReadPosition
from llms.errors import DataFileError

_log = logging.getLogger(__name__)

_POLL_S = 5.0
_SETTLED_S = 2.0  # since a file was written to; before, a program may be in the middle of a line
_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")


class FolderSource:
    """Files of posts in a folder, by name; those that come later are read when they are there.

    A file that changes is read again, and its posts that were there before count once. Files whose name begins with a
    dot are left alone, so a program may write under such a name and rename it at the end.

    Args:
        folder: need not exist yet.
        poll_s: seconds between two looks.
        settled_s: seconds that a file must have been left alone.
    """

    def __init__(self, folder: Path, *, poll_s: float = _POLL_S, settled_s: float = _SETTLED_S) -> None:
        self._folder = folder
        self._poll_s = poll_s
        self._settled_s = settled_s

    @property
    def name(self) -> str:
        """The folder."""
        return str(self._folder)

    def batches(self, read_position: ReadPosition, stopping: threading.Event) -> Iterator[PostBatch]:
        """Yield the posts of files that are new or have changed; see `PostSource`."""
        while not stopping.is_set():
            for path, stamp in self._find_files():
                position = Position(f"file {path}", stamp)
                if read_position(position.name) != stamp:
                    yield from _read_file(path, position)
            yield PostBatch()
            stopping.wait(self._poll_s)

    def commit(self, batch: PostBatch) -> None:
        """Nothing has to be let go of: the position says what was read."""

    def _find_files(self) -> list[tuple[Path, str]]:
        """Return the files that can be read now, and what changes when one does."""
        found: list[tuple[Path, str]] = []
        try:
            paths = sorted(self._folder.iterdir())
        except OSError as error:
            msg = f"the folder cannot be read: {error.strerror}; make it, or take it out of monitoring.sources"
            raise SourceError(msg) from error
        for path in paths:
            if path.suffix.lower() not in _SUFFIXES or path.name.startswith("."):
                continue
            with contextlib.suppress(FileNotFoundError):
                state = path.stat()
                if path.is_file() and time.time() - state.st_mtime >= self._settled_s:
                    found.append((path, f"{state.st_mtime_ns} {state.st_size}"))
        return found


def _read_file(path: Path, position: Position) -> Iterator[PostBatch]:
    """Yield the posts of a file, and at its end the position."""
    try:
        for posts in read_file_batches(path, lambda rows: warn_of_rejected(path, rows)):
            yield PostBatch(posts=tuple(posts), may_repeat=True)
    except DataFileError as error:
        if not path.exists():  # moved away in the meantime, and maybe back again later
            return
        _log.warning("%s is left out until it changes: %s", path, error)
    yield PostBatch(position=position)
