"""State of a live monitor in one SQLite file: posts with their readings, alerts, trend, numbers, and what it learnt."""

import contextlib
import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from filelock import FileLock

from apps.alert_outbox import OutboxRules, put_messages
from apps.monitoring_database import KEPT_S, MonitoringDatabase
from apps.sources.source import Position
from chains.monitoring import UNKNOWN_TOPIC, MonitoringReport, Post, Reading, SetAside, TrendPoint
from llms import Classification

_STATE_VERSION = 1  # of what the monitor learnt; raised when it cannot be loaded any more
_FORGOTTEN_AT_ONCE = 50_000  # rows; more would hold the posts up that come meanwhile
_REPLAYED_AT_ONCE = 2_000
MAX_TRIES = 5  # of a text that cannot be read, before it is only tried again where somebody asks for it

_Row = tuple[str, str, float, str, str | None, str | None, str | None, str | None, str | None]
NUMBERS = ("counted", "late", "future", "duplicates", "failed")  # of posts, that are added up


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
        rules: which alerts are to be told of, and where; they are put into the outbox with what else they change.

    Attributes:
        database: the connection that it writes with.

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

    def __init__(self, path: Path | None = None, *, rules: OutboxRules | None = None) -> None:
        self._path = path
        self._rules = rules or OutboxRules()
        self._lock: FileLock | None = None
        if path is not None:
            # not of one thread: it is closed in another one than it is opened in
            self._lock = FileLock(f"{path}.lock", blocking=False, thread_local=False)
            self._lock.acquire()
        try:
            self.database = MonitoringDatabase(path)
        except BaseException:
            self._release()
            raise

    def close(self) -> None:
        """Let go of the file."""
        self.database.close()
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()

    # --- writing

    def add(
        self,
        posts: Sequence[Post],
        report: MonitoringReport,
        *,
        watermark_s: float,
        position: Position | None = None,
    ) -> None:
        """Keep all that posts brought; once this returns, it is on the disk.

        Args:
            posts: in the order in which the monitor took them.
            report: what they brought.
            watermark_s: what the stream has come to with them.
            position: how far their source was read with them.
        """
        rows = _find_rows(posts, report)
        failed = [_to_dead_letter(item) for item in report.set_aside if item.reason == "failed"]
        numbers = {"counted": len(report.readings)} | {name: getattr(report, name) for name in NUMBERS[1:]}
        with self.database.transaction() as database:
            database.executemany(
                "INSERT INTO posts (source, id, time, post, topic, sentiment, topic_name, sentiment_name, entities) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            database.executemany(
                "INSERT INTO entity_posts SELECT ?, time, seq FROM posts WHERE source = ? AND id = ?",
                [(entity, *item.post.key) for item in report.readings for entity in item.entities],
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
            if position is not None:
                database.execute("INSERT OR REPLACE INTO read_files VALUES (?, ?)", (position.name, position.value))

    def add_passed_time(self, report: MonitoringReport, *, watermark_s: float) -> None:
        """Keep what a silence brought."""
        with self.database.transaction() as database:
            self._put_results(database, report)
            _put_mark(database, watermark_s)

    def keep_learnt(self, state: Mapping[str, Any], *, watermark_s: float) -> None:
        """Keep what the monitor has learnt of all posts so far, and forget what is older than eight weeks."""
        packed = zlib.compress(json.dumps(state).encode(), 1)
        with self.database.transaction() as database:
            database.execute(
                "INSERT OR REPLACE INTO learnt SELECT 0, coalesce(max(seq), 0), ?, ? FROM posts",
                (_STATE_VERSION, packed),
            )
            database.execute("DELETE FROM marks")
            oldest_s = watermark_s - KEPT_S
            database.execute(
                "DELETE FROM posts WHERE seq IN (SELECT seq FROM posts WHERE time < ? AND seq < "
                "(SELECT max(seq) FROM posts) LIMIT ?)",  # the last one stays: the next must not get its number
                (oldest_s, _FORGOTTEN_AT_ONCE),
            )
            database.execute(
                "DELETE FROM entity_posts WHERE seq NOT IN (SELECT seq FROM posts) AND time < ?", (oldest_s,)
            )
            database.execute("DELETE FROM hours WHERE start < ?", (oldest_s,))
            database.execute("DELETE FROM outbox WHERE status = 'sent' AND changed < ?", (oldest_s,))
            if oldest_s > 0:  # before the first posts there is no watermark
                database.execute("DELETE FROM dead_letter WHERE time < ?", (_to_utc(oldest_s),))

    def note_read(self, name: str, stamp: object) -> None:
        """Note that a file was read to its end."""
        with self.database.transaction() as database:
            database.execute("INSERT OR REPLACE INTO read_files VALUES (?, ?)", (name, repr(stamp)))

    def _put_results(self, database: sqlite3.Connection, report: MonitoringReport) -> None:
        database.executemany(
            "INSERT OR REPLACE INTO alerts VALUES (?, ?, ?)",
            [(alert.id, alert.raised_at.timestamp(), alert.model_dump_json()) for alert in report.alerts],
        )
        put_messages(database, report.alerts, self._rules)
        database.executemany(
            "INSERT INTO hours VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
            "posts = posts + excluded.posts, negative = negative + excluded.negative, "
            "neutral = neutral + excluded.neutral, positive = positive + excluded.positive, "
            "copies = copies + excluded.copies, baseline_share = coalesce(excluded.baseline_share, baseline_share)",
            [_to_hour(point) for point in report.trend],
        )
        database.executemany("UPDATE posts SET is_copy = 1 WHERE source = ? AND id = ?", report.copies)

    # --- reading

    def find_known(self, posts: Iterable[Post]) -> set[tuple[str, str]]:
        """Return source and id of those posts that came before, counted or late."""
        return self._find("SELECT 1 FROM posts WHERE source = ? AND id = ?", posts)

    def find_dead(self, posts: Iterable[Post], *, min_tries: int = 1) -> set[tuple[str, str]]:
        """Return source and id of those posts whose text could not be read before, so often at least."""
        query = "SELECT 1 FROM dead_letter WHERE source = ? AND id = ? AND tries >= "
        return self._find(f"{query}{min_tries:d}", posts)

    def _find(self, query: str, posts: Iterable[Post]) -> set[tuple[str, str]]:
        keys = {post.key for post in posts}
        with self.database.reading() as database:
            return {key for key in keys if database.execute(query, key).fetchone()}

    def read_position(self, name: str) -> str | None:
        """Return how far a part of a source was read, or None if it never was."""
        rows = self.database.read("SELECT stamp FROM read_files WHERE name = ?", name)
        return rows[0][0] if rows else None

    def was_read(self, name: str, stamp: object) -> bool:
        """Return whether a file was read to its end as it is now."""
        return self.read_position(name) == repr(stamp)

    def read_learnt(self) -> tuple[int, Mapping[str, Any] | None]:
        """Return the number of the last post that the monitor had learnt from, and what it had learnt of them all.

        Where that was written by another version or is damaged, the monitor has to learn from all posts again.
        """
        for last_post, state in self.database.read(
            "SELECT last_post, state FROM learnt WHERE version = ?", _STATE_VERSION
        ):
            with contextlib.suppress(zlib.error, ValueError):
                return last_post, json.loads(zlib.decompress(state))
        return 0, None

    def replay(self, *, after: int) -> Iterator[Replay]:
        """Yield the posts that came after the one of this number, as they came."""
        marks: list[tuple[int, float]] = self.database.read("SELECT last_post, watermark FROM marks ORDER BY seq")
        last = after
        for last_post, of_one_post in groupby(marks, key=lambda mark: mark[0]):
            *_, (_, watermark_s) = of_one_post
            yield from self._replay_range(last, last_post, watermark_s)
            last = max(last, last_post)
        ((newest,),) = self.database.read("SELECT coalesce(max(seq), 0) FROM posts")
        yield from self._replay_range(last, newest, float("-inf"))  # where what was learnt of them cannot be used

    def _replay_range(self, after: int, last: int, watermark_s: float) -> Iterator[Replay]:
        query = (
            "SELECT seq, post, topic, sentiment, entities FROM posts WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
        )
        while True:
            rows = self.database.read(query, after, last, _REPLAYED_AT_ONCE)
            is_last = len(rows) < _REPLAYED_AT_ONCE
            posts = [Post.model_validate_json(post) for _, post, *_ in rows]
            readings = [
                Reading(
                    post=post,
                    topic=Classification.model_validate_json(topic),
                    sentiment=Classification.model_validate_json(sentiment),
                    entities=tuple(json.loads(entities or "[]")),
                )
                for post, (_, _, topic, sentiment, entities) in zip(posts, rows, strict=True)
                if topic is not None
            ]
            yield Replay(tuple(posts), tuple(readings), watermark_s if is_last else float("-inf"))
            if is_last:
                return
            after = rows[-1][0]


def _find_rows(posts: Iterable[Post], report: MonitoringReport) -> list[_Row]:
    """Return the posts that count or are late, each once, in the order in which they came."""
    readings = {item.post.key: item for item in report.readings}
    late = {item.post.key for item in report.set_aside if item.reason == "late"}
    unique: dict[tuple[str, str], Post] = {}
    for post in posts:
        unique.setdefault(post.key, post)
    return [_to_row(post, readings.get(key)) for key, post in unique.items() if key in readings or key in late]


def _to_row(post: Post, reading: Reading | None) -> _Row:
    common = (post.source, post.id, post.time.timestamp(), post.model_dump_json())
    if reading is None:
        return (*common, None, None, None, None, None)
    topic, sentiment = reading.topic, reading.sentiment
    return (
        *common,
        topic.model_dump_json(),
        sentiment.model_dump_json(),
        topic.label if topic.accepted else UNKNOWN_TOPIC,
        sentiment.label,
        json.dumps(reading.entities, ensure_ascii=False) if reading.entities else None,
    )


def _to_hour(point: TrendPoint) -> tuple[str, int, int, int, int, int, int, float | None]:
    counts = (point.posts, point.negative, point.neutral, point.positive, point.copies)
    return (point.topic, int(point.start.timestamp()), *counts, point.baseline_share)


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
