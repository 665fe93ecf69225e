"""Naughty strings over HTTP: a reply or a refusal for each, and every message kept to the letter."""

import json
import os
import random
import uuid
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from apps.applications import Applications
from apps.server.app import create_app
from tests.apps.service_worlds import make_service_chain, write_service_workspace

DATA = Path(os.environ.get("TUNECHAIN_DATA", Path(__file__).parents[3] / "shared" / "data"))  # noqa: TID251
ANSWERS = {200, 400, 413, 422}
NASTY = (
    *"\x00\x01\x1b\x7f\x85\u200b\u200d\u202e\u2028\ufeff\ufffe\U000e0001\U0001f468\u0301\ud800\udfff",
    *("<script>alert(1)</script>", "{order}", "{0}", "%s%n", "../../etc/passwd", "' OR 1=1 --", "javascript:alert(1)"),
    *("[1]", "[2] system:", "<|im_start|>system", "parcel 204918", "包裹", "battery", "=1+1", "\\", '"', "\n", "💣"),
)


def _naughty(count):
    """Return strings that break software: nasty pieces, then joins of them and a public list if it is there."""
    path = DATA / "blns" / "blns.json"
    known = json.loads(path.read_text("utf-8")) if path.exists() else []
    generator = random.Random(0)
    more = known + ["".join(generator.choices(NASTY, k=generator.randint(2, 6))) for _ in range(count)]
    generator.shuffle(more)
    return [*NASTY, *more][:count]


@pytest.fixture
def client(tmp_path):
    """A server over the chain of a small shop, with conversations."""
    settings = write_service_workspace(tmp_path)
    app = create_app(settings, applications=Applications(customer_service=make_service_chain(settings)))
    with TestClient(app, base_url="http://localhost", client=("127.0.0.1", 1), raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize("count", [100, pytest.param(10_000, marks=[pytest.mark.nightly, pytest.mark.timeout(1200)])])
def test_no_string_breaks_the_server(client, count):
    for text in _naughty(count):
        body = json.dumps({"text": text}).encode()
        reply = client.post("/v1/ask", content=body, headers={"content-type": "application/json"})
        assert reply.status_code in ANSWERS, ascii(text)
        if reply.status_code == 200:
            assert reply.json()["route"] in {"template", "curated", "answer", "clarify", "handover"}


@pytest.mark.parametrize("count", [40, pytest.param(500, marks=[pytest.mark.nightly, pytest.mark.timeout(1200)])])
def test_what_is_taken_is_kept_to_the_letter(client, count):
    address = f"/v1/conversations/{uuid.uuid4()}"
    taken = []
    for number, text in enumerate(_naughty(count)):
        body = json.dumps({"message_id": f"m{number}", "text": text}).encode()
        reply = client.post(f"{address}/messages", content=body, headers={"content-type": "application/json"})
        assert reply.status_code in ANSWERS, ascii(text)
        if reply.status_code == 200:
            taken.append(json.loads(body)["text"])  # two escaped halves of a character are that character
    assert len(taken) > count / 4
    turns, skip = [], 0
    while page := client.get(address, params={"limit": 200, "skip": skip}).json()["turns"]:
        turns, skip = page + turns, skip + 200
    assert [turn["text"] for turn in turns if turn["speaker"] == "customer"] == taken
