"""The log of events: each is kept once, what was acknowledged stays, and a full disk takes nothing."""

import contextlib
import multiprocessing
import sqlite3
import stat
import threading
from datetime import UTC, datetime, timedelta

import pytest

from apps.errors import DiskFullError, EventFileError, WorkspaceError
from apps.event_log import EventLog
from apps.event_recorder import EventRecorder, LiveRecord, judge_comments
from retrievers import Event, Interactions

START = datetime(2026, 3, 1, tzinfo=UTC)


def make_event(user="anna", item="a1", kind="click", seconds=0.0, **fields):
    return Event(user=user, item=item, event=kind, time=START + timedelta(seconds=seconds), **fields)


@pytest.fixture
def log(tmp_path):
    log = EventLog(tmp_path / "events.sqlite")
    yield log
    log.close()


def test_an_event_is_kept_once_however_often_it_is_sent(log):
    twice = [make_event(), make_event(seconds=0.4)]  # of one second
    assert log.add([*twice, make_event(kind="buy"), make_event(seconds=1)]) == 3
    assert log.add(twice[::-1]) == 0
    assert len(log.history("anna")) == len(log.read()[0]) == 3


def test_what_is_read_is_what_was_written(log):
    events = [
        make_event(kind="comment", text="很好，谢谢", opinion=0.5, seconds=-1),
        make_event(user="安娜", item="x'y"),
    ]
    log.add(events)
    assert log.read()[0] == events
    assert log.history("安娜") == events[1:]
    assert log.history("nobody") == []


def test_what_was_shown_is_kept_with_its_list_and_is_no_part_of_a_taste(log):
    shown = make_event(kind="show", list_id="91f3", place=3, propensity=0.25)
    click = make_event(seconds=60)
    log.add([shown, click])
    assert log.read()[0] == log.history("anna") == [shown, click]
    assert LiveRecord(log, Interactions([click]), 0).history("anna") == [click]


