"""Load is bounded and refused at once, life shows through it, and nothing leaks into headers, logs or errors."""

import asyncio
import contextlib
import logging
import sqlite3
import threading
from collections import Counter

import anyio
import anyio.to_thread
import pytest
from fastapi.testclient import TestClient
from httpx import ASGITransport, AsyncClient
from langchain_core.runnables import RunnableLambda

from apps.applications import Applications
from apps.keys import KeyStore
from apps.server.admission import ASKING, Admission, Asker
from apps.server.app import create_app
from apps.server.middleware import BodyMiddleware
from apps.server.monitor_service import LiveMonitor
from apps.server.problems import ProblemError
from apps.settings import SETTINGS_NAME, load_settings
from chains.customer_service import ServiceReply
from chains.monitoring import Post, build_monitoring_chain
from llms.errors import ModelFolderError
from tests.apps.conftest import SENTIMENT, TOPIC, make_post
from tests.waiting import wait_for, wait_until

QUESTION = {"text": "canary4711"}


def make_service(answer):
    return Applications(customer_service=RunnableLambda(answer))


def raise_error(error):
    def answer(_):
        raise error

    return make_service(answer)


async def test_a_full_queue_refuses_at_once_while_life_shows(settings):
    go_on = threading.Event()

    def answer(_):
        go_on.wait(60)
        return ServiceReply(text="done", route="answer", reason="")

    admission = Admission(max_running=1, max_waiting=1)
    app = create_app(settings, applications=make_service(answer), admission=admission)
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=ASGITransport(app), base_url="http://localhost") as client,
    ):
        taken = [asyncio.create_task(client.post("/v1/ask", json=QUESTION)) for _ in range(2)]
        await wait_for(lambda: admission.num_admitted == 2)
        refused = await client.post("/v1/ask", json=QUESTION)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert refused.headers["content-type"] == "application/problem+json"
        for address in ("/livez", "/readyz", "/"):
            assert (await client.get(address)).status_code == 200
        go_on.set()
        assert [(await task).status_code for task in taken] == [200, 200]
        assert admission.num_admitted == 0
        assert (await client.post("/v1/ask", json=QUESTION)).status_code == 200


def test_a_failing_call_gives_its_place_back(settings):
    admission = Admission(max_running=1, max_waiting=0)
    chains = raise_error(ZeroDivisionError())
    with TestClient(create_app(settings, applications=chains, admission=admission)) as client:
        assert [client.post("/v1/ask", json=QUESTION).status_code for _ in range(3)] == [500] * 3
    assert admission.num_admitted == 0


def test_an_error_of_ours_shows_nothing_of_the_inside(settings, caplog):
    chains = raise_error(RuntimeError("/etc/inside"))
    with TestClient(create_app(settings, applications=chains)) as client:
        reply = client.post("/v1/ask", json=QUESTION)
    assert reply.status_code == 500
    assert reply.headers["content-type"] == "application/problem+json"
    assert "inside" not in reply.text
    assert reply.headers["x-request-id"] in reply.text
    assert "/etc/inside" in caplog.text  # the log is where the reason belongs


def test_a_broken_model_is_a_503_without_its_folder(settings):
    chains = raise_error(ModelFolderError("models/intent holds no weights"))
    with TestClient(create_app(settings, applications=chains)) as client:
        reply = client.post("/v1/ask", json=QUESTION)
    assert reply.status_code == 503
    assert "/home" not in reply.text


def test_the_log_holds_routes_and_times_but_no_text(client, caplog):
    caplog.set_level(logging.INFO)
    client.post("/v1/ask", json=QUESTION)
    client.get("/canary4711?canary4711")
    client.post("/v1/ask", json={"text": 1, "canary4711": 1})
    assert "POST /v1/ask 200" in caplog.text or "POST /ask 200" in caplog.text
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("apps.")]
    assert len(ours) >= 3
    assert not any("canary4711" in line for line in ours)


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("GET", "/"),
        ("GET", "/livez"),
        ("GET", "/nothing"),
        ("GET", "/static/app.js"),
        ("POST", "/v1/ask"),
        ("PUT", "/v1/ask"),
        ("OPTIONS", "/v1/ask"),
    ],
)
def test_every_response_carries_the_security_headers(client, method, address):
    headers = client.request(method, address, headers={"Origin": "https://elsewhere.example"}).headers
    policy = headers["content-security-policy"]
    for rule in ("default-src 'self'", "object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"):
        assert rule in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] in {"no-store", "no-cache"}
    assert "access-control-allow-origin" not in headers


async def test_a_body_that_never_ends_is_given_up(monkeypatch):
    monkeypatch.setattr("apps.server.middleware._BODY_TIMEOUT_S", 0.05)
    sent = []

    async def receive():
        await asyncio.sleep(10)

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", b"application/json")]}
    await BodyMiddleware(lambda *_: None)(scope, receive, send)
    assert sent[0]["status"] == 408


