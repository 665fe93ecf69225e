"""From a support log to a service that answers: read, reviewed over HTTP, trained, asked; in both languages."""

import json
import zlib

import numpy as np
import pytest
from fastapi.testclient import TestClient
from langchain_core.embeddings import Embeddings
from typer.testing import CliRunner

from apps import cli
from apps.applications import Applications
from apps.keys import KeyStore
from apps.quickstart import run_quickstart
from apps.readers import read_templates
from apps.samples import make_support_log
from apps.server.app import create_app
from apps.service_learning import running
from apps.settings import load_settings
from apps.training import labelled_rows
from apps.wiring import build_customer_service
from chains.customer_service import ServiceRequest
from retrievers import keyword_terms
from tests.apps.workspaces import write_csv
from tests.conftest import REPOSITORY

LOGS = REPOSITORY / "apps" / "samples" / "logs"
KNOWN = {
    "en": ([("good morning to all of you {}", "hello"), ("I would like to complain {}", "complaint")], "Hello."),
    "zh": ([("早上好大家好 {}", "hello"), ("我要投诉你们 {}", "complaint")], "您好。"),
}
RUN = CliRunner()


class TermEmbeddings(Embeddings):
    """Words of both languages, hashed; the tiny encoder of the tests knows too few of them to find groups by."""

    fingerprint = "terms"

    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text):
        vector = np.full(512, 1e-3)
        for term in keyword_terms(text):
            vector[zlib.crc32(term.encode()) % 512] += 1.0 if len(term) > 2 or not term.isascii() else 0.2
        return (vector / np.linalg.norm(vector)).tolist()


@pytest.fixture(params=["en", "zh"])
def workspace(request, tmp_path, encoder_folder, monkeypatch):
    """A workspace with two intents, and the settings of it."""
    language = request.param
    rows, hello = KNOWN[language]
    folder = tmp_path / "shop"
    records = folder / "customer_service"
    for name, numbers in (("intents.csv", range(12)), ("intents_test.csv", range(20, 23))):
        write_csv(
            records / name, ("text", "intent"), [(text.format(n), label) for text, label in rows for n in numbers]
        )
    (records / "templates.yaml").write_text(f"# ours\nanswers:\n  hello: {hello}\n", encoding="utf-8")
    (records / "knowledge").mkdir()
    (records / "knowledge" / "care.md").write_text("# Care\n\nKeep it dry, away from the sun.\n", encoding="utf-8")
    (folder / "tunechain.toml").write_text(
        f'language = "{language}"\n[models]\nencoder = {json.dumps(str(encoder_folder))}\nencoder_engine = "torch"\n'
        '[finetuning]\nmethod = "head"\n[server]\nburst = 10000\n',
        encoding="utf-8",
    )
    monkeypatch.setattr(running, "_open_embeddings", lambda _: TermEmbeddings())
    return load_settings(folder)


def call(*words):
    result = RUN.invoke(cli.app, ["service", *map(str, words)])
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]


def review_as_a_person_would(settings):
    """Merge groups with one answer, drop those without, and accept the rest; return the names."""
    key = KeyStore.of(settings).add("berta", role="staff")[1]
    with TestClient(
        create_app(settings, applications=Applications()), headers={"Authorization": f"Bearer {key}"}
    ) as page:

        def decide(**decision):
            reply = page.post("/v1/learning/decisions", json={"decision": decision})
            assert reply.status_code == 200, reply.text
            return reply.json()["groups"]

        by_answer = {}
        for number, group in enumerate(page.get("/v1/learning/groups", params={"limit": 50}).json()["groups"]):
            answer = group["draft"]["template"][:10]
            if not answer:
                decide(kind="drop", group=group["id"])
                continue
            if group["draft"]["intent"]:  # the tiny model is sure of what it does not know
                decide(kind="rename", group=group["id"], name=f"topic {number}")
            if answer in by_answer:
                [merged] = decide(kind="merge", groups=[by_answer[answer], group["id"]])
                by_answer[answer] = merged["id"]
            else:
                by_answer[answer] = group["id"]
        accepted = [decide(kind="accept", group=name)[0]["draft"]["name"] for name in by_answer.values()]
        published = page.post("/v1/learning/publish", json={})
        assert published.status_code == 200, published.text
    return accepted


def test_an_old_log_becomes_a_service_that_answers(workspace):
    settings = workspace
    folder, log = settings.workspace, LOGS / f"support.{settings.language}.csv"
    run_quickstart(folder, show_results=False)
    [report] = call("learn", log, "-w", folder, "--yes", "--json")
    assert report["num_conversations"] == report["num_new"] == make_support_log.NUM_CONVERSATIONS
    assert report["private"]["order_number"] > 30
    assert report["num_later"] > 40
    assert call("learn", log, "-w", folder, "--yes", "--json")[0]["num_new"] == 0

    names = review_as_a_person_would(settings)
    assert 4 <= len(names) <= 9
    templates = read_templates(folder / "customer_service" / "templates.yaml")
    assert set(names) <= set(templates.answers)
    assert templates.slots["order_number"].find("VT-123456") == "VT-123456"
    [retrained] = call("retrain", "-w", folder, "--json")
    assert retrained["promoted"], retrained["reason"]

    [gain] = call("learn", "--evaluate", "-w", folder, "--json")
    assert gain["before"]["num_requests"] == gain["after"]["num_requests"] == report["num_later"]
    assert gain["after"]["approved"] >= 0.4
    if settings.language == "en":  # the tiny encoder knows no Chinese, so its model is sure of whatever it is asked
        assert gain["after"]["approved"] > gain["before"]["approved"] + 0.3
    test = [row for row in labelled_rows(settings, "intent", test=True).rows if row.label in names]
    chain = build_customer_service(settings)
    right = [chain.invoke(ServiceRequest(text=row.text)).intent == row.label for row in test]
    assert sum(right) >= 0.6 * len(right) > 3


def test_nobodys_data_is_in_any_file(workspace):
    folder, log = workspace.workspace, LOGS / f"support.{workspace.language}.csv"
    call("learn", log, "-w", folder, "--yes", "--json")
    private = {"4111 1111 1111 1111", "6222021234567890128", "@mail.example", "7946", "VT-1", "VT-5"}
    for path in folder.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert [text for text in private if text.encode() in content] == [], path


def test_the_logs_are_what_their_script_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(make_support_log, "LOGS_DIR", tmp_path)
    for path in make_support_log.write_logs():
        assert path.read_bytes() == (LOGS / path.name).read_bytes()
