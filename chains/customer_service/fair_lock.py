"""Strict order per conversation: whoever draws a ticket first is served first, in threads and event loops alike."""

import threading
from collections import deque
from collections.abc import Hashable
from concurrent.futures import Future
from types import TracebackType
from typing import Self

from chains.errors import ConversationBusyError


class Ticket:
    """A place in a queue; `called` is done when it is this ticket's turn. Made by `TicketLocks.draw`."""

    def __init__(self, locks: "TicketLocks", key: Hashable) -> None:
        self.called: Future[None] = Future()
        self._locks = locks
        self._key = key

    def release(self) -> None:
        """Let the next one in, or leave the queue; doing it twice changes nothing."""
        self._locks.give_back(self, self._key)

    def __enter__(self) -> Self:
        try:
            self.called.result()
        except BaseException:  # an interrupt while waiting must not leave a ticket that nobody gives back
            self.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class TicketLocks:
    """One lock per key that is given in the order of asking.

    Python's own locks promise no order, and those of threads and of asyncio do not know each other.

    Args:
        max_waiting: tickets that one key may have open; the next is refused at once.

    Example:
        >>> locks = TicketLocks()
        >>> first, second = locks.draw("a"), locks.draw("a")
        >>> first.called.done(), second.called.done()
        (True, False)
        >>> first.release(); second.called.done()
        True
    """

    def __init__(self, *, max_waiting: int = 32) -> None:
        self._max_waiting = max_waiting
        self._guard = threading.Lock()
        self._queues: dict[Hashable, deque[Ticket]] = {}

    def draw(self, key: Hashable) -> Ticket:
        """Return the next ticket of `key`; use it in a `with`, which waits, or await `called` and release it.

        Raises:
            ConversationBusyError: if too many wait already.
        """
        with self._guard:
            queue = self._queues.setdefault(key, deque())
            if len(queue) >= self._max_waiting:
                msg = f"{len(queue)} messages of this conversation wait already; send this one again later"
                raise ConversationBusyError(msg)
            ticket = Ticket(self, key)
            queue.append(ticket)
            if queue[0] is ticket:
                ticket.called.set_result(None)
        return ticket

    def give_back(self, ticket: Ticket, key: Hashable) -> None:
        """Take a ticket out of its queue and call the one that is first now."""
        with self._guard:
            queue = self._queues.get(key, deque())
            if ticket not in queue:
                return
            queue.remove(ticket)
            if not queue:
                del self._queues[key]
            elif not queue[0].called.done():
                queue[0].called.set_result(None)
