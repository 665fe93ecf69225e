"""ASGI middleware: body limits, time limits, access log, security headers, catch-all 500."""

import asyncio
import logging
import time
import uuid
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apps.server.problems import ProblemError, refuse, refuse_unread
from apps.server.request_validation import check_body, check_content_type, check_length

_log = logging.getLogger(__name__)

_SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_BODY_TIMEOUT_S = 20.0
_CLIENT_LEFT = 499  # as nginx logs it


class EdgeMiddleware:
    """Adds headers to every response, logs one line per request, and turns what nobody caught into a plain 500.

    The line holds the route, the time and the id of the key, never a path or a text of the client.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, started = uuid.uuid4().hex, time.perf_counter()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(message, request_id)
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception:
            _log.exception("request %s failed", request_id)
            if status:  # half a response is out; only closing the connection tells the client
                raise
            refusal = ProblemError(500, f"The log of the server has the reason under {request_id}.")
            await refuse(scope, refusal)(scope, receive, send_with_headers)
        else:
            status = status or _CLIENT_LEFT
        finally:
            milliseconds = 1000 * (time.perf_counter() - started)
            name = f"{scope['method']} {_route_name(scope)}"
            _log.info("%s %s %d %.0f ms key %s", request_id, name, status, milliseconds, _key_id(scope))


class HeadMiddleware:
    """Refuses a body by what its head says, its type and its length, before anything of it is read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http" and scope["method"] == "POST":
            headers = Headers(scope=scope)
            try:
                check_content_type(headers.get("content-type", ""))
                check_length(headers.get("content-length", "0"))
            except ProblemError as refusal:
                await refuse_unread(scope, refusal)(scope, receive, send)
                return
        await self._app(scope, receive, send)


class BodyMiddleware:
    """Lets only complete and small bodies through; behind `AccessMiddleware`, so that strangers cannot fill memory."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            body = await _read_body(receive)
        except ProblemError as refusal:
            await refuse_unread(scope, refusal)(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)


class JsonMiddleware:
    """Lets only unambiguous JSON through to the routes; behind `BodyMiddleware`, so that a body is one message."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        body: bytes = (await receive())["body"]
        try:
            check_body(body)
        except ProblemError as refusal:
            await refuse(scope, refusal)(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)


class TimeMiddleware:
    """Ends the work of a route when its client leaves, when it takes too long, and when its client does not read.

    Args:
        app: whose bodies were read before, as `BodyMiddleware` does.
        deadline_s: from the request to the end of its answer; then it is refused with 504, or the connection closed.
        send_timeout_s: how long one part of an answer may wait for its reader.
    """

    def __init__(self, app: ASGIApp, *, deadline_s: float, send_timeout_s: float) -> None:
        self._app = app
        self._deadline_s = deadline_s
        self._send_timeout_s = send_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(await receive(), send, timeout_s=self._send_timeout_s)
        working = asyncio.ensure_future(self._app(scope, exchange.receive, exchange.send))
        leaving = asyncio.ensure_future(exchange.wait_for_end(receive))
        try:
            await asyncio.wait({working, leaving}, timeout=self._deadline_s, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                exchange.raise_failure_of(working)
            elif not leaving.done():
                exchange.is_over = True
                working.add_done_callback(_forget_outcome)  # a thread cannot be ended; it keeps its place until it is
                if not exchange.has_begun:
                    detail = f"The answer took longer than {self._deadline_s:g} seconds; ask for less."
                    await refuse(scope, ProblemError(504, detail))(scope, receive, send)
                return
            else:
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)
        finally:
            working.cancel()
            leaving.cancel()


class _Exchange:
    """What a route hears of its client and says to it, until its time is over.

    Args:
        body: the message with the whole body.
        send: the server's.
        timeout_s: how long one part of the answer may wait for its reader.
    """

    def __init__(self, body: Message, send: Send, *, timeout_s: float) -> None:
        self._messages = [body]
        self._send = send
        self._timeout_s = timeout_s
        self._has_left = asyncio.Event()
        self.has_begun = False
        self.is_over = False

    async def receive(self) -> Message:
        """Return the body, then wait for the client to leave."""
        if self._messages:
            return self._messages.pop()
        await self._has_left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Send a part of the answer, unless another one was given."""
        if not self.is_over:
            self.has_begun = True
            async with asyncio.timeout(self._timeout_s):
                await self._send(message)

    async def wait_for_end(self, receive: Receive) -> None:
        """Return when the client has left."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self._has_left.set()

    def raise_failure_of(self, working: "asyncio.Future[None]") -> None:
        """Raise what ended a route, unless it was a client that does not read: then the connection is closed."""
        if not (self.has_begun and isinstance(working.exception(), TimeoutError)):
            working.result()


def _forget_outcome(work: "asyncio.Future[None]") -> None:
    if not work.cancelled():
        work.exception()


async def _read_body(receive: Receive) -> bytes:
    """Return the whole body; its bytes are counted as they come, because a chunked body states no length.

    Raises:
        ProblemError: with status 413 if it is too large, 408 if it comes too slowly.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_TIMEOUT_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ProblemError(400, "The connection was closed before the body was complete.")
                body += message.get("body", b"")
                check_length(str(len(body)))
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError as error:
        raise ProblemError(408, f"The body must be complete within {_BODY_TIMEOUT_S:.0f} seconds.") from error


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that hands out the body once and then what else comes, such as a disconnect."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return messages.pop() if messages else await receive()

    return receive_again


def _add_headers(message: MutableMapping[str, Any], request_id: str) -> None:
    headers = MutableHeaders(raw=message["headers"])
    for name, value in _SECURITY_HEADERS.items():
        headers.setdefault(name, value)
    headers["X-Request-ID"] = request_id


def _route_name(scope: Scope) -> str:
    return getattr(scope.get("route"), "path", "(no route)")


def _key_id(scope: Scope) -> str:
    owner = scope.get("state", {}).get("owner")
    return getattr(owner, "key_id", None) or "-"
