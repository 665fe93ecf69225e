"""Kills of the chat model's process while requests run."""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

from tests.serving.client import NO_REPLY, Reply, ask
from tests.serving.figures import Part, at_most, none_of, percentile, plain
from tests.serving.served import Served, serve

__all__ = ["run_model_kills"]

_BACK_S = 10.0
_WAIT_S = 60.0  # after which a client counts as one that got no end
_NUM_CLIENTS = 6
_LONG_ANSWER = 400  # tokens, so that requests run when the process is killed
_DONE = b"data: [DONE]"


def run_model_kills(workspace: Path, *, count: int, seed: int = 0) -> Part:
    """Kill the model's process so many times while clients ask it, and note how each request ended."""
    with serve(workspace) as served:
        ends, back_s, num_running = asyncio.run(_kill_again_and_again(served, count, random.Random(seed)))
    figures = (
        plain("kills", f"{count:,}"),
        plain("of them while a request ran", f"{num_running:,}"),
        plain("requests that ended with", ", ".join(f"{name}: {n:,}" for name, n in sorted(ends.items()))),
        none_of("requests without an end", ends["no end"]),
        none_of("kills after which the model did not come back", sum(seconds is None for seconds in back_s)),
        plain("seconds until the model answered again, median", f"{percentile(_known(back_s), 0.5):.1f} s"),
        at_most("the same, the longest", max(_known(back_s), default=0.0), _BACK_S, " s"),
    )
    about = (
        f"{_NUM_CLIENTS} clients ask the chat model for {_LONG_ANSWER} tokens, by calls and by streams, when "
        "its process gets SIGKILL at a random moment. A request ends with its answer, a refusal, or an error "
        "as the last event of its stream."
    )
    return Part(title="Kills of the model's process", about=about, figures=figures)


def _known(values: list[float | None]) -> list[float]:
    return [value for value in values if value is not None]


async def _kill_again_and_again(
    served: Served, count: int, source: random.Random
) -> tuple[Counter[str], list[float | None], int]:
    ends, back_s, num_running = Counter[str](), list[float | None](), 0
    for _ in range(count):
        requests = [asyncio.create_task(_ask_long(served.port, is_stream=bool(n % 2))) for n in range(_NUM_CLIENTS)]
        await asyncio.sleep(source.uniform(0.0, 0.15))
        num_running += not all(request.done() for request in requests)
        if (pid := served.model_pid()) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        back_s.append(await _time_until_back(served.port))
        for reply in await asyncio.gather(*requests):
            ends[_end_of(reply)] += 1
    return ends, back_s, num_running


async def _ask_long(port: int, *, is_stream: bool) -> Reply:
    messages = [{"role": "user", "content": "Where is my parcel?"}]
    body = {"model": "chat", "messages": messages, "max_tokens": _LONG_ANSWER, "stream": is_stream}
    return await ask(port, "POST", "/v1/chat/completions", body, timeout_s=_WAIT_S)


async def _time_until_back(port: int) -> float | None:
    """Return the seconds until the model answers again; None if it does not."""
    body = {"model": "chat", "messages": [{"role": "user", "content": "a"}], "max_tokens": 1}
    started = time.monotonic()
    while time.monotonic() - started < 6 * _BACK_S:
        reply = await ask(port, "POST", "/v1/chat/completions", body)
        if reply.status == 200:
            return time.monotonic() - started
        await asyncio.sleep(0.1)
    return None


def _end_of(reply: Reply) -> str:
    if reply.status == NO_REPLY:
        return "no end"
    if reply.status != 200 or not reply.headers.get("content-type", "").startswith("text/event-stream"):
        return str(reply.status)
    if b'"error"' in reply.body:
        return "an error in its stream"
    return "200" if _DONE in reply.body else "no end"
