"""A live monitor keeps what it acknowledged, over a restart, a kill, a full disk and a text that cannot be read."""

import contextlib
import json
import sqlite3
import stat
import zlib
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from langchain_core.runnables import RunnableLambda

import apps.monitoring_state
from apps.applications import Applications
from apps.backup import back_up, restore
from apps.errors import DiskFullError, MonitoringFileError, WorkspaceError
from apps.monitoring_database import MonitoringDatabase
from apps.monitoring_state import MonitoringStore
from apps.monitoring_view import MonitoringView
from apps.recorded_stream import RecordedStream
from apps.server.app import create_app
from apps.server.monitor_service import LiveMonitor
from apps.server.problems import ProblemError, explain_error
from apps.settings import SETTINGS_NAME, load_settings
from chains.monitoring import Post, build_monitoring_chain
from tests.apps.conftest import make_post
from tests.apps.sources import started
from tests.chains.monitoring.streams import MONDAY, SENTIMENT, TOPIC, make_posts
from tests.reliability.monitoring import run_kills
from tests.waiting import wait_until

SURGE = make_posts(days=18, per_hour=5, surge_at_h=17 * 24 - 12, surge_h=48)


class Counting:
    """A topic classifier that counts texts, and fails on those with a word."""

    def __init__(self, *, word="poison", error=None):
        self.texts = []
        self.word, self.error = word, error or ValueError("cannot be read")

    def __call__(self, text):
        self.texts.append(text)
        if self.error and self.word in text:
            raise self.error
        return TOPIC.invoke(text)


def live_monitor(path, *, topic=None, clock=None, **options):
    """A monitor that takes posts."""
    clock = {} if clock is None else {"clock": clock}
    chain = build_monitoring_chain(topic=RunnableLambda(topic or Counting()), sentiment=SENTIMENT, **clock)
    return started(chain, path=path, **options)


def dead_letters(store):
    letters = MonitoringView(store.database).read_dead_letters()
    return [(letter.source, letter.id, letter.reason, letter.tries) for letter in letters]


def send(monitor, posts, size=100):
    return [monitor.observe(posts[at : at + size]) for at in range(0, len(posts), size)]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """What is shown after the surge, if nothing ever goes wrong."""
    with live_monitor(tmp_path_factory.mktemp("unbroken") / "m.sqlite") as monitor:
        send(monitor, SURGE)
        return monitor.snapshot()


def test_the_surge_is_seen(unbroken):
    assert [(alert.topic, alert.state) for alert in unbroken.alerts] == [("app", "open")]
    assert unbroken.num_posts == len(SURGE)


@pytest.mark.parametrize("at", [300, 1900])
def test_a_restart_loses_nothing_and_classifies_nothing_again(tmp_path, unbroken, at):
    with live_monitor(tmp_path / "m.sqlite") as monitor:
        send(monitor, SURGE[:at])
    topic = Counting()
    with live_monitor(tmp_path / "m.sqlite", topic=topic) as monitor:
        assert (monitor.snapshot().num_posts, topic.texts) == (at, [])
        again = send(monitor, SURGE[:at])
        assert (sum(report.duplicates for report in again), topic.texts) == (at, [])
        send(monitor, SURGE[at:])
        assert monitor.snapshot() == unbroken.model_copy(update={"duplicates": at})


def test_a_restart_shows_the_alert_at_once(tmp_path, unbroken):
    with live_monitor(tmp_path / "m.sqlite") as monitor:
        send(monitor, SURGE)
    with live_monitor(tmp_path / "m.sqlite") as monitor:
        assert monitor.snapshot() == unbroken


def test_what_was_learnt_is_kept_now_and_then(tmp_path, unbroken, monkeypatch):
    monkeypatch.setattr("apps.monitoring_run._POSTS_BETWEEN_STATES", 700)
    with live_monitor(tmp_path / "m.sqlite") as monitor:
        send(monitor, SURGE[:2000])
        with contextlib.closing(sqlite3.connect(tmp_path / "m.sqlite")) as database:
            (last_post,) = database.execute("SELECT last_post FROM learnt").fetchone()
    assert 0 < last_post < 2000
    with live_monitor(tmp_path / "m.sqlite") as monitor:
        send(monitor, SURGE[2000:])
        assert monitor.snapshot() == unbroken


@pytest.mark.parametrize(("column", "value"), [("version", 0), ("state", b"damaged"), ("state", zlib.compress(b"{}"))])
def test_what_was_learnt_is_learnt_anew_where_it_cannot_be_used(tmp_path, unbroken, column, value):
    with live_monitor(tmp_path / "m.sqlite") as monitor:
        send(monitor, SURGE[:1500])
    with contextlib.closing(sqlite3.connect(tmp_path / "m.sqlite", isolation_level=None)) as database:
        database.execute(f"UPDATE learnt SET {column} = ?", (value,))  # noqa: S608  # two fixed names
    topic = Counting()
    with live_monitor(tmp_path / "m.sqlite", topic=topic) as monitor:
        send(monitor, SURGE[1500:])
        assert len(topic.texts) == len(SURGE) - 1500
        assert monitor.snapshot() == unbroken


