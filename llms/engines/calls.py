"""The caller's side of an engine: waiting for events in a thread or in an event loop."""

import asyncio
import functools
import queue
from collections.abc import AsyncGenerator, Callable, Generator, Sequence

from llms.engines.engine import Engine, Ticket
from llms.engines.requests import GenerationRequest, TokenEvent


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
    """Return the one event of each request, which run together as far as the engine takes them at once.

    If one fails, the others are cancelled and its error is raised.
    """
    done: queue.SimpleQueue[tuple[int, TokenEvent]] = queue.SimpleQueue()
    tickets: list[Ticket] = []
    events: dict[int, TokenEvent] = {}
    engine.expect(len(requests))
    try:
        while len(events) < len(requests):
            new = range(len(tickets), min(len(requests), len(events) + engine.max_running))
            tickets.extend(engine.submit(requests[index], _put_numbered(done, index)) for index in new)
            index, event = done.get()
            if event.error is not None:
                raise event.error
            events[index] = event
    finally:
        for ticket in tickets:
            ticket.cancel()
    return [events[index] for index in range(len(requests))]


def _put_numbered(done: "queue.SimpleQueue[tuple[int, TokenEvent]]", index: int) -> Callable[[TokenEvent], None]:
    return lambda event: done.put((index, event))


async def astream_events(engine: Engine, request: GenerationRequest) -> AsyncGenerator[TokenEvent, None]:
    """Yield the events of a request without a thread of its own; closing or cancelling cancels it."""
    loop = asyncio.get_running_loop()
    events: asyncio.Queue[TokenEvent] = asyncio.Queue()
    deliver = functools.partial(_put_from_thread, loop, events)
    # a constraint is compiled first, which may take a second: in a thread, for the loop serves others
    submit = functools.partial(engine.submit, request, deliver)
    ticket = submit() if request.constraint is None else await _in_thread(submit)
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


async def arun_requests(engine: Engine, requests: Sequence[GenerationRequest]) -> list[TokenEvent]:
    """Return the one event of each request, as `run_requests`; cancelling the task cancels them all."""
    free = asyncio.Semaphore(engine.max_running)
    engine.expect(len(requests))

    async def run(request: GenerationRequest) -> TokenEvent:
        last = TokenEvent()
        async with free:
            async for event in astream_events(engine, request):
                last = event
        return last

    return list(await asyncio.gather(*(run(request) for request in requests)))


async def _in_thread(submit: Callable[[], Ticket]) -> Ticket:
    """Return the ticket of a request that a thread submits; whoever is cancelled meanwhile cancels the request."""
    work = asyncio.ensure_future(asyncio.to_thread(submit))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        work.add_done_callback(_cancel_ticket)
        raise


def _cancel_ticket(work: "asyncio.Future[Ticket]") -> None:
    if not work.cancelled() and work.exception() is None:
        work.result().cancel()


def _put_from_thread(loop: asyncio.AbstractEventLoop, events: "asyncio.Queue[TokenEvent]", event: TokenEvent) -> None:
    loop.call_soon_threadsafe(events.put_nowait, event)
