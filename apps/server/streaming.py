"""Server-sent events: the response, and the steps of a customer-service run in it."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from fastapi import Response
from starlette.types import Receive, Scope, Send

from apps.server.admission import Admission
from apps.server.problems import explain_error, problem_document
from apps.server.service_run import ServiceRun, Step
from chains.customer_service import ServiceReply

_log = logging.getLogger(__name__)

_HEADERS = {
    "Cache-Control": "no-store, no-transform",  # a proxy that compresses would hold events back
    "X-Accel-Buffering": "no",  # nginx, and others that follow it
}
_QUEUE_LENGTH = 16  # events that a slow client may be behind; then the model waits for it

HEARTBEAT_S = 10.0  # proxies cut connections on which nothing comes for half a minute

Events: TypeAlias = AsyncGenerator[bytes, None]
_EVENT_FIELDS = {"step": ("step", "milliseconds"), "route": ("route",), "text": ("text",)}


def encode_event(data: Any, *, event: str = "") -> bytes:
    """Return one event with JSON data.

    Example:
        >>> encode_event({"text": "hello"}, event="text").decode().splitlines()
        ['event: text', 'data: {"text": "hello"}', '']
    """
    head = f"event: {event}\n" if event else ""
    return f"{head}data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


class EventStream(Response):
    """Sends events as they come.

    What goes wrong before the first event is raised, so that the client gets a proper status code; later it becomes
    the last event. Until something comes, a comment is sent every few seconds, so that nobody on the way takes the
    connection for dead.

    Args:
        events: encoded; closed when the client leaves.
        show_error: turns an error into the last event.
        heartbeat_s: seconds of silence after which a comment is sent.
    """

    media_type = "text/event-stream"

    def __init__(
        self, events: Events, *, show_error: Callable[[Exception], bytes], heartbeat_s: float = HEARTBEAT_S
    ) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]  # of the empty body that the base class takes it for
        self._events = events
        self._show_error = show_error
        self._heartbeat_s = heartbeat_s
        self._has_started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send the response; where the client leaves, `TimeMiddleware` cancels it."""
        inbox: asyncio.Queue[bytes | Exception | None] = asyncio.Queue(_QUEUE_LENGTH)
        # one task goes through all events: what they hold open must be closed where it was opened
        reading = asyncio.ensure_future(self._read_into(inbox))
        try:
            while (entry := await self._next(inbox)) is not None:
                if isinstance(entry, Exception):
                    entry = self._last_event(entry)
                await self._send_part(send, entry)
            await self._send_part(send, b"", is_last=True)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _read_into(self, inbox: asyncio.Queue[bytes | Exception | None]) -> None:
        try:
            async with contextlib.aclosing(self._events) as events:
                async for event in events:
                    await inbox.put(event)
        except Exception as error:  # it is raised or shown where the events are sent
            await inbox.put(error)
        await inbox.put(None)

    async def _next(self, inbox: asyncio.Queue[bytes | Exception | None]) -> bytes | Exception | None:
        try:
            async with asyncio.timeout(self._heartbeat_s):
                return await inbox.get()
        except TimeoutError:
            return b": still here\n\n"

    def _last_event(self, error: Exception) -> bytes:
        if not self._has_started:
            raise error
        return self._show_error(error)

    async def _send_part(self, send: Send, body: bytes, *, is_last: bool = False) -> None:
        if not self._has_started:
            self._has_started = True
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": body, "more_body": not is_last})


# --- customer service


def stream_service_run(
    run: ServiceRun,
    *,
    admission: Admission,
    show: Callable[[Step], Iterable[bytes]],
    show_error: Callable[[Exception], bytes] | None = None,
) -> EventStream:
    """Return the response that sends the steps of a run as they happen; when the client leaves, the run ends.

    Args:
        run: not yet begun.
        admission: where the run takes a slot, which it gives back at its end.
        show: the events that the client gets for a step.
        show_error: turns an error into the last event; without it an `error` event holds a problem document.
    """

    async def events() -> Events:
        async with contextlib.aclosing(run.steps(admission)) as steps:
            async for step in steps:
                for event in show(step):
                    yield event

    return EventStream(events(), show_error=show_error or _show_error, heartbeat_s=HEARTBEAT_S)


def named_events(
    show_reply: Callable[[ServiceReply], Mapping[str, Any]], names: Collection[str] = tuple(_EVENT_FIELDS)
) -> Callable[[Step], Iterator[bytes]]:
    """Return the function that shows a step as events called `step`, `route`, `text` and `reply`.

    Args:
        show_reply: the data of the `reply`, which is the last event.
        names: those of the others that the client may see.
    """

    def show(step: Step) -> Iterator[bytes]:
        if isinstance(step, ServiceReply):
            yield encode_event(show_reply(step), event="reply")
            return
        for name, fields in _EVENT_FIELDS.items():
            if name in step and name in names:
                yield encode_event({field: value for field, value in step.items() if field in fields}, event=name)

    return show


def _show_error(error: Exception) -> bytes:
    refusal = explain_error(error)
    return encode_event(problem_document(refusal.status, refusal.detail), event="error")
