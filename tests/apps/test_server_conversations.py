"""Conversations over HTTP: each owner alone with its own, staff with those that wait, and nothing brings a 500."""

import asyncio
import json
import sqlite3
import threading
import uuid

import pytest
from fastapi.testclient import TestClient
from httpx import ASGITransport, AsyncClient
from langchain_core.callbacks import dispatch_custom_event
from langchain_core.runnables import RunnableLambda

from apps.applications import Applications
from apps.feedback import FeedbackStore
from apps.keys import KeyStore
from apps.server import state, streaming
from apps.server.admission import Admission
from apps.server.app import create_app
from apps.server.schemas import Problem
from apps.settings import SETTINGS_NAME, load_settings
from chains.customer_service import Conversations, ServiceReply
from chains.errors import ConversationBusyError, ConversationStorageError
from tests.apps.service_worlds import make_service_chain, write_service_workspace
from tests.waiting import wait_for, wait_until

SECRET = "canary4711"
JSON = {"Content-Type": "application/json"}
STAFF_WORDS = ("route", "probability", "reason", "summary", "steps", "intent")


class Person:
    """Somebody with a key and one conversation."""

    def __init__(self, client, key=None, conversation=None):
        self.client = client
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.conversation = conversation or self.post("/v1/conversations", {}).json()["id"]
        self._ids = iter(range(10**6))

    @property
    def address(self):
        return f"/v1/conversations/{self.conversation}"

    def get(self, address, **params):
        return self.client.get(address, headers=self.headers, params=params)

    def post(self, address, body, **params):
        return self.client.post(address, headers=self.headers, json=body, params=params)

    def delete(self, address, **params):
        return self.client.delete(address, headers=self.headers, params=params)

    def say(self, text, *, message_id=None):
        body = {"message_id": message_id or f"m{next(self._ids)}", "text": text}
        return self.post(f"{self.address}/messages", body)

    def stream(self, text, *, message_id="s1"):
        reply = self.post(f"{self.address}/messages/stream", {"message_id": message_id, "text": text})
        return reply, read_events(reply.text) if reply.status_code == 200 else []

    @property
    def turns(self):
        return [(turn["speaker"], turn["text"]) for turn in self.get(self.address).json()["turns"]]


def read_events(text):
    events = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            events.append((lines["event"], json.loads(lines["data"])))
    return events


def assert_refused(reply, status):
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    assert SECRET not in reply.text
    return Problem.model_validate_json(reply.content)


@pytest.fixture
def workspace_settings(tmp_path):
    return write_service_workspace(tmp_path, settings="[server]\nburst = 1000\n")


@pytest.fixture
def client(workspace_settings):
    chains = Applications(customer_service=make_service_chain(workspace_settings))
    with TestClient(create_app(workspace_settings, applications=chains)) as client:
        yield client


@pytest.fixture
def local(client):
    """Who sits at a machine without keys."""
    return Person(client)


@pytest.fixture
def people(client, workspace_settings):
    """Two customers and a person of the staff."""
    keys = KeyStore.of(workspace_settings)
    roles = {"anna": "customer", "berta": "customer", "carl": "staff"}
    return [Person(client, keys.add(name, role=role)[1]) for name, role in roles.items()]


# --- messages


def test_a_conversation_goes_from_a_template_over_a_question_back_to_an_article(local):
    assert local.say("Where is my parcel?").json()["text"] == "What is the number of the order?"
    assert local.say("123456").json()["text"] == "Order 123456 is on its way."
    reply = local.say("How full should the battery be?").json()
    assert reply["citations"][0]["source"] == "battery.md"
    assert len(local.turns) == 6
    assert local.turns[-1] == ("assistant", reply["text"])


def test_a_message_sent_again_brings_the_same_reply_and_no_turn(local):
    first, again = (local.say("my refund?", message_id="m1").json() for _ in range(2))
    assert first == again
    assert len(local.turns) == 2


def test_an_id_that_another_text_has_is_a_conflict(local):
    local.say("my refund?", message_id="m1")
    assert_refused(local.say(SECRET, message_id="m1"), 409)
    reply, _ = local.stream(SECRET, message_id="m1")
    assert_refused(reply, 409)