def test_a_log_of_an_earlier_version_is_read_and_grows(tmp_path):
    path = tmp_path / "events.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "CREATE TABLE events (number INTEGER PRIMARY KEY AUTOINCREMENT, user TEXT NOT NULL, item TEXT NOT NULL, "
            "kind TEXT NOT NULL, second INTEGER NOT NULL, time TEXT NOT NULL, text TEXT NOT NULL, opinion REAL, "
            "source TEXT NOT NULL, UNIQUE (user, item, kind, second)) STRICT"
        )
        database.execute("CREATE TABLE files (name TEXT PRIMARY KEY, digest TEXT NOT NULL) STRICT")
        old = make_event()
        row = ("anna", "a1", "click", int(old.time.timestamp()), old.time.isoformat(), "", None, "client")
        database.execute(
            "INSERT INTO events (user, item, kind, second, time, text, opinion, source) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )
        database.execute("PRAGMA user_version = 1")
    shown = make_event(kind="show", list_id="91f3", place=1, propensity=0.5)
    with contextlib.closing(EventLog(path)) as log:
        assert log.history("anna") == [old]
        assert log.add([shown, old]) == 1
    with contextlib.closing(EventLog(path)) as log:
        assert log.history("anna") == [old, shown]


def test_an_empty_log_makes_no_file(log):
    assert log.history("anna") == log.read()[0] == []
    assert log.file_digest("events.csv") == ""
    assert not log.path.exists()


def test_another_reader_sees_what_was_added_since(log):
    log.add([make_event()])
    other = EventLog(log.path)
    _, last = other.read()
    log.add([make_event(item="b2")])
    assert [event.item for event in other.read(after=last)[0]] == ["b2"]
    other.close()


def test_writers_at_once_lose_and_double_nothing(log):
    def write(number):
        for second in range(20):
            log.add([make_event(user=f"u{number}", seconds=second), make_event(user="all", seconds=second)])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(log.read()[0]) == 8 * 20 + 20
    assert all(len(log.history(f"u{number}")) == 20 for number in range(8))


def test_the_file_is_private_durable_and_has_a_format(log):
    log.add([make_event()])
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600
    with sqlite3.connect(log.path) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(WorkspaceError, match="later version"):
        EventLog(log.path).read()


def test_a_full_disk_takes_nothing_and_what_was_there_stays(log):
    log.add([make_event()])
    log._writer.execute(f"PRAGMA max_page_count = {log._writer.execute('PRAGMA page_count').fetchone()[0]}")
    many = [make_event(user=f"u{number}", text="x" * 500, kind="comment") for number in range(200)]
    with pytest.raises(DiskFullError, match="room"):
        log.add(many)
    assert log.read()[0] == [make_event()]
    assert log.add(many) == 200  # the connection was opened anew, as after room was made


def test_a_damaged_file_is_refused(log):
    log.path.write_bytes(b"no database" * 100)
    with pytest.raises(EventFileError, match="cannot be used"):
        log.read()
    with pytest.raises(EventFileError, match="cannot be used"):
        log.add([make_event()])


def test_a_file_that_changed_is_taken_anew_and_events_of_clients_stay(log):
    log.add([make_event(item="sent")])
    log.replace_file("events.csv", "one", [make_event(item="old"), make_event(item="both")])
    log.add([make_event(item="both")])
    log.replace_file("events.csv", "two", [make_event(item="new")])
    assert log.file_digest("events.csv") == "two"
    assert {event.item for event in log.read()[0]} == {"sent", "both", "new"}


def _write_until_killed(path, acknowledged):
    log = EventLog(path)
    for number in range(100_000):
        log.add([make_event(seconds=number), make_event(item="b2", seconds=number)])
        acknowledged.value = number + 1


@pytest.mark.parametrize("pause_s", [0.2, 0.3, 0.4])
def test_what_was_acknowledged_before_a_kill_is_there_once(tmp_path, pause_s):
    context = multiprocessing.get_context("spawn")
    acknowledged = context.Value("l", 0)
    process = context.Process(target=_write_until_killed, args=(tmp_path / "events.sqlite", acknowledged))
    process.start()
    while not acknowledged.value:
        assert process.is_alive()
        process.join(0.01)
    process.join(pause_s)
    process.kill()
    process.join()
    events, _ = EventLog(tmp_path / "events.sqlite").read()
    assert 2 * acknowledged.value <= len(events) <= 2 * acknowledged.value + 2
    assert len(events) % 2 == 0  # a request is there whole or not at all


def make_recorder(log, **changes):
    return EventRecorder(log=log, items={"a1", "b2"}, clock=lambda: START, **changes)


def test_what_is_no_item_or_dated_ahead_is_told_and_not_kept(log):
    events = [make_event(), make_event(), make_event(item="gone"), make_event(seconds=540), make_event(seconds=660)]
    report = make_recorder(log).record(events)
    assert report.model_dump() == {
        "num_recorded": 2,
        "num_repeated": 1,
        "num_future_events": 1,
        "unknown_items": ("gone",),
    }
    assert len(log.history("anna")) == 2


def test_only_comments_without_an_opinion_are_judged_by_their_text():
    events = [
        make_event(kind="comment", text="terrible, broke after a day"),
        make_event(kind="comment", text="terrible", opinion=0.3),
        make_event(kind="comment"),
        make_event(kind="click", text="terrible"),
    ]
    judged = judge_comments(events, lambda texts: [-0.9 for _ in texts])
    assert [event.opinion for event in judged] == [-0.9, 0.3, None, None]


def test_a_record_grows_with_the_log(log):
    log.add([make_event(user="old", seconds=-86_400 * 40)])
    events, last = log.read()
    record = LiveRecord(log, Interactions(events, items=["a1", "b2"]), last)
    assert record.popularity(30, START) == {"a1": 0, "b2": 0}
    log.add([make_event(), make_event(kind="buy"), make_event("old", "b2"), make_event(kind="hide", item="b2")])
    assert record.popularity(30, START) == {"a1": 1, "b2": 1}
    assert record.popularity(None, START) == {"a1": 2, "b2": 1}
    assert [event.event for event in record.history("anna")] == ["click", "buy", "hide"]
