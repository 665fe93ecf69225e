"""Access to the server: size, key, rate, schema, admission, in this order; nobody sees another's records."""

import asyncio
import json
import logging
import threading

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx import ASGITransport, AsyncClient
from langchain_core.runnables import RunnableLambda

from apps.applications import Applications
from apps.errors import SettingsError, WorkspaceError
from apps.keys import KeyStore
from apps.server.admission import ASKING, Admission, Asker
from apps.server.app import create_app
from apps.server.auth import CurrentOwner
from apps.server.problems import ProblemError
from apps.server.request_validation import MAX_BODY_BYTES
from apps.server.schemas import Problem
from apps.server.state import Workspace
from apps.settings import SETTINGS_NAME, load_settings
from chains.customer_service import ServiceReply
from tests.apps.conftest import make_post
from tests.waiting import wait_for, wait_until

QUESTION = {"text": "my refund?"}


@pytest.fixture
def guarded(tmp_path, chains):
    """A client without a key, and the headers of a customer and of staff."""
    (tmp_path / SETTINGS_NAME).write_text("[server]\nrequests_per_minute = 1\nburst = 100\n")
    settings = load_settings(tmp_path)
    keys = KeyStore.of(settings)
    headers = {role: bearer(keys.add(name, role=role)[1]) for name, role in (("u1", "customer"), ("berta", "staff"))}
    with TestClient(create_app(settings, applications=chains)) as client:
        yield client, headers["customer"], headers["staff"]


def bearer(secret):
    return {"Authorization": f"Bearer {secret}"}


def assert_refused(reply, status):
    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/problem+json"
    return Problem.model_validate_json(reply.content)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic dTpw"},
        {"X-API-Key": "wrong"},
    ],
)
@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("POST", "/v1/ask"),
        ("POST", "/ask"),
        ("POST", "/v1/recommend"),
        ("POST", "/v1/classify"),
        ("GET", "/v1/alerts"),
        ("GET", "/nothing"),
        ("POST", "/livez"),
        ("DELETE", "/v1/ask"),
        ("OPTIONS", "/v1/ask"),
        ("GET", "/livez/"),
        ("GET", "/livez%2f..%2fv1/alerts"),
    ],
)
def test_nothing_is_told_without_a_valid_key(guarded, method, address, headers):
    client, _, _ = guarded
    body = {"json": QUESTION} if method == "POST" else {}
    reply = client.request(method, address, headers=headers, **body)
    assert_refused(reply, 401)
    assert reply.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("address", ["/livez", "/readyz", "/health", "/", "/static/app.js", "/docs", "/openapi.json"])
def test_life_and_the_page_need_no_key(guarded, address):
    assert guarded[0].get(address).status_code == 200


@pytest.mark.parametrize(
    ("method", "address", "body"),
    [
        ("POST", "classify", {"model": "topic", "texts": ["app"]}),
        ("POST", "posts", {"posts": [make_post(1, "app")]}),
        ("GET", "alerts", None),
    ],
)
@pytest.mark.parametrize("prefix", ["/v1/", "/"])
def test_a_customer_may_not_use_what_is_for_staff(guarded, method, address, body, prefix):
    client, customer, staff = guarded
    assert_refused(client.request(method, prefix + address, json=body, headers=customer), 403)
    assert client.request(method, prefix + address, json=body, headers=staff).status_code in {200, 503}


OF_CUSTOMERS = {
    "DELETE /v1/conversations/{conversation}",
    "GET /v1/conversations",
    "GET /v1/conversations/{conversation}",
    "GET /v1/conversations/{conversation}/turns/{turn}/citations/{number}",
    "GET /v1/items/{item}/similar",
    "GET /v1/me",
    "GET /v1/models",
    "GET /v1/models/{name}",
    "POST /ask",
    "POST /recommend",
    "POST /v1/ask",
    "POST /v1/ask/stream",
    "POST /v1/chat/completions",
    "POST /v1/conversations",
    "POST /v1/conversations/{conversation}/messages",
    "POST /v1/conversations/{conversation}/messages/stream",
    "POST /v1/conversations/{conversation}/turns/{turn}/feedback",
    "POST /v1/embeddings",
    "POST /v1/events",
    "POST /v1/recommend",
}


def test_every_documented_address_wants_a_key_and_most_want_one_of_staff(guarded):
    client, customer, _ = guarded
    of_customers = set()
    for address, operations in client.get("/openapi.json").json()["paths"].items():
        for method in set(operations) if address not in {"/livez", "/readyz", "/health"} else ():
            body = {"json": {}} if method != "get" else {}
            path = address.replace("{", "").replace("}", "")
            assert client.request(method, path, **body).status_code == 401, address
            if client.request(method, path, headers=customer, **body).status_code != 403:
                of_customers.add(f"{method.upper()} {address}")
    assert of_customers == OF_CUSTOMERS


