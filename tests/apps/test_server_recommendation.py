"""Recommendation over HTTP: the lists of the chain, similar items, clear answers to odd requests, and nobody else's."""

import json
from datetime import date, datetime, timedelta

import pytest
from fastapi.testclient import TestClient

from apps.applications import Applications
from apps.event_log import EventLog
from apps.event_recorder import EventRecorder, LiveRecord
from apps.keys import KeyStore
from apps.readers import read_catalogue
from apps.server.app import create_app
from apps.settings import SETTINGS_NAME, load_settings
from retrievers import Interactions, Item, ItemCatalogue
from tests.apps.test_server_access import assert_refused, bearer
from tests.apps.workspaces import write_csv
from tests.chains.recommendation.worlds import (
    GROUPS,
    NOW,
    make_catalogue,
    make_chain,
    make_event,
    make_events,
    train_model,
)


@pytest.fixture(scope="module")
def interest():
    return train_model()


@pytest.fixture
def settings(tmp_path):
    (tmp_path / SETTINGS_NAME).write_text("")
    return load_settings(tmp_path)


@pytest.fixture
def serve(settings, interest):
    """Serve a shop of these items and return its client and its chain."""
    clients = []

    def serve(catalogue=None, interactions=None):
        catalogue = catalogue or make_catalogue()
        interactions = interactions or Interactions(
            [event for event in make_events() if event.item in catalogue], items=list(catalogue)
        )
        log = EventLog(settings.events_file)
        log.replace_file("events.csv", "digest", interactions.events)
        recorder = EventRecorder(log=log, items=set(catalogue), clock=lambda: NOW)
        record = LiveRecord(log, interactions, log.read()[1])
        chain = make_chain(interest, catalogue=catalogue, interactions=interactions, record=record)
        app = create_app(settings, applications=Applications(recommendation=chain, events=recorder))
        clients.append(TestClient(app))
        return clients[-1].__enter__(), chain

    yield serve
    for client in clients:
        client.__exit__(None, None, None)


def listed(client, user="u1", k=100, **request):
    reply = client.post("/v1/recommend", json={"user": user, "k": k, **request})
    assert reply.status_code == 200, reply.text
    return reply.json()


def ids(reply):
    return [item["id"] for item in reply["items"]]


# --- one list, whatever the way


@pytest.mark.parametrize(
    "request_fields",
    [
        {},
        {"k": 3, "max_price": 25.0},
        {"exclude": ["music1"], "diversity": 1.0},
        {"diversity": 0.8, "diversity_method": "dpp"},
        {"max_per_tag": 2, "popularity_discount": 1.5},
        {"query": "garden under 40"},
    ],
)
@pytest.mark.parametrize("user", ["u1", "stranger"])
def test_invoke_batch_and_http_give_the_same_list(serve, user, request_fields):
    client, chain = serve()
    request = {"user": user, **request_fields}
    alone = chain.invoke(request)
    assert chain.batch([{"user": "u2"}, request, {"user": "u3"}])[1] == alone
    assert client.post("/v1/recommend", json=request).json() == json.loads(alone.model_dump_json())


def test_similar_items_over_http_are_those_of_the_chain(serve):
    client, chain = serve()
    reply = client.get("/v1/items/garden1/similar", params={"k": 4})
    assert reply.json() == json.loads(chain.find_similar({"item": "garden1", "k": 4}).model_dump_json())
    assert_refused(client.get("/v1/items/gone/similar"), 404)
    assert_refused(client.get("/v1/items/garden1/similar", params={"k": 0}), 422)
    assert_refused(client.get("/v1/items/garden1/similar", params={"k": 101}), 422)


def test_an_item_whose_id_has_a_slash_has_similar_items(serve):
    like = make_catalogue()["music1"].model_dump() | {"id": "music/live 1"}
    client, _ = serve(ItemCatalogue([*make_catalogue().values(), Item(**like)]))
    assert client.get("/v1/items/music%2Flive%201/similar").json()["item"] == "music/live 1"


def test_a_search_finds_within_its_price(serve):
    client, _ = serve()
    reply = listed(client, "stranger", query="something of music between 20 and 24")
    assert reply["items"]
    assert all(20 <= item["price"] <= 24 for item in reply["items"])
    assert reply["understood"]["tags"] == ["music"]


def test_people_of_different_taste_see_different_lists(serve):
    client, _ = serve()
    tops = [set(ids(listed(client, f"u{number}", 10, diversity=0.0))) for number in range(3)]
    overlaps = [len(tops[first] & tops[second]) for first in range(3) for second in range(first)]
    assert sum(overlaps) / len(overlaps) <= 3


