"""Admission control: a bound on the model calls that run and on those that wait."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from typing import TypeVar

import anyio
import anyio.to_thread

from apps.server.problems import ProblemError

T = TypeVar("T")

_QUEUE_IS_FULL = "All workers are busy and the queue is full; try again in a second."
_HAS_HALF = "This key has half of all places already; wait for its answers."

ASKING: ContextVar[str | None] = ContextVar("asking", default=None)
"""The owner of the request that is being answered; None without keys, when all requests are of one."""


def _busy(detail: str) -> ProblemError:
    return ProblemError(429, detail, headers={"Retry-After": "1"})


class Admission:
    """Bounds how many model calls run and how many wait, and lets nobody have more than half of them.

    A refusal comes at once and before any work: a client that waits in vain loads the server for nothing.

    Args:
        max_running: calls at the same time.
        max_waiting: calls that may wait for one of these.
    """

    def __init__(self, *, max_running: int = 2, max_waiting: int = 16) -> None:
        self._max_admitted = max_running + max_waiting
        self._num_by_owner: Counter[str] = Counter()
        # threads of their own: those of other routes may all wait, for a conversation or a disk
        self._threads = anyio.CapacityLimiter(max(1, max_running))
        self._running = asyncio.Semaphore(max_running)
        self._num_admitted = 0  # changed on the event loop only

    @property
    def num_admitted(self) -> int:
        """Calls that run or wait now."""
        return self._num_admitted

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a slot and hold it.

        Raises:
            ProblemError: with status 429, if all slots are taken, or half of them by this owner.
        """
        owner = ASKING.get()
        if self._num_admitted >= self._max_admitted:
            raise _busy(_QUEUE_IS_FULL)
        if owner is not None and self._num_by_owner[owner] >= max(1, self._max_admitted // 2):
            raise _busy(_HAS_HALF)
        self._num_admitted += 1
        self._num_by_owner[owner or ""] += 1
        try:
            async with self._running:
                yield
        finally:
            self._num_admitted -= 1
            self._num_by_owner[owner or ""] -= 1
            self._num_by_owner += Counter()  # forgets owners without a place

    async def run(self, work: Callable[[], T], *, on_cancel: Callable[[], None] = lambda: None) -> T:
        """Return what `work` returns in a thread; a slot is held until the thread is done, also after a cancellation.

        Args:
            work: the model call.
            on_cancel: called at a cancellation, to let the thread know that nobody waits any more.

        Raises:
            ProblemError: with status 429, if all slots are taken.
        """
        async with self.slot():
            running = asyncio.ensure_future(anyio.to_thread.run_sync(work, limiter=self._threads))
            try:
                return await asyncio.shield(running)
            except asyncio.CancelledError:
                on_cancel()
                await asyncio.gather(running, return_exceptions=True)
                raise