def test_a_customer_asks_and_sees_recommendations_of_its_own(guarded):
    client, customer, staff = guarded
    assert client.post("/v1/ask", json=QUESTION, headers=customer).json()["route"] == "template"
    assert client.post("/v1/recommend", json={"user": "u1"}, headers=customer).status_code == 200
    known, unknown = (
        client.post("/v1/recommend", json={"user": user}, headers=customer) for user in ("u2", "nobody at all")
    )
    assert assert_refused(known, 404) == assert_refused(unknown, 404)
    assert client.post("/v1/recommend", json={"user": "u2"}, headers=staff).status_code == 200


def test_a_revoked_key_is_refused_at_once(guarded, tmp_path):
    client, customer, _ = guarded
    keys = KeyStore.of(load_settings(tmp_path))
    assert client.post("/v1/ask", json=QUESTION, headers=customer).status_code == 200
    keys.revoke(next(key.id for key in keys.list_all() if key.owner == "u1"))
    assert_refused(client.post("/v1/ask", json=QUESTION, headers=customer), 401)


def test_the_log_names_the_key_by_its_id_only(guarded, caplog):
    client, customer, _ = guarded
    caplog.set_level(logging.INFO)
    client.post("/v1/ask", json=QUESTION, headers=customer)
    secret = customer["Authorization"].removeprefix("Bearer ")
    assert f"key {secret.split('_')[1]}" in caplog.text
    assert secret.split("_")[2] not in caplog.text


def test_stated_size_comes_before_the_key_and_the_key_before_the_body(guarded):
    client, customer, _ = guarded
    kind = {"Content-Type": "application/json"}
    too_large = b"a" * (MAX_BODY_BYTES + 1)
    assert_refused(client.post("/v1/ask", content=too_large, headers=kind), 413)
    assert_refused(client.post("/v1/ask", content=iter([too_large]), headers=kind), 401)
    assert_refused(client.post("/v1/ask", content=iter([too_large]), headers=kind | customer), 413)
    assert_refused(client.post("/v1/ask", content=b"no json", headers=kind), 401)
    assert_refused(client.post("/v1/ask", content=b"no json", headers=kind | customer), 400)
    assert_refused(client.post("/v1/ask", json={}, headers=customer), 422)


@pytest.mark.parametrize("kind", ["of no key", "of nobody's", "of a customer's id", "revoked"])
def test_who_guesses_keys_is_slowed_down_and_shuts_nobody_out(guarded, tmp_path, kind):
    client, customer, _ = guarded
    keys = KeyStore.of(load_settings(tmp_path))
    secret = customer["Authorization"].removeprefix("Bearer ")
    wrong = {
        "of no key": "wrong",
        "of nobody's": f"tc_{'0' * 12}_{'1' * 64}",
        "of a customer's id": secret[:-64] + "1" * 64,
    }.get(kind) or keys.add("carl", role="staff")[1]
    if kind == "revoked":
        keys.revoke(wrong.split("_")[1])
    replies = [client.get("/v1/me", headers=bearer(wrong)) for _ in range(40)]
    assert {reply.status_code for reply in replies[:20]} == {401}
    assert replies[-1].status_code == 429
    assert 1 <= int(replies[-1].headers["retry-after"]) <= 60
    assert client.get("/v1/me", headers=customer).json()["owner"] == "u1"  # though it comes from the same address
    assert client.get("/v1/me").status_code == 401  # who shows no key guesses none


def test_wrong_keys_are_counted_by_address(guarded):
    client, _, _ = guarded

    def guess(address):
        client._transport.client = (address, 50000)
        return client.get("/v1/me", headers=bearer("wrong")).status_code

    assert {guess("192.0.2.1") for _ in range(40)} == {401, 429}
    assert guess("192.0.2.2") == 401
    assert {guess(f"2001:db8::{number:x}") for number in range(40)} == {401, 429}  # one home has all of these
    assert guess("2001:db8:0:1::1") == 401


async def test_nothing_of_a_body_is_read_without_a_key(guarded):
    app, sent = guarded[0].app, []

    async def receive():
        raise AssertionError

    async def send(message):
        sent.append(message)

    headers = [(b"content-type", b"application/json"), (b"content-length", b"1000000")]
    scope = {"type": "http", "method": "POST", "path": "/v1/ask", "headers": headers, "query_string": b""}
    await app(scope, receive, send)
    assert sent[0]["status"] == 401
    assert (b"connection", b"close") in sent[0]["headers"]  # so that the rest of it is not waited for


