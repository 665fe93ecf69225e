"""A real server on a free port of this machine, for what a transport inside one process cannot show."""

import contextlib
import threading

import uvicorn

__all__ = ["serve_here"]


@contextlib.contextmanager
def serve_here(app):
    """Serve `app` in a thread and give its address."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        for _ in range(1000):
            if server.started:
                break
            threading.Event().wait(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)
