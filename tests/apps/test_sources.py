"""Sources that a monitor reads by itself: nothing is lost or counted twice, whatever fails on the way."""

import contextlib
import io
import json
import logging
import os
import random
import sys
import threading
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from apps import watching
from apps.applications import Applications
from apps.cli import app
from apps.errors import MissingExtraError, SettingsError, SourceError
from apps.monitoring_state import MonitoringStore
from apps.post_batches import pace, read_file_batches, read_live_batches
from apps.server.app import create_app
from apps.server.monitor_service import LiveMonitor
from apps.settings import SETTINGS_NAME, load_settings
from apps.sources.addresses import open_source
from apps.sources.folder import FolderSource
from apps.sources.reading import SourceReader
from apps.sources.redis_stream import RedisSource
from apps.sources.source import PostBatch
from chains.monitoring import Alert, MonitoringReport, build_monitoring_chain
from retrievers import utc_now
from tests.apps.sources import POSTS, counted, monitor_of, rows_of
from tests.apps.workspaces import write_jsonl
from tests.chains.monitoring.streams import SENTIMENT, TOPIC, make_posts
from tests.reliability.redis_servers import run_redis
from tests.waiting import wait_until


def alerts_of(monitor):
    shown = monitor.snapshot(with_trend=False).alerts
    return tuple(Alert(**alert.model_dump(include=set(Alert.model_fields))) for alert in shown)


# --- one stream, five ways


@pytest.fixture(scope="module")
def arrivals():
    """Posts with a surge, shuffled within the lateness; some are hours late, come again, or are dated ahead."""
    chance = random.Random(8)
    posts = make_posts(days=20, per_hour=5, surge_at_h=17 * 24)
    arrivals = sorted(posts, key=lambda post: post.time.timestamp() + chance.uniform(0, 600))
    for number in range(20):
        at = chance.randrange(300, len(arrivals))
        late = arrivals[at]
        arrivals.insert(at, arrivals[at - 200])
        arrivals.insert(at, late.model_copy(update={"id": f"late {number}", "time": late.time - timedelta(hours=9)}))
        ahead = {"id": f"ahead {number}", "time": utc_now() + timedelta(days=900)}
        arrivals.insert(at, late.model_copy(update=ahead))
    return arrivals


@pytest.fixture(scope="module")
def watched(arrivals, tmp_path_factory):
    """What a watched file brings, before its end is known."""
    path = write_jsonl(tmp_path_factory.mktemp("watched") / "stream.jsonl", rows_of(arrivals))
    return watch(read_file_batches(path, print))


def watch(batches):
    session = build_monitoring_chain(topic=TOPIC, sentiment=SENTIMENT).open_session()
    report = MonitoringReport.merge(session.observe(posts) for posts in batches)
    assert (report.late, report.future, report.duplicates) == (20, 20, 20)
    assert [alert.topic for alert in report.alerts] == ["app"]
    return report


def test_standard_input_brings_what_a_file_brings(arrivals, watched):
    lines = "".join(f"{json.dumps(row)}\n" for row in rows_of(arrivals))
    assert watch(read_live_batches(io.StringIO(lines), print)) == watched


def test_http_brings_what_a_file_brings(tmp_path, arrivals, watched):
    (tmp_path / SETTINGS_NAME).write_text("[server]\nrequests_per_minute = 60000\nburst = 1000\n")
    chain = build_monitoring_chain(topic=TOPIC, sentiment=SENTIMENT)
    with TestClient(create_app(load_settings(tmp_path), applications=Applications(monitoring=chain))) as client:
        wait_until(lambda: not client.get("/v1/alerts?trend=false").json()["loading"])
        for at in range(0, len(arrivals), 7):  # fewer hours than a late post is late: a request is put in order of time
            assert client.post("/v1/posts", json={"posts": rows_of(arrivals[at : at + 7])}).status_code == 200
        shown = client.get("/v1/alerts").json()
    told = [Alert.model_validate({name: alert[name] for name in Alert.model_fields}) for alert in shown["alerts"]]
    assert (tuple(told), shown["num_posts"]) == (watched.alerts, len(watched.readings))
    assert (shown["late"], shown["future"], shown["duplicates"]) == (20, 20, 20)


def test_a_folder_brings_what_a_file_brings(tmp_path, arrivals, watched):
    for number, at in enumerate(range(0, len(arrivals), 500)):
        write_jsonl(tmp_path / f"{number}.jsonl", rows_of(arrivals[at : at + 500]))
    with monitor_of(tmp_path / "m.sqlite", FolderSource(tmp_path, settled_s=0, poll_s=0.01)) as monitor:
        wait_until(lambda: counted(monitor) == len(watched.readings))
        assert alerts_of(monitor) == watched.alerts


