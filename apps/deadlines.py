"""A time limit for a whole exchange over a socket, whose own time-outs begin anew at each byte."""

import contextlib
import http.client
import smtplib
import threading
from collections.abc import Callable, Iterator

_AGAIN_S = 0.2


@contextlib.contextmanager
def deadline(seconds: float, stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` from another thread if this takes longer."""
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
