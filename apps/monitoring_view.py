"""What people read in the state of a monitor, by page and filter, and what they judge of its alerts."""

import contextlib
import json
import math
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar

from filelock import Timeout
from pydantic import BaseModel, ConfigDict, Field

from apps.errors import UnknownAlertError
from apps.monitoring_database import KEPT_S, MonitoringDatabase
from apps.monitoring_state import NUMBERS, MonitoringStore
from chains.monitoring import ENTITY_PREFIX, Alert, Cause, Post, TrendPoint
from retrievers import utc_now

MAX_POINTS = 500  # of the trend of one topic
_MAX_ALL_POINTS = 4_000  # of one reply
_MAX_TREND_BYTES = 650_000
_POINT_BYTES = 200  # of one as JSON, without the name of its topic
_MAX_ALERT_BYTES = 250_000
_MAX_CAUSE_CHARS = 500  # of a post in a list
_HOUR_S = 3600
_STEPS_H = (1, 3, 6, 12, 24, 48, 96, 192, 384, 768, 1536)  # each divides the next, as the page adds them up
_PRECISION_DAYS = 90
_MAX_REVIEWED = 50  # posts of one rejected alert
_MAX_SUBJECTS = 1_000
_END_OF_SEQ = 2**63  # SQLite counts no further
MAX_CHOICES = 300  # of sources, and of topics, to filter posts by

