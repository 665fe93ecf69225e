"""What people read of a monitor comes in pages that stay small and quick, however much is stored."""

import contextlib
import csv
import io
import json
import sqlite3
from collections import Counter

import pytest
from fastapi.testclient import TestClient
from langchain_core.runnables import RunnableLambda

from apps.applications import Applications
from apps.keys import KeyStore
from apps.monitoring_database import MonitoringDatabase
from apps.monitoring_state import MonitoringStore
from apps.monitoring_view import FeedFilter, MonitoringView, fit_alerts, open_beside
from apps.recorded_alerts import RecordedAlerts
from apps.recorded_stream import RecordedStream
from apps.server.app import create_app
from apps.settings import SETTINGS_NAME, load_settings
from chains.monitoring import UNKNOWN_TOPIC, Entity, MonitoringOptions, build_monitoring_chain
from tests.apps.conftest import make_post
from tests.apps.monitoring_worlds import END, HOURS, MONDAY, make_alert, write_world
from tests.chains.monitoring.streams import SENTIMENT, TOPIC
from tests.waiting import cpu_seconds, wait_until

MEGABYTE = 10**6


@contextlib.contextmanager
def serve_folder(folder, *, settings="", chain=None):
    if not (folder / SETTINGS_NAME).exists():
        (folder / SETTINGS_NAME).write_text(settings, "utf-8")
    chain = chain or build_monitoring_chain(topic=TOPIC, sentiment=SENTIMENT)
    with TestClient(create_app(load_settings(folder), applications=Applications(monitoring=chain))) as client:
        wait_until(lambda: not client.get("/v1/alerts").json()["loading"])
        yield client


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder whose monitor has watched 100 topics."""
    folder = tmp_path_factory.mktemp("world")
    write_world(folder / "monitoring.sqlite")
    return folder


@pytest.fixture(scope="module")
def big(world):
    """A server of it."""
    with serve_folder(world) as client:
        yield client


@pytest.mark.parametrize(
    "path", ["posts.csv?subject=topic-1", "posts?topics=x", "alerts?judge=new", "dead-letters?all=1"]
)
def test_a_parameter_that_nobody_knows_is_refused(big, path):
    reply = big.get(f"/v1/{path}")
    name = path.partition("?")[2].partition("=")[0]
    assert (reply.status_code, f"no parameter '{name}'" in reply.json()["detail"]) == (422, True)


REQUESTS = [
    "/v1/alerts",
    "/v1/alerts?judged=new&trend=false&limit=50",
    "/v1/alert?id=topic-7@207",
    "/v1/trend?max_points=60",
    "/v1/trend?limit=50",
    "/v1/trend?words=topic-9&offset=2",
    "/v1/posts",
    "/v1/posts?topic=topic-3&source=source-5",
    "/v1/posts?topic=topic-3&source=nobody",
    f"/v1/posts?until={MONDAY.isoformat().replace('+', '%2B')}",
    "/v1/dead-letters",
]


@pytest.mark.parametrize("path", REQUESTS)
def test_a_hundred_topics_make_no_large_or_slow_reply(big, path):
    replies = []
    seconds = cpu_seconds(lambda: replies.append(big.get(path)))
    assert replies[0].status_code == 200
    assert len(replies[0].content) < MEGABYTE
    assert seconds < 1.0


@pytest.mark.nightly
def test_a_million_posts_make_no_reply_slow(tmp_path):
    write_world(tmp_path / "monitoring.sqlite", num_posts=1_000_000)
    with serve_folder(tmp_path) as client:
        for path in REQUESTS:
            assert cpu_seconds(lambda path=path: client.get(path)) < 1.0, path


def test_long_texts_and_long_names_make_no_large_reply(tmp_path):
    long = "忙" * 9_900
    write_world(tmp_path / "monitoring.sqlite", num_topics=3, num_posts=400, text=long, cause=long)
    with contextlib.closing(sqlite3.connect(tmp_path / "monitoring.sqlite", isolation_level=None)) as database:
        database.execute("UPDATE hours SET topic = replace(topic, 'topic', ?)", ("主题" * 500,))
    with serve_folder(tmp_path) as client:
        for path in ("/v1/alerts", "/v1/posts", "/v1/trend", "/v1/alert?id=topic-1@1"):
            assert 10_000 < len(client.get(path).content) < MEGABYTE, path


def test_alerts_that_must_all_come_lose_their_posts_before_a_reply_is_large():
    alerts = [make_alert(number, text="忙" * 9_900) for number in range(400)]
    shown = fit_alerts(alerts)
    assert [alert.id for alert in shown] == [alert.id for alert in alerts]
    assert sum(len(alert.model_dump_json().encode()) for alert in shown) < MEGABYTE
    assert len(shown[0].causes) == 5
    assert shown[-1].causes == ()


def test_no_topic_has_more_than_five_hundred_points_and_no_post_is_left_out(big):
    reply = big.get("/v1/alerts").json()
    counts = Counter(point["topic"] for point in reply["trend"])
    assert len(counts) == 100
    assert max(counts.values()) <= 500
    assert sum(point["posts"] for point in reply["trend"]) == 100 * HOURS * 10
    assert reply["trend_step_hours"] == 48
    one = big.get("/v1/trend?topic=topic-3").json()
    assert (len(one["points"]), one["step_hours"], one["num_subjects"]) == (HOURS / 3, 3, 1)
    assert {point["baseline_share"] for point in one["points"]} == {0.2}
    narrow = big.get("/v1/trend", params={"topic": "topic-3", "since": (END.isoformat())}).json()
    assert narrow["points"] == []


def test_a_topic_watched_for_two_weeks_keeps_its_hours(tmp_path):
    write_world(tmp_path / "monitoring.sqlite", num_topics=1, num_posts=10)
    with contextlib.closing(sqlite3.connect(tmp_path / "monitoring.sqlite", isolation_level=None)) as database:
        database.execute("DELETE FROM hours WHERE start < ?", (END.timestamp() - 14 * 86_400,))
    with serve_folder(tmp_path) as client:
        reply = client.get("/v1/alerts").json()
        assert (len(reply["trend"]), reply["trend_step_hours"]) == (14 * 24, 1)


def test_pages_of_alerts_hold_each_of_them_once(big):
    seen, before = [], None
    while True:
        page = big.get("/v1/alerts", params={"limit": 80, "trend": False, **({"before": before} if before else {})})
        alerts, before = page.json()["alerts"], page.json()["next"]
        assert [alert["raised_at"] for alert in alerts] == sorted(alert["raised_at"] for alert in alerts)
        seen = [alert["id"] for alert in alerts] + seen
        if before is None:
            break
    assert len(seen) == len(set(seen)) == 300
    assert big.get("/v1/alerts?before=nothing").status_code == 404


def test_pages_of_posts_hold_each_of_them_once(big):
    seen, after = [], None
    while True:
        wanted = {"topic": "topic-3", **({"after": after} if after else {})}
        page = big.get("/v1/posts", params=wanted).json()
        assert len(page["posts"]) <= 50
        assert (len(page["sources"]), len(page["subjects"])) == ((0, 0) if after else (7, 100))
        seen += page["posts"]
        after = page["next"]
        if after is None:
            break
    assert len({post["id"] for post in seen}) == len(seen) == 200
    assert {post["topic"] for post in seen} == {"topic-3"}
    assert [post["time"] for post in seen] == sorted((post["time"] for post in seen), reverse=True)
    assert big.get("/v1/posts?after=x").status_code == 422


def test_posts_are_filtered_by_source_and_time(big):
    wanted = {"source": "source-5", "since": MONDAY.isoformat(), "until": "2026-03-03T00:00:00Z"}
    posts = big.get("/v1/posts", params=wanted).json()["posts"]
    assert posts
    assert {post["source"] for post in posts} == {"source-5"}
    assert {post["time"][:10] for post in posts} == {"2026-03-02"}


def test_a_live_post_is_shown_with_what_it_is_taken_for(tmp_path):
    chain = build_monitoring_chain(
        topic=TOPIC, sentiment=SENTIMENT, entities=[Entity(name="Acme", aliases=("爱克美",), tickers=("ACM",))]
    )
    copied = "the terrible app of acme is down again"
    texts = [copied, f"@bank {copied}!", "爱克美 fee", "lovely fee", "app 1", "app 2"]
    with serve_folder(tmp_path, chain=chain) as client:
        client.post("/v1/posts", json={"posts": [make_post(n, text) for n, text in enumerate(texts)]})
        shown = {post["text"]: post for post in client.get("/v1/posts").json()["posts"]}
        assert [shown[text]["is_copy"] for text in texts[:4]] == [False, True, False, False]
        assert [shown[text]["topic"] for text in texts[:4]] == ["app", "app", "fees", "fees"]
        assert [shown[text]["sentiment"] for text in texts[2:4]] == ["neutral", "positive"]
        assert [shown[text]["entities"] for text in texts[:4]] == [["Acme"], ["Acme"], ["Acme"], []]
        of_acme = [post["text"] for post in client.get("/v1/posts?entity=Acme").json()["posts"]]
        assert of_acme == texts[2::-1]
        assert "entity:Acme" in client.get("/v1/posts").json()["subjects"]


def test_no_cell_of_an_export_is_a_formula(tmp_path):
    attack = "=cmd|' /C calc'!A0"
    rows = [make_post(1, attack), make_post(2, "+1 app", source="@sum"), make_post(3, 'a, "quoted" app\nline')]
    with serve_folder(tmp_path) as client:
        client.post("/v1/posts", json={"posts": rows})
        reply = client.get("/v1/posts.csv")
        assert "posts.csv" in reply.headers["content-disposition"]
        table = list(csv.DictReader(io.StringIO(reply.content.decode("utf-8-sig"))))
        assert [row["text"] for row in table] == [rows[2]["text"], "'+1 app", f"'{attack}"]
        assert table[1]["source"] == "'@sum"


def test_an_export_holds_every_post_that_is_asked_for(big):
    lines = big.get("/v1/posts.csv?topic=topic-3").content.decode("utf-8-sig").splitlines()
    assert len(lines) == 1 + 200


def test_customers_read_nothing_of_it(tmp_path):
    (tmp_path / SETTINGS_NAME).write_text("", "utf-8")
    keys = KeyStore.of(load_settings(tmp_path))
    staff, customer = (keys.add(name, role=role)[1] for name, role in (("ann", "staff"), ("bob", "customer")))
    chain = build_monitoring_chain(topic=TOPIC, sentiment=SENTIMENT)
    app = create_app(load_settings(tmp_path), applications=Applications(monitoring=chain))
    with TestClient(app) as client:
        for path in ("alert?id=x", "trend", "posts", "posts.csv", "dead-letters", "alerts"):
            reply = client.get(f"/v1/{path}", headers={"Authorization": f"Bearer {customer}"})
            assert reply.status_code == 403, path
        verdict = {"alert": "x", "verdict": "confirmed"}

        def judge(key):
            return client.put("/v1/alert/verdict", json=verdict, headers={"Authorization": f"Bearer {key}"}).status_code

        wait_until(lambda: judge(staff) != 503)  # the monitor reads its history first
        assert (judge(customer), judge(staff)) == (403, 404)
        reply = client.post("/v1/dead-letters/retry", json={}, headers={"Authorization": f"Bearer {customer}"})
        assert reply.status_code == 403


FORMAT_1 = """
CREATE TABLE posts (seq INTEGER PRIMARY KEY, source TEXT NOT NULL, id TEXT NOT NULL, time REAL NOT NULL,
    post TEXT NOT NULL, topic TEXT, sentiment TEXT, UNIQUE (source, id)) STRICT;