def test_a_monitor_that_is_killed_loses_and_doubles_nothing(tmp_path):
    report = run_kills(tmp_path, count=20, seed=7)
    assert (report.kills, report.lost, report.is_equal, report.is_as_sorted) == (20, 0, True, True)
    assert report.acknowledged > 200


def test_a_text_that_cannot_be_read_is_kept_apart_until_it_can(tmp_path):
    posts = [Post(**make_post(n, "app poison" if n == 7 else f"app {n}")) for n in range(8)]
    with live_monitor(tmp_path / "m.sqlite") as monitor:
        reports = [monitor.observe(posts), monitor.observe(posts[7:])]
        assert [len(report.readings) for report in reports] == [7, 0]
        assert monitor.snapshot().failed == 2
    with contextlib.closing(MonitoringStore(tmp_path / "m.sqlite")) as store:
        assert dead_letters(store) == [("forum", "p7", "ValueError: cannot be read", 2)]
    with live_monitor(tmp_path / "m.sqlite", topic=TOPIC.invoke) as monitor:
        assert len(monitor.observe(posts[7:]).readings) == 1
    with contextlib.closing(MonitoringStore(tmp_path / "m.sqlite")) as store:
        assert dead_letters(store) == []


def test_a_text_that_cannot_be_read_and_comes_again_too_late_is_a_repeat(tmp_path):
    poison = Post(**make_post(3, "poison"))
    with live_monitor(tmp_path / "m.sqlite") as monitor:
        monitor.observe([poison])
        monitor.observe([Post(**make_post(n, f"app {n}")) for n in range(4, 9)])
        report = monitor.observe([poison])
        assert (report.duplicates, report.late, report.failed) == (1, 0, 0)
    with contextlib.closing(MonitoringStore(tmp_path / "m.sqlite")) as store:
        assert [name for _, name, _, _ in dead_letters(store)] == ["p3"]


def test_posts_are_sent_again_after_a_failure_of_the_model(tmp_path, unbroken):
    topic = Counting(word="app")
    topic.error = None
    with live_monitor(tmp_path / "m.sqlite", topic=topic) as monitor:
        send(monitor, SURGE[:1000])
        topic.error = RuntimeError("out of memory")
        with pytest.raises(RuntimeError, match="out of memory"):
            monitor.observe(SURGE[1000:1100])
        topic.error = None
        send(monitor, SURGE[1000:])
        assert monitor.snapshot() == unbroken


def limit_pages(monkeypatch, limit):
    """Let the file of each store have so many pages at most, as on a disk that is full; None lets it grow."""
    seen = []

    def open_noted(path):
        database = MonitoringDatabase(path)
        seen.append(database.connection)
        return database

    monkeypatch.setattr(apps.monitoring_state, "MonitoringDatabase", open_noted)

    def set_limit(pages):
        used = seen[-1].execute("PRAGMA page_count").fetchone()[0]
        seen[-1].execute(f"PRAGMA max_page_count = {used + pages if pages is not None else 10**9}")

    return set_limit


def test_a_full_disk_refuses_and_recovers_without_a_restart(tmp_path, unbroken, monkeypatch):
    set_limit = limit_pages(monkeypatch, None)
    with live_monitor(tmp_path / "m.sqlite") as monitor:
        send(monitor, SURGE[:1000])
        set_limit(2)
        before = monitor.snapshot()
        for _ in range(2):
            with pytest.raises(DiskFullError, match="the disk has no room"):
                monitor.observe(SURGE[1000:1100])
            assert monitor.snapshot() == before
        set_limit(None)
        send(monitor, SURGE[1000:])
        assert monitor.snapshot() == unbroken
    assert explain_error(DiskFullError("the disk has no room for /home/x")).status == 507


def test_a_full_disk_answers_507_and_reads_go_on(tmp_path, monkeypatch):
    (tmp_path / SETTINGS_NAME).write_text("")
    set_limit = limit_pages(monkeypatch, None)
    chain = build_monitoring_chain(topic=TOPIC, sentiment=SENTIMENT)
    with TestClient(create_app(load_settings(tmp_path), applications=Applications(monitoring=chain))) as client:
        posts = [make_post(n, f"app {n} " + "x" * 500) for n in range(100)]
        assert client.post("/v1/posts", json={"posts": posts[:5]}).status_code == 200
        set_limit(0)
        reply = client.post("/v1/posts", json={"posts": posts})
        assert (reply.status_code, reply.json()["title"]) == (507, "The disk is full")
        assert str(tmp_path) not in reply.text
        assert client.get("/v1/alerts").json()["num_posts"] == 5
        set_limit(None)
        outcomes = [post["outcome"] for post in client.post("/v1/posts", json={"posts": posts}).json()["posts"]]
        assert outcomes == ["duplicate"] * 5 + ["counted"] * 95