def test_of_two_intents_each_can_be_chosen_by_its_quick_answer(local):
    choices = local.say("card trouble").json()["choices"]
    assert [choice["title"] for choice in choices] == ["a lost card", "refund"]
    assert local.say(choices[1]["text"]).json()["text"] == "Refunds take five days."
    assert local.say("my card").json()["choices"] == choices
    assert local.say(choices[0]["text"]).json()["text"] == "We have blocked the card."


def test_a_question_for_a_slot_has_no_quick_answers(local):
    assert local.say("Where is my parcel?").json()["choices"] == []


def test_a_conversation_is_there_from_its_first_message_on(local):
    assert_refused(local.get(local.address), 404)
    local.say("my refund?")
    listed = local.get("/v1/conversations").json()
    assert [one["conversation"] for one in listed["conversations"]] == [local.conversation]
    assert local.delete(local.address).status_code == 204
    assert_refused(local.get(local.address), 404)
    assert_refused(local.delete(local.address), 404)


def test_long_conversations_come_in_pages(local):
    for number in range(4):
        local.say(f"my refund {number}?")
    page = local.get(local.address, limit=3, skip=2).json()
    assert page["num_turns"] == 8
    answer = "Refunds take five days."
    assert [turn["text"] for turn in page["turns"]] == [answer, "my refund 2?", answer]
    assert local.get(local.address, skip=100).json()["turns"] == []
    for bad in ({"limit": 0}, {"limit": 201}, {"skip": -1}, {"limit": "x"}):
        assert_refused(local.get(local.address, **bad), 422)
        assert_refused(local.get("/v1/conversations", **bad), 422)
        assert_refused(local.get("/v1/inbox", **bad), 422)


def test_who_asks_is_told_what_they_are(local, client):
    assert local.get("/v1/me").json() == {"owner": "local", "is_staff": True, "language": "en"}


# --- events


def test_the_parts_of_a_streamed_answer_are_the_reply(local):
    reply, events = local.stream("How full should the battery be?")
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.headers["x-accel-buffering"] == "no"
    assert "no-transform" in reply.headers["cache-control"]
    assert events[-1][0] == "reply"
    parts = "".join(data["text"] for name, data in events if name == "text")
    assert parts == events[-1][1]["text"] == local.turns[-1][1]
    assert {"step", "route", "text", "reply"} == {name for name, _ in events}


def test_a_streamed_message_and_a_sent_one_are_the_same_message(local):
    _, events = local.stream("my refund?", message_id="m1")
    assert events[-1][1]["text"] == local.say("my refund?", message_id="m1").json()["text"]
    assert len(local.turns) == 2


def test_customers_see_nothing_of_how_an_answer_came_about(people):
    anna, _, _ = people
    replies = [anna.say("my refund?").text, anna.say("poems?").text, anna.get(anna.address).text]
    anna.conversation = str(uuid.uuid4())
    reply, events = anna.stream("How full should the battery be?")
    assert {name for name, _ in events} == {"text", "reply"}
    for text in (*replies, reply.text):
        assert not [word for word in STAFF_WORDS if f'"{word}"' in text]


def test_staff_sees_how_an_answer_came_about(people):
    anna, _, carl = people
    anna.say("my refund?")
    details = carl.get(anna.address, owner="anna").json()["turns"][1]["details"]
    assert details["route"] == "template"
    assert details["intent"] == "refund"
    assert details["steps"][0]["name"] == "intent"
    assert details["question"] == "my refund?"


def test_a_failure_in_the_middle_of_a_stream_is_an_error_event(workspace_settings):
    def answer(_, config):
        dispatch_custom_event("customer_service", {"text": "half an "}, config=config)
        raise ZeroDivisionError

    app = create_app(workspace_settings, applications=Applications(customer_service=RunnableLambda(answer)))
    with TestClient(app) as client:
        _, events = Person(client).stream(SECRET)
    assert [name for name, _ in events] == ["text", "error"]
    assert events[1][1]["status"] == 500
    assert SECRET not in json.dumps(events)


def waiting_chain(go_on, calls):
    """A chain that says a word, waits, and then would say another."""

    def answer(_, config):
        calls.append("begun")
        dispatch_custom_event("customer_service", {"text": "one "}, config=config)
        go_on.wait(60)
        dispatch_custom_event("customer_service", {"text": "two"}, config=config)
        calls.append("ended")
        return ServiceReply(text="one two", route="template", reason="")

    return Applications(customer_service=RunnableLambda(answer))


