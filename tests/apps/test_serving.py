"""A server under clients that dawdle, crowd, do not read or leave, and under a signal to end."""

import asyncio
import contextlib
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
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
    """A function (limits) -> port and server of one that answers at once, unless it has to wait."""
    (tmp_path / SETTINGS_NAME).write_text("")
    with contextlib.ExitStack() as stack:

        def start(*, wait=lambda: None, **limits):
            def answer(_):
                wait()
                return ServiceReply(text="Yes.", route="template", intent="a", reason="")

            chain = RunnableLambda(answer)
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


_FEW_FILES = """
import pathlib, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
from apps.applications import Applications
from apps.server.app import create_app
from apps.server.serving import run_server
from apps.settings import load_settings
settings = load_settings(pathlib.Path(sys.argv[1]))
app = create_app(settings, applications=Applications())
run_server(app, host="127.0.0.1", port=int(sys.argv[2]), settings=settings.server)
"""


def test_more_connections_than_files_leave_a_server_that_answers_and_logs_little(tmp_path):
    (tmp_path / SETTINGS_NAME).write_text("")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = [sys.executable, "-c", _FEW_FILES, str(tmp_path), str(port)]
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((tmp_path / "log").open("wb"))
        process = stack.enter_context(subprocess.Popen(program, stderr=log, cwd=Path(__file__).parents[2]))
        stack.callback(process.terminate)
        wait_until(lambda: _status(port) == 200)
        for _ in range(400):
            stack.enter_context(_connect(port))
        assert _status(port) == 200
    said = (tmp_path / "log").read_bytes()
    assert b"out of system resource" not in said
    assert len(said) < 20_000


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


ASKS = (
    b"POST /v1/ask HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b'Content-Length: 17\r\n\r\n{"text": "hello"}'
)


def _read_all(connection):
    answer = b""
    while part := connection.recv(4096):
        answer += part
    return answer


@pytest.mark.parametrize("rounds", [2, pytest.param(100, marks=pytest.mark.nightly)])
def test_requests_that_were_taken_are_answered_before_the_end(serve, rounds):
    for _ in range(rounds):
        answers = _end_while_answering(serve)
        assert all(answer.startswith(b"HTTP/1.1 200") and b"Yes." in answer for answer in answers)


def _end_while_answering(serve):
    """Return what ten clients hear that asked before their server was told to end."""
    go_on = threading.Event()
    port, server = serve(wait=go_on.wait, shutdown_s=20)
    admission = server.config.app.state.server.main.admission
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(_connect(port, ASKS)) for _ in range(10)]
        wait_until(lambda: admission.num_admitted == 10)
        server.handle_exit(signal.SIGTERM, None)
        wait_until(lambda: _status(port) is None)
        go_on.set()
        return [_read_all(client) for client in clients]


async def test_who_is_connected_when_a_server_ends_is_answered(tmp_path):
    (tmp_path / SETTINGS_NAME).write_text("")
    app = create_app(load_settings(tmp_path), applications=Applications())
    config = LimitedConfig(app, host="127.0.0.1", port=0, settings=ServerSettings(), log_level="warning")
    config.load()
    server = LimitedServer(config, on_drain=app.state.server.drain, drain_s=0)
    server.lifespan = config.lifespan_class(config)
    await server.lifespan.startup()
    await server.startup()
    port = server.servers[0].sockets[0].getsockname()[1]
    asks = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(_connect(port))
        await wait_for(lambda: server.server_state.connections)
        # the server has no turn in which it could accept them before it ends
        waiting = [stack.enter_context(_connect(port, asks)) for _ in range(40)]
        ending = asyncio.create_task(server.shutdown())
        await wait_for(lambda: not server.servers[0].is_serving())
        silent.sendall(asks)
        answers = await asyncio.gather(*(asyncio.to_thread(_read_all, client) for client in (silent, *waiting)))
        await ending
    assert {answer.partition(b"\r\n")[0] for answer in answers} == {b"HTTP/1.1 200 OK"}


@pytest.mark.parametrize("count", [30, pytest.param(1_000, marks=pytest.mark.nightly)])
def test_clients_that_leave_lose_no_place(serve, count):
    port, server = serve(wait=lambda: time.sleep(0.001))
    for number in range(count):
        with _connect(port, ASKS) as connection:
            if number % 3 == 0:
                connection.recv(1)
    admission = server.config.app.state.server.main.admission
    wait_until(lambda: not admission.num_admitted and not server.server_state.connections)
    with _connect(port, ASKS) as connection:
        assert _read_all(connection).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("count", [5, pytest.param(20, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("length", [b"Content-Length: 1000000000", b"Transfer-Encoding: chunked"])
def test_bodies_of_a_gigabyte_take_no_memory(serve, count, length):
    port, _ = serve()
    head = b"POST /v1/ask HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + length + b"\r\n\r\n"
    chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sent = Counter()

    def push(number):
        with _connect(port, head) as connection, contextlib.suppress(OSError):
            while sent[number] < 1_000_000_000:
                connection.sendall(chunk)
                sent[number] += len(chunk)

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(push, range(count)))
    assert max(sent.values(), default=0) < 30_000_000  # most of it in buffers of the system
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000  # KiB


def test_uvicorn_logs_no_address_and_believes_no_header_of_a_proxy(serve):
    _, server = serve()
    assert not server.config.access_log
    assert not server.config.proxy_headers


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
        server.handle_exit(signal.SIGTERM, None)
        wait_until(lambda: not server.server_state.connections)


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
