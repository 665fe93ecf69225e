"""Admission control: a bound on the calls that run and on those that wait, and fair shares of both."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

import anyio
import anyio.to_thread

from apps.server.fair_queue import FairQueue
from apps.server.problems import ProblemError

T = TypeVar("T")

_QUEUE_IS_FULL = "All workers are busy and the queue is full; try again in a second."
_HAS_SHARE = "This {holder} has as many places as are free; wait for its answers."


@dataclass(frozen=True, slots=True)
class Asker:
    """Whose request is answered; "" where there is one of a kind only."""

    tenant: str = ""
    owner: str = ""


ASKING: ContextVar[Asker] = ContextVar("asking", default=Asker())  # noqa: B039 - it is frozen
"""Who asks in the request that is being answered."""


def _busy(detail: str) -> ProblemError:
    return ProblemError(429, detail, headers={"Retry-After": "1"})


class Admission:
    """Bounds how many calls run and how many wait, and shares both fairly.

    A refusal comes at once and before any work: a client that waits in vain loads the server for nothing. Nobody gets
    another place who has as many as are free, so one asker has half of all at most, two have a third each, and there
    is always a place left for a newcomer. Those that wait are called in turn, one tenant after the other and one owner
    of it after the other.

    Args:
        max_running: calls at the same time.
        max_waiting: calls that may wait for one of these.

    References:
        Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches", IEEE/ACM ToN 1998.
    """

    def __init__(self, *, max_running: int = 2, max_waiting: int = 16) -> None:
        self._max_admitted = max_running + max_waiting
        self._num_by_holder: Counter[Asker] = Counter()  # of owners, and of tenants as askers without an owner
        # threads of their own: those of other routes may all wait, for a disk or another program
        self._threads = anyio.CapacityLimiter(max(1, max_running))
        self._queue = FairQueue(max_running)
        self._num_admitted = 0  # changed on the event loop only

    @property
    def num_admitted(self) -> int:
        """Calls that run or wait now."""
        return self._num_admitted

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a slot and hold it.

        Raises:
            ProblemError: with status 429, if all slots are taken, or the asker's share of them.
        """
        asker = ASKING.get()
        self._check_share(asker)
        self._count(asker, 1)
        try:
            async with self._queue.turn(asker.tenant, asker.owner):
                yield
        finally:
            self._count(asker, -1)

    def _check_share(self, asker: Asker) -> None:
        num_free = self._max_admitted - self._num_admitted
        if num_free < 1:
            raise _busy(_QUEUE_IS_FULL)
        if asker.owner and self._num_by_holder[asker] >= num_free:
            raise _busy(_HAS_SHARE.format(holder="key"))
        if asker.tenant and self._num_by_holder[Asker(asker.tenant)] >= num_free:
            raise _busy(_HAS_SHARE.format(holder="tenant"))

    def _count(self, asker: Asker, change: int) -> None:
        self._num_admitted += change
        for holder in {asker, Asker(asker.tenant)}:
            self._num_by_holder[holder] += change
            if not self._num_by_holder[holder]:
                del self._num_by_holder[holder]

    async def run(self, work: Callable[[], T], *, on_cancel: Callable[[], None] = lambda: None) -> T:
        """Return what `work` returns in a thread; a slot is held until the thread is done, also after a cancellation.

        Args:
            work: the call.
            on_cancel: called at a cancellation, to let the thread know that nobody waits any more.

        Raises:
            ProblemError: with status 429, if all slots are taken, or the asker's share of them.
        """
        async with self.slot():
            running = asyncio.ensure_future(anyio.to_thread.run_sync(work, limiter=self._threads))
            try:
                return await asyncio.shield(running)
            except asyncio.CancelledError:
                on_cancel()
                await asyncio.gather(running, return_exceptions=True)
                raise
