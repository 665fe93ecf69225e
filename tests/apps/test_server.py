"""Each route answers, each part that is missing says so, and the interface describes itself."""

import contextlib
import shutil
import threading

import pytest
from fastapi.testclient import TestClient
from pydantic import TypeAdapter

import apps.applications
import apps.workspace_models
from apps.applications import Applications, build_applications
from apps.server.aliases import ALIASES
from apps.server.app import create_app
from apps.server.schemas import AlertsReply, Health, PostsReply, Problem
from apps.settings import SETTINGS_NAME, load_settings
from chains.customer_service import ServiceReply
from chains.monitoring import build_monitoring_chain
from chains.recommendation import Recommendation
from llms import LocalChatModel
from llms.classifier.results import Classification
from tests.apps.conftest import SENTIMENT, TOPIC, make_post
from tests.apps.workspaces import build_workspace
from tests.tiny_models import build_chat_model
from tests.waiting import wait_until


def wait_until_loaded(client):
    wait_until(lambda: not client.get("/v1/alerts").json()["loading"])


@pytest.mark.parametrize("prefix", ["/v1", ""])
def test_an_approved_answer_is_given(client, prefix):
    reply = ServiceReply.model_validate_json(client.post(f"{prefix}/ask", json={"text": "my refund?"}).content)
    assert (reply.route, reply.intent, reply.text) == ("template", "refund_status", "Refunds take five days.")


def test_an_answer_from_the_knowledge_base_cites_its_source(client):
    reply = ServiceReply.model_validate_json(client.post("/v1/ask", json={"text": "charge the battery?"}).content)
    assert reply.citations[0].source == "battery.md"


@pytest.mark.parametrize("prefix", ["/v1", ""])
def test_each_text_gets_its_label_in_order(client, prefix):
    body = {"model": "topic", "texts": ["what a fee", "the app", "poems"]}
    reply = client.post(f"{prefix}/classify", json=body)
    labels = [one.label for one in TypeAdapter(list[Classification]).validate_json(reply.content)]
    assert labels == ["fees", "app", "other"]


@pytest.mark.parametrize("prefix", ["/v1", ""])
def test_a_user_gets_a_list_with_reasons(client, prefix):
    reply = client.post(f"{prefix}/recommend", json={"user": "u1", "k": 3, "exclude": ["music3"]})
    listed = Recommendation.model_validate_json(reply.content)
    assert len(listed.items) == 3
    assert all(item.reason and item.id != "music3" for item in listed.items)


def test_what_a_user_just_did_changes_the_list(client):
    event = {"user": "nobody", "item": "music3", "event": "buy", "time": "2026-03-02T09:30:00+01:00"}
    listed = client.post("/v1/recommend", json={"user": "nobody", "events": [event]}).json()
    assert not listed["cold"]


def test_an_item_that_does_not_exist_is_passed_over_and_named(client):
    event = {"user": "u1", "item": "gone", "event": "buy", "time": "2026-03-02T09:30:00+01:00"}
    reply = client.post("/v1/recommend", json={"user": "u1", "exclude": ["nope"], "events": [event]})
    listed = reply.json()
    assert listed["unknown_items"] == ["gone", "nope"]
    assert listed["items"] == client.post("/v1/recommend", json={"user": "u1"}).json()["items"]


def test_an_event_dated_years_ahead_is_set_aside_and_counted(client):
    event = {"user": "u1", "item": "music3", "event": "view", "time": "2136-03-02T09:30:00+01:00"}
    listed = client.post("/v1/recommend", json={"user": "u1", "events": [event]}).json()
    assert listed["num_future_events"] == 1
    assert listed["items"] == client.post("/v1/recommend", json={"user": "u1"}).json()["items"]


@pytest.mark.parametrize("prefix", ["/v1", ""])
def test_the_recorded_stream_is_read_at_the_start(client, prefix):
    wait_until_loaded(client)
    report = AlertsReply.model_validate_json(client.get(f"{prefix}/alerts").content)
    assert report.num_posts >= 1500
    assert [alert.topic for alert in report.alerts] == ["app"]
    assert sum(point.posts for point in report.trend) > 1400


def test_new_posts_are_watched_and_repeats_dropped(workspace, tmp_path, chains):
    own = shutil.copytree(workspace, tmp_path / "own", ignore=shutil.ignore_patterns("*.sqlite*"))
    with TestClient(create_app(load_settings(own), applications=chains)) as client:
        wait_until_loaded(client)
        posts = [
            make_post(1501, "a fee, great", id="new"),
            make_post(1501, "a fee, great", id="new"),
            make_post(3, "long ago", id="old"),
            make_post(3, "tomorrow", id="ahead", time="2999-01-01T00:00:00Z"),
        ]
        reply = PostsReply.model_validate_json(client.post("/v1/posts", json={"posts": posts}).content)
        assert [post.outcome for post in reply.posts] == ["counted", "duplicate", "late", "future"]
        assert (reply.posts[0].topic, reply.posts[0].sentiment) == ("fees", "positive")
        assert client.get("/v1/alerts").json()["num_posts"] == 1501