async def run_stream(app, body, *, leave, got=None):
    """Send a message to the app as a client that leaves when `leave` is set; return what it got, also in `got`."""
    address = f"/v1/conversations/{uuid.UUID(int=7)}/messages/stream"
    scope = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "method": "POST", "path": address,
             "raw_path": address.encode(), "query_string": b"", "headers": [(b"content-type", b"application/json"),
             (b"host", b"localhost")], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "scheme": "http",
             "root_path": "", "http_version": "1.1"}  # fmt: skip
    got = [] if got is None else got
    messages = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]

    async def receive():
        if messages:
            return messages.pop()
        await leave.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        got.append(message.get("body", b"").decode())

    await app(scope, receive, send)
    return "".join(got)


async def test_a_client_that_leaves_ends_the_run_and_gives_its_place_back(workspace_settings):
    go_on, calls, leave = threading.Event(), [], asyncio.Event()
    admission = Admission(max_running=1, max_waiting=1)
    app = create_app(workspace_settings, applications=waiting_chain(go_on, calls), admission=admission)
    body = {"message_id": "m1", "text": "hello"}
    async with app.router.lifespan_context(app):
        running = asyncio.create_task(run_stream(app, body, leave=leave))
        await wait_for(lambda: calls)
        queued = asyncio.create_task(run_stream(app, body | {"message_id": "m2"}, leave=leave))
        await wait_for(lambda: admission.num_admitted == 2)
        leave.set()
        await queued
        assert admission.num_admitted == 1  # who only waits gives its place back at once
        go_on.set()
        assert "one " in await running
        assert admission.num_admitted == 0
        assert calls == ["begun"]
        calls.clear()
        # sent again, the message is finished
        assert '"text": "one two"' in await run_stream(app, body, leave=asyncio.Event())
        assert calls == ["begun", "ended"]


async def test_a_slow_reply_sends_heartbeats(workspace_settings, monkeypatch):
    monkeypatch.setattr(streaming, "HEARTBEAT_S", 0.02)
    go_on, got = threading.Event(), []
    app = create_app(workspace_settings, applications=waiting_chain(go_on, []))
    async with app.router.lifespan_context(app):
        sent = asyncio.create_task(run_stream(app, {"message_id": "m1", "text": "a"}, leave=asyncio.Event(), got=got))
        await wait_for(lambda: "".join(got).count(": still here") > 2)
        go_on.set()
        await sent


async def test_messages_and_streams_take_places_like_every_other_work(workspace_settings):
    go_on, calls = threading.Event(), []
    admission = Admission(max_running=1, max_waiting=0)
    app = create_app(workspace_settings, applications=waiting_chain(go_on, calls), admission=admission)
    address = f"/v1/conversations/{uuid.uuid4()}/messages"
    body = {"message_id": "m1", "text": "hello"}
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=ASGITransport(app), base_url="http://localhost") as client,
    ):
        taken = asyncio.create_task(client.post(address, json=body))
        await wait_for(lambda: calls)
        for busy in (address, f"{address}/stream"):
            reply = await client.post(busy, json=body)
            assert_refused(reply, 429)
            assert reply.headers["retry-after"] == "1"
        assert (await client.get("/v1/conversations")).status_code == 200
        go_on.set()
        assert (await taken).status_code == 200


async def test_deletions_that_wait_for_a_message_hold_up_nothing_else(workspace_settings):
    go_on, calls = threading.Event(), []
    app = create_app(workspace_settings, applications=waiting_chain(go_on, calls))
    addresses = [f"/v1/conversations/{uuid.uuid4()}" for _ in range(2)]
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=ASGITransport(app), base_url="http://localhost") as client,
    ):
        body = {"message_id": "m1", "text": "hello"}
        running = [asyncio.create_task(client.post(f"{address}/messages", json=body)) for address in addresses]
        await wait_for(lambda: len(calls) == 2)
        deleted = [asyncio.create_task(client.delete(address)) for address in addresses * 22]
        await wait_for(lambda: app.state.server.main.changes.num_admitted == 44)
        for address in ("/", "/static/app.js", "/v1/me", "/v1/conversations"):
            assert (await client.get(address)).status_code == 200
        go_on.set()
        assert {(await task).status_code for task in running} == {200}
        assert {(await task).status_code for task in deleted} == {204, 404}


