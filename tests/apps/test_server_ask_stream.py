"""Answers as they are made: the events, their order, signs of life, and an end when nobody listens."""

import asyncio
import json
import threading

import httpx
import pytest
from fastapi.testclient import TestClient
from langchain_core.callbacks import dispatch_custom_event
from langchain_core.runnables import RunnableLambda

from apps.applications import Applications
from apps.server.admission import Admission
from apps.server.app import create_app
from apps.server.middleware import TimeMiddleware
from apps.server.service_run import ServiceRun
from apps.server.streaming import EventStream, encode_event
from chains.customer_service import ServiceReply, ServiceRequest
from chains.errors import ChainInputError
from llms.errors import ModelFolderError
from llms.fakes import ScriptedChatModel
from tests.apps.live_server import serve_here
from tests.waiting import wait_for

QUESTION = {"text": "How full should the battery be?"}
REPLY = ServiceReply(text="Keep it at 80 %.", route="answer", reason="an article says so")


def say(**event):
    dispatch_custom_event("customer_service", event)


def answer(_):
    say(step="intent", milliseconds=2.5)
    dispatch_custom_event("another_chain", {"text": "not for the customer"})
    say(route="answer")
    say(text="Keep it ")
    say(text="at 80 %.")
    return REPLY


def make_app(settings, chain, **options):
    return create_app(settings, applications=Applications(customer_service=RunnableLambda(chain)), **options)


def read_events(body):
    """(name, data) of each event of a stream; comments are left out."""
    blocks = [block for block in body.split("\n\n") if block and not block.startswith(":")]
    lines = [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]
    return [(line.get("event"), json.loads(line["data"])) for line in lines]


def test_events_come_in_the_order_of_the_chain_and_end_with_the_reply(settings):
    with TestClient(make_app(settings, answer)) as client:
        reply = client.post("/v1/ask/stream", json=QUESTION)
    assert reply.status_code == 200
    events = read_events(reply.text)
    assert events[:-1] == [
        ("step", {"step": "intent", "milliseconds": 2.5}),
        ("route", {"route": "answer"}),
        ("text", {"text": "Keep it "}),
        ("text", {"text": "at 80 %."}),
    ]
    assert events[-1][0] == "reply"
    assert ServiceReply.model_validate(events[-1][1]) == REPLY


def test_the_real_chain_ends_with_what_ask_answers(client):
    events = read_events(client.post("/v1/ask/stream", json={"text": "my refund?"}).text)
    whole = client.post("/v1/ask", json={"text": "my refund?"}).json()
    assert events[-1][0] == "reply"
    assert {**events[-1][1], "steps": []} == {**whole, "steps": []}
    assert "".join(data["text"] for name, data in events if name == "text") in {"", whole["text"]}


def test_headers_keep_those_on_the_way_from_holding_events_back(settings):
    with TestClient(make_app(settings, answer)) as client:
        headers = client.post("/v1/ask/stream", json=QUESTION).headers
    assert headers["content-type"].startswith("text/event-stream")
    assert headers["cache-control"] == "no-store, no-transform"
    assert headers["x-accel-buffering"] == "no"
    assert "content-length" not in headers


@pytest.mark.parametrize(
    ("error", "status"),
    [(ChainInputError("the message is empty"), 422), (ModelFolderError("/secret"), 503), (ZeroDivisionError(), 500)],
)
def test_what_fails_before_the_first_event_has_a_status_code(settings, error, status):
    def fail(_):
        raise error

    with TestClient(make_app(settings, fail), raise_server_exceptions=False) as client:
        reply = client.post("/v1/ask/stream", json=QUESTION)
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/problem+json")
    assert "secret" not in reply.text


@pytest.mark.parametrize(
    ("error", "status"),
    [(ChainInputError("too long"), 422), (ModelFolderError("/secret"), 503), (KeyError("/secret"), 500)],
)
def test_what_fails_later_is_the_last_event(settings, error, status):
    def fail(_):
        say(step="intent", milliseconds=1.0)
        raise error

    with TestClient(make_app(settings, fail)) as client:
        reply = client.post("/v1/ask/stream", json=QUESTION)
    (first, _), (last, problem) = read_events(reply.text)
    assert (reply.status_code, first, last, problem["status"]) == (200, "step", "error", status)
    assert "secret" not in reply.text


def test_a_full_queue_refuses_before_a_stream_begins(settings):
    admission = Admission(max_running=0, max_waiting=0)
    with TestClient(make_app(settings, answer, admission=admission)) as client:
        reply = client.post("/v1/ask/stream", json=QUESTION)
    assert (reply.status_code, reply.headers["retry-after"]) == (429, "1")


def test_a_body_that_does_not_fit_is_refused_as_everywhere(client):
    assert client.post("/v1/ask/stream", json={}).status_code == 422
    assert client.post("/v1/ask/stream", content=b"a", headers={"Content-Type": "application/json"}).status_code == 400


