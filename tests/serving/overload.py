"""Overload: ten times as much as the server can answer, also while its chat model reads a long prompt."""

import asyncio
import http.client
import itertools
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.reliability.processes import answer_of, start_child
from tests.serving.client import NO_REPLY, Reply, ask
from tests.serving.figures import Figure, Part, at_least, at_most, none_of, percentile, plain
from tests.serving.served import Served, serve

__all__ = ["run_overload"]

_TIMES = 10
_GOODPUT_SHARE = 0.9
_REFUSAL_MS, _LIVE_MS = 100, 50
_CLOSED_CLIENTS = 4  # two are answered while two wait: nobody is refused, and no worker is idle
_READERS = 2  # as many as there are workers
_PROBE_S = 0.05
_TIMEOUT_S = 1_800
_WORDS = ("parcel", "card", "order", "refund", "money", "late", "lost", "where")


@dataclass
class _Load:
    """What became of the requests of one run."""

    seconds: float
    outcomes: Counter[int] = field(default_factory=Counter)
    times_s: dict[int, list[float]] = field(default_factory=dict)
    prompt_tokens: int = 0  # of the last prompt that was read

    def note(self, reply: Reply) -> None:
        self.outcomes[reply.status] += 1
        self.times_s.setdefault(reply.status, []).append(reply.seconds)

    @property
    def per_second(self) -> float:
        return self.outcomes[200] / self.seconds

    @property
    def failed(self) -> int:
        return sum(n for status, n in self.outcomes.items() if status >= 500 or status == NO_REPLY)

    def refusal_ms(self) -> float:
        return 1000 * percentile(self.times_s.get(429, []), 0.99)


def run_overload(
    workspace: Path, *, seconds: float, large: Path | None = None, shape: str = "", prompt_tokens: int = 8_000
) -> Part:
    """Find the peak of a server, offer it ten times as much, and do that again while a model reads long prompts.

    Args:
        workspace: with a small chat model.
        seconds: of each of the three runs.
        large: a workspace whose chat model takes long for a prompt, and whose deadline is longer than that; without it
            there is no such run.
        shape: what the page calls that model.
        prompt_tokens: of the prompts that it reads, about.
    """
    with serve(workspace) as served:
        peak = _under_probe(served, _closed_loop(served.port, seconds))[0]
        load, live_ms = _under_probe(served, _open_loop(served.port, seconds, _TIMES * peak.per_second))
    figures = [
        plain(f"peak, {_CLOSED_CLIENTS} clients that wait for their answers", f"{peak.per_second:.1f} answers/s"),
        plain("offered", f"{load.outcomes.total() / seconds:,.0f} requests/s, of which {load.outcomes[429]:,} refused"),
        at_least("goodput, share of the peak", load.per_second / peak.per_second, _GOODPUT_SHARE),
        *_usual_figures(load, live_ms, ""),
    ]
    if large is not None:
        figures += _while_reading(large, seconds, _TIMES * peak.per_second, shape, prompt_tokens)
    about = (
        f"Questions that a chat model answers from the knowledge base, {_TIMES} times as many as the server "
        f"can answer, for {seconds:g} seconds; clients that are refused do not wait. Clients and server share "
        "the processor."
    )
    return Part(title="Overload", about=about, figures=tuple(figures))


def _while_reading(workspace: Path, seconds: float, rate: float, shape: str, prompt_tokens: int) -> list[Figure]:
    with serve(workspace) as served:
        (load, reading), live_ms = _under_probe(served, _read_and_load(served.port, seconds, rate, prompt_tokens))
    what = f" while {shape} reads prompts of {reading.prompt_tokens:,} tokens"
    ends = ", ".join(f"{n} x {status}" for status, n in sorted(reading.outcomes.items()))
    return [
        plain(f"prompts, {_READERS} at a time,{what}", f"{ends}; {reading.seconds:,.1f} s until the last one ended"),
        *_usual_figures(load, live_ms, what),
    ]


def _usual_figures(load: _Load, live_ms: list[float], when: str) -> list[Figure]:
    return [
        at_most(f"refusals{when}, 99th percentile", load.refusal_ms(), _REFUSAL_MS, " ms"),
        at_most(f"`/livez`{when}, 99th percentile of {len(live_ms):,}", percentile(live_ms, 0.99), _LIVE_MS, " ms"),
        none_of(f"answers of 5xx, and connections without an answer{when}", load.failed),
    ]


def _under_probe(served: Served, run):  # a coroutine and what it returns
    """Return what `run` returns, and the milliseconds that /livez took meanwhile, measured in a process of its own."""
    stop = served.folder.with_name(f"{served.folder.name}.stop")
    stop.unlink(missing_ok=True)
    child, reading = start_child(lambda: list(_probe(served.port, stop)))
    try:
        outcome = asyncio.run(run)
    finally:
        stop.touch()
        live_ms = answer_of(child, reading)["value"]
    return outcome, live_ms


def _probe(port: int, stop: Path) -> Iterator[float]:
    while not stop.exists():
        started = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/livez")
        connection.getresponse().read()
        connection.close()
        yield 1000 * (time.perf_counter() - started)
        time.sleep(_PROBE_S)


async def _ask_question(port: int, number: int, text: str = "How full should the battery be?") -> Reply:
    return await ask(port, "POST", "/v1/ask", {"text": f"{text} {number}"}, timeout_s=_TIMEOUT_S)


async def _closed_loop(port: int, seconds: float) -> _Load:
    load, numbers, ends_at = _Load(seconds), itertools.count(), time.monotonic() + seconds
    await _ask_question(port, -1)

    async def client() -> None:
        while time.monotonic() < ends_at:
            load.note(await _ask_question(port, next(numbers)))

    await asyncio.gather(*(client() for _ in range(_CLOSED_CLIENTS)))
    return load


async def _open_loop(port: int, seconds: float, rate: float, **question: str) -> _Load:
    load, started = _Load(seconds), time.monotonic()
    running: set[asyncio.Task[None]] = set()

    async def one(number: int) -> None:
        reply = await _ask_question(port, 10**6 + number, **question)
        # what is still answered after the end is not part of what was done in that time
        if reply.status != 200 or time.monotonic() - started <= seconds:
            load.note(reply)

    for number in range(max(1, int(rate * seconds))):
        await asyncio.sleep(started + number / rate - time.monotonic())
        running.add(asyncio.create_task(one(number)))
    await asyncio.gather(*running)
    return load


async def _read_and_load(port: int, seconds: float, rate: float, prompt_tokens: int) -> tuple[_Load, _Load]:
    reading, started = _Load(0.0), time.monotonic()

    async def read(number: int) -> None:
        source = random.Random(number)
        while time.monotonic() - started < seconds:
            text = " ".join(source.choices(_WORDS, k=prompt_tokens))  # a token each, or about that
            body = {"model": "chat", "messages": [{"role": "user", "content": text}], "max_tokens": 1}
            reading.note(reply := await ask(port, "POST", "/v1/chat/completions", body, timeout_s=_TIMEOUT_S))
            if reply.status == 200:
                reading.prompt_tokens = reply.json()["usage"]["prompt_tokens"]
            reading.seconds = time.monotonic() - started

    # questions that need no chat model: what is measured is whether they are refused at once while it is busy
    others = _open_loop(port, seconds, rate, text="where is my parcel")
    load, *_ = await asyncio.gather(others, *(read(number) for number in range(_READERS)))
    return load, reading