# --- hand-over


def test_a_handed_over_conversation_waits_for_staff_who_answer_and_close(people):
    anna, _, carl = people
    reply = anna.say("Do you like poems?").json()
    assert reply["awaits_person"]
    assert "colleague" in reply["text"]
    silent = anna.say("Hello?").json()
    assert (silent["text"], silent["turn"], silent["awaits_person"]) == ("", None, True)
    inbox = carl.get("/v1/inbox").json()
    assert inbox["num_waiting"] == 1
    assert [(one["owner"], one["conversation"]) for one in inbox["waiting"]] == [("anna", anna.conversation)]
    assert "Do you like poems?" in inbox["waiting"][0]["summary"]
    place = {"owner": "anna"}
    assert carl.post(f"{anna.address}/answers", {"text": "I do.", "message_id": "a1"}, **place).status_code == 204
    assert carl.post(f"{anna.address}/answers", {"text": "I do.", "message_id": "a1"}, **place).status_code == 204
    assert anna.get(anna.address).json()["awaits_person"]
    assert carl.get(anna.address, owner="anna").json()["hand_over"]["reason"]
    assert carl.post(f"{anna.address}/answers", {"text": "", "close": True}, **place).status_code == 204
    assert anna.turns[-1] == ("staff", "I do.")
    nobody = carl.get("/v1/inbox").json()
    assert (nobody["waiting"], nobody["num_waiting"], nobody["next"]) == ([], 0, None)
    assert anna.say("my refund?").json()["text"] == "Refunds take five days."


def test_staff_cannot_answer_where_nobody_waits(people):
    anna, _, carl = people
    assert_refused(carl.post(f"{anna.address}/answers", {"text": "Hi"}, owner="anna"), 404)
    anna.say("my refund?")
    assert_refused(carl.post(f"{anna.address}/answers", {"text": "Hi"}, owner="anna"), 409)
    assert_refused(carl.post(f"{anna.address}/answers", {"text": " "}, owner="anna"), 422)


def test_staff_lists_the_conversations_of_everyone(people):
    anna, berta, carl = people
    anna.say("my refund?")
    berta.say("my refund?")
    listed = carl.get("/v1/conversations", everyone=True).json()
    assert {one["owner"] for one in listed["conversations"]} == {"anna", "berta"}
    assert carl.get("/v1/conversations").json()["num_conversations"] == 0
    assert_refused(anna.get("/v1/conversations", everyone=True), 403)


def test_lists_come_in_pages_that_follow_one_another(people):
    anna, berta, carl = people
    for person in (anna, berta):
        for _ in range(2):
            assert Person(person.client, person.headers["Authorization"][7:]).say("Do you like poems?").json()
    for address, params, lines, count in (
        ("/v1/inbox", {}, "waiting", "num_waiting"),
        ("/v1/conversations", {"everyone": True}, "conversations", "num_conversations"),
    ):
        whole = carl.get(address, **params).json()
        assert (whole[count], whole["is_count_exact"], whole["next"]) == (4, True, None)
        first = carl.get(address, limit=3, **params).json()
        second = carl.get(address, limit=3, after=first["next"], **params).json()
        assert first[lines] + second[lines] == whole[lines]
        assert (second[count], second["next"]) == (4, None)
        assert carl.get(address, limit=3, skip=3, **params).json()[lines] == second[lines]
        assert_refused(carl.get(address, after="nowhere", **params), 422)
    own = anna.get("/v1/conversations", after=first["next"]).json()["conversations"]
    assert {one["owner"] for one in own} <= {"anna"}  # a place in another list shows nothing of it


# --- owners