def test_an_alert_comes_with_the_posts_that_raised_it(tmp_path):
    (tmp_path / SETTINGS_NAME).write_text("")
    chain = build_monitoring_chain(topic=TOPIC, sentiment=SENTIMENT)
    with TestClient(create_app(load_settings(tmp_path), applications=Applications(monitoring=chain))) as client:
        alerts = []
        for start in range(0, 1500, 150):
            numbers = range(start, start + 150)
            surge = start == 1350
            posts = [make_post(n, f"The app is {'down' if surge or n % 9 == 0 else 'here'} {n}") for n in numbers]
            alerts += client.post("/v1/posts", json={"posts": posts}).json()["alerts"]
        assert alerts[0]["topic"] == "app"
        assert alerts[0]["causes"][0]["text"].startswith("The app is down")


def test_posts_wait_until_the_recorded_stream_is_read(settings, chains):
    with TestClient(create_app(settings, applications=chains)) as client:
        reply = client.post("/v1/posts", json={"posts": [make_post(1, "app")]})
        assert reply.status_code == 503  # the stream takes a second; a post of today would make all of it late
        assert reply.headers["retry-after"] == "10"


def test_life_and_readiness_are_told(client):
    assert client.get("/livez").status_code == 200
    for address in ("/readyz", "/health"):
        health = Health.model_validate_json(client.get(address).content)
        assert health.status == "ready"
        assert health.models == ("intent", "sentiment", "topic")
        assert all(scenario.available for scenario in health.scenarios.values())


def test_a_full_disk_and_a_server_about_to_end_are_not_ready(settings, chains, tmp_path):
    settings = settings.model_copy(update={"workspace": tmp_path})  # which no other server has open
    full = settings.model_copy(update={"server": settings.server.model_copy(update={"min_free_mb": 10**9})})
    with TestClient(create_app(full, applications=chains)) as client:
        reply = client.get("/readyz")
        assert (reply.status_code, reply.json()["status"]) == (503, "unavailable")
        assert reply.json()["problems"] == ["The disk has less than 1000000000 MiB left."]
        assert client.post("/v1/ask", json={"text": "my refund?"}).status_code == 200
    with TestClient(create_app(settings, applications=chains)) as client:
        assert client.get("/readyz").json()["problems"] == []
        client.app.state.server.drain()
        reply = client.get("/readyz")
        assert (reply.status_code, reply.json()["problems"]) == (503, ["The server is about to end."])


@pytest.mark.parametrize(
    ("method", "address", "body"),
    [
        ("POST", "/v1/ask", {"text": "hello"}),
        ("POST", "/v1/classify", {"model": "topic", "texts": ["hello"]}),
        ("POST", "/v1/posts", {"posts": [make_post(1, "app")]}),
        ("GET", "/v1/alerts", None),
        ("POST", "/v1/recommend", {"user": "u1"}),
    ],
)
def test_a_part_that_was_not_built_says_what_to_run(settings, method, address, body):
    with TestClient(create_app(settings, applications=Applications())) as client:
        assert client.get("/livez").status_code == 200
        assert client.get("/readyz").status_code == 503
        reply = client.request(method, address, json=body)
        assert reply.status_code == 503
        assert "tunechain quickstart" in Problem.model_validate_json(reply.content).detail


def test_a_workspace_without_models_is_served_without_scenarios(settings, caplog):
    chains = build_applications(settings)
    assert chains.available == ()
    assert "monitoring is not available" in caplog.text  # it has records, but no model was trained on them
    with TestClient(create_app(settings)) as client:
        wait_until(lambda: client.get("/readyz").json()["status"] != "starting")
        assert client.get("/readyz").json()["status"] == "unavailable"


def test_one_broken_part_does_not_take_the_others_with_it(tmp_path, monkeypatch, caplog):
    (tmp_path / SETTINGS_NAME).write_text("")
    for name in ("customer_service", "monitoring", "recommendation", "models/topic", "models/sentiment"):
        (tmp_path / name).mkdir(parents=True)

    def fail(_):
        msg = "half a file"
        raise EOFError(msg)

    monkeypatch.setattr("apps.applications.build_customer_service", fail)
    monkeypatch.setattr(
        "apps.applications.build_monitoring", lambda _: build_monitoring_chain(topic=TOPIC, sentiment=SENTIMENT)
    )
    settings = load_settings(tmp_path)
    real_open = apps.applications.open_classifier
    monkeypatch.setattr(
        "apps.applications.open_classifier",
        lambda settings, name: TOPIC if name == "topic" else real_open(settings, name),
    )
    chains = build_applications(settings)
    assert chains.available == ("monitoring",)
    assert list(chains.classifiers) == ["topic"]
    assert "half a file" in caplog.text


