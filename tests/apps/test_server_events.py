"""Events over HTTP: kept before they are answered, in the next list, and nobody's but their owner's."""

from datetime import timedelta
from functools import partial

import pytest
from fastapi.testclient import TestClient

from apps.applications import Applications
from apps.behaviour import read_opinions
from apps.event_log import EventLog
from apps.event_recorder import EventRecorder, LiveRecord
from apps.keys import KeyStore
from apps.server.app import create_app
from apps.server.schemas import MAX_EVENTS
from apps.settings import SETTINGS_NAME, load_settings
from llms.fakes import FixedClassifier
from retrievers import DatedEvent
from tests.apps.test_server_access import assert_refused, bearer
from tests.chains.recommendation.worlds import NOW, make_catalogue, make_chain, make_interactions, train_model

SENTIMENT = FixedClassifier({"terrible": "negative", "lovely": "positive"}, default="neutral")


@pytest.fixture
def settings(tmp_path):
    (tmp_path / SETTINGS_NAME).write_text("")
    return load_settings(tmp_path)


def make_event(item="music3", user="anna", kind="buy", hours=-1.0, **fields):
    return {"user": user, "item": item, "event": kind, "time": (NOW + timedelta(hours=hours)).isoformat(), **fields}


def serve(settings):
    """A client of a shop that reads and writes the log of a workspace."""
    interactions = make_interactions()
    log = EventLog(settings.events_file)
    log.replace_file("events.csv", "digest", interactions.events)
    _, last = log.read()
    recorder = EventRecorder(
        log=log,
        items=set(make_catalogue()),
        judge_texts=partial(read_opinions, settings.monitoring, SENTIMENT),
        clock=lambda: NOW,
    )
    chain = make_chain(train_model(), record=LiveRecord(log, interactions, last))
    return TestClient(create_app(settings, applications=Applications(recommendation=chain, events=recorder)))


@pytest.fixture
def client(settings):
    with serve(settings) as client:
        yield client


def send(client, *events, **headers):
    return client.post("/v1/events", json={"events": list(events)}, headers=headers)


def listed(client, user="anna", k=100):
    reply = client.post("/v1/recommend", json={"user": user, "k": k}).json()
    return reply["cold"], [item["id"] for item in reply["items"]]


def test_an_acknowledged_event_is_in_the_next_list_and_after_a_restart(settings):
    with serve(settings) as client:
        assert listed(client)[0]
        assert send(client, make_event()).json() == {
            "num_recorded": 1,
            "num_repeated": 0,
            "num_future_events": 0,
            "unknown_items": [],
        }
        is_cold, items = listed(client, k=5)
        assert not is_cold
        assert all(item.startswith("music") and item != "music3" for item in items)
    with serve(settings) as client:
        assert listed(client, k=5) == (False, items)


def test_what_is_not_wanted_never_returns(settings):
    with serve(settings) as client:
        first = listed(client, k=1)[1][0]
        send(client, make_event(first, kind="hide"))
        assert first not in listed(client)[1]
    with serve(settings) as client:
        assert first not in listed(client)[1]


def test_events_sent_twice_or_in_another_order_change_nothing(client):
    events = [make_event(f"garden{number}", kind="click", hours=-number) for number in range(1, 4)]
    send(client, *events)
    once = listed(client)
    again = send(client, *events[::-1], *events).json()
    assert (again["num_recorded"], again["num_repeated"]) == (0, 6)
    assert listed(client) == once


def test_what_is_no_item_or_to_come_is_told_and_the_others_count(client):
    ahead = make_event("garden1", hours=24 * 3650)
    reply = send(client, make_event("deleted"), ahead, make_event()).json()
    assert (reply["num_recorded"], reply["num_future_events"], reply["unknown_items"]) == (1, 1, ["deleted"])


def test_the_text_of_a_comment_says_whether_it_speaks_for_its_item(client):
    def top(user, text):
        send(client, make_event("garden1", user, "comment", text=text), make_event("music1", user, "click"))
        return sum(item.startswith("garden") for item in listed(client, user, 6)[1])

    assert top("one", "terrible, broke after a day") < top("two", "lovely")


