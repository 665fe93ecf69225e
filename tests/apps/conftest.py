"""A tiny workspace on disk and chains made of fakes, so that no test here loads a weight."""

import json
import os
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from langchain_core.documents import Document

from apps.applications import Applications
from apps.server.app import create_app
from apps.settings import SETTINGS_NAME, load_settings
from chains.customer_service import TemplateBook, build_customer_service_chain
from chains.monitoring import build_monitoring_chain
from llms.fakes import FixedClassifier, HashedEmbeddings, ScriptedChatModel
from retrievers import FaissStore
from tests.apps.live_server import serve_here
from tests.chains.recommendation.worlds import make_chain, train_model
from tests.waiting import wait_until

STREAM_START = datetime(2026, 3, 2, tzinfo=UTC)

INTENT = FixedClassifier({"parcel": "track_order", "refund": "refund_status"})
TOPIC = FixedClassifier({"app": "app", "fee": "fees"})
SENTIMENT = FixedClassifier({"down": "negative", "great": "positive"}, default="neutral")


def make_post(number, text, **changes):
    """A post of the recorded stream, one every 20 minutes, as a plain dict."""
    time = STREAM_START + timedelta(minutes=20 * number)
    return {"id": f"p{number}", "source": "forum", "text": text, "time": time.isoformat()} | changes


def make_stream(num_posts=1500):
    """Two weeks with a usual share of negatives, then a day on which all that is said of the app is negative."""
    surge = range(num_posts - 72, num_posts)
    return [
        make_post(number, f"The app is {'down' if number in surge or number % 9 == 0 else 'here'} {number}")
        for number in range(num_posts)
    ]


@pytest.fixture(scope="session")
def workspace(tmp_path_factory):
    """A workspace with settings and a recorded stream, but without models; do not change it."""
    folder = tmp_path_factory.mktemp("workspace")
    (folder / SETTINGS_NAME).write_text("", encoding="utf-8")
    (folder / "monitoring").mkdir()
    lines = [json.dumps(post) for post in make_stream()]
    (folder / "monitoring" / "stream.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def settings(workspace):
    return load_settings(workspace)


@pytest.fixture(scope="session")
def service_chain():
    embeddings = HashedEmbeddings()
    store = FaissStore(embedding=embeddings)
    store.add_documents(
        [Document("Charge the battery to 80 percent.", metadata={"source": "battery.md", "relevance": 0.8})], ids=["b"]
    )
    return build_customer_service_chain(
        classifier=INTENT,
        templates=TemplateBook(answers={"refund_status": "Refunds take five days."}),
        retriever=store.as_retriever(search_kwargs={"k": 1}),
        embeddings=embeddings,
        chat_model=ScriptedChatModel(answers=["Charge it to 80 percent [1]."]),
    )


@pytest.fixture(scope="session")
def chains(service_chain):
    return Applications(
        customer_service=service_chain,
        monitoring=build_monitoring_chain(topic=TOPIC, sentiment=SENTIMENT),
        recommendation=make_chain(train_model()),
        classifiers={"intent": INTENT, "topic": TOPIC, "sentiment": SENTIMENT},
    )


@pytest.fixture(scope="session")
def app(settings, chains):
    return create_app(settings, applications=chains)


@pytest.fixture(scope="session")
def client(app):
    with TestClient(app) as client:
        # its monitor reads the recorded stream in a thread, which another test's patches must not reach
        wait_until(lambda: not client.get("/v1/alerts").json()["loading"])
        yield client


@pytest.fixture
def serve(settings):
    """A function chains -> address of a real server."""
    with ExitStack() as stack:
        yield lambda chains, **options: stack.enter_context(
            serve_here(create_app(settings, applications=chains, **options))
        )


@pytest.fixture
def post(settings):
    """A function (chains or model, body) -> the reply of /v1/chat/completions."""
    with ExitStack() as stack:
        asked = [{"role": "user", "content": "hello"}]

        def post_to(chains, **body):
            chains = chains if isinstance(chains, Applications) else Applications(chat=chains)
            client = stack.enter_context(
                TestClient(create_app(settings, applications=chains), raise_server_exceptions=False)
            )
            return client.post("/v1/chat/completions", json={"model": "chat", "messages": asked} | body)

        yield post_to


@pytest.fixture(scope="module")
def postgres_url():
    """The address of a server that is started for these tests; without one installed they are skipped."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = shutil.which("initdb") or (programs and str(programs[-1]))
    if not initdb:
        pytest.skip("no PostgreSQL is installed here")
    # not below pytest's folder: a socket's path must be short, and root's folders are closed to the server's user
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    as_user = []
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(folder, "postgres")
        as_user = ["runuser", "-u", "postgres", "--"]
    pg_ctl = str(Path(initdb).resolve().with_name("pg_ctl"))
    data = ["-D", str(folder / "data")]
    options = ["-w", "-o", f"-k {folder} -c listen_addresses=''", "-l", str(folder / "log")]
    run = {"check": True, "stdout": subprocess.DEVNULL, "cwd": folder}
    subprocess.run([*as_user, initdb, *data, "-A", "trust", "-U", "postgres"], **run)
    subprocess.run([*as_user, pg_ctl, *data, *options, "start"], **run)
    yield f"postgresql:///postgres?host={folder}&user=postgres"
    subprocess.run([*as_user, pg_ctl, *data, "-m", "immediate", "stop"], **run)
    shutil.rmtree(folder)