def test_a_customer_service_that_cannot_answer_once_is_not_offered(tmp_path, monkeypatch, service_chain):
    (tmp_path / SETTINGS_NAME).write_text("")
    (tmp_path / "customer_service").mkdir()
    answers = iter([service_chain, service_chain.bind(no_such_option=1)])
    monkeypatch.setattr("apps.applications.build_customer_service", lambda _: next(answers))
    settings = load_settings(tmp_path)
    assert build_applications(settings).available == ("customer_service",)
    assert build_applications(settings).available == ()


def test_the_server_lives_before_it_is_ready(settings, monkeypatch):
    asked = threading.Event()

    def build_slowly(_):
        asked.wait(60)
        return Applications(classifiers={"topic": TOPIC})

    monkeypatch.setattr("apps.server.state.build_applications", build_slowly)
    with TestClient(create_app(settings)) as client, contextlib.ExitStack() as stack:
        stack.callback(asked.set)  # also where an assertion fails: the server ends after its building
        assert client.get("/livez").status_code == 200
        assert client.get("/readyz").json()["status"] == "starting"
        reply = client.post("/v1/classify", json={"model": "topic", "texts": ["app"]})
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "5")


def test_chains_that_fail_to_build_leave_a_living_server(settings, monkeypatch):
    def fail(_):
        msg = "no memory left"
        raise MemoryError(msg)

    monkeypatch.setattr("apps.server.state.build_applications", fail)
    with TestClient(create_app(settings)) as client:
        wait_until(lambda: client.get("/readyz").json()["status"] != "starting")
        assert client.get("/health").json()["status"] == "unavailable"


def test_the_interface_describes_every_object_with_an_example_or_its_fields(client):
    schema = client.get("/openapi.json").json()
    assert schema["openapi"].startswith("3.1")
    assert {"/v1/ask", "/v1/classify", "/v1/posts", "/v1/alerts", "/v1/recommend", "/livez"} <= set(schema["paths"])
    for alias, address in ALIASES.items():
        [(method, route)] = schema["paths"][alias].items()
        assert route["deprecated"]
        assert route.get("requestBody") == schema["paths"][address][method].get("requestBody")
    objects = schema["components"]["schemas"]
    assert all(objects[name]["examples"] for name in objects if name.endswith(("Request", "WirePost")))
    assert all(part.get("description") for name, part in objects.items() if "Validation" not in name)
    for methods in schema["paths"].values():
        assert all(route["description"] and route["summary"] for route in methods.values())


def test_examples_of_the_interface_are_valid_requests(client):
    objects = client.get("/openapi.json").json()["components"]["schemas"]
    addresses = {"AskRequest": "ask", "ClassifyRequest": "classify", "RecommendRequest": "recommend"}
    for name, address in addresses.items():
        assert client.post(f"/v1/{address}", json=objects[name]["examples"][0]).status_code == 200


def test_every_chat_model_of_a_server_runs_in_a_process_of_its_own(
    tmp_path, tmp_path_factory, encoder_folder, monkeypatch
):
    shop = shutil.copytree(build_workspace(tmp_path_factory, encoder_folder), tmp_path / "shop")
    chat = build_chat_model(tmp_path / "chat", context_tokens=2048)
    toml = (shop / SETTINGS_NAME).read_text("utf-8").replace("[models]", f"[models]\nchat = '{chat}'")
    (shop / SETTINGS_NAME).write_text(toml, "utf-8")
    chinese = shutil.copytree(shop, tmp_path / "shop-zh")
    (chinese / SETTINGS_NAME).write_text(f'language = "zh"\n{toml}', "utf-8")
    tables = f"{toml}\n[customer_service]\nlanguage_workspaces = ['{chinese}']\n"
    (shop / SETTINGS_NAME).write_text(tables, "utf-8")
    opened = []

    def note(**options):
        opened.append(options)
        return LocalChatModel(**options)

    monkeypatch.setattr(apps.workspace_models, "LocalChatModel", note)
    with TestClient(create_app(load_settings(shop))) as client:
        wait_until(lambda: client.get("/readyz").json()["status"] != "starting")
        assert client.get("/readyz").json()["status"] == "ready"
    assert [options["own_process"] for options in opened] == [True]  # one for both languages, and for conversations
