"""A message of a conversation as server-sent events: its run ends when the client leaves."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from typing import Any, TypeAlias

from apps.server.admission import Admission
from apps.server.event_stream import EventStream, encode_event
from apps.server.problems import explain_error, problem_document
from chains.customer_service import ServiceReply
from chains.customer_service.schema import ServiceEvent

HEARTBEAT_S = 10.0  # proxies cut connections on which nothing comes for half a minute

Step: TypeAlias = ServiceEvent | ServiceReply
Event: TypeAlias = tuple[str, Mapping[str, Any]]


def stream_steps(
    make_steps: Callable[[Callable[[], bool]], Iterator[Step]],
    *,
    show: Callable[[Step], Event | None],
    admission: Admission,
) -> EventStream:
    """Return the response that sends the steps of a message.

    Args:
        make_steps: gives the steps, in a thread; it is passed a function that tells whether somebody still listens.
        show: makes a named event of a step, or None of what the client does not see.
        admission: where the run takes a place, which it gives back at its end.
    """
    return EventStream(_encoded(make_steps, show, admission), show_error=_show_error, heartbeat_s=HEARTBEAT_S)


async def _encoded(
    make_steps: Callable[[Callable[[], bool]], Iterator[Step]],
    show: Callable[[Step], Event | None],
    admission: Admission,
) -> AsyncGenerator[bytes, None]:
    steps: asyncio.Queue[Step | None] = asyncio.Queue()
    loop, has_left = asyncio.get_running_loop(), threading.Event()

    def work() -> None:
        for step in make_steps(lambda: not has_left.is_set()):
            loop.call_soon_threadsafe(steps.put_nowait, step)

    running = asyncio.ensure_future(admission.run(work, on_cancel=has_left.set))
    running.add_done_callback(lambda _: steps.put_nowait(None))
    try:
        while (step := await steps.get()) is not None:
            if event := show(step):
                yield encode_event(event[1], event=event[0])
        await running  # raises what ended it
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def _show_error(error: Exception) -> bytes:
    refusal = explain_error(error)
    return encode_event(problem_document(refusal.status, refusal.detail), event="error")
