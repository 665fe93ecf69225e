"""Outgoing connections: addresses with a login, and a time limit for a whole exchange."""

import contextlib
import http.client
import smtplib
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from urllib.parse import SplitResult, unquote

_AGAIN_S = 0.2


@contextlib.contextmanager
def deadline(seconds: float, stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` from another thread if this takes longer: time-outs of sockets begin anew at each byte."""
    is_done = threading.Event()

    def watch() -> None:
        wait_s = seconds
        while not is_done.wait(wait_s):
            stop()
            wait_s = _AGAIN_S  # there may have been no connection to close yet

    threading.Thread(target=watch, name="deadline", daemon=True).start()
    try:
        yield
    finally:
        is_done.set()


def shut_down(connection: http.client.HTTPConnection | smtplib.SMTP) -> None:
    """End what a connection is waiting for."""
    if (connected := connection.sock) is not None:
        with contextlib.suppress(OSError):
            connected.shutdown(2)


def open_connection(parts: SplitResult, *, timeout_s: float) -> http.client.HTTPConnection:
    """Return a connection to an address, which is made with the first request."""
    make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return make(parts.hostname or "", parts.port, timeout=timeout_s)


def path_of(parts: SplitResult) -> str:
    """Return what a request to an address asks for.

    Example:
        >>> from urllib.parse import urlsplit
        >>> path_of(urlsplit("https://example.org?a=1"))
        '/?a=1'
    """
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def login_of(parts: SplitResult) -> dict[str, str]:
    """Return the header for the login that an address holds, or nothing.

    Example:
        >>> from urllib.parse import urlsplit
        >>> login_of(urlsplit("https://ann:p%40ss@example.org"))
        {'Authorization': 'Basic YW5uOnBAc3M='}
    """
    if not (parts.username or parts.password):
        return {}
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
