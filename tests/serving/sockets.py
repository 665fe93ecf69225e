"""Slow sockets: many connections on which a byte comes now and then."""

import asyncio
import resource
import time
from pathlib import Path

from tests.serving.client import ask
from tests.serving.figures import Figure, Part, at_most, none_of, percentile, plain
from tests.serving.served import serve

__all__ = ["run_slow_sockets"]

_LIMIT_S = 10.0  # of a request's head, by default
_CLOCK_S = 1.0  # by which a busy machine may be late
_PAUSE_S = 0.5
_OPENING_AT_ONCE = 50
_SPARE_FILES = 100


def run_slow_sockets(workspace: Path, *, count: int = 1_000) -> Part:
    """Open so many connections to a server, let a byte come on each twice a second, and use the server meanwhile."""
    _allow_files(count + _SPARE_FILES)
    with serve(workspace) as served:
        alone, lives, beside = asyncio.run(_dawdle(served.port, count))
    figures = (
        plain("connections", f"{count:,}"),
        none_of("of them still open after twice the limit", sum(life is None for life in lives)),
        at_most(
            f"seconds until one was closed, the longest (the limit of {_LIMIT_S:g} s, {_CLOCK_S:g} s for the clock)",
            max((life for life in lives if life is not None), default=0.0),
            _LIMIT_S + _CLOCK_S,
            " s",
        ),
        none_of("answers to another client that were no answers", sum(status != 200 for status, _ in beside)),
        _compared(alone, beside),
    )
    about = (
        "Each connection sends the head of a request a byte at a time, twice a second, while another client asks a "
        "question ten times a second."
    )
    return Part(title="Slow sockets", about=about, figures=figures)


def _allow_files(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (count if hard == resource.RLIM_INFINITY else min(count, hard), hard)
        )


def _compared(alone: list[tuple[int, float]], beside: list[tuple[int, float]]) -> Figure:
    before, during = (1000 * percentile([seconds for _, seconds in run], 0.5) for run in (alone, beside))
    return plain("its median time, without the connections and with them", f"{before:.0f} and {during:.0f} ms")


async def _dawdle(port: int, count: int) -> tuple[list[tuple[int, float]], list[float | None], list[tuple[int, float]]]:
    alone = [await _question(port) for _ in range(20)]
    opening = asyncio.Semaphore(_OPENING_AT_ONCE)
    slow = asyncio.gather(*(_slow_socket(port, opening) for _ in range(count)))
    beside = []
    while not slow.done():
        beside.append(await _question(port))
        await asyncio.sleep(0.1)
    return alone, await slow, beside


async def _question(port: int) -> tuple[int, float]:
    reply = await ask(port, "POST", "/v1/ask", {"text": "where is my parcel"})
    return reply.status, reply.seconds


async def _slow_socket(port: int, opening: asyncio.Semaphore) -> float | None:
    """Return the seconds until the server closes the connection; None if it does not."""
    async with opening:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    started = time.monotonic()
    sending = asyncio.create_task(_send_slowly(writer))
    try:
        async with asyncio.timeout(2 * _LIMIT_S):
            await reader.read()
    except TimeoutError:
        return None
    except OSError:  # a reset is an end, too
        pass
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.close()
    return time.monotonic() - started


async def _send_slowly(writer: asyncio.StreamWriter) -> None:
    for byte in b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"a" * 1_000:
        writer.write(bytes([byte]))
        await asyncio.sleep(_PAUSE_S)
