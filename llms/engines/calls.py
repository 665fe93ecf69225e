"""The caller's side of an engine: waiting for events in a thread or in an event loop."""

import asyncio
import queue
from collections.abc import AsyncGenerator, Generator, Sequence

from llms.engines.engine import Engine
from llms.engines.requests import GenerationRequest, TokenEvent

__all__ = ["arun_request", "astream_events", "run_requests", "stream_events"]


def stream_events(engine: Engine, request: GenerationRequest) -> Generator[TokenEvent, None, None]:
    """Yield the events of a request; closing the iterator cancels it.

    Raises:
        TuneChainError: as `Engine.submit`, at the first step, and whatever ends the request.
    """
    events: queue.SimpleQueue[TokenEvent] = queue.SimpleQueue()
    ticket = engine.submit(request, events.put)
    try:
        while True:
            event = events.get()
            if event.error is not None:
                raise event.error
            yield event
            if event.is_last:
                return
    finally:
        ticket.cancel()


def run_requests(engine: Engine, requests: Sequence[GenerationRequest]) -> list[TokenEvent]:
    """Return the one event of each request, which all run together; if one fails the others are cancelled."""
    done: queue.SimpleQueue[tuple[int, TokenEvent]] = queue.SimpleQueue()
    tickets = []
    events: dict[int, TokenEvent] = {}
    try:
        for place, request in enumerate(requests):
            tickets.append(engine.submit(request, lambda event, place=place: done.put((place, event))))  # type: ignore[misc]
        while len(events) < len(requests):
            place, event = done.get()
            if event.error is not None:
                raise event.error
            events[place] = event
    finally:
        for ticket in tickets:
            ticket.cancel()
    return [events[place] for place in range(len(requests))]


async def astream_events(engine: Engine, request: GenerationRequest) -> AsyncGenerator[TokenEvent, None]:
    """Yield the events of a request without a thread of its own; closing or cancelling cancels it."""
    loop = asyncio.get_running_loop()
    events: asyncio.Queue[TokenEvent] = asyncio.Queue()
    ticket = engine.submit(request, lambda event: _hand_over(loop, events, event))
    try:
        while True:
            event = await events.get()
            if event.error is not None:
                raise event.error
            yield event
            if event.is_last:
                return
    finally:
        ticket.cancel()


async def arun_request(engine: Engine, request: GenerationRequest) -> TokenEvent:
    """Return the one event of a request that does not want pieces; cancelling the task cancels it."""
    last = TokenEvent()
    async for event in astream_events(engine, request):
        last = event
    return last


def _hand_over(loop: asyncio.AbstractEventLoop, events: "asyncio.Queue[TokenEvent]", event: TokenEvent) -> None:
    loop.call_soon_threadsafe(events.put_nowait, event)