def test_no_route_tells_or_changes_anything_of_another_owner(people, workspace_settings):
    anna, berta, carl = people
    anna.say("How full should the battery be?", message_id="m1")
    anna.say("Do you like poems?", message_id="m2")
    before = anna.get(anna.address).json()
    turn = f"{anna.address}/turns/m1.reply"
    tries = [
        ("GET", anna.address, None, 404),
        ("DELETE", anna.address, None, 404),
        ("GET", f"{turn}/citations/0", None, 404),
        ("POST", f"{turn}/feedback", {"thumb": "up"}, 404),
        ("POST", f"{anna.address}/answers", {"text": "Hi", "close": True}, 403),
        ("GET", "/v1/inbox", None, 403),
    ]
    for method, address, body, status in tries:
        for params in ({}, {"owner": "anna"}, {"owner": "berta"}, {"owner": "anna\0"}):
            reply = client_request(berta, method, address, body, params)
            assert_refused(reply, status)
        assert_refused(client_request(Person(berta.client, "tc_0", "x"), method, address, body, {}), 401)
    for kind in ("messages", "messages/stream"):  # under the same id, berta has a conversation of her own
        assert (
            berta.post(f"{anna.address}/{kind}", {"message_id": f"b-{kind[-1]}", "text": "refund"}).status_code == 200
        )
    assert berta.get("/v1/conversations").json()["num_conversations"] == 1
    assert anna.get(anna.address).json() == before
    assert FeedbackStore(workspace_settings.feedback_file).read() == []
    assert_refused(carl.get(anna.address, owner="gone/anna"), 404)


def client_request(person, method, address, body, params):
    return person.client.request(method, address, headers=person.headers, json=body, params=params)


# --- feedback and citations


def test_feedback_is_kept_with_its_owner_and_goes_with_the_conversation(people, workspace_settings):
    anna, berta, carl = people
    for person in (anna, berta):
        person.say("my refund?", message_id="m1")
        person.post(f"{person.address}/turns/m1.reply/feedback", {"thumb": "up"})
    assert anna.post(f"{anna.address}/turns/m1.reply/feedback", {"thumb": "down", "correction": SECRET}).content == b""
    address = f"{anna.address}/turns/m1.reply/feedback"
    assert carl.post(address, {"thumb": "up"}, owner="anna").status_code == 204
    kept = FeedbackStore(workspace_settings.feedback_file).read()
    assert [(one.owner, one.rated_by, one.thumb, one.correction) for one in kept] == [
        ("berta", "berta", "up", None),
        ("anna", "anna", "down", SECRET),
        ("anna", "carl", "up", None),
    ]
    assert {one.turn for one in kept} == {"m1/reply"}
    assert anna.delete(anna.address).status_code == 204
    assert [one.owner for one in FeedbackStore(workspace_settings.feedback_file).read()] == ["berta"]
    assert SECRET.encode() not in workspace_settings.feedback_file.read_bytes()


@pytest.mark.parametrize("turn", ["m1", "m2.reply", "..", "m1%2Freply", "m1/reply", "%00"])
def test_only_answers_of_the_assistant_can_be_judged(local, turn):
    local.say("my refund?", message_id="m1")
    assert_refused(local.post(f"{local.address}/turns/{turn}/feedback", {"thumb": "up"}), 404)


def test_a_damaged_file_of_feedback_is_a_503(local, workspace_settings):
    local.say("my refund?", message_id="m1")
    workspace_settings.feedback_file.write_bytes(b"no database" * 1000)
    problem = assert_refused(local.post(f"{local.address}/turns/m1.reply/feedback", {"thumb": "up"}), 503)
    assert str(workspace_settings.workspace) not in problem.detail


def test_a_citation_opens_its_article_at_the_quote(local):
    local.say("How full should the battery be?", message_id="m1")
    passage = local.get(f"{local.address}/turns/m1.reply/citations/0").json()
    assert passage["title"] == "Battery care"
    assert passage["quote"] == "Keep the battery between 20 and 80 percent."
    assert passage["before"].endswith("live longer with care. ")
    assert passage["after"].startswith("\n\nHeat")
    for number in ("1", "-1", "99"):
        assert_refused(local.get(f"{local.address}/turns/m1.reply/citations/{number}"), 404)
    assert_refused(local.get(f"{local.address}/turns/m1.reply/citations/x"), 422)


def test_a_citation_of_an_article_that_changed_still_shows_its_quote(local, workspace_settings):
    local.say("How full should the battery be?", message_id="m1")
    article = workspace_settings.workspace / "customer_service" / "knowledge" / "battery.md"
    article.write_text("# Anew\n\nMore. " + article.read_text())
    moved = local.get(f"{local.address}/turns/m1.reply/citations/0").json()
    assert (moved["title"], moved["is_current"]) == ("Anew", True)
    article.write_text("# Gone\n")
    gone = local.get(f"{local.address}/turns/m1.reply/citations/0").json()
    assert (gone["quote"], gone["before"], gone["is_current"]) == (moved["quote"], "", False)


