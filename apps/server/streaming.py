"""A reply as server-sent events: its run ends when the client leaves."""

import asyncio
import contextlib
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, TypeAlias

import anyio
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from apps.server.admission import Admission
from apps.server.problems import ProblemError, as_problem, problem_document
from chains.customer_service import ServiceReply
from chains.customer_service.schema import ServiceEvent
from chains.errors import ReplyAbandonedError
from llms.errors import TuneChainError

__all__ = ["EventStream", "RunningReply", "write_event"]

_log = logging.getLogger(__name__)

HEARTBEAT_S = 10.0  # proxies cut connections on which nothing comes for half a minute
_FIRST_STEP_S = 1.0  # before that a refusal has its own status; whether the client is still there is seen after it
_HEADERS = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}

Step: TypeAlias = ServiceEvent | ServiceReply
Event: TypeAlias = tuple[str, Mapping[str, Any]]


class RunningReply:
    """A reply that is made in a thread; `next_step` waits for what comes of it.

    Args:
        admission: where it takes a place, which it gives back at its end.
        make_steps: gives the steps; it is passed a function that tells whether somebody still listens.
    """

    def __init__(self, admission: Admission, make_steps: Callable[[Callable[[], bool]], Iterator[Step]]) -> None:
        self._make_steps = make_steps
        self._steps: asyncio.Queue[Step | Exception] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._has_left = threading.Event()
        self._scope = anyio.CancelScope()
        self._task = asyncio.create_task(self._run(admission))

    async def first_step(self) -> Step | None:
        """Return the first step, or None if it takes a while; a run that is refused at once raises why."""
        try:
            return await self.next_step(timeout_s=_FIRST_STEP_S)
        except TimeoutError:
            return None
        except BaseException:
            self.leave()
            raise

    async def next_step(self, *, timeout_s: float) -> Step:
        """Return the next step, or raise what ended the run.

        Raises:
            TimeoutError: if nothing comes in time; the run goes on.
        """
        async with asyncio.timeout(timeout_s):
            step = await self._steps.get()
        if isinstance(step, Exception):
            raise step
        return step

    def leave(self) -> None:
        """End the run: at once while it waits for its place, else at its next event or token."""
        self._has_left.set()
        self._scope.cancel()

    async def _run(self, admission: Admission) -> None:
        try:
            # not the task is cancelled but the scope, which lets a thread that has begun come to its end
            with self._scope:
                await admission.run(self._work)
        except Exception as error:  # raised where the steps are waited for
            self._steps.put_nowait(error)

    def _work(self) -> None:
        with contextlib.suppress(ReplyAbandonedError):
            for step in self._make_steps(lambda: not self._has_left.is_set()):
                self._loop.call_soon_threadsafe(self._steps.put_nowait, step)


class EventStream(StreamingResponse):
    """The steps of a running reply as server-sent events, with a heartbeat.

    Args:
        running: what is sent; it is left when the response ends, however it does.
        first: its first step, or None where that has not come yet.
        show: makes an event of a step, or None of what the client does not see.
    """

    def __init__(self, running: RunningReply, first: Step | None, *, show: Callable[[Step], Event | None]) -> None:
        super().__init__(_write_events(running, first, show), media_type="text/event-stream", headers=_HEADERS)
        self._running = running

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._running.leave()


def write_event(name: str, data: Mapping[str, Any]) -> str:
    r"""Return one event; its data is JSON in ASCII, so that no text can end the line.

    Example:
        >>> write_event("text", {"text": "a\nb"})
        'event: text\ndata: {"text": "a\\nb"}\n\n'
    """
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


async def _write_events(
    running: RunningReply, first: Step | None, show: Callable[[Step], Event | None]
) -> AsyncIterator[str]:
    yield ": begun\n\n"
    step = first
    while True:
        if step is not None and (event := show(step)):
            yield write_event(*event)
        if isinstance(step, ServiceReply):
            return
        try:
            step = await running.next_step(timeout_s=HEARTBEAT_S)
        except TimeoutError:
            step = None
            yield ": still working\n\n"
        except Exception as error:
            problem = _problem(error)
            yield write_event("error", problem_document(problem.status, problem.detail))
            return


def _problem(error: Exception) -> ProblemError:
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, TuneChainError):
        return as_problem(error)
    _log.error("a reply failed while it was streamed", exc_info=error)
    return ProblemError(500, "The log of the server has the reason.")