def test_a_post_that_cannot_be_read_is_set_aside_and_the_monitor_goes_on():
    def fail_once(text):
        if "poison" in text:
            msg = "cannot be read"
            raise ValueError(msg)
        return TOPIC.invoke(text)

    chain = build_monitoring_chain(topic=RunnableLambda(fail_once), sentiment=SENTIMENT)
    monitor = LiveMonitor(chain)
    monitor.start()
    first, poison, last = (Post(**make_post(n, text)) for n, text in enumerate(["app", "poison", "app is down"]))
    try:
        observe(monitor, first)
        assert [(item.reason, item.detail) for item in monitor.observe([poison]).set_aside] == [
            ("failed", "ValueError: cannot be read")
        ]
        assert monitor.observe([last]).readings[0].sentiment.label == "negative"
        assert monitor.snapshot().num_posts == 2
    finally:
        monitor.stop()
    with pytest.raises(ProblemError):
        monitor.observe([last])


def test_a_stream_that_cannot_be_read_does_not_stop_the_monitor():
    def fail():
        msg = "no such disk"
        raise OSError(msg)

    monitor = LiveMonitor(build_monitoring_chain(topic=TOPIC, sentiment=SENTIMENT), read_history=fail)
    monitor.start()
    try:
        assert observe(monitor, Post(**make_post(1, "app"))).readings
    finally:
        monitor.stop()


def test_the_state_of_the_monitor_is_bounded(monkeypatch):
    monkeypatch.setattr("apps.server.monitor_service._KEPT_ALERTS", 0)
    posts = [Post(**make_post(24 * 3 * day, "app")) for day in range(200)]
    monitor = LiveMonitor(build_monitoring_chain(topic=TOPIC, sentiment=SENTIMENT), read_history=lambda: posts)
    monitor.start()
    try:
        observe(monitor, Post(**make_post(24 * 3 * 201, "app")))
        assert len(monitor.snapshot().trend) <= 56
    finally:
        monitor.stop()


def observe(monitor, post):
    """Give a post as soon as the recorded stream is read."""
    observed = []

    def is_read():
        with contextlib.suppress(ProblemError):
            observed.append(monitor.observe([post]))
        return observed

    wait_until(is_read)
    return observed[0]


async def hold_slots(admission, askers):
    """Ask for a slot for each asker in turn; return those who got one, and a function that gives them back."""
    release, admitted = asyncio.Event(), []

    async def ask(asker):
        ASKING.set(asker)
        with contextlib.suppress(ProblemError):
            async with admission.slot():
                admitted.append(asker)
                await release.wait()

    tasks = []
    for asker in askers:
        tasks.append(asyncio.create_task(ask(asker)))
        await asyncio.sleep(0)

    async def give_back():
        release.set()
        await asyncio.gather(*tasks)

    return admitted, give_back


@pytest.mark.parametrize("num_keys", [1, 2, 5, 11])
async def test_keys_share_the_places_and_leave_one_for_a_newcomer(num_keys):
    admission = Admission(max_running=12, max_waiting=0)
    names = [f"key {number}" for number in range(num_keys)]
    admitted, give_back = await hold_slots(admission, [Asker(owner=name) for name in names * 12])
    shares = Counter(asker.owner for asker in admitted)
    assert set(shares.values()) == {12 // (num_keys + 1)}
    newcomers, give_these_back = await hold_slots(admission, [Asker(owner="newcomer")])
    assert newcomers == [Asker(owner="newcomer")]
    await give_these_back()
    await give_back()
    assert (await hold_slots(admission, [Asker(owner="again")] * 12))[0] == [Asker(owner="again")] * 6


async def test_a_tenant_with_many_keys_leaves_places_for_others():
    admission = Admission(max_running=12, max_waiting=0)
    crowd = [Asker("acme", f"acme/{number}") for number in range(12)]
    assert len((await hold_slots(admission, crowd))[0]) == 6
    assert len((await hold_slots(admission, [Asker("beta", "beta/anna"), Asker("", "bob")]))[0]) == 2


async def test_without_keys_all_places_are_there_for_everybody():
    assert len((await hold_slots(Admission(max_running=12, max_waiting=0), [Asker()] * 12))[0]) == 12


async def test_a_locked_file_of_keys_stops_nobody_else(tmp_path):
    (tmp_path / SETTINGS_NAME).write_text("")
    settings = load_settings(tmp_path)
    secret = KeyStore.of(settings).add("anna", role="customer")[1]
    app = create_app(settings, applications=Applications())
    lock = sqlite3.connect(tmp_path / "keys.sqlite", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    async with AsyncClient(transport=ASGITransport(app), base_url="http://localhost") as client:
        headers = {"Authorization": f"Bearer {secret}"}
        asked = [asyncio.create_task(client.post("/v1/ask", json=QUESTION, headers=headers)) for _ in range(3)]
        await asyncio.sleep(0)
        assert (await client.get("/livez")).status_code == 200
        assert not any(task.done() for task in asked)
        lock.execute("ROLLBACK")
        lock.close()
        await asyncio.gather(*asked)


async def test_models_work_while_all_other_threads_wait():
    release = threading.Event()
    others = anyio.to_thread.current_default_thread_limiter()
    waiting = [asyncio.create_task(anyio.to_thread.run_sync(release.wait)) for _ in range(int(others.total_tokens))]
    await wait_for(lambda: not others.available_tokens)
    assert await Admission().run(lambda: "answer") == "answer"
    release.set()
    await asyncio.gather(*waiting)