@pytest.mark.parametrize("source", ["../../tunechain.toml", "/etc/passwd", "battery.md/../battery.md", ""])
def test_a_citation_never_leads_out_of_the_articles(workspace_settings, source):
    citation = {"source": source, "start": 0, "end": 4, "quote": "[ser"}
    reply = ServiceReply(text="See there.", route="answer", reason="", citations=(citation,))
    chains = Applications(customer_service=RunnableLambda(lambda _: reply))
    with TestClient(create_app(workspace_settings, applications=chains)) as client:
        local = Person(client)
        local.say("anything", message_id="m1")
        passage = local.get(f"{local.address}/turns/m1.reply/citations/0").json()
    assert (passage["is_current"], passage["before"], passage["after"]) == (False, "", "")


# --- bad input

BAD_BODIES = {
    "empty": (b"", 400),
    "no JSON": (b"{", 400),
    "a lone surrogate": (rb'{"message_id": "m1", "text": "\ud800 canary4711"}', 400),
    "NUL": (rb'{"message_id": "m1", "text": "canary4711 \u0000"}', 400),
    "1 MB": (b'{"message_id": "m1", "text": "' + b"a" * 1_000_000 + b'"}', 422),
    "more than 1 MiB": (b"a" * 1_100_000, 413),
    "a list": (b"[]", 422),
    "a number": (b'{"message_id": 1, "text": 2, "thumb": 3}', 422),
    "a field too many": (b'{"message_id": "m1", "text": "a", "thumb": "up", "canary4711": 1}', 422),
    "no text": (b'{"message_id": "m1", "text": null, "thumb": null}', 422),
}


@pytest.mark.parametrize(("body", "status"), BAD_BODIES.values(), ids=BAD_BODIES)
def test_a_body_that_cannot_be_meant_is_refused_everywhere(local, body, status):
    local.say("Do you like poems?", message_id="m1")
    before = local.get(local.address).json()
    for part in ("messages", "messages/stream", "answers", "turns/m1.reply/feedback"):
        assert_refused(local.client.post(f"{local.address}/{part}", content=body, headers=JSON), status)
    assert local.get(local.address).json() == before


@pytest.mark.parametrize("text", ["", " \n", "a" * 4001])
def test_a_message_without_words_or_with_too_many_is_refused(local, text):
    for part in ("messages", "messages/stream"):
        assert_refused(local.post(f"{local.address}/{part}", {"message_id": "m1", "text": text}), 422)
    assert_refused(local.get(local.address), 404)


@pytest.mark.parametrize("message_id", ["", "a/b", "a.b", "a" * 65, "ä", "a b", "<b>"])
def test_an_id_that_could_not_stand_in_an_address_is_refused(local, message_id):
    assert_refused(local.post(f"{local.address}/messages", {"message_id": message_id, "text": "hi"}), 422)


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "\u202eabc", "退货 几天内?", "'; DROP TABLE store; --", "👩‍👩‍👧"]
)
def test_markup_and_unusual_characters_are_kept_as_they_are(local, text):
    assert local.say(text).status_code == 200
    assert local.turns[0] == ("customer", text)


@pytest.mark.parametrize("name", ["x", "1", "%00", "a" * 300, "00000000-0000-0000-0000-00000000000g"])
def test_an_address_that_is_no_conversation_is_refused(local, name):
    for method, part in (("GET", ""), ("DELETE", ""), ("POST", "/messages"), ("POST", "/answers")):
        body = {"message_id": "m1", "text": "hi"} if method == "POST" else None
        reply = local.client.request(method, f"/v1/conversations/{name}{part}", json=body)
        assert reply.status_code in {404, 422}


