"""A first-come, first-served lock per conversation, for threads."""

import threading
from collections import deque
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from chains.errors import ConversationBusyError


class FairLocks:
    """One lock per key that is given in the order of asking; Python's own locks promise no order.

    Args:
        max_waiting: how many may hold or await one key; the next is refused at once.

    Example:
        >>> locks = FairLocks(max_waiting=1)
        >>> with locks.hold("a"), locks.hold("b"):
        ...     print("both are held")
        both are held
    """

    def __init__(self, *, max_waiting: int = 32) -> None:
        self._max_waiting = max_waiting
        self._guard = threading.Lock()
        self._queues: dict[Hashable, deque[threading.Event]] = {}

    @contextmanager
    def hold(self, key: Hashable) -> Iterator[None]:
        """Wait until everyone who asked for `key` before has let go of it, and hold it inside.

        Raises:
            ConversationBusyError: if too many wait already.
        """
        turn = self._join_queue(key)
        try:  # also around the waiting: an interrupt must not leave a place that nobody gives back
            turn.wait()
            yield
        finally:
            self._leave_queue(key, turn)

    def _join_queue(self, key: Hashable) -> threading.Event:
        with self._guard:
            queue = self._queues.setdefault(key, deque())
            if len(queue) >= self._max_waiting:
                msg = f"{len(queue)} messages of this conversation wait already; send this one again later"
                raise ConversationBusyError(msg)
            turn = threading.Event()
            queue.append(turn)
            queue[0].set()
        return turn

    def _leave_queue(self, key: Hashable, turn: threading.Event) -> None:
        with self._guard:
            queue = self._queues[key]
            queue.remove(turn)
            if queue:
                queue[0].set()
            else:
                del self._queues[key]