# --- odd requests and records


def test_an_unknown_person_and_one_without_events_get_what_is_popular(serve):
    client, _ = serve()
    assert listed(client, "nobody", 5)["cold"] is True
    assert ids(listed(client, "nobody", 5)) == ids(listed(client, "another", 5))


def test_an_item_without_any_text_but_its_title_is_listed(serve):
    bare = Item(id="bare", title="…")
    client, _ = serve(ItemCatalogue([*make_catalogue().values(), bare]))
    assert "bare" in ids(listed(client, "u1"))
    assert client.get("/v1/items/bare/similar").status_code == 200


def test_whoever_bought_everything_gets_an_empty_list(serve):
    client, _ = serve()
    events = [
        {"user": "all", "item": item, "event": "buy", "time": (NOW - timedelta(hours=1)).isoformat()}
        for item in make_catalogue()
    ]
    assert client.post("/v1/events", json={"events": events}).status_code == 200
    reply = listed(client, "all")
    assert (reply["items"], reply["cold"]) == ([], False)


def test_one_item_is_a_list(serve):
    catalogue = ItemCatalogue([make_catalogue()["garden1"]])
    client, _ = serve(catalogue, Interactions([make_event("u1", "garden1")], items=["garden1"]))
    assert ids(listed(client, "stranger")) == ["garden1"]
    assert client.get("/v1/items/garden1/similar").json() == {"item": "garden1", "items": []}


def test_nothing_in_stock_is_an_empty_list_also_for_a_search_and_beside_an_item(serve):
    items = [item.model_copy(update={"stock": 0}) for item in make_catalogue().values()]
    client, _ = serve(ItemCatalogue(items))
    assert listed(client)["items"] == listed(client, query="garden")["items"] == []
    assert client.get("/v1/items/garden1/similar").json()["items"] == []


def test_ten_thousand_events_at_once_are_refused_whole(serve, settings):
    client, _ = serve()
    before = len(EventLog(settings.events_file).read()[0])
    event = {"user": "a", "item": "m", "event": "buy"}
    events = [event | {"time": (NOW - timedelta(seconds=n)).isoformat()} for n in range(10_000)]
    assert_refused(client.post("/v1/events", json={"events": events}), 413)
    assert len(EventLog(settings.events_file).read()[0]) == before


def test_events_twice_and_in_any_order_give_the_same_list(serve):
    client, _ = serve()
    events = [
        {"user": "anna", "item": item, "event": "click", "time": (NOW - timedelta(hours=at)).isoformat()}
        for at, item in enumerate(["garden1", "music2", "garden3"], start=1)
    ]
    once = listed(client, "anna", events=events)
    assert listed(client, "anna", events=[*events[::-1], *events]) == once


@pytest.mark.parametrize("value", ["nan", "-1", "inf", "cheap"])
def test_a_price_that_is_none_is_set_aside_with_its_line(tmp_path, value):
    path = write_csv(
        tmp_path / "items.csv",
        ("id", "title", "description", "tags", "price", "created"),
        [("a", "A", "", "", value, ""), ("b", "B", "", "", "5", "")],
    )
    catalogue, rejected = read_catalogue(path)
    assert list(catalogue) == ["b"]
    assert [row.line for row in rejected] == [2]


@pytest.mark.parametrize("price", ["NaN", "Infinity", -1, "much"])
def test_a_limit_that_is_no_price_is_refused(serve, price):
    client, _ = serve()
    body = (
        f'{{"user": "u1", "max_price": {price if isinstance(price, int) or price[0].isupper() else json.dumps(price)}}}'
    )
    reply = client.post("/v1/recommend", content=body, headers={"Content-Type": "application/json"})
    assert reply.status_code in (400, 422)


@pytest.mark.parametrize("day", [date(1, 1, 1), date(9999, 12, 31)])
@pytest.mark.parametrize("field", ["created", "available_from"])
def test_the_first_and_the_last_day_of_the_calendar_are_days(serve, day, field):
    items = {item.id: item for item in make_catalogue().values()}
    items["garden1"] = items["garden1"].model_copy(update={field: day})
    client, _ = serve(ItemCatalogue(items.values()))
    assert ("garden1" in ids(listed(client, "stranger"))) == (day.year == 1)


@pytest.mark.parametrize("year", ["0001", "9999"])
def test_an_event_of_the_first_or_last_year_is_refused_by_name(serve, year):
    client, _ = serve()
    event = {"user": "u1", "item": "garden1", "event": "click", "time": f"{year}-06-01T00:00:00Z"}
    for address, body in (("/v1/events", {"events": [event]}), ("/v1/recommend", {"user": "u1", "events": [event]})):
        problem = assert_refused(client.post(address, json=body), 422)
        assert "time" in problem.errors[0].field