@pytest.mark.parametrize(
    ("error", "status"), [(ConversationBusyError("full"), 429), (ConversationStorageError("disk /secret"), 503)]
)
def test_what_the_storage_says_becomes_a_status(local, monkeypatch, error, status):
    def refuse(*_, **__):
        raise error

    for name in ("send", "stream", "latest_turns", "list_page", "waiting_page", "answer_as_staff"):
        monkeypatch.setattr(Conversations, name, refuse)
    replies = [
        local.say("hi"),
        local.stream("hi")[0],
        local.get(local.address),
        local.get("/v1/conversations"),
        local.get("/v1/inbox"),
        local.post(f"{local.address}/answers", {"text": "hi"}),
    ]
    for reply in replies:
        assert "secret" not in assert_refused(reply, status).detail


def test_conversations_that_another_server_has_leave_single_questions(client, workspace_settings, local, caplog):
    local.say("my refund?")
    chains = Applications(customer_service=make_service_chain(workspace_settings))
    with TestClient(create_app(workspace_settings, applications=chains)) as second:
        assert_refused(second.get("/v1/conversations"), 503)
        assert second.post("/v1/ask", json={"text": "my refund?"}).json()["route"] == "template"
    assert "another process has" in caplog.text
    assert len(local.turns) == 2


def test_a_server_takes_the_conversations_over_when_the_other_ends(workspace_settings, monkeypatch):
    monkeypatch.setattr(state, "_TAKE_OVER_S", 0.01)
    chains = Applications(customer_service=make_service_chain(workspace_settings))
    with TestClient(create_app(workspace_settings, applications=chains)) as first:
        local = Person(first)
        local.say("Where is my parcel?")
        second = TestClient(create_app(workspace_settings, applications=chains)).__enter__()
        refused = second.get("/v1/conversations")
        assert "taken over when it ends" in assert_refused(refused, 503).detail
    try:
        wait_until(lambda: second.get("/v1/conversations").status_code == 200)
        again = Person(second, conversation=local.conversation)
        assert len(again.turns) == 2
    finally:
        second.__exit__(None, None, None)


def test_a_lookup_learns_whose_question_it_is(tmp_path):
    asked = []

    def answer(request, config):
        asked.append(config["configurable"]["owner"])
        return ServiceReply(text="Yes.", route="template", intent="a", reason="")

    (tmp_path / SETTINGS_NAME).write_text("")
    settings = load_settings(tmp_path)
    secret = KeyStore.of(settings).add("anna", role="customer")[1]
    chains = Applications(customer_service=RunnableLambda(answer))
    with TestClient(create_app(settings, applications=chains), headers={"Authorization": f"Bearer {secret}"}) as client:
        client.post("/v1/ask", json={"text": "a"})
        client.post("/v1/ask/stream", json={"text": "a"})
        messages = [{"role": "user", "content": "a"}]
        client.post("/v1/chat/completions", json={"model": "customer-service", "messages": messages})
        Person(client).say("a")
    assert asked == ["anna"] * 4


@pytest.mark.parametrize("is_set", [True, False])
def test_a_log_that_will_hold_words_is_warned_of_at_the_start(tmp_path, caplog, is_set):
    text = f"[customer_service]\ndecisions_with_text = {str(is_set).lower()}\n"
    settings = write_service_workspace(tmp_path, settings=text)
    with TestClient(create_app(settings, applications=Applications(customer_service=make_service_chain(settings)))):
        assert ("the log of decisions holds what customers write" in caplog.text) == is_set


def test_conversations_are_there_again_after_a_restart(workspace_settings):
    chains = Applications(customer_service=make_service_chain(workspace_settings))
    with TestClient(create_app(workspace_settings, applications=chains)) as client:
        local = Person(client)
        local.say("Where is my parcel?")
    with TestClient(create_app(workspace_settings, applications=chains)) as client:
        again = Person(client, conversation=local.conversation)
        assert again.post(f"{again.address}/messages", {"message_id": "later", "text": "123456"}).json()["text"] == (
            "Order 123456 is on its way."
        )


def test_feedback_of_threads_at_once_is_all_kept(tmp_path):
    store = FeedbackStore(tmp_path / "feedback.sqlite")

    def put(number):
        store.put(owner=f"o{number}", conversation="c", turn="t", rated_by="r", thumb="up")

    threads = [threading.Thread(target=put, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.read()) == 20
    with sqlite3.connect(tmp_path / "feedback.sqlite") as database:
        assert database.execute("SELECT count(*) FROM feedback").fetchone() == (20,)
