"""A queue for a few seats whose waiters are called in turn: group after group, and in each member after member."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator

_Calls = deque[asyncio.Future[None]]


class FairQueue:
    """Seats that are given in turn to those that wait; of one event loop.

    Args:
        num_seats: how many are taken at the same time.
    """

    def __init__(self, num_seats: int) -> None:
        self._num_free = num_seats
        self._waiting: dict[str, dict[str, _Calls]] = {}  # whose turn is next stands first, at both levels

    @contextlib.asynccontextmanager
    async def turn(self, group: str, member: str) -> AsyncIterator[None]:
        """Wait for a seat and hold it."""
        if self._num_free and not self._waiting:
            self._num_free -= 1
        else:
            await self._wait(group, member)
        try:
            yield
        finally:
            self._give_back()

    async def _wait(self, group: str, member: str) -> None:
        call = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(group, {}).setdefault(member, deque()).append(call)
        try:
            await call
        except asyncio.CancelledError:
            if call.cancelled():
                self._forget(call, group, member)
            else:  # it was called and cancelled in the same turn of the loop
                self._give_back()
            raise

    def _give_back(self) -> None:
        if self._waiting:
            self._call_next()
        else:
            self._num_free += 1

    def _call_next(self) -> None:
        group, members = next(iter(self._waiting.items()))
        member, calls = next(iter(members.items()))
        call = calls.popleft()
        del members[member], self._waiting[group]
        if calls:
            members[member] = calls  # behind the other members
        if members:
            self._waiting[group] = members  # behind the other groups
        if call.cancelled():  # its task does not know yet
            self._give_back()
        else:
            call.set_result(None)

    def _forget(self, call: asyncio.Future[None], group: str, member: str) -> None:
        members = self._waiting.get(group, {})
        calls = members.get(member, deque())
        if call in calls:
            calls.remove(call)
            if not calls:
                del members[member]
            if not members:
                del self._waiting[group]