def test_ids_of_two_sources_are_two_posts(tmp_path):
    (tmp_path / SETTINGS_NAME).write_text("")
    chain = build_monitoring_chain(topic=TOPIC, sentiment=SENTIMENT)
    with TestClient(create_app(load_settings(tmp_path), applications=Applications(monitoring=chain))) as client:
        posts = [make_post(1, "app", id="1", source=source) for source in ("forum", "news", "forum")]
        reply = client.post("/v1/posts", json={"posts": posts}).json()
        assert [post["outcome"] for post in reply["posts"]] == ["counted", "counted", "duplicate"]


def test_the_recorded_stream_is_classified_once(tmp_path):
    stream = RecordedStream(tmp_path / "stream.jsonl")
    rows = [make_post(n, f"app {n}") for n in range(300)]
    stream.path.write_text("\n".join(json.dumps(row) for row in rows[:200]), "utf-8")
    counts = []
    for _ in range(2):
        topic = Counting()
        with live_monitor(
            tmp_path / "m.sqlite", topic=topic, read_history=stream.read, stamp_history=stream.stamp
        ) as monitor:
            counts.append((len(topic.texts), monitor.snapshot().num_posts, monitor.snapshot().duplicates))
    stream.path.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    topic = Counting()
    with live_monitor(tmp_path / "m.sqlite", topic=topic, read_history=stream.read, stamp_history=stream.stamp):
        counts.append(len(topic.texts))
    assert counts == [(200, 200, 0), (0, 200, 0), 100]


def test_silence_raises_the_alert_of_a_live_stream(tmp_path):
    start = MONDAY + timedelta(days=15)
    now = [start]
    quiet = make_posts(days=15, per_hour=5)
    burst = [
        Post(id=f"b{n}", source="forum", text=f"terrible app number {n}", time=start + timedelta(seconds=n))
        for n in range(300)
    ]
    with live_monitor(tmp_path / "m.sqlite", clock=lambda: now[0], tick_s=0.02) as monitor:
        send(monitor, quiet)
        now[0] = burst[-1].time
        send(monitor, burst)
        assert monitor.snapshot().alerts == ()
        now[0] += timedelta(minutes=30)
        wait_until(lambda: monitor.snapshot().alerts)
        shown = monitor.snapshot()
    with live_monitor(tmp_path / "m.sqlite", clock=lambda: now[0]) as monitor:
        assert monitor.snapshot() == shown


def test_a_second_server_waits_for_the_file_and_takes_over(tmp_path, monkeypatch):
    monkeypatch.setattr("apps.server.monitor_service._TAKE_OVER_S", 0.02)
    monkeypatch.setattr("apps.server.monitor_service._SETTLING_S", 0.1)
    second = LiveMonitor(build_monitoring_chain(topic=TOPIC, sentiment=SENTIMENT), path=tmp_path / "m.sqlite")
    with live_monitor(tmp_path / "m.sqlite") as first:
        send(first, SURGE[:100])
        second.start()
        with pytest.raises(ProblemError, match="Another server has the monitoring"):
            second.observe(SURGE[100:200])
    try:
        wait_until(lambda: not second.snapshot().loading)
        assert second.observe(SURGE[:200]).duplicates == 100
    finally:
        second.stop()


def test_the_file_is_private_and_checked(tmp_path):
    path = tmp_path / "m.sqlite"
    MonitoringStore(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(WorkspaceError, match="later version of TuneChain"):
        MonitoringStore(path)
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(MonitoringFileError, match="cannot be used"):
        MonitoringStore(path)


def test_a_file_that_cannot_be_used_is_said_and_stops_nothing_else(tmp_path, caplog):
    (tmp_path / "m.sqlite").write_bytes(b"no database" * 1000)
    monitor = LiveMonitor(build_monitoring_chain(topic=TOPIC, sentiment=SENTIMENT), path=tmp_path / "m.sqlite")
    monitor.start()
    try:
        with pytest.raises(ProblemError, match="the log of the server says why"):
            monitor.observe(SURGE[:1])
        assert "file is not a database" in caplog.text
    finally:
        monitor.stop()


def test_a_backup_holds_the_state_of_a_monitor_that_works(tmp_path, unbroken):
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / SETTINGS_NAME).write_text("")
    settings = load_settings(folder)
    with live_monitor(settings.monitoring_file) as monitor:
        send(monitor, SURGE)
        back_up(settings, tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "new")
    with live_monitor(load_settings(tmp_path / "new").monitoring_file) as monitor:
        assert monitor.snapshot() == unbroken


def test_posts_older_than_eight_weeks_are_forgotten(tmp_path):
    with live_monitor(tmp_path / "m.sqlite") as monitor:
        send(monitor, [Post(**make_post(72 * day, f"app {day}")) for day in range(100)][:30])
        monitor.observe([Post(**make_post(72 * 30, "poison"))])
        send(monitor, [Post(**make_post(72 * day, f"app {day}")) for day in range(100)][31:])
    with contextlib.closing(MonitoringStore(tmp_path / "m.sqlite")) as store:
        kept = sum(len(stretch.posts) for stretch in store.replay(after=0))
        assert 56 <= kept <= 60
        assert len(MonitoringView(store.database).read_trend(["app"]).points) <= 57
        assert dead_letters(store) == []