def test_redis_brings_what_a_file_brings_though_both_are_stopped_on_the_way(tmp_path, arrivals, watched):
    num_counted = len(watched.readings)
    with run_redis() as server:
        with server.client.pipeline() as pipeline:
            for post in arrivals:
                pipeline.xadd("posts", post.model_dump(mode="json"))
            pipeline.execute()
        for limit in (300, 900, num_counted):
            source = RedisSource(server.url, stream="posts", group="monitor")
            with monitor_of(tmp_path / "m.sqlite", source) as monitor:
                wait_until(lambda monitor=monitor, limit=limit: counted(monitor) >= limit)
                if limit == num_counted:
                    wait_until(lambda: server.client.xpending("posts", "monitor")["pending"] == 0)
                    shown = monitor.snapshot(with_trend=False)
                    assert alerts_of(monitor) == watched.alerts
            server.kill()
            server.start()
        assert (shown.num_posts, shown.late, shown.future) == (num_counted, 20, 20)


# --- folders


def test_a_file_that_grows_is_read_again_and_counts_once(tmp_path):
    source = FolderSource(tmp_path, settled_s=0, poll_s=0.01)
    write_jsonl(tmp_path / "a.jsonl", rows_of(POSTS[:2]))
    (tmp_path / ".hidden.jsonl").write_text("half a li")
    (tmp_path / "readme.txt").write_text("no posts")
    (tmp_path / "broken.json").write_text("{")
    with monitor_of(tmp_path / "m.sqlite", source) as monitor:
        wait_until(lambda: counted(monitor) == 2)
        write_jsonl(tmp_path / "a.jsonl", rows_of(POSTS[:4]))
        write_jsonl(tmp_path / "b.jsonl", rows_of(POSTS[3:]))
        wait_until(lambda: counted(monitor) == 6)
        assert monitor.snapshot().duplicates == 0
    with contextlib.closing(MonitoringStore(tmp_path / "m.sqlite")) as store:
        stopping = threading.Event()
        timer = threading.Timer(0.1, stopping.set)
        timer.start()
        assert all(batch.is_empty for batch in source.batches(store.read_position, stopping))  # all was read before