@pytest.mark.parametrize(
    "knob",
    [
        {"diversity": -0.1},
        {"diversity": 1.1},
        {"diversity_method": "best"},
        {"max_per_tag": 0},
        {"popularity_discount": -1},
        {"query": ""},
        {"query": "x" * 501},
    ],
)
def test_knobs_without_meaning_are_refused(serve, knob):
    client, _ = serve()
    problem = assert_refused(client.post("/v1/recommend", json={"user": "u1", **knob}), 422)
    assert next(iter(knob)) in problem.errors[0].field


def test_diversity_of_a_request_changes_its_list_and_a_quota_holds(serve):
    client, _ = serve()
    assert ids(listed(client, "u1", 10, diversity=0.0)) != ids(listed(client, "u1", 10, diversity=1.0))
    quota = listed(client, "u1", 9, max_per_tag=3)
    assert sorted(item["tags"][0] for item in quota["items"]) == sorted(GROUPS * 3)


# --- keys: a customer's shows and writes nobody else's events, lists and reasons


@pytest.fixture
def keys(settings):
    store = KeyStore.of(settings)
    return {
        name: bearer(store.add(name, role=role)[1])
        for name, role in (("anna", "customer"), ("bert", "customer"), ("carla", "staff"))
    }


def hide(user, item="music1"):
    return {"user": user, "item": item, "event": "hide", "time": (NOW - timedelta(hours=1)).isoformat()}


def test_a_customers_key_reads_and_writes_nobody_elses(keys, serve, settings):
    client, _ = serve()
    anna, staff = keys["anna"], keys["carla"]
    assert_refused(client.post("/v1/events", json={"events": [hide("bert")]}, headers=anna), 404)
    assert_refused(client.post("/v1/events", json={"events": [hide("anna"), hide("bert")]}, headers=anna), 404)
    assert EventLog(settings.events_file).history("anna") == EventLog(settings.events_file).history("bert") == []
    assert_refused(client.post("/v1/recommend", json={"user": "bert"}, headers=anna), 404)
    assert_refused(client.post("/recommend", json={"user": "bert"}, headers=anna), 404)
    events = [hide("bert")]
    assert_refused(client.post("/v1/recommend", json={"user": "anna", "events": events}, headers=anna), 422)
    assert_refused(client.get("/v1/items/music2/similar", params={"user": "bert"}, headers=anna), 404)
    assert_refused(client.get("/v1/people", headers=anna), 403)
    for address in ("/v1/recommend", "/v1/events"):
        assert_refused(client.post(address, json={"user": "anna"}), 401)
    assert_refused(client.get("/v1/items/music2/similar"), 401)
    assert_refused(client.get("/v1/people"), 401)
    assert client.get("/v1/people", headers=staff).status_code == 200
    assert client.post("/v1/recommend", json={"user": "bert"}, headers=staff).status_code == 200


def test_what_one_customer_hides_is_hidden_from_that_one_alone(keys, serve):
    client, _ = serve()
    assert client.post("/v1/events", json={"events": [hide("anna")]}, headers=keys["anna"]).status_code == 200

    def similar(name, **params):
        reply = client.get("/v1/items/music2/similar", params={"k": 100, **params}, headers=keys[name])
        return ids(reply.json())

    assert "music1" not in similar("anna")
    assert "music1" in similar("bert")
    assert "music1" in similar("carla")
    assert "music1" not in similar("carla", user="anna")


def test_no_reason_of_a_customer_names_what_another_one_did(keys, serve):
    client, _ = serve()
    event = hide("bert", "garden4") | {"event": "buy"}
    client.post("/v1/events", json={"events": [event]}, headers=keys["bert"])
    reply = client.post("/v1/recommend", json={"user": "anna", "k": 30}, headers=keys["anna"]).json()
    assert not any("because you" in item["reason"].lower() for item in reply["items"])


def test_staff_see_who_was_there_last(keys, serve):
    client, _ = serve()
    client.post("/v1/events", json={"events": [hide("anna")]}, headers=keys["anna"])
    people = client.get("/v1/people", params={"limit": 3}, headers=keys["carla"]).json()["people"]
    assert people[0]["user"] == "anna"
    assert len(people) == 3
    assert datetime.fromisoformat(people[0]["last"]) == NOW - timedelta(hours=1)
    assert datetime.fromisoformat(people[0]["last"]).tzinfo is not None
    assert [person["last"] for person in people] == sorted((person["last"] for person in people), reverse=True)