async def test_silence_is_broken_by_comments_and_the_stream_starts_before_the_first_event():
    sent = []

    async def events():
        await wait_for(lambda: len(sent) > 1)
        yield encode_event({"text": "late"}, event="text")

    async def receive():
        await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    await EventStream(events(), show_error=lambda _: b"", heartbeat_s=0.01)({"type": "http"}, receive, send)
    assert [message["type"] for message in sent[:2]] == ["http.response.start", "http.response.body"]
    bodies = [message["body"] for message in sent[1:]]
    assert bodies[0].startswith(b":")
    assert bodies[-2:] == [encode_event({"text": "late"}, event="text"), b""]
    assert [message["more_body"] for message in sent[1:]] == [True] * (len(bodies) - 1) + [False]


async def test_a_slow_client_makes_the_model_wait():
    made = []

    async def events():
        for number in range(1000):
            made.append(number)
            yield encode_event(number)

    is_stuck, body = asyncio.Event(), [{"type": "http.request", "body": b"{}", "more_body": False}]

    async def receive():
        if body:
            return body.pop()
        await is_stuck.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        if message["type"] == "http.response.body":
            await asyncio.sleep(60)

    stream = TimeMiddleware(EventStream(events(), show_error=lambda _: b""), deadline_s=600, send_timeout_s=600)
    sending = asyncio.ensure_future(stream({"type": "http"}, receive, send))
    for _ in range(1000):  # as often as it might go on, were it not for the client
        await asyncio.sleep(0)
    is_stuck.set()
    await sending  # the client left
    assert len(made) < 50


async def test_when_the_client_leaves_the_run_ends_and_its_place_is_free(settings):
    ended, num_steps = threading.Event(), 0

    def answer_slowly(_):
        nonlocal num_steps
        try:
            while True:
                say(step="search", milliseconds=1.0)
                num_steps += 1
                threading.Event().wait(0.01)
        finally:
            ended.set()
        return REPLY

    admission = Admission(max_running=1, max_waiting=0)
    with serve_here(make_app(settings, answer_slowly, admission=admission)) as address:
        async with httpx.AsyncClient(base_url=address) as client:
            async with client.stream("POST", "/v1/ask/stream", json=QUESTION) as reply:
                lines = reply.aiter_lines()
                assert await anext(lines) == "event: step"
                assert admission.num_admitted == 1
            await wait_for(ended.is_set)
            await wait_for(lambda: admission.num_admitted == 0)
            assert (await client.get("/livez")).status_code == 200


async def test_a_place_stays_taken_until_the_thread_has_ended():
    go_on = threading.Event()

    def answer_deafly(_):
        go_on.wait(60)
        return REPLY

    admission = Admission(max_running=1, max_waiting=0)
    run = ServiceRun.of_question(RunnableLambda(answer_deafly), ServiceRequest(text="hello"), owner="anna")
    reading = asyncio.ensure_future(anext(run.steps(admission)))
    await wait_for(lambda: admission.num_admitted == 1)
    await asyncio.sleep(0.05)
    reading.cancel()
    await asyncio.sleep(0.05)
    assert admission.num_admitted == 1
    go_on.set()
    await asyncio.gather(reading, return_exceptions=True)
    assert admission.num_admitted == 0


async def test_a_chain_cannot_take_the_end_for_a_failure_to_make_good_for():
    num_fallbacks = 0
    ready, go_on = threading.Event(), threading.Event()

    def answer_in_any_case(_):
        nonlocal num_fallbacks
        ready.set()
        go_on.wait(60)
        try:
            say(step="compose", milliseconds=1.0)
        except Exception:
            num_fallbacks += 1
        return REPLY

    run = ServiceRun.of_question(RunnableLambda(answer_in_any_case), ServiceRequest(text="hello"), owner="anna")
    admission = Admission()
    reading = asyncio.ensure_future(anext(run.steps(admission)))
    await asyncio.to_thread(ready.wait, 60)
    reading.cancel()
    await asyncio.sleep(0.05)
    go_on.set()
    await asyncio.gather(reading, return_exceptions=True)
    await wait_for(lambda: admission.num_admitted == 0)
    assert num_fallbacks == 0


async def test_a_model_that_streams_stops_at_its_next_token():
    num_tokens = 0
    model = ScriptedChatModel(answers=["word " * 20_000])  # minutes

    def compose(request, config):
        nonlocal num_tokens
        for _ in model.stream(request.text, config=config):
            num_tokens += 1
            threading.Event().wait(0.005)
        return REPLY

    admission = Admission()
    run = ServiceRun.of_question(RunnableLambda(compose), ServiceRequest(text="hello"), owner="anna")
    reading = asyncio.ensure_future(anext(run.steps(admission)))
    await wait_for(lambda: num_tokens > 3)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await wait_for(lambda: admission.num_admitted == 0)
    assert num_tokens < 20_000
