"""Posts made to break a monitor are refused, put aside, or change nothing but their own scores."""

import csv
import io
import json

from fastapi.testclient import TestClient

from apps.applications import Applications
from apps.monitoring_database import MonitoringDatabase
from apps.server.app import create_app
from apps.settings import SETTINGS_NAME, load_settings
from chains.monitoring import build_monitoring_chain
from llms.fakes import FixedClassifier
from tests.chains.monitoring.streams import MONDAY, SENTIMENT
from tests.reliability.hostile_posts import make_usual_posts, send_hostile_posts
from tests.waiting import wait_until

NUM_POSTS = 10_000
MAX_PER_DAY = 3
TOPICS = FixedClassifier({"app": "app", "fee": "fees"}, default="app")
OUTCOMES = {"counted", "late", "future", "failed", "duplicate"}


def serve(folder):
    """A server whose limits on requests are far away."""
    limits = "[server]\nrequests_per_minute = 600000\nburst = 100000\n"
    settings = f"{limits}[alerts]\nmax_per_day = {MAX_PER_DAY}\nmax_age_hours = inf\n"
    (folder / SETTINGS_NAME).write_text(settings)
    chain = build_monitoring_chain(topic=TOPICS, sentiment=SENTIMENT)
    return TestClient(create_app(load_settings(folder), applications=Applications(monitoring=chain)))


def send(client, posts):
    for at in range(0, len(posts), 200):
        rows = [post.model_dump(mode="json") for post in posts[at : at + 200]]
        assert client.post("/v1/posts", json={"posts": rows}).status_code == 200


def numbers_of(client):
    shown = client.get("/v1/alerts?trend=false").json()
    assert not shown["loading"]
    return {name: shown[name] for name in ("num_posts", "late", "future", "duplicates", "failed")}


def test_hostile_posts_are_refused_or_counted_and_stop_nothing(tmp_path):
    usual = make_usual_posts()
    before = [post for post in usual if post.time < MONDAY.replace(day=11)]
    with serve(tmp_path) as client:
        wait_until(lambda: not client.get("/v1/alerts?trend=false").json()["loading"])
        send(client, before)
        quiet = numbers_of(client)
        report = send_hostile_posts(client, count=NUM_POSTS, seed=1)
        assert report.others == []
        assert set(report.outcomes) <= OUTCOMES
        assert report.statuses[200] > 0
        numbers = numbers_of(client)
        gained = {name: value - quiet[name] for name, value in numbers.items()}
        names = {"num_posts": "counted", "duplicates": "duplicate"}
        assert gained == {name: report.outcomes[names.get(name, name)] for name in gained}
        assert gained["num_posts"] > NUM_POSTS / 20
        send(client, usual[len(before) :])  # and the surge that follows is found all the same
        alerts = client.get("/v1/alerts?trend=false").json()["alerts"]
        assert any(alert["topic"] == "app" and alert["since"] >= "2026-03-11T2" for alert in alerts)
        for path in ("alerts", "trend", "posts", "posts.csv", "dead-letters"):
            reply = client.get(f"/v1/{path}")
            assert (reply.status_code, len(reply.content) < 10**6 or path == "posts.csv") == (200, True)
        table = csv.reader(io.StringIO(client.get("/v1/posts.csv").content.decode("utf-8-sig")))
        assert all(not cell.startswith(("=", "+", "-", "@")) for row in table for cell in row)
    database = MonitoringDatabase(tmp_path / "monitoring.sqlite")
    messages = database.read("SELECT day, message FROM outbox WHERE sink = 'log' AND state != 'digest'")
    days = [day for day, _ in messages]
    assert max(map(days.count, days), default=0) <= MAX_PER_DAY
    assert all(json.loads(message)["topic"] in ("app", "fees") for _, message in messages)
    database.close()
