"""Posts of a file and of standard input come in the same order, in batches, in bounded memory."""

import io
import json
import os
import random
import threading
import tracemalloc

import pytest

from apps.post_batches import gather, read_file_batches, read_live_batches
from apps.server.monitor_service import LiveMonitor
from chains.monitoring import Alert, MonitoringReport, Post, build_monitoring_chain
from llms.errors import DataFileError
from tests.apps.conftest import make_post
from tests.apps.workspaces import write_jsonl
from tests.chains.monitoring.streams import SENTIMENT, TOPIC, make_posts


def rows_of(posts):
    return [post.model_dump(mode="json") for post in posts]


def as_text(rows):
    return "".join(row if isinstance(row, str) else f"{json.dumps(row)}\n" for row in rows)


def read_all(batches):
    return [post for batch in batches for post in batch]


def watch(batches):
    session = build_monitoring_chain(topic=TOPIC, sentiment=SENTIMENT).open_session()
    reports = [session.observe(posts) for posts in batches]
    return MonitoringReport.merge([*reports, session.finish()])


def test_a_file_and_standard_input_give_the_same(tmp_path):
    chance = random.Random(5)
    posts = make_posts(days=20, per_hour=5, surge_at_h=17 * 24)
    shuffled = sorted(posts, key=lambda post: post.time.timestamp() + chance.uniform(0, 14_400))  # many are late
    rows = rows_of(shuffled)
    rows[100:100] = ["{\n", "no json\n"]
    path = tmp_path / "stream.jsonl"
    path.write_text(as_text(rows), "utf-8")
    told = [], []
    from_file = watch(read_file_batches(path, told[0].extend))
    from_input = watch(read_live_batches(io.StringIO(as_text(rows)), told[1].extend))
    one_by_one = watch([post] for post in shuffled)
    assert from_file == from_input == one_by_one
    assert from_file.late > 50
    assert [alert.topic for alert in from_file.alerts] == ["app"]
    assert told[0] == told[1]
    assert [row.line for row in told[0]] == [101, 102]


def test_a_server_finds_the_same_as_a_watched_file(tmp_path):
    chance = random.Random(6)
    posts = make_posts(days=20, per_hour=5, surge_at_h=17 * 24)
    shuffled = sorted(posts, key=lambda post: post.time.timestamp() + chance.uniform(0, 600))
    path = write_jsonl(tmp_path / "stream.jsonl", rows_of(shuffled))
    chain = build_monitoring_chain(topic=TOPIC, sentiment=SENTIMENT)
    session = chain.open_session()
    watched = MonitoringReport.merge(map(session.observe, read_file_batches(path, print)))
    monitor = LiveMonitor(chain, path=tmp_path / "m.sqlite")
    monitor.start()
    try:
        for at in range(0, len(shuffled), 70):
            monitor.observe(shuffled[at : at + 70])
        shown = monitor.snapshot()
    finally:
        monitor.stop()
    alerts = tuple(Alert(**alert.model_dump(include=set(Alert.model_fields))) for alert in shown.alerts)
    assert (alerts, shown.num_posts) == (watched.alerts, len(posts))
    assert _as_counts(shown.trend) == _as_counts(watched.trend)
    assert len(shown.alerts) == 1


def _as_counts(trend):
    """Return the points of a trend with shares as a server shows them: of four digits."""
    shares = [point.baseline_share for point in trend]
    return [
        (point.model_copy(update={"baseline_share": None}), share and round(share, 4))
        for point, share in zip(trend, shares, strict=True)
    ]


def test_texts_of_standard_input_are_classified_in_batches():
    batches = list(read_live_batches(io.StringIO(as_text(rows_of(make_posts(days=10, per_hour=5)))), print))
    assert max(map(len, batches)) == 256
    assert len(batches) < 30


def test_a_file_can_be_put_in_order_of_time(tmp_path):
    posts = make_posts(days=2)
    path = write_jsonl(tmp_path / "newest_first.jsonl", rows_of(posts[::-1]))
    assert read_all(read_file_batches(path, print)) == posts[::-1]
    assert read_all(read_file_batches(path, print, in_order_of_time=True)) == posts


@pytest.mark.parametrize(
    ("name", "encode"),
    [
        ("stream.json", lambda rows: json.dumps(rows).encode()),
        ("stream.jsonl", lambda rows: json.dumps(rows, indent=1).encode()),
        ("stream.jsonl", lambda rows: as_text(rows).encode("utf-16")),
        ("stream.jsonl", lambda rows: as_text(rows).encode("utf-8-sig")),
        ("stream.jsonl", lambda rows: b"\n" + as_text(rows).encode()),
    ],
)
def test_other_forms_of_files_are_read_too(tmp_path, name, encode):
    posts = make_posts(days=1)
    (tmp_path / name).write_bytes(encode(rows_of(posts)))
    assert read_all(read_file_batches(tmp_path / name, print)) == posts


@pytest.mark.parametrize("content", [None, "", "{}\n" * 20, as_text([*["no json\n"] * 9, make_post(1, "app")])])
def test_a_file_of_something_else_is_refused(tmp_path, content):
    path = tmp_path / "stream.jsonl"
    if content is not None:
        path.write_text(content, "utf-8")
    with pytest.raises(DataFileError):
        read_all(read_file_batches(path, print))


def test_memory_does_not_grow_with_the_file(tmp_path):
    path = tmp_path / "stream.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number in range(20_000):
            file.write(json.dumps(make_post(number, "app " * 200)) + "\n")
    tracemalloc.start()
    count = sum(map(len, read_file_batches(path, print)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (count, peak < 4_000_000 < path.stat().st_size) == (20_000, True)


def test_silence_gives_empty_batches_and_what_came_is_given_at_once():
    reading, writing = os.pipe()
    go_on = threading.Event()

    def write():
        with os.fdopen(writing, "w", encoding="utf-8") as out:
            out.write(as_text([make_post(1, "app"), make_post(2, "应用")]))
            out.flush()
            go_on.wait(60)
            out.write(as_text([make_post(3, "app")]))

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(reading, encoding="utf-8") as stream:
        batches = read_live_batches(stream, print, tick_s=0.1)
        assert [post.text for post in next(batches)] == ["app", "应用"]
        assert next(batches) == []
        go_on.set()
        assert [post.id for post in read_all(batches)] == ["p3"]
    writer.join()


def test_an_error_of_the_reader_is_raised():
    def fail():
        yield Post(**make_post(1, "app"))
        msg = "no such disk"
        raise OSError(msg)

    batches = gather(fail(), tick_s=1.0)
    assert len(next(batches)) == 1
    with pytest.raises(OSError, match="no such disk"):
        next(batches)
