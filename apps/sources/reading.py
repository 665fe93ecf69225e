"""Reading of one source in a thread of its own: what cannot be taken now is tried again, so that nothing is lost."""

import logging
import threading
from collections.abc import Callable

from apps.sources.source import PostBatch, PostSource, ReadPosition

_log = logging.getLogger(__name__)

_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 60.0


class SourceReader:
    """Gives the batches of a source to a monitor, one after the other, for as long as the program runs.

    Args:
        source: what is read.
        take: stores a batch, or raises and stores nothing of it.
        read_position: gives what was stored last for a part of the source.
        stopping: set when reading is to end.
        first_wait_s: before a failure is tried again for the first time; each further wait is twice as long, up to a
            minute.
    """

    def __init__(
        self,
        source: PostSource,
        *,
        take: Callable[[PostBatch], object],
        read_position: ReadPosition,
        stopping: threading.Event,
        first_wait_s: float = _FIRST_WAIT_S,
    ) -> None:
        self._source = source
        self._take = take
        self._read_position = read_position
        self._stopping = stopping
        self._first_wait_s = first_wait_s
        self._wait_s = first_wait_s
        self._thread = threading.Thread(target=self._read, name=f"source {source.name}", daemon=True)

    def start(self) -> None:
        """Begin to read; returns at once."""
        self._thread.start()

    def stop(self, *, timeout_s: float = 5.0) -> None:
        """End soon; waiting for it has a limit."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _read(self) -> None:
        while not self._stopping.is_set():
            try:
                for batch in self._source.batches(self._read_position, self._stopping):
                    if not batch.is_empty:
                        self._take(batch)
                        self._source.commit(batch)
                    self._recover()
                    if self._stopping.is_set():
                        return
            except Exception as error:  # whatever went wrong, what was not stored comes again
                self._wait(error)

    def _recover(self) -> None:
        if self._wait_s > self._first_wait_s:
            _log.info("%s is read again", self._source.name)
        self._wait_s = self._first_wait_s

    def _wait(self, error: Exception) -> None:
        if self._stopping.is_set():
            return
        if self._wait_s == self._first_wait_s:  # once for each failure, however long it lasts
            _log.warning("%s: %s; it is tried again until it works", self._source.name, error)
        self._stopping.wait(self._wait_s)
        self._wait_s = min(2 * self._wait_s, _LONGEST_WAIT_S)
