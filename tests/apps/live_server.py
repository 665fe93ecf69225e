"""A real server on a free port of this machine, for what a transport inside one process cannot show."""

import contextlib
import threading

import uvicorn

from tests.waiting import wait_until

__all__ = ["serve_here"]


@contextlib.contextmanager
def serve_here(app):
    """Serve `app` in a thread and give its address."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(60)