def test_a_key_that_asks_too_often_is_told_when_to_come_back(tmp_path, chains):
    (tmp_path / SETTINGS_NAME).write_text("[server]\nrequests_per_minute = 2\nburst = 3\n")
    settings = load_settings(tmp_path)
    first, second = (bearer(KeyStore.of(settings).add(name, role="customer")[1]) for name in ("anna", "berta"))
    with TestClient(create_app(settings, applications=chains)) as client:
        # a body that is no JSON counts too: the rate is looked at first
        bodies = [QUESTION, QUESTION, {}, QUESTION]
        replies = [client.post("/v1/ask", json=body, headers=first) for body in bodies]
        assert [reply.status_code for reply in replies] == [200, 200, 422, 429]
        assert 1 <= int(replies[3].headers["retry-after"]) <= 30
        assert client.post("/v1/ask", json=QUESTION, headers=second).status_code == 200
        assert client.get("/livez").status_code == 200


async def test_the_rate_is_looked_at_before_the_queue(tmp_path):
    (tmp_path / SETTINGS_NAME).write_text("[server]\nrequests_per_minute = 1\nburst = 2\n")
    settings = load_settings(tmp_path)
    headers = bearer(KeyStore.of(settings).add("anna", role="customer")[1])
    go_on = threading.Event()

    def answer(_):
        go_on.wait(60)
        return ServiceReply(text="done", route="answer", reason="")

    admission = Admission(max_running=1, max_waiting=0)
    app = create_app(settings, applications=Applications(customer_service=RunnableLambda(answer)), admission=admission)
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=ASGITransport(app), base_url="http://localhost", headers=headers) as client,
    ):
        running = asyncio.create_task(client.post("/v1/ask", json=QUESTION))
        await wait_for(lambda: admission.num_admitted == 1)
        busy, often = [await client.post("/v1/ask", json=QUESTION) for _ in range(2)]
        go_on.set()
        assert (busy.status_code, often.status_code, (await running).status_code) == (429, 429, 200)
        assert "queue" in busy.json()["detail"]
        assert "too often" in often.json()["detail"]


def test_the_first_key_closes_a_server_that_runs(tmp_path, chains):
    (tmp_path / SETTINGS_NAME).write_text("")
    settings = load_settings(tmp_path)
    with TestClient(create_app(settings, applications=chains)) as client:
        assert client.post("/v1/ask", json=QUESTION).status_code == 200
        secret = KeyStore.of(settings).add("anna", role="customer")[1]
        assert_refused(client.post("/v1/ask", json=QUESTION), 401)
        assert client.post("/v1/ask", json=QUESTION, headers=bearer(secret)).status_code == 200


def test_keys_that_cannot_be_read_open_nothing(tmp_path, chains):
    (tmp_path / SETTINGS_NAME).write_text("")
    (tmp_path / "keys.sqlite").write_bytes(b"no database" * 1000)
    with TestClient(create_app(load_settings(tmp_path), applications=chains)) as client:
        assert str(tmp_path) not in client.post("/v1/ask", json=QUESTION).text
        assert_refused(client.post("/v1/ask", json=QUESTION), 503)
        assert client.get("/livez").status_code == 200


@pytest.mark.parametrize(
    ("client_address", "host", "status"),
    [
        ("127.0.0.1", "localhost:8000", 200),
        ("127.0.0.1", "127.0.0.1:8000", 200),
        ("::1", "[::1]:8000", 200),
        ("::1", "[::1]", 200),
        ("192.168.1.7", "localhost:8000", 403),
        ("203.0.113.9", "127.0.0.1", 403),
        ("127.0.0.1", "evil.example:8000", 403),
        ("127.0.0.1", "127.0.0.1.evil.example", 403),
        ("127.0.0.1", "192.168.1.7:8000", 403),
        ("127.0.0.1", "intranet", 403),
        ("127.0.0.1", "ai", 403),
        ("127.0.0.1", "xn--p1ai:8000", 403),
        ("127.0.0.1", "LOCALHOST", 200),
    ],
)
def test_without_keys_only_this_machine_by_its_own_names_is_answered(settings, chains, client_address, host, status):
    client = TestClient(
        create_app(settings, applications=chains), client=(client_address, 5000), headers={"Host": host}
    )
    with client:
        assert client.post("/v1/ask", json=QUESTION).status_code == status
        assert client.get("/livez").status_code == 200


def test_a_route_that_is_opened_by_mistake_still_has_no_owner():
    app = FastAPI()

    @app.get("/")
    def show(owner: CurrentOwner) -> str:
        return owner.name

    with TestClient(app) as client, pytest.raises(ProblemError):
        client.get("/")


