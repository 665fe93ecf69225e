"""Small HTTP client whose cost does not hide the server's: one connection a request, every end of it told apart."""

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field
from typing import Any

__all__ = ["LEFT", "NOT_CONNECTED", "NO_REPLY", "Reply", "ask"]

NOT_CONNECTED, NO_REPLY, LEFT = 0, -1, -2
"""In place of a status: nobody listened; the connection ended before the whole reply; the client left it itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What became of a request."""

    status: int
    seconds: float
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        """Return the body as values."""
        return json.loads(self.body)

    def event(self, name: str) -> Any:
        """Return the data of the server-sent event of this name, or None."""
        for block in self.body.decode().split("\n\n"):
            lines = block.splitlines()
            if f"event: {name}" in lines:
                return json.loads(next(line for line in lines if line.startswith("data: "))[6:])
        return None

    @property
    def wait_s(self) -> float:
        """Seconds after which the server asks to be asked again."""
        return float(self.headers.get("retry-after", "1"))


async def ask(
    port: int,
    method: str,
    path: str,
    body: Any = None,
    *,
    key: str = "",
    timeout_s: float = 150.0,
    leave_after_s: float | None = None,
    pause_s: float = 0.0,
) -> Reply:
    """Send one request and return its end.

    Args:
        port: of this machine.
        method: in capitals.
        path: with its query.
        body: sent as JSON, unless it is None.
        key: of the one who asks.
        timeout_s: after which a silent server counts as one that gave no reply.
        leave_after_s: when the client closes the connection, whatever came by then.
        pause_s: how long a slow reader waits before each 64 bytes.
    """
    started = time.perf_counter()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return Reply(status=NOT_CONNECTED, seconds=time.perf_counter() - started)
    raw = b""
    try:
        writer.write(_head_and_body(method, path, body, key))
        async with asyncio.timeout(timeout_s if leave_after_s is None else leave_after_s):
            while piece := await reader.read(64 if pause_s else 65_536):
                raw += piece
                if pause_s:
                    await asyncio.sleep(pause_s)
    except TimeoutError:
        if leave_after_s is not None:
            return Reply(status=LEFT, seconds=time.perf_counter() - started)
    except OSError:
        pass  # what came before counts, and shows below that it is not whole
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return _parse(raw, time.perf_counter() - started)


def _head_and_body(method: str, path: str, body: Any, key: str) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
    if key:
        lines.append(f"Authorization: Bearer {key}")
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content


def _parse(raw: bytes, seconds: float) -> Reply:
    head, mark, rest = raw.partition(b"\r\n\r\n")
    if not mark:
        return Reply(status=NO_REPLY, seconds=seconds)
    first, *others = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in others)}
    status = int(first.split(" ")[1])
    body = _unchunked(rest) if "chunked" in headers.get("transfer-encoding", "") else rest
    if body is None or len(body) != int(headers.get("content-length", len(body))):
        return Reply(status=NO_REPLY, seconds=seconds, headers=headers)
    return Reply(status=status, seconds=seconds, headers=headers, body=body)


def _unchunked(raw: bytes) -> bytes | None:
    """Return the joined chunks, or None if the last one is missing."""
    body = b""
    while True:
        size, mark, raw = raw.partition(b"\r\n")
        if not mark:
            return None
        if not (length := int(size, 16)):
            return body
        body, raw = body + raw[:length], raw[length + 2 :]
