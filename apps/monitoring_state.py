"""State of a live monitor in one SQLite file: posts with their readings, alerts, trend, numbers, and what it learnt."""

import contextlib
import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

from filelock import FileLock

from apps.errors import DiskFullError, MonitoringFileError
from apps.sqlite_files import check_format, connect_private
from chains.monitoring import Alert, MonitoringReport, Post, Reading, SetAside, TrendPoint

_FORMAT = 1  # of the file
_STATE_VERSION = 1  # of what the monitor learnt; raised when it cannot be loaded any more
_KEPT_S = timedelta(weeks=8).total_seconds()
_FORGOTTEN_AT_ONCE = 50_000  # rows; more would hold the posts up that come meanwhile
_REPLAYED_AT_ONCE = 2_000

_TABLES = """
CREATE TABLE IF NOT EXISTS posts (seq INTEGER PRIMARY KEY, source TEXT NOT NULL, id TEXT NOT NULL, time REAL NOT NULL,
    post TEXT NOT NULL, topic TEXT, sentiment TEXT, UNIQUE (source, id)) STRICT;
CREATE INDEX IF NOT EXISTS posts_by_time ON posts (time);
CREATE TABLE IF NOT EXISTS marks (seq INTEGER PRIMARY KEY, last_post INTEGER NOT NULL, watermark REAL NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS alerts (id TEXT PRIMARY KEY, raised_at REAL NOT NULL, alert TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS trend (topic TEXT NOT NULL, start REAL NOT NULL, point TEXT NOT NULL,
    PRIMARY KEY (start, topic)) STRICT;
CREATE TABLE IF NOT EXISTS numbers (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS dead_letter (source TEXT NOT NULL, id TEXT NOT NULL, time TEXT NOT NULL, text TEXT NOT NULL,
    reason TEXT NOT NULL, tries INTEGER NOT NULL, PRIMARY KEY (source, id)) STRICT;
CREATE TABLE IF NOT EXISTS learnt (place INTEGER PRIMARY KEY CHECK (place = 0), last_post INTEGER NOT NULL,
    version INTEGER NOT NULL, state BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS read_files (name TEXT PRIMARY KEY, stamp TEXT NOT NULL) STRICT;
"""
_Row = tuple[str, str, float, str, str | None, str | None]
_NUMBERS = ("counted", "late", "future", "duplicates", "failed")


@dataclass(frozen=True, slots=True)
class Replay:
    """A stretch of posts that came before, as the monitor has to take them again."""

    posts: tuple[Post, ...]
    readings: tuple[Reading, ...]
    watermark_s: float


