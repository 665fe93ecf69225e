"""Who may use the models now: a few at once, a few more waiting, everyone else is told to come back."""

from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread

from apps.server.problems import ProblemError

__all__ = ["Admission"]

T = TypeVar("T")


class Admission:
    """Runs model calls in threads, with a bound on how many run and how many wait.

    A refusal comes at once and before any work: a client that waits in vain loads the server for nothing.

    Args:
        max_running: calls at the same time.
        max_waiting: calls that may wait for one of these.
    """

    def __init__(self, *, max_running: int = 2, max_waiting: int = 16) -> None:
        self._max_admitted = max_running + max_waiting
        self._max_running = max_running
        self._limiter: anyio.CapacityLimiter | None = None
        self._num_admitted = 0  # changed on the event loop only

    @property
    def num_admitted(self) -> int:
        """Calls that run or wait now."""
        return self._num_admitted

    async def run(self, work: Callable[[], T]) -> T:
        """Return what `work` returns, without blocking the event loop.

        Raises:
            ProblemError: with status 429, if all places are taken.
        """
        if self._num_admitted >= self._max_admitted:
            raise ProblemError(
                429, "All workers are busy and the queue is full; try again in a second.", headers={"Retry-After": "1"}
            )
        self._num_admitted += 1
        try:
            if self._limiter is None:  # here and not in the constructor, because it belongs to a running event loop
                self._limiter = anyio.CapacityLimiter(self._max_running)
            return await anyio.to_thread.run_sync(work, limiter=self._limiter)
        finally:
            self._num_admitted -= 1