def test_a_comment_that_comes_with_a_request_is_read_too(client):
    def top(text):
        events = [make_event("garden1", kind="comment", text=text), make_event("music1", kind="click")]
        reply = client.post("/v1/recommend", json={"user": "anna", "k": 6, "events": events}).json()
        return sum(item["id"].startswith("garden") for item in reply["items"])

    assert top("terrible, broke after a day") < top("lovely")


def test_more_events_than_fit_are_refused_as_a_whole(client, settings):
    before = len(EventLog(settings.events_file).read()[0])
    many = [make_event(hours=-number) for number in range(1, MAX_EVENTS + 2)]
    assert_refused(send(client, *many), 413)
    assert_refused(send(client, *many * 20), 413)
    assert len(EventLog(settings.events_file).read()[0]) == before
    assert send(client, *many[:MAX_EVENTS]).status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"events": []},
        {"events": [make_event(kind="stare")]},
        {"events": [make_event(opinion=2)]},
        {"events": [make_event() | {"time": "2026-03-01T00:00:00"}]},
        {"events": [make_event() | {"time": "0001-01-01T00:00:00Z"}]},
        {"events": [make_event() | {"time": "9999-01-01T00:00:00Z"}]},
        {"events": [make_event(kind="show", propensity=0.0)]},
        {"events": [make_event(kind="show", propensity=1.5)]},
        {"events": [make_event(kind="show", place=0)]},
        {"events": [make_event(kind="show", list_id="x" * 65)]},
    ],
)
def test_what_is_no_event_is_refused(client, wrong):
    assert_refused(client.post("/v1/events", json=wrong), 422)


def test_a_full_disk_is_told_lists_go_on_and_nothing_is_half_kept(client, settings, monkeypatch):
    once = listed(client, "u1")
    log = client.app.state.server.main.applications().events.log
    (pages,) = log._writer.execute("PRAGMA page_count").fetchone()
    log._writer.execute(f"PRAGMA max_page_count = {pages}")
    many = [make_event("garden1", f"u{n}", "comment", text="neutral " * 200, hours=-n) for n in range(1, 300)]
    assert_refused(send(client, *many), 507)
    assert listed(client, "u1") == once
    assert send(client, *many).json()["num_recorded"] == 299


def test_a_list_that_was_shown_can_be_told_as_it_came(client, settings):
    before = client.post("/v1/recommend", json={"user": "anna", "k": 5}).json()
    time = NOW.isoformat()
    shown = [
        {"user": "anna", "item": item["id"], "event": "show", "time": time, "list_id": before["list_id"]}
        | {"place": place, "propensity": item["propensity"]}
        for place, item in enumerate(before["items"], start=1)
    ]
    assert send(client, *shown).json()["num_recorded"] == 5
    kept = EventLog(settings.events_file).history("anna")
    assert [(event.list_id, event.place, event.propensity) for event in kept] == [
        (before["list_id"], place, 1.0) for place in range(1, 6)
    ]
    assert client.post("/v1/recommend", json={"user": "anna", "k": 5}).json() == before


def test_a_customer_writes_only_what_its_owner_did(settings):
    keys = KeyStore.of(settings)
    with serve(settings) as client:
        anna, staff = (
            bearer(keys.add(name, role=role)[1]) for name, role in (("anna", "customer"), ("berta", "staff"))
        )
        assert send(client, make_event(), **anna).status_code == 200
        for events in ([make_event(user="u1")], [make_event(), make_event("garden1", "u1")]):
            assert_refused(send(client, *events, **anna), 404)
        assert len(EventLog(settings.events_file).history("anna")) == 1
        assert send(client, make_event(user="u1"), **staff).status_code == 200
        assert_refused(send(client, make_event()), 401)


def test_events_need_a_workspace_that_recommends(settings):
    with TestClient(create_app(settings, applications=Applications())) as client:
        assert_refused(send(client, make_event()), 503)


def test_a_comment_of_which_nothing_is_known_counts_like_any(client):
    judged = client.app.state.server.main.applications().events.judge([DatedEvent(**make_event(kind="comment"))])
    assert [event.opinion for event in judged] == [None]