CREATE INDEX posts_by_time ON posts (time);
CREATE TABLE alerts (id TEXT PRIMARY KEY, raised_at REAL NOT NULL, alert TEXT NOT NULL) STRICT;
CREATE TABLE trend (topic TEXT NOT NULL, start REAL NOT NULL, point TEXT NOT NULL, PRIMARY KEY (start, topic)) STRICT;
PRAGMA user_version = 1;
"""


def test_a_file_of_the_format_before_is_read_on(tmp_path):
    path = tmp_path / "monitoring.sqlite"
    point = {"topic": "app", "start": MONDAY.isoformat(), "posts": 2, "negative": 1, "neutral": 1, "positive": 0}
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript(FORMAT_1)
        for number, accepted in ((1, True), (2, False), (3, None)):
            label = {"label": "app", "probability": 1.0, "probabilities": {"app": 1.0}, "accepted": accepted}
            kinds = (None, None) if accepted is None else (json.dumps(label),) * 2
            post = make_post(number, "app")
            row = ("forum", f"p{number}", MONDAY.timestamp() + number, json.dumps(post), *kinds)
            database.execute("INSERT INTO posts VALUES (NULL, ?, ?, ?, ?, ?, ?)", row)
        values = json.dumps({**point, "copies": 3, "baseline_share": 0.25})
        database.execute("INSERT INTO trend VALUES ('app', ?, ?)", (MONDAY.timestamp(), values))
    with contextlib.closing(MonitoringView(open_beside(path))) as view:
        feed = view.read_feed(FeedFilter())
        assert [(post.id, post.topic) for post in feed.posts] == [("p2", UNKNOWN_TOPIC), ("p1", "app")]
        [kept] = view.read_trend().points
        assert (kept.topic, kept.start, kept.posts, kept.negative, kept.copies) == ("app", MONDAY, 2, 1, 3)
        assert kept.baseline_share == 0.25
    MonitoringStore(path).close()


def test_a_change_of_format_that_fails_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "monitoring.sqlite"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript(FORMAT_1)
        database.execute("INSERT INTO trend VALUES ('app', 1.0, 'no json')")
    for _ in range(2):
        with pytest.raises(OSError, match="cannot be used"):
            MonitoringStore(path)
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*) FROM trend").fetchone() == (1,)
        assert database.execute("PRAGMA user_version").fetchone() == (1,)


def test_an_agent_classifies_no_recorded_post_twice_also_after_a_restart(tmp_path):
    texts = []

    def count(text):
        texts.append(text)
        return TOPIC.invoke(text)

    chain = build_monitoring_chain(topic=RunnableLambda(count), sentiment=SENTIMENT, options=MonitoringOptions())
    stream = RecordedStream(tmp_path / "stream.jsonl")
    rows = [json.dumps(make_post(number, f"app {number}")) for number in range(50)]
    for num_rows in (20, 50, 50):
        stream.path.write_text("\n".join(rows[:num_rows]), "utf-8")
        recorded = RecordedAlerts(chain, stream, path=tmp_path / "monitoring.sqlite")  # as after a restart
        assert [recorded.read()[1] for _ in range(2)] == [num_rows] * 2
        assert len(texts) == num_rows
    with contextlib.closing(MonitoringStore(tmp_path / "monitoring.sqlite")):  # as a server has it
        assert recorded.read()[1] == 50
    assert len(texts) == 50


def test_a_reader_sees_nothing_half_written(tmp_path):
    write_world(tmp_path / "monitoring.sqlite", num_topics=1, num_posts=10, num_alerts=0)
    with (
        contextlib.closing(MonitoringStore(tmp_path / "monitoring.sqlite")) as store,
        contextlib.closing(MonitoringDatabase(tmp_path / "monitoring.sqlite", owns_format=False)) as database,
        store.database.transaction() as writing,
    ):
        writing.execute("DELETE FROM hours")
        assert len(MonitoringView(database).read_subjects()) == 1


@pytest.mark.parametrize("after", ["nan_1", "inf_1", "1e400_1", f"1_{'9' * 30}", f"1_-{'9' * 30}", "1", "_", "x_y"])
def test_what_is_no_place_between_posts_is_refused(big, after):
    assert big.get("/v1/posts", params={"after": after}).status_code == 422