Verdict = Literal["confirmed", "rejected"]
AnyAlert = TypeVar("AnyAlert", bound=Alert)
AlertFilter = Literal["all", "new", "confirmed", "rejected"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ShownAlert(Alert):
    """An alert, with what people made of it; in lists its posts are cut at 500 characters."""

    verdict: Verdict | None = Field(default=None, description="None while nobody has judged it.")
    judge: str | None = Field(default=None, description="Who has judged it.")


class Precision(_Frozen):
    """How many of the alerts that were judged in the last 90 days were right."""

    confirmed: int = 0
    rejected: int = 0
    days: int = _PRECISION_DAYS
    precision: float | None = Field(default=None, description="None while none was judged.")


class Subject(_Frozen):
    """A topic or company, with its posts of the last eight weeks."""

    topic: str
    posts: int
    negative: int


class TrendView(_Frozen):
    """Counts over time, in steps so wide that there are not too many."""

    step_hours: int
    points: tuple[TrendPoint, ...]


class FeedPost(_Frozen):
    """A post that counted, with what it was taken for."""

    source: str
    id: str
    time: datetime
    text: str
    topic: str
    sentiment: str
    is_copy: bool = Field(description="Whether its text repeats that of another post.")
    entities: tuple[str, ...] = Field(default=(), description="Companies that it names.")


class FeedPage(_Frozen):
    """Posts, the latest first."""

    posts: tuple[FeedPost, ...]
    next: str | None = Field(description="What to pass as `after` for the next page; None after the last one.")


class FeedFilter(_Frozen):
    """Which posts are shown; what is not given does not matter."""

    topic: str | None = None
    entity: str | None = None
    source: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class DeadLetter(_Frozen):
    """A post whose text a classifier cannot read."""

    source: str
    id: str
    reason: str
    tries: int


def open_beside(path: Path) -> MonitoringDatabase:
    """Return a connection to the file of a monitor, of an earlier format too, beside a server that may have it open."""
    with contextlib.suppress(Timeout):  # where a server has it open, its format is the present one
        MonitoringStore(path).close()
    return MonitoringDatabase(path, owns_format=False)


class MonitoringView:
    """Reads the state of a monitor, beside the process that writes it.

    Args:
        database: a connection of its own, or that of the monitor where all is in memory.
    """

    def __init__(self, database: MonitoringDatabase) -> None:
        self._database = database

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    # --- alerts

    def read_alerts(
        self,
        *,
        most: int = 200,
        before: str | None = None,
        judged: AlertFilter = "all",
        max_bytes: int = _MAX_ALERT_BYTES,
    ) -> tuple[list[ShownAlert], str | None]:
        """Return the latest alerts, oldest first, and the id to pass as `before` for the ones before them.

        Args:
            most: how many.
            before: id of the alert before which they were raised.
            judged: `new` for those that nobody has judged.
            max_bytes: what they take as JSON; one comes in any case.

        Raises:
            UnknownAlertError: if there is no alert `before`.
        """
        with self._database.reading() as database:
            return _read_alerts(database, most=most, before=before, judged=judged, max_bytes=max_bytes)

    def read_alert(self, name: str) -> ShownAlert:
        """Return one alert, with the whole texts of its posts.

        Raises:
            UnknownAlertError: if there is none of this id.
        """
        rows = self._database.read(f"{_ALERTS} WHERE id = ?", name)
        if not rows:
            msg = f"there is no alert {name!r}; `tunechain monitor alerts` lists them"
            raise UnknownAlertError(msg)
        return _to_alert(rows[0])

    def read_surroundings(self, alert: Alert, *, max_points: int = 96) -> TrendView:
        """Return the trend of an alert's topic from two days before it until a day after it."""
        since = alert.since - timedelta(days=2)
        until = (alert.closed_at or alert.changed_at + timedelta(days=2)) + timedelta(days=1)
        return self.read_trend([alert.topic], since=since, until=until, max_points=max_points)

    def judge(self, name: str, verdict: Verdict | None, *, judge: str) -> ShownAlert:
        """Keep what somebody thinks of an alert, in place of an earlier verdict; None takes it back.

        The posts of a rejected alert go to the rows that are to be looked at again, those of a confirmed one do not.

        Raises:
            UnknownAlertError: if there is no such alert.
        """
        alert = self.read_alert(name)
        with self._database.transaction() as database:
            database.execute("DELETE FROM review WHERE alert = ?", (name,))
            if verdict is None:
                database.execute("DELETE FROM verdicts WHERE alert = ?", (name,))
            else:
                now_s = utc_now().timestamp()
                database.execute("INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?)", (name, verdict, judge, now_s))
            if verdict == "rejected":
                database.executemany(
                    "INSERT OR IGNORE INTO review VALUES (?, ?, ?, ?, ?, ?)", _find_rows(database, alert)
                )
        return self.read_alert(name)

    def read_precision(self) -> Precision:
        """Return how many of the alerts that were judged in the last 90 days were right."""
        since_s = (utc_now() - timedelta(days=_PRECISION_DAYS)).timestamp()
        counts = dict(
            self._database.read("SELECT verdict, count(*) FROM verdicts WHERE time >= ? GROUP BY verdict", since_s)
        )
        confirmed, rejected = counts.get("confirmed", 0), counts.get("rejected", 0)
        judged = confirmed + rejected
        return Precision(confirmed=confirmed, rejected=rejected, precision=confirmed / judged if judged else None)

    def read_review(self) -> list[dict[str, str]]:
        """Return the posts of rejected alerts, as rows of labelled.csv that a person is to correct."""
        rows = self._database.read("SELECT text, topic, sentiment, alert FROM review ORDER BY alert, rowid")
        return [dict(zip(("text", "topic", "sentiment", "alert"), row, strict=True)) for row in rows]

    # --- counts

    def read_numbers(self) -> dict[str, int]:
        """Return how many posts were counted, late, in the future, repeated, and failed."""
        return dict.fromkeys(NUMBERS, 0) | dict(self._database.read("SELECT name, value FROM numbers"))

    def read_subjects(self) -> list[Subject]:
        """Return topics and companies with posts in the last eight weeks, most posts first."""
        rows = self._database.read(
            "SELECT topic, sum(posts), sum(negative) FROM hours WHERE start > (SELECT max(start) FROM hours) - ? "
            "GROUP BY topic ORDER BY 2 DESC, 1 LIMIT ?",
            KEPT_S,
            _MAX_SUBJECTS,
        )
        return [Subject(topic=topic, posts=posts, negative=negative) for topic, posts, negative in rows]

    def read_trend(
        self,
        topics: Sequence[str] | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        max_points: int = MAX_POINTS,
    ) -> TrendView:
        """Return the trend, in steps so wide that no topic has more than `max_points` and the reply stays small.

        Args:
            topics: default: those with the most posts.
            since: default: eight weeks before the latest post.
            until: default: the latest post.
            max_points: of one topic.
        """
        with self._database.reading() as database:
            return _read_trend(database, topics, since=since, until=until, max_points=max_points)

    # --- posts

    def read_feed(self, wanted: FeedFilter, *, most: int = 50, after: str | None = None) -> FeedPage:
        """Return the latest posts that counted.

        Args:
            wanted: which.
            most: how many.
            after: what an earlier page gave as `next`.

        Raises:
            ValueError: if `after` is no such thing.
        """
        query, values = _feed_query(wanted, after)
        rows = self._database.read(f"{query} LIMIT ?", *values, most + 1)
        posts = [_to_feed_post(row) for row in rows[:most]]
        last = rows[most - 1] if len(rows) > most else None
        return FeedPage(posts=tuple(posts), next=None if last is None else f"{last[1]!r}_{last[0]}")

    def read_sources(self) -> list[str]:
        """Return the sources of posts."""
        rows = self._database.read(
            "WITH RECURSIVE found (name) AS (SELECT min(source) FROM posts UNION ALL "
            "SELECT (SELECT min(source) FROM posts WHERE source > name) FROM found WHERE name IS NOT NULL) "
            "SELECT name FROM found WHERE name IS NOT NULL LIMIT ?",
            MAX_CHOICES,
        )
        return [name for (name,) in rows]

    # --- texts that cannot be read

    def read_dead_letters(self, *, most: int = 200) -> list[DeadLetter]:
        """Return the posts whose text a classifier cannot read, the latest first."""
        rows = self._database.read(
            "SELECT source, id, reason, tries FROM dead_letter ORDER BY time DESC, source, id LIMIT ?", most
        )
        return [
            DeadLetter(source=source, id=name, reason=reason[:_MAX_CAUSE_CHARS], tries=tries)
            for source, name, reason, tries in rows
        ]

    def read_dead_posts(self, *, most: int = 1_000) -> list[Post]:
        """Return these posts themselves, oldest first."""
        rows = self._database.read(
            "SELECT source, id, time, text FROM dead_letter ORDER BY time, source, id LIMIT ?", most
        )
        return [
            Post(source=source, id=name, time=datetime.fromisoformat(time), text=text)
            for source, name, time, text in rows
        ]


_ALERTS = "SELECT alerts.alert, verdict, judge FROM alerts LEFT JOIN verdicts ON verdicts.alert = alerts.id"
_JUDGED = {
    "all": "",
    "new": " AND verdict IS NULL",
    "confirmed": " AND verdict = 'confirmed'",
    "rejected": " AND verdict = 'rejected'",
}


def _read_alerts(
    database: sqlite3.Connection, *, most: int, before: str | None, judged: AlertFilter, max_bytes: int
) -> tuple[list[ShownAlert], str | None]:
    query, values = f"{_ALERTS} WHERE 1{_JUDGED[judged]}", []
    if before is not None:
        found = database.execute("SELECT raised_at, id FROM alerts WHERE id = ?", (before,)).fetchone()
        if found is None:
            msg = f"there is no alert {before!r}"
            raise UnknownAlertError(msg)
        query += " AND (raised_at, id) < (?, ?)"
        values += found
    rows = database.execute(f"{query} ORDER BY raised_at DESC, id DESC LIMIT ?", (*values, most + 1)).fetchall()
    shown: list[ShownAlert] = []
    size = 0
    for row in rows[:most]:
        alert = cut_causes(_to_alert(row))
        size += len(alert.model_dump_json().encode("utf-8", "replace"))
        if shown and size > max_bytes:
            break
        shown.append(alert)
    is_last = len(shown) == len(rows)
    return shown[::-1], None if is_last else shown[-1].id


def _to_alert(row: tuple[str, Verdict | None, str | None]) -> ShownAlert:
    values, verdict, judge = row
    return ShownAlert.model_validate({**json.loads(values), "verdict": verdict, "judge": judge})


def cut_causes(alert: AnyAlert) -> AnyAlert:
    """Return an alert for a list, whose posts may be long."""
    return alert.model_copy(update={"causes": tuple(map(_cut, alert.causes))})


def fit_alerts(alerts: Iterable[AnyAlert], *, max_bytes: int = 800_000) -> tuple[AnyAlert, ...]:
    """Return alerts for a reply that must hold all of them: once there is no room, they come without their posts."""
    shown: list[AnyAlert] = []
    size = 0
    for alert in map(cut_causes, alerts):
        size += len(alert.model_dump_json().encode("utf-8", "replace"))
        shown.append(alert if size <= max_bytes else alert.model_copy(update={"causes": ()}))
    return tuple(shown)


def _cut(cause: Cause) -> Cause:
    if len(cause.text) <= _MAX_CAUSE_CHARS:
        return cause
    return cause.model_copy(update={"text": f"{cause.text[: _MAX_CAUSE_CHARS - 1]}…"})


def _find_rows(database: sqlite3.Connection, alert: Alert) -> list[tuple[str, str, str, str, str, str]]:
    """Return the posts that speak for an alert, and others of its time that count as negative."""
    wanted = _subject_filter(alert.topic).model_copy(
        update={"since": alert.since, "until": alert.closed_at or alert.changed_at}
    )
    query, values = _feed_query(wanted, None)
    negatives = database.execute(f"{query} LIMIT 1000", values).fetchall()
    posts = [_to_feed_post(row) for row in negatives]
    named = {(cause.source, cause.id) for cause in alert.causes}
    told = [post for post in posts if (post.source, post.id) in named]
    labels = {post.sentiment for post in told}
    others = [
        post for post in posts if (post.source, post.id) not in named and post.sentiment in labels and not post.is_copy
    ]
    chosen = [*told, *others][:_MAX_REVIEWED]
    return [(post.source, post.id, post.text, post.topic, post.sentiment, alert.id) for post in chosen]


def _subject_filter(topic: str) -> FeedFilter:
    if topic.startswith(ENTITY_PREFIX):
        return FeedFilter(entity=topic.removeprefix(ENTITY_PREFIX))
    return FeedFilter(topic=topic)


def _read_trend(
    database: sqlite3.Connection,
    topics: Sequence[str] | None,
    *,
    since: datetime | None,
    until: datetime | None,
    max_points: int,
) -> TrendView:
    (newest,) = database.execute("SELECT max(start) FROM hours").fetchone()
    (oldest,) = database.execute("SELECT min(start) FROM hours").fetchone()  # two queries use the index, one does not
    if newest is None:
        return TrendView(step_hours=1, points=())
    first = max(newest - KEPT_S, oldest - 1) if since is None else since.timestamp() - 1
    last = newest if until is None else min(newest, until.timestamp())
    names = _choose_topics(database, first, topics)
    longest = max((len(json.dumps(name).encode()) for name in names), default=0)
    most = min(_MAX_ALL_POINTS, _MAX_TREND_BYTES // (_POINT_BYTES + longest))
    names = names[:most]
    per_topic = max(1, min(max_points, MAX_POINTS, most // max(1, len(names))))
    step_h = next((step for step in _STEPS_H if (last - first) / (step * _HOUR_S) < per_topic - 1), _STEPS_H[-1])
    step = step_h * _HOUR_S
    rows = database.execute(
        "SELECT topic, start - start % ?1 AS step, sum(posts), sum(negative), sum(neutral), sum(positive), "
        "sum(copies), sum(baseline_share * posts) / nullif(sum(posts * (baseline_share IS NOT NULL)), 0), "
        "max(baseline_share) FROM hours "
        "WHERE topic IN (SELECT value FROM json_each(?2)) AND start > ?3 AND start <= ?4 "
        "GROUP BY topic, step ORDER BY step, topic",
        (step if step_h > 1 else 1, json.dumps(names), first, last),
    ).fetchall()
    return TrendView(step_hours=step_h, points=tuple(_to_point(*row) for row in rows))


def _choose_topics(database: sqlite3.Connection, first: float, topics: Sequence[str] | None) -> list[str]:
    if topics is not None:
        return list(dict.fromkeys(topics))
    rows = database.execute(
        "SELECT topic FROM hours WHERE start > ? GROUP BY topic ORDER BY sum(posts) DESC, topic", (first,)
    )
    return [name for (name,) in rows]


def _to_point(
    topic: str,
    start: int,
    posts: int,
    negative: int,
    neutral: int,
    positive: int,
    copies: int,
    baseline_share: float | None,
    any_share: float | None,
) -> TrendPoint:
    share = any_share if baseline_share is None else baseline_share
    return TrendPoint(
        topic=topic,
        start=datetime.fromtimestamp(start, UTC),
        posts=posts,
        negative=negative,
        neutral=neutral,
        positive=positive,
        copies=copies,
        baseline_share=None if share is None else round(share, 4),
    )


def _feed_query(wanted: FeedFilter, after: str | None) -> tuple[str, list[Any]]:
    """Return a query for posts, the latest first, without its limit, and its values."""
    conditions: list[tuple[str, Iterable[Any]]] = [("+topic_name IS NOT NULL", ())]  # not to be looked up by
    time = "posts.time"
    table = "posts"
    if wanted.entity is not None:
        table, time = "entity_posts CROSS JOIN posts USING (seq)", "entity_posts.time"
        conditions.append(("entity_posts.entity = ?", (wanted.entity,)))
    for column, value in (("topic_name", wanted.topic), ("source", wanted.source)):
        if value is not None:
            conditions.append((f"{column} = ?", (value,)))
    if wanted.since is not None:
        conditions.append((f"{time} >= ?", (wanted.since.timestamp(),)))
    if wanted.until is not None:
        conditions.append((f"{time} < ?", (wanted.until.timestamp(),)))
    if after is not None:
        at_s, _, seq = after.partition("_")
        place = float(at_s), int(seq)
        if not (math.isfinite(place[0]) and 0 <= place[1] < _END_OF_SEQ):
            msg = f"no place between posts: {after!r}"
            raise ValueError(msg)
        conditions.append((f"({time}, seq) < (?, ?)", place))
    where = " AND ".join(condition for condition, _ in conditions)
    query = (
        f"SELECT seq, {time} AS time, source, id, post, topic_name, sentiment_name, is_copy, entities "  # noqa: S608
        f"FROM {table} WHERE {where} ORDER BY {time} DESC, seq DESC"
    )
    return query, [value for _, values in conditions for value in values]


def _to_feed_post(row: tuple[Any, ...]) -> FeedPost:
    _, time_s, source, name, post, topic, sentiment, is_copy, entities = row
    return FeedPost(
        source=source,
        id=name,
        time=datetime.fromtimestamp(time_s, UTC),
        text=json.loads(post)["text"],
        topic=topic,
        sentiment=sentiment,
        is_copy=bool(is_copy),
        entities=tuple(json.loads(entities or "[]")),
    )