class MonitoringStore:
    """What a live monitor must not lose; one process has it open at a time.

    All that a part of the stream changes is written in one transaction, so that a post counts once or not at all.
    What the monitor learnt is kept now and then; from there its posts are taken again.

    Args:
        path: of the file, which is made if it is not there; without one nothing is kept.

    Raises:
        MonitoringFileError: if it is no such file; any method may raise it.
        DiskFullError: if the disk is full; what was stored before is intact.
        filelock.Timeout: if another process has it open.

    Example:
        >>> with contextlib.closing(MonitoringStore()) as store:
        ...     post = Post(id="1", source="forum", text="The app is down", time="2026-03-02T09:30:00Z")
        ...     store.find_known([post])
        set()
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock: FileLock | None = None
        if path is not None:
            # not of one thread: it is closed in another one than it is opened in
            self._lock = FileLock(f"{path}.lock", blocking=False, thread_local=False)
            self._lock.acquire()
        try:
            with self._explained():
                self._open()
        except BaseException:
            self._release()
            raise

    def _open(self) -> None:
        if self._path is None:
            self._database = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        else:
            self._database = connect_private(self._path, isolation_level=None)
            check_format(self._path, self._database, _FORMAT)
        self._database.executescript(_TABLES)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()

    # --- writing

    def add(self, posts: Sequence[Post], report: MonitoringReport, *, watermark_s: float) -> None:
        """Keep all that posts brought; once this returns, it is on the disk.

        Args:
            posts: in the order in which the monitor took them.
            report: what they brought.
            watermark_s: what the stream has come to with them.
        """
        rows = _find_rows(posts, report)
        failed = [_to_dead_letter(item) for item in report.set_aside if item.reason == "failed"]
        numbers = {"counted": len(report.readings)} | {name: getattr(report, name) for name in _NUMBERS[1:]}
        with self._transaction() as database:
            database.executemany(
                "INSERT INTO posts (source, id, time, post, topic, sentiment) VALUES (?, ?, ?, ?, ?, ?)", rows
            )
            self._put_results(database, report)
            database.executemany(
                "INSERT INTO numbers VALUES (?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value",
                numbers.items(),
            )
            database.executemany(
                "DELETE FROM dead_letter WHERE source = ? AND id = ?", [(source, name) for source, name, *_ in rows]
            )
            database.executemany(
                "INSERT INTO dead_letter VALUES (?, ?, ?, ?, ?, 1) "
                "ON CONFLICT DO UPDATE SET reason = excluded.reason, tries = tries + 1",
                failed,
            )
            if rows:
                _put_mark(database, watermark_s)

    def add_passed_time(self, report: MonitoringReport, *, watermark_s: float) -> None:
        """Keep what a silence brought."""
        with self._transaction() as database:
            self._put_results(database, report)
            _put_mark(database, watermark_s)

    def keep_learnt(self, state: Mapping[str, Any], *, watermark_s: float) -> None:
        """Keep what the monitor has learnt of all posts so far, and forget what is older than eight weeks."""
        packed = zlib.compress(json.dumps(state).encode(), 1)
        with self._transaction() as database:
            database.execute(
                "INSERT OR REPLACE INTO learnt SELECT 0, coalesce(max(seq), 0), ?, ? FROM posts",
                (_STATE_VERSION, packed),
            )
            database.execute("DELETE FROM marks")
            oldest_s = watermark_s - _KEPT_S
            database.execute(
                "DELETE FROM posts WHERE seq IN (SELECT seq FROM posts WHERE time < ? AND seq < "
                "(SELECT max(seq) FROM posts) LIMIT ?)",  # the last one stays: the next must not get its number
                (oldest_s, _FORGOTTEN_AT_ONCE),
            )
            database.execute("DELETE FROM trend WHERE start < ?", (oldest_s,))
            if oldest_s > 0:  # before the first posts there is no watermark
                database.execute("DELETE FROM dead_letter WHERE time < ?", (_to_utc(oldest_s),))

    def note_read(self, name: str, stamp: object) -> None:
        """Note that a file was read to its end."""
        with self._transaction() as database:
            database.execute("INSERT OR REPLACE INTO read_files VALUES (?, ?)", (name, repr(stamp)))

    @staticmethod
    def _put_results(database: sqlite3.Connection, report: MonitoringReport) -> None:
        database.executemany(
            "INSERT OR REPLACE INTO alerts VALUES (?, ?, ?)",
            [(alert.id, alert.raised_at.timestamp(), alert.model_dump_json()) for alert in report.alerts],
        )
        for point in report.trend:
            key = (point.start.timestamp(), point.topic)
            row = database.execute("SELECT point FROM trend WHERE start = ? AND topic = ?", key).fetchone()
            total = point if row is None else TrendPoint.model_validate_json(row[0]) + point
            database.execute(
                "INSERT OR REPLACE INTO trend (start, topic, point) VALUES (?, ?, ?)", (*key, total.model_dump_json())
            )

    # --- reading

    def find_known(self, posts: Iterable[Post]) -> set[tuple[str, str]]:
        """Return source and id of those posts that came before, counted or late."""
        return self._find("SELECT 1 FROM posts WHERE source = ? AND id = ?", posts)

    def find_dead(self, posts: Iterable[Post]) -> set[tuple[str, str]]:
        """Return source and id of those posts whose text could not be read before."""
        return self._find("SELECT 1 FROM dead_letter WHERE source = ? AND id = ?", posts)

    def _find(self, query: str, posts: Iterable[Post]) -> set[tuple[str, str]]:
        with self._explained():
            keys = {post.key for post in posts}
            return {key for key in keys if self._database.execute(query, key).fetchone()}

    def was_read(self, name: str, stamp: object) -> bool:
        """Return whether a file was read to its end as it is now."""
        row = self._read("SELECT stamp FROM read_files WHERE name = ?", name)
        return bool(row) and row[0][0] == repr(stamp)

    def read_alerts(self, *, most: int) -> list[Alert]:
        """Return the latest alerts, oldest first."""
        rows = self._read("SELECT alert FROM alerts ORDER BY raised_at DESC, id DESC LIMIT ?", most)
        return [Alert.model_validate_json(alert) for (alert,) in reversed(rows)]

    def read_trend(self) -> list[TrendPoint]:
        """Return the trend of the last eight weeks."""
        rows = self._read(
            "SELECT point FROM trend WHERE start > (SELECT max(start) FROM trend) - ? ORDER BY start, topic", _KEPT_S
        )
        return [TrendPoint.model_validate_json(point) for (point,) in rows]

    def read_numbers(self) -> dict[str, int]:
        """Return how many posts were counted, late, in the future, repeated, and failed."""
        return dict.fromkeys(_NUMBERS, 0) | dict(self._read("SELECT name, value FROM numbers"))

    def read_dead_letters(self) -> list[tuple[str, str, str, int]]:
        """Return source, id, reason and number of tries of each post whose text a classifier cannot read."""
        return self._read("SELECT source, id, reason, tries FROM dead_letter ORDER BY time, source, id")

    def read_learnt(self) -> tuple[int, Mapping[str, Any] | None]:
        """Return the number of the last post that the monitor had learnt from, and what it had learnt of them all.

        Where that was written by another version or is damaged, the monitor has to learn from all posts again.
        """
        for last_post, state in self._read("SELECT last_post, state FROM learnt WHERE version = ?", _STATE_VERSION):
            with contextlib.suppress(zlib.error, ValueError):
                return last_post, json.loads(zlib.decompress(state))
        return 0, None

    def replay(self, *, after: int) -> Iterator[Replay]:
        """Yield the posts that came after the one of this number, as they came."""
        marks: list[tuple[int, float]] = self._read("SELECT last_post, watermark FROM marks ORDER BY seq")
        last = after
        for last_post, of_one_post in groupby(marks, key=lambda mark: mark[0]):
            *_, (_, watermark_s) = of_one_post
            yield from self._replay_range(last, last_post, watermark_s)
            last = max(last, last_post)
        ((newest,),) = self._read("SELECT coalesce(max(seq), 0) FROM posts")
        yield from self._replay_range(last, newest, float("-inf"))  # where what was learnt of them cannot be used

    def _replay_range(self, after: int, last: int, watermark_s: float) -> Iterator[Replay]:
        query = "SELECT seq, post, topic, sentiment FROM posts WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
        while True:
            rows = self._read(query, after, last, _REPLAYED_AT_ONCE)
            is_last = len(rows) < _REPLAYED_AT_ONCE
            posts = [Post.model_validate_json(post) for _, post, _, _ in rows]
            readings = [
                Reading.model_validate({"post": post, "topic": json.loads(topic), "sentiment": json.loads(sentiment)})
                for post, (_, _, topic, sentiment) in zip(posts, rows, strict=True)
                if topic is not None
            ]
            yield Replay(tuple(posts), tuple(readings), watermark_s if is_last else float("-inf"))
            if is_last:
                return
            after = rows[-1][0]

    def _read(self, query: str, *values: Any) -> list[Any]:
        with self._explained():
            return self._database.execute(query, values).fetchall()

    # --- errors

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._explained():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                msg = f"the disk has no room for {self._path}; nothing of this is stored, what was before is intact"
                raise DiskFullError(msg) from error
            msg = f"the state of monitoring in {self._path} cannot be used: {error}; check the file and the disk"
            raise MonitoringFileError(msg) from error


def _find_rows(posts: Iterable[Post], report: MonitoringReport) -> list[_Row]:
    """Return the posts that count or are late, each once, in the order in which they came."""
    readings = {item.post.key: item for item in report.readings}
    late = {item.post.key for item in report.set_aside if item.reason == "late"}
    unique: dict[tuple[str, str], Post] = {}
    for post in posts:
        unique.setdefault(post.key, post)
    return [_to_row(post, readings.get(key)) for key, post in unique.items() if key in readings or key in late]


def _to_row(post: Post, reading: Reading | None) -> _Row:
    kinds = (None, None) if reading is None else (reading.topic.model_dump_json(), reading.sentiment.model_dump_json())
    return (post.source, post.id, post.time.timestamp(), post.model_dump_json(), *kinds)


def _put_mark(database: sqlite3.Connection, watermark_s: float) -> None:
    query = "INSERT INTO marks (last_post, watermark) SELECT coalesce(max(seq), 0), ? FROM posts"
    database.execute(query, (watermark_s,))


def _to_dead_letter(item: SetAside) -> tuple[str, str, str, str, str]:
    post = item.post
    return post.source, post.id, _to_utc(post.time.timestamp()), _storable(post.text), item.detail


def _to_utc(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="seconds")


def _storable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()  # a lone surrogate may be what is wrong with it
