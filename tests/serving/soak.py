"""Soak: many clients for a long time, of whom some leave half-way and some read slowly."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.serving.client import LEFT, Reply, ask
from tests.serving.customers import Customer, compare, failures
from tests.serving.figures import Figure, Part, at_most, none_of, plain
from tests.serving.served import Served, num_descriptors, resident_mib, serve

__all__ = ["run_soak"]

_MIN_MINUTES = 5  # a shorter run says nothing of a slope
_SLOPE_MIB = 1.0
_SPARE_DESCRIPTORS = 10
_SETTLE_S = 3.0
_ROUTES = (
    ("POST", "/v1/ask", {"text": "where is my parcel"}),
    ("POST", "/v1/classify", {"model": "intent", "texts": ["my money back"]}),
    ("POST", "/v1/recommend", {"user": "u1"}),
    ("GET", "/v1/alerts", None),
    ("GET", "/v1/conversations?limit=5", None),
    ("GET", "/readyz", None),
)


def run_soak(workspace: Path, *, minutes: float, cache_mb: int = 1024, num_clients: int = 64, seed: int = 0) -> Part:
    """Let clients use the server for so many minutes, then compare what it stored with what it acknowledged.

    Args:
        workspace: to be served.
        minutes: that the clients write.
        cache_mb: what the workspace lets its chat model keep of prompts, as the page tells it.
        num_clients: at once.
        seed: of what they do.
    """
    with serve(workspace) as served:
        figures = asyncio.run(_soak(served, minutes=minutes, num_clients=num_clients, seed=seed))
    about = (
        f"{num_clients} clients for {minutes:g} minutes: messages of conversations, streams that are read, "
        "left half-way or read slowly, the chat model, the other routes. A refused client comes back when "
        f"`Retry-After` says so. The chat model may keep {cache_mb} MiB of prompts (`models.chat_cache_mb`)."
    )
    return Part(title="Soak", about=about, figures=tuple(figures))


async def _soak(served: Served, *, minutes: float, num_clients: int, seed: int) -> list[Figure]:
    customers = [Customer(number, seed=seed) for number in range(num_clients)]
    await _use_once(served.port)
    descriptors = _descriptors(served)
    ends_at = time.monotonic() + 60 * minutes
    memory: list[tuple[float, float, float]] = []
    await asyncio.gather(_note_memory(served, memory, ends_at), *(_client(served, one, ends_at) for one in customers))
    await asyncio.sleep(_SETTLE_S)
    return [
        *_counted(await compare(served.port, customers), customers),
        *_memory_figures(memory, minutes),
        _descriptor_figure(descriptors, _descriptors(served)),
    ]


async def _client(served: Served, customer: Customer, ends_at: float) -> None:
    while time.monotonic() < ends_at:
        match customer.choose(plain=4, stream=3, leaving=2, slow=1, chat=1, other=2):
            case "plain":
                reply = await customer.write(served.port)
            case "stream":
                reply = await customer.write(served.port, stream=True)
            case "leaving":
                reply = await customer.write(served.port, stream=True, leave_after_s=customer.seconds(0.001, 0.3))
            case "slow":
                reply = await customer.write(served.port, stream=True, pause_s=0.1)
            case "chat":
                reply = await _chat(served.port)
                customer.note(reply)
            case _:
                reply = await ask(served.port, *_ROUTES[int(customer.seconds(0, len(_ROUTES)))])
                customer.note(reply)
        await customer.back_off(reply)


async def _chat(port: int) -> Reply:
    body = {"model": "chat", "messages": [{"role": "user", "content": "Where is it?"}], "max_tokens": 16}
    return await ask(port, "POST", "/v1/chat/completions", body)


async def _use_once(port: int) -> None:
    """Let the server load what it loads at the first use."""
    for route in _ROUTES:
        await ask(port, *route)
    await _chat(port)


async def _note_memory(served: Served, memory: list[tuple[float, float, float]], ends_at: float) -> None:
    started = time.monotonic()
    while (now := time.monotonic()) < ends_at:
        memory.append(((now - started) / 60, resident_mib(served.pid), resident_mib(served.model_pid())))
        await asyncio.sleep(1)


def _descriptors(served: Served) -> tuple[int, int]:
    return num_descriptors(served.pid), num_descriptors(served.model_pid())


def _counted(counts: Counter[str], customers: Sequence[Customer]) -> list[Figure]:
    outcomes = sum((customer.outcomes for customer in customers), Counter[int]())
    failed = failures(customers)
    return [
        plain("requests", f"{outcomes.total():,}"),
        plain("of them answered, refused with 429, left", f"{outcomes[200]:,}, {outcomes[429]:,}, {outcomes[LEFT]:,}"),
        plain("acknowledged messages", f"{counts['acknowledged']:,}"),
        none_of("of them lost", counts["lost"]),
        none_of("changed", counts["changed"]),
        none_of("doubled", counts["doubled"]),
        none_of("answers of 5xx, and connections without an answer", failed.total()),
    ]


def _memory_figures(memory: Sequence[tuple[float, float, float]], minutes: float) -> list[Figure]:
    minute, server, model = np.array(memory).T
    half = minute >= minutes / 2
    figures = []
    for name, resident in (("server", server), ("model's process", model)):
        shown = f"{resident[0]:,.0f} and {resident[-1]:,.0f} MiB"
        figures.append(plain(f"resident memory of the {name} at the beginning and at the end", shown))
        if minutes >= _MIN_MINUTES:
            slope = float(np.polyfit(minute[half], resident[half], 1)[0])
            figures.append(at_most(f"its slope over the second half, {name}", slope, _SLOPE_MIB, " MiB/min"))
    return figures


def _descriptor_figure(before: tuple[int, int], after: tuple[int, int]) -> Figure:
    more = max(now - then for then, now in zip(before, after, strict=True))
    return Figure(
        name="open descriptors of the server and the model's process",
        value=f"{before[0]} and {before[1]} at the beginning, {after[0]} and {after[1]} at the end",
        target=f"at most {_SPARE_DESCRIPTORS} more",
        is_met=more <= _SPARE_DESCRIPTORS,
    )