@pytest.fixture
def tenants_folder(tmp_path):
    """A workspace with two tenants."""
    (tmp_path / SETTINGS_NAME).write_text('[tenants]\nacme = "tenants/acme"\nbell = "tenants/bell"\n')
    for name in ("acme", "bell"):
        (tmp_path / "tenants" / name).mkdir(parents=True)
        (tmp_path / "tenants" / name / SETTINGS_NAME).write_text("")
    return tmp_path


@pytest.fixture
def tenants(tenants_folder, monkeypatch):
    """A server of three workspaces, each of which answers with its name, and a function owner -> headers."""

    def build(settings):
        reply = ServiceReply(text=settings.workspace.name, route="answer", reason="")
        return Applications(customer_service=RunnableLambda(lambda _: reply))

    monkeypatch.setattr("apps.server.state.build_applications", build)
    settings = load_settings(tenants_folder)
    keys = KeyStore.of(settings)
    with TestClient(create_app(settings)) as client:
        yield client, lambda owner: bearer(keys.add(owner, role="customer")[1])


def ask(client, headers):
    """Ask until the workspace is built."""
    replies = []

    def is_built():
        replies.append(client.post("/v1/ask", json=QUESTION, headers=headers))
        return replies[-1].status_code not in (429, 503)  # 429: asked too often on a slow machine

    wait_until(is_built)
    return replies[-1]


def test_each_tenant_is_answered_from_its_own_workspace(tenants, tmp_path):
    client, new_key = tenants
    answers = {
        owner: ask(client, new_key(owner)).json()["text"] for owner in ("acme", "acme/anna", "bell/anna", "anna")
    }
    assert answers == {"acme": "acme", "acme/anna": "acme", "bell/anna": "bell", "anna": tmp_path.name}


def test_places_are_shared_by_tenants_and_by_keys(tenants_folder, monkeypatch):
    askers = []

    def answer(_):
        askers.append(ASKING.get())
        return ServiceReply(text="Yes.", route="answer", reason="")

    chains = Applications(customer_service=RunnableLambda(answer))
    monkeypatch.setattr("apps.server.state.build_applications", lambda _: chains)
    settings = load_settings(tenants_folder)
    with TestClient(create_app(settings)) as client:
        for owner in ("anna", "acme", "acme/anna"):
            askers.clear()
            ask(client, bearer(KeyStore.of(settings).add(owner, role="customer")[1]))
            assert askers[-1] == Asker("" if owner == "anna" else "acme", owner)


def test_an_owner_whose_tenant_is_gone_is_not_answered_from_another_workspace(tenants):
    client, new_key = tenants
    assert_refused(ask(client, new_key("gone/anna")), 403)


def test_a_server_that_stops_builds_no_more_workspaces(tenants_folder, monkeypatch):
    built, stopping, stop = [], threading.Event(), Workspace.stop

    def build(settings):
        built.append(settings.workspace.name)
        stopping.wait(60)
        return Applications()

    async def note_and_stop(workspace):
        # the first step of stopping runs to its wait for the build under way; only then may that end
        asyncio.get_running_loop().call_soon(stopping.set)
        await stop(workspace)

    monkeypatch.setattr("apps.server.state.build_applications", build)
    monkeypatch.setattr(Workspace, "stop", note_and_stop)
    with TestClient(create_app(load_settings(tenants_folder))):
        wait_until(lambda: built)
    assert built == [tenants_folder.name]


def test_a_tenant_without_a_workspace_is_refused_at_the_start(tmp_path):
    (tmp_path / SETTINGS_NAME).write_text('[tenants]\nacme = "acme"\n')
    with pytest.raises(WorkspaceError, match="tunechain init"):
        create_app(load_settings(tmp_path))


@pytest.mark.parametrize("table", ['"a/b" = "x"', 'Acme = "x"', "acme = 1", 'acme = ""', 'acme = {folder = "x"}'])
def test_a_tenant_that_cannot_be_is_refused(tmp_path, table):
    (tmp_path / SETTINGS_NAME).write_text(f"[tenants]\n{table}\n")
    with pytest.raises(SettingsError, match="'tenants"):
        load_settings(tmp_path)


def test_tenants_may_be_named_by_the_environment(tmp_path, monkeypatch):
    (tmp_path / SETTINGS_NAME).write_text("")
    monkeypatch.setenv("TUNECHAIN_TENANTS", json.dumps({"acme": "there"}))
    [(name, folder)] = load_settings(tmp_path).tenants
    assert (name, str(folder)) == ("acme", "there")
    assert hash(load_settings(tmp_path))


@pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "Via"])
def test_without_keys_nothing_that_a_proxy_passes_on_is_answered(settings, chains, name):
    client = TestClient(create_app(settings, applications=chains), client=("127.0.0.1", 5000))
    with client:
        reply = client.post("/v1/ask", json=QUESTION, headers={"Host": "127.0.0.1", name: "unknown"})
    assert reply.status_code == 403
