"""Review of groups over HTTP: for staff of the workspace alone, and nothing reaches the records by itself."""

import pytest
import yaml
from fastapi.testclient import TestClient

from apps.applications import Applications
from apps.keys import KeyStore
from apps.server.app import create_app
from apps.settings import SETTINGS_NAME, load_settings
from tests.apps.service_learning.logs import learn
from tests.apps.service_worlds import write_service_workspace

ROUTES = [
    ("GET", "/v1/learning", None),
    ("GET", "/v1/learning/groups", None),
    ("POST", "/v1/learning/decisions", {"decision": {"kind": "drop", "group": "{group}"}}),
    ("POST", "/v1/learning/undo", {}),
    ("POST", "/v1/learning/publish", {}),
]


class Caller:
    """Somebody with a key."""

    def __init__(self, client, key):
        self._client = client
        self._headers = {"Authorization": f"Bearer {key}"}

    def ask(self, method, address, body=None, **params):
        json = {} if body is None else {"json": body}
        return self._client.request(method, address, headers=self._headers, params=params, **json)

    def get(self, address, **params):
        return self.ask("GET", address, **params).json()

    def decide(self, kind, **values):
        return self.ask("POST", "/v1/learning/decisions", {"decision": {"kind": kind, **values}})


@pytest.fixture
def world(tmp_path):
    """A main workspace with a learnt log, one of a tenant without, and a caller for any key."""
    (tmp_path / "acme").mkdir()
    write_service_workspace(tmp_path / "acme")
    settings = write_service_workspace(tmp_path, settings='[server]\nburst = 1000\n[tenants]\nacme = "acme"\n')
    learn(tmp_path).close()
    keys = KeyStore.of(settings)
    with TestClient(create_app(settings, applications=Applications())) as client:
        yield lambda name, role="staff": Caller(client, keys.add(name, role=role)[1])


def groups_of(caller, **params):
    return caller.get("/v1/learning/groups", **params)["groups"]


@pytest.mark.parametrize(("method", "address", "body"), ROUTES)
def test_a_customer_sees_and_does_nothing(world, method, address, body):
    before = groups_of(world("berta"))
    assert world("anna", "customer").ask(method, address, body).status_code == 403
    assert groups_of(world("berta")) == before


@pytest.mark.parametrize("role", ["staff", "customer"])
def test_another_tenant_sees_and_does_nothing(world, role):
    berta = world("berta")
    name = groups_of(berta)[0]["id"]
    stranger = world("acme/carl", role)
    for method, address, body in ROUTES:
        if body and "decision" in body:
            body = {"decision": {"kind": "drop", "group": name}}
        reply = stranger.ask(method, address, body)
        if role == "customer":
            assert reply.status_code == 403
        else:
            assert reply.status_code in {200, 404, 409}
            assert name not in reply.text.replace(f"there is no group '{name}'", "")
            assert "parcel" not in reply.text
    assert groups_of(berta)[0]["id"] == name
    assert berta.get("/v1/learning")["groups"]["open"] == 3


def test_looking_makes_no_file(world, tmp_path):
    carl = world("acme/carl")
    assert carl.get("/v1/learning")["num_conversations"] == 0
    assert groups_of(carl) == []
    assert carl.ask("POST", "/v1/learning/undo", {}).json()["undone"] is None
    assert not (tmp_path / "acme" / "learning.sqlite").exists()


def test_a_review_from_the_first_look_to_the_records_and_back(world, tmp_path):
    berta = world("berta")
    overview = berta.get("/v1/learning")
    assert (overview["num_conversations"], overview["groups"]["open"]) == (60, 3)
    one, two, three = (group["id"] for group in groups_of(berta))
    templates = tmp_path / "customer_service" / "templates.yaml"
    before = templates.read_text("utf-8")
    assert berta.decide("rename", group=one, name="engraving").json()["groups"][0]["draft"]["name"] == "engraving"
    assert berta.decide("template", group=one, template="It is free.").status_code == 200
    assert berta.decide("accept", group=one, use="intent").json()["overview"]["groups"]["accepted"] == 1
    assert berta.decide("drop", group=two).json()["groups"][0]["status"] == "dropped"
    assert berta.decide("accept", group=one, use="intent").status_code == 409
    assert berta.decide("drop", group="nowhere").status_code == 404
    assert templates.read_text("utf-8") == before
    published = berta.ask("POST", "/v1/learning/publish", {}).json()["publication"]
    assert published == {"num_groups": 1, "files": ["intents.csv", "intents_test.csv", "templates.yaml"]}
    assert yaml.safe_load(templates.read_text("utf-8"))["answers"]["engraving"] == "It is free."
    undone = [berta.ask("POST", "/v1/learning/undo", {}).json()["undone"] for _ in range(6)]
    assert undone == ["publish", "drop", "accept", "template", "rename", None]
    assert templates.read_text("utf-8") == before
    assert [group["id"] for group in groups_of(berta)] == [one, two, three]


def test_groups_come_page_by_page(world):
    berta = world("berta")
    page = berta.get("/v1/learning/groups", limit=2)
    assert (len(page["groups"]), page["next"]) == (2, 2)
    rest = berta.get("/v1/learning/groups", limit=2, skip=2)
    assert (len(rest["groups"]), rest["next"]) == (1, None)


@pytest.mark.parametrize(
    "decision",
    [
        {"kind": "publish", "groups": []},
        {"kind": "undo"},
        {"kind": "rename", "group": "g", "name": " "},
        {"kind": "rename", "group": "g", "name": "a\nb"},
        {"kind": "merge", "groups": ["g"]},
        {"kind": "accept", "group": "g", "use": "everything"},
        {"kind": "template", "group": "g", "template": "x" * 5_000},
    ],
)
def test_a_decision_that_is_none_is_refused(world, decision):
    assert world("berta").ask("POST", "/v1/learning/decisions", {"decision": decision}).status_code == 422


def test_settings_of_the_tenant_are_its_own(world, tmp_path):
    assert load_settings(tmp_path / "acme").workspace != load_settings(tmp_path).workspace
    assert (tmp_path / "acme" / SETTINGS_NAME).exists()
