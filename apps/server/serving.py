"""The HTTP server: uvicorn with bounds on connections, request heads and the time that ending takes."""

import asyncio
import os
import resource
import select
import signal
import socket
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

from apps.settings import ServerSettings

_SPARE_FILES = 128  # descriptors for models, stores and logs
# asyncio takes one number for both, but what it accepts at once is there before the first of it is counted, and each
# that finds no descriptor is a traceback in the log
_ACCEPTS_AT_ONCE = 16
_MAX_PENDING = 2_048
_TURNS_TO_BEGIN = 3  # of the event loop, from accepting a connection to its protocol
_LAST_HEAD_S = 0.5  # at the end: for the first request of a client that got in


def run_server(app: FastAPI, *, host: str, port: int, settings: ServerSettings) -> None:
    """Serve `app` until a signal ends it."""
    config = LimitedConfig(app, host=host, port=port, settings=settings)
    LimitedServer(config, on_drain=app.state.server.drain, drain_s=settings.drain_s).run()


class LimitedConfig(uvicorn.Config):
    """uvicorn's configuration with the connections that have yet to send a whole request head.

    Attributes:
        waiting: those connections, oldest first.
        is_ending: whether each connection is closed after the request that runs on it.
    """

    def __init__(self, app: FastAPI, *, host: str, port: int, settings: ServerSettings, **others: Any) -> None:
        super().__init__(
            app,
            host=host,
            port=port,
            http=LimitedProtocol,
            ws="none",
            proxy_headers=False,  # whoever wants to may send them
            backlog=_ACCEPTS_AT_ONCE,
            access_log=False,  # ours tells neither paths nor texts of clients
            timeout_graceful_shutdown=settings.shutdown_s,
            **others,
        )
        self.max_connections = _bounded_by_files(settings.max_connections)
        self.head_timeout_s = settings.head_timeout_s
        self.waiting: dict[LimitedProtocol, None] = {}
        self.is_ending = False


def _bounded_by_files(wanted: int) -> int:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if limit == resource.RLIM_INFINITY else max(1, min(wanted, limit - _SPARE_FILES))


class LimitedProtocol(H11Protocol):
    """One connection, closed where no whole request head comes in time.

    Of too many connections the one that has waited longest for its head is closed, so that a new client, and a health
    check, always gets in.
    """

    config: LimitedConfig
    _timer: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn types it
        super().connection_made(transport)
        self._await_head()
        if len(self.connections) > self.config.max_connections:
            oldest = next(iter(self.config.waiting))
            oldest._stop_waiting()  # it is gone only after this turn of the loop
            oldest.transport.abort()

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.config.is_ending and self.cycle is not None:
            self.cycle.keep_alive = False
        if self.cycle is None or self.cycle.response_complete:
            self._await_head()
        else:
            self._stop_waiting()

    @override
    def shutdown(self) -> None:
        if self.cycle is None:  # its request may be on the way, and who got in is answered
            self.loop.call_later(_LAST_HEAD_S, self._end_unless_asked)
        else:
            super().shutdown()

    def _end_unless_asked(self) -> None:
        if self.cycle is None:
            super().shutdown()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        if self._timer is None:  # bytes that trickle in do not begin the time anew
            self._timer = self.loop.call_later(self.config.head_timeout_s, self.transport.abort)
            self.config.waiting[self] = None

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self.config.waiting.pop(self, None)


class LimitedServer(uvicorn.Server):
    """uvicorn's server that tells before it ends: at SIGTERM it first says that it is not ready, then closes.

    Args:
        on_drain: lets the readiness check say no.
        drain_s: how long requests are still taken after that; a second signal ends it at once.
    """

    config: LimitedConfig

    def __init__(self, config: LimitedConfig, *, on_drain: Callable[[], None], drain_s: float) -> None:
        super().__init__(config)
        self._on_drain = on_drain
        self._drain_s = drain_s
        self._ends_at: float | None = None

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        for listening in (one for server in self.servers for one in server.sockets):
            with socket.socket(fileno=os.dup(listening.fileno())) as same:
                same.listen(_MAX_PENDING)

    @override
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._on_drain()
        if sig == signal.SIGTERM and self._ends_at is None and self._drain_s:
            self._ends_at = time.monotonic() + self._drain_s
            self._captured_signals.append(sig)
        else:
            super().handle_exit(sig, frame)

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # closing would reset those that wait here, who were told that they are connected
        listening = [one.fileno() for server in self.servers for one in server.sockets]
        self.config.is_ending = True
        for _ in range(_MAX_PENDING // _ACCEPTS_AT_ONCE):
            if not select.select(listening, [], [], 0)[0]:
                break
            await asyncio.sleep(0)
        for _ in range(_TURNS_TO_BEGIN):
            await asyncio.sleep(0)
        await super().shutdown(sockets)

    @override
    async def on_tick(self, counter: int) -> bool:
        ends = self._ends_at is not None and time.monotonic() >= self._ends_at
        return await super().on_tick(counter) or ends