def test_a_file_that_is_still_written_to_is_left_alone(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", rows_of(POSTS))
    stopping = threading.Event()
    threading.Timer(0.1, stopping.set).start()
    batches = list(FolderSource(tmp_path, settled_s=3600, poll_s=0.01).batches(lambda _: None, stopping))
    assert batches
    assert all(batch.is_empty for batch in batches)


def test_a_folder_that_is_not_there_says_so(tmp_path):
    with pytest.raises(SourceError, match="cannot be read"):
        next(FolderSource(tmp_path / "none").batches(lambda _: None, threading.Event()))


# --- any source


class _Listed:
    """A source of some batches."""

    name = "a list"

    def __init__(self, batches):
        self.left, self.committed = list(batches), []

    def batches(self, read_position, stopping):
        while self.left:
            yield self.left[0]
        stopping.wait()

    def commit(self, batch):
        self.committed.append(self.left.pop(0))


def test_a_batch_that_cannot_be_stored_is_tried_again(caplog):
    caplog.set_level(logging.INFO)
    failures, taken, stopping = [OSError("no room")] * 3, [], threading.Event()

    def take(batch):
        if failures:
            raise failures.pop()
        taken.append(batch)

    source = _Listed(PostBatch(posts=(post,)) for post in POSTS)
    reader = SourceReader(source, take=take, read_position=lambda _: None, stopping=stopping, first_wait_s=0.01)
    reader.start()
    wait_until(lambda: len(source.committed) == len(POSTS))
    reader.stop()
    assert [batch.posts[0] for batch in taken] == POSTS
    assert caplog.text.count("no room; it is tried again") == 1
    assert "a list is read again" in caplog.text


class _Failing:
    """A source that fails, is silent, and fails again."""

    name = "a source"

    def __init__(self, script):
        self.script = list(script)

    def batches(self, read_position, stopping):
        while self.script:
            if self.script.pop(0) == "fail":
                msg = "no answer"
                raise SourceError(msg)
            yield PostBatch()
        stopping.wait()

    def commit(self, batch):
        raise AssertionError


def test_each_failure_is_told_once_though_nothing_came_in_between(caplog):
    source, stopping = _Failing(["fail", "fail", "fail", "silent", "fail", "silent"]), threading.Event()
    reader = SourceReader(source, take=None, read_position=lambda _: None, stopping=stopping, first_wait_s=0.01)
    reader.start()
    wait_until(lambda: not source.script)
    reader.stop()
    assert caplog.text.count("no answer; it is tried again") == 2


@pytest.mark.parametrize(
    "address", ["ftp://host/x", "redis://host:6379/0", "http://", "redis://host:99999/0?stream=a", "", "unix://?x=1"]
)
def test_an_address_that_names_no_source_is_refused_without_being_shown(tmp_path, address):
    with pytest.raises(SettingsError, match=r"folder|stream"):
        open_source(address, workspace=tmp_path)
    (tmp_path / SETTINGS_NAME).write_text(f'[monitoring]\nsources = ["{address}"]\n')
    with pytest.raises(SettingsError, match=r"monitoring\.sources"):
        load_settings(tmp_path)


def test_a_password_in_an_address_is_not_shown(tmp_path):
    (tmp_path / SETTINGS_NAME).write_text('[monitoring]\nsources = ["redis://:hunter2@host"]\n')
    with pytest.raises(SettingsError) as error:
        load_settings(tmp_path)
    assert "hunter2" not in str(error.value)
    (tmp_path / SETTINGS_NAME).write_text('[monitoring]\nsources = ["redis://:hunter2@host?stream=a"]\n')
    assert "hunter2" not in repr(load_settings(tmp_path))


def test_workspaces_do_not_take_each_others_posts(tmp_path):
    address = "redis://host:6379/0?stream=a"
    groups = {open_source(address, workspace=tmp_path / name)._group for name in ("one", "two")}
    assert len(groups) == 2
    assert open_source(f"{address}&group=mine", workspace=tmp_path)._group == "mine"


@pytest.mark.parametrize(
    ("address", "package"), [("https://example.org/rss", "feedparser"), ("redis://host/0?stream=a", "redis")]
)
def test_a_missing_package_is_named(tmp_path, monkeypatch, address, package):
    for module in ("apps.sources.feed", "apps.sources.redis_stream"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=f"pip install {package}"):
        open_source(address, workspace=tmp_path)


def test_a_server_reads_the_sources_of_its_settings(tmp_path):
    (tmp_path / SETTINGS_NAME).write_text('[monitoring]\nsources = ["incoming"]\n')
    (tmp_path / "incoming").mkdir()
    write_jsonl(tmp_path / "incoming" / "a.jsonl", rows_of(POSTS))
    os.utime(tmp_path / "incoming" / "a.jsonl", (0, 0))
    chain = build_monitoring_chain(topic=TOPIC, sentiment=SENTIMENT)
    with TestClient(create_app(load_settings(tmp_path), applications=Applications(monitoring=chain))) as client:
        wait_until(lambda: client.get("/v1/alerts?trend=false").json()["num_posts"] == len(POSTS))


def test_a_server_without_a_package_takes_posts_and_says_so(tmp_path, monkeypatch, caplog):
    (tmp_path / SETTINGS_NAME).write_text('[monitoring]\nsources = ["redis://host/0?stream=a"]\n')
    monkeypatch.delitem(sys.modules, "apps.sources.redis_stream", raising=False)
    monkeypatch.setitem(sys.modules, "redis", None)
    chain = build_monitoring_chain(topic=TOPIC, sentiment=SENTIMENT)
    with TestClient(create_app(load_settings(tmp_path), applications=Applications(monitoring=chain))) as client:
        assert client.post("/v1/posts", json={"posts": rows_of(POSTS)}).status_code == 200
        assert "No source of posts is read" in str(client.get("/readyz").json()["problems"])
    assert "pip install redis" in caplog.text


def test_a_watched_folder_is_kept_in_the_workspace(tmp_path, monkeypatch):
    posts = make_posts(days=18, per_hour=5, surge_at_h=17 * 24)
    (tmp_path / SETTINGS_NAME).write_text("")
    path = write_jsonl(tmp_path / "incoming" / "a.jsonl", rows_of(posts))
    os.utime(path, (0, 0))
    chain = build_monitoring_chain(topic=TOPIC, sentiment=SENTIMENT)
    monkeypatch.setattr(watching, "build_monitoring", lambda _: chain)
    monkeypatch.setattr(LiveMonitor, "join", lambda monitor: wait_until(lambda: counted(monitor) == len(posts)))
    words = ["watch", str(path.parent), "-w", str(tmp_path)]
    shown, again = (CliRunner().invoke(app, words, catch_exceptions=False) for _ in range(2))
    assert "open · app" in shown.stdout
    assert f"{len(posts)} counted" in shown.stderr
    assert again.stdout == ""


@pytest.mark.parametrize("words", [["-", "--sort"], ["-", "--speed", "2"], ["https://127.0.0.1/rss", "--sort"]])
def test_what_goes_on_can_neither_be_sorted_nor_replayed(tmp_path, words):
    (tmp_path / SETTINGS_NAME).write_text("")
    result = CliRunner().invoke(app, ["watch", *words, "-w", str(tmp_path)])
    assert (result.exit_code, "--sort and --speed are for files" in " ".join(result.output.split())) == (2, True)


def test_a_replay_keeps_the_pace_of_the_posts():
    posts = make_posts(days=0.5)
    assert [post for batch in pace([posts[:10], posts[10:]], 1e9) for post in batch] == posts
    batches = list(pace([posts[:2]], (posts[1].time - posts[0].time).total_seconds() / 0.05))
    assert batches == [[posts[0]], [posts[1]]]
