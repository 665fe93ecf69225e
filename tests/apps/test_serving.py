"""A server under clients that dawdle, crowd, do not read or leave, and under a signal to end."""

import asyncio
import contextlib
import signal
import socket
import threading
import time
from urllib.request import urlopen

import pytest
from langchain_core.runnables import RunnableLambda

from apps.applications import Applications
from apps.server.app import create_app
from apps.server.middleware import TimeMiddleware
from apps.server.serving import LimitedConfig, LimitedServer
from apps.settings import SETTINGS_NAME, ServerSettings, load_settings
from chains.customer_service import ServiceReply
from tests.waiting import wait_for, wait_until


@pytest.fixture
def serve(tmp_path):
    """A function (limits) -> port and server of one that answers at once."""
    (tmp_path / SETTINGS_NAME).write_text("")
    with contextlib.ExitStack() as stack:

        def start(**limits):
            chain = RunnableLambda(lambda _: ServiceReply(text="Yes.", route="template", intent="a", reason=""))
            app = create_app(load_settings(tmp_path), applications=Applications(customer_service=chain))
            settings = ServerSettings(**{"drain_s": 0.0, "shutdown_s": 1, **limits})
            config = LimitedConfig(app, host="127.0.0.1", port=0, settings=settings, log_level="warning")
            server = LimitedServer(config, on_drain=app.state.server.drain, drain_s=settings.drain_s)
            thread = threading.Thread(target=server.run, daemon=True)
            thread.start()
            stack.callback(thread.join, 20)
            stack.callback(setattr, server, "should_exit", True)
            wait_until(lambda: server.started)
            return server.servers[0].sockets[0].getsockname()[1], server

        yield start


def _connect(port, data=b""):
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.sendall(data)
    return connection


def _status(port, path="/livez"):
    with contextlib.suppress(OSError), urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as reply:
        return reply.status
    return None


def _is_closed(connection):
    connection.settimeout(30)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("sent", [b"", b"GET /livez HTTP/1.1\r\nHo", b"POST /v1/ask HTTP/1.1\r\nHost: a\r\n"])
def test_a_head_that_does_not_come_ends_the_connection(serve, sent):
    port, _ = serve(head_timeout_s=0.2)
    with _connect(port, sent) as connection:
        assert _is_closed(connection)


def test_a_head_that_trickles_in_does_not_begin_the_time_anew(serve):
    port, server = serve(head_timeout_s=0.5)
    with _connect(port, b"GET /livez HTTP/1.1\r\nX-A: ") as connection, contextlib.suppress(OSError):
        while server.server_state.connections:
            connection.sendall(b"a")
            time.sleep(0.02)
    assert not server.server_state.connections


def test_a_second_request_has_to_come_in_time_as_well(serve):
    port, _ = serve(head_timeout_s=0.3)
    with _connect(port, b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n") as connection:
        answer = b""
        while b"alive" not in answer:
            answer += connection.recv(4096)
        connection.sendall(b"GET /liv")
        assert _is_closed(connection)


def test_of_too_many_connections_the_idlest_goes_and_new_clients_get_in(serve):
    port, server = serve(max_connections=20, head_timeout_s=600)
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(_connect(port)) for _ in range(60)]
        wait_until(lambda: len(server.server_state.connections) <= 20)
        assert _status(port) == 200
        assert _is_closed(idle[0])


def test_a_server_that_is_to_end_says_so_before_it_closes(serve):
    port, server = serve(drain_s=0.6)
    assert _status(port, "/readyz") == 200
    server.handle_exit(signal.SIGTERM, None)
    assert _status(port, "/readyz") is None  # urlopen raises for a 503, which is an OSError
    assert _status(port) == 200
    wait_until(lambda: _status(port) is None)


def test_a_second_signal_ends_it_at_once(serve):
    port, server = serve(drain_s=600)
    server.handle_exit(signal.SIGTERM, None)
    server.handle_exit(signal.SIGTERM, None)
    wait_until(lambda: _status(port) is None)


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /v1/ask HTTP/1.1\r\nHost: localh",
        b"POST /v1/ask HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
    ],
)
def test_half_a_request_does_not_keep_a_server_from_ending(serve, sent):
    port, server = serve(shutdown_s=1, head_timeout_s=600)
    with _connect(port, sent):
        wait_until(lambda: server.server_state.connections)
        begun = time.monotonic()
        server.handle_exit(signal.SIGTERM, None)
        wait_until(lambda: not server.server_state.connections or time.monotonic() - begun > 15)
        assert time.monotonic() - begun < 15


# --- the time of one request, without a server


SCOPE = {"type": "http", "method": "POST", "path": "/v1/ask", "headers": []}


class _Client:
    """A client in the form of ASGI's functions: it leaves, or stops reading, when it is told to."""

    def __init__(self, *, reads=True):
        self.leaves = asyncio.Event()
        self.said = []
        self._reads = reads
        self._has_body = False

    async def receive(self):
        if not self._has_body:
            self._has_body = True
            return {"type": "http.request", "body": b"{}", "more_body": False}
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.said.append(message)
        if not self._reads:
            await asyncio.Event().wait()

    @property
    def status(self):
        return next((message["status"] for message in self.said if "status" in message), None)


def _guard(route, *, deadline_s=600.0, send_timeout_s=600.0):
    return TimeMiddleware(route, deadline_s=deadline_s, send_timeout_s=send_timeout_s)


async def test_work_ends_when_its_client_leaves():
    ended, client = [], _Client()

    async def route(scope, receive, send):
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    asked = asyncio.create_task(_guard(route)(SCOPE, client.receive, client.send))
    await asyncio.sleep(0)
    client.leaves.set()
    await asked
    assert ended == [True]
    assert client.said == []


async def test_work_that_takes_too_long_is_refused():
    client, released = _Client(), threading.Event()

    async def route(scope, receive, send):
        await asyncio.to_thread(released.wait)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    await _guard(route, deadline_s=0.05)(SCOPE, client.receive, client.send)
    assert client.status == 504
    num_said = len(client.said)
    released.set()
    await asyncio.sleep(0.05)
    assert len(client.said) == num_said  # what comes after the refusal is not said


async def test_a_client_that_does_not_read_keeps_nothing_busy():
    ended, client = [], _Client(reads=False)

    async def route(scope, receive, send):
        try:
            while True:
                await send({"type": "http.response.start", "status": 200, "headers": []})
        finally:
            ended.append(True)

    await _guard(route, send_timeout_s=0.05)(SCOPE, client.receive, client.send)
    assert ended == [True]


async def test_an_error_of_a_route_is_its_own():
    client = _Client()

    async def route(scope, receive, send):
        msg = "the model failed"
        raise TimeoutError(msg)

    with pytest.raises(TimeoutError, match="the model failed"):
        await _guard(route)(SCOPE, client.receive, client.send)


async def test_a_route_hears_of_the_end_of_its_client_only_after_the_body():
    client, heard = _Client(), []

    async def route(scope, receive, send):
        heard.append(await receive())
        client.leaves.set()
        heard.append(await receive())

    await _guard(route)(SCOPE, client.receive, client.send)
    await wait_for(lambda: heard)
    assert heard[0]["body"] == b"{}"
