"""Outbox of alerts: what is to be told of them, to whom, and whether it was; part of the file of a monitor."""

import hashlib
import json
import math
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Literal

from apps.monitoring_database import MonitoringDatabase
from chains.monitoring import Alert
from retrievers import utc_now

MAX_TRIES = 5
_WAITS_S = (10.0, 60.0, 300.0, 1800.0)  # after each try but the last
_MAX_TEXT_CHARS = 500  # of a post in a message
_DIGEST = "digest"
_MAX_IN_DIGEST = 200
_PUT = (
    "INSERT OR IGNORE INTO outbox (sink, alert, state, day, message, status, tries, next_try, changed, reason) "
    "VALUES (?, ?, ?, ?, ?, ?, 0, 0, ?, '')"
)
# of one alert the messages are sent in their order
_IN_TURN = (
    "status IN ('waiting', 'sending') AND NOT EXISTS (SELECT 1 FROM outbox WHERE sink = one.sink "
    "AND alert = one.alert AND seq < one.seq AND status IN ('waiting', 'sending'))"
)

Status = Literal["waiting", "sending", "sent", "dead", "held", "digested"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRules:
    """Which alerts are told of.

    Attributes:
        sinks: names of those that are told.
        max_per_day: alerts of a day that get messages of their own; the others come in one digest on the next.
        max_age: an alert that changed longer ago is no news: it comes from a recorded stream.
        zone: whose days count.
        clock: the present time.
    """

    sinks: tuple[str, ...] = ()
    max_per_day: int = 20
    max_age: timedelta | None = timedelta(hours=24)
    zone: tzinfo = UTC
    clock: Callable[[], datetime] = utc_now


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What one sink is told of one alert in one state, or of all that had no message of their own on a day.

    Attributes:
        seq: its number in the outbox.
        sink: who is told.
        key: the same whenever it is sent again.
        body: plain values, to be sent as JSON.
        tries: how often it was sent before.
        may_be_repeat: whether a kill may have come between sending it and noting so.
    """

    seq: int
    sink: str
    key: str
    body: dict[str, Any]
    tries: int = 0
    may_be_repeat: bool = False


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one message."""

    seq: int
    sink: str
    alert: str
    state: str
    status: Status
    tries: int
    reason: str


def put_messages(database: sqlite3.Connection, alerts: Iterable[Alert], rules: OutboxRules) -> None:
    """Put what is to be told of alerts into the outbox, within a transaction that also keeps the alerts."""
    now = rules.clock()
    fresh = [alert for alert in alerts if rules.max_age is None or now - alert.changed_at <= rules.max_age]
    day = f"{now.astimezone(rules.zone):%Y-%m-%d}"
    for alert in fresh:
        state = _name_state(alert)
        body = json.dumps(_describe(alert, state), ensure_ascii=False)
        for sink in rules.sinks:
            status = "held" if _is_held(database, sink, alert, day, rules.max_per_day) else "waiting"
            database.execute(_PUT, (sink, alert.id, state, day, body, status, now.timestamp()))


def _name_state(alert: Alert) -> str:
    if alert.state == "closed":
        return "closed"
    return f"escalated {alert.escalations}" if alert.escalations else "open"


def _describe(alert: Alert, state: str) -> dict[str, Any]:
    values = alert.model_dump(mode="json", exclude={"causes", "state"})
    causes = [
        {"source": cause.source, "time": cause.time.isoformat(), "text": cause.text[:_MAX_TEXT_CHARS]}
        for cause in alert.causes
    ]
    return {**values, "state": state.partition(" ")[0], "causes": causes}


def _is_held(database: sqlite3.Connection, sink: str, alert: Alert, day: str, most: int) -> bool:
    """Return whether the day's messages are used up; what follows a held message is held too."""
    earlier = database.execute(
        "SELECT status FROM outbox WHERE sink = ? AND alert = ? ORDER BY seq LIMIT 1", (sink, alert.id)
    ).fetchone()
    if earlier is not None:
        return earlier[0] in ("held", "digested")
    (count,) = database.execute(
        "SELECT count(DISTINCT alert) FROM outbox WHERE sink = ? AND day = ? AND alert != ? "
        "AND status NOT IN ('held', 'digested')",
        (sink, day, _DIGEST),
    ).fetchone()
    return bool(count >= most)


def message_key(alert: str, state: str) -> str:
    """Return what a message on an alert in a state is known by, to every sink and whenever it is sent."""
    return hashlib.sha256(f"{alert}\0{state}".encode("utf-8", "backslashreplace")).hexdigest()[:32]


class AlertOutbox:
    """The messages that wait, were sent, or could not be.

    Args:
        database: of the monitor.
        clock: the present time.
        zone: whose days digests are made of.
    """

    def __init__(
        self, database: MonitoringDatabase, *, clock: Callable[[], datetime] = utc_now, zone: tzinfo = UTC
    ) -> None:
        self._database = database
        self._clock = clock
        self._zone = zone

    def make_digests(self) -> int:
        """Put one message for all that were held back on each day that is over into the outbox; return how many."""
        today = f"{self._clock().astimezone(self._zone):%Y-%m-%d}"
        days = self._database.read("SELECT DISTINCT sink, day FROM outbox WHERE status = 'held' AND day < ?", today)
        for sink, day in days:
            with self._database.transaction() as database:
                held = database.execute(
                    "SELECT message FROM outbox WHERE status = 'held' AND sink = ? AND day = ? ORDER BY seq",
                    (sink, day),
                ).fetchall()
                listed = [json.loads(message) for (message,) in held]
                short = [
                    {name: alert[name] for name in ("id", "topic", "state", "reason")}
                    for alert in listed[:_MAX_IN_DIGEST]
                ]
                body = {
                    "id": f"{_DIGEST} {day}",
                    "state": _DIGEST,
                    "day": day,
                    "num_alerts": len(held),
                    "alerts": short,
                }
                text = json.dumps(body, ensure_ascii=False)
                database.execute(_PUT, (sink, _DIGEST, day, today, text, "waiting", self._now_s()))
                database.execute(
                    "UPDATE outbox SET status = 'digested' WHERE status = 'held' AND sink = ? AND day = ?", (sink, day)
                )
        return len(days)

    def take(self, sinks: Sequence[str]) -> Message | None:
        """Return the next message that is due, noted as being sent; of one alert no later one comes before it.

        Args:
            sinks: that can be told now.
        """
        marks = ", ".join("?" * len(sinks))
        with self._database.transaction() as database:
            row = database.execute(
                "SELECT seq, sink, alert, state, message, status, tries FROM outbox AS one "  # noqa: S608  # fixed parts
                f"WHERE {_IN_TURN} AND next_try <= ? AND sink IN ({marks}) ORDER BY next_try, seq LIMIT 1",
                (self._now_s(), *sinks),
            ).fetchone()
            if row is None:
                return None
            seq, sink, alert, state, message, status, tries = row
            database.execute(
                "UPDATE outbox SET status = 'sending', tries = tries + 1, changed = ? WHERE seq = ?",
                (self._now_s(), seq),
            )
        return Message(
            seq=seq,
            sink=sink,
            key=message_key(alert, state),
            body=json.loads(message),
            tries=tries,
            may_be_repeat=status == "sending",
        )

    def note_sent(self, message: Message) -> None:
        """Note that a message was sent."""
        self._set(message.seq, "sent", "")

    def note_failed(self, message: Message, reason: str) -> None:
        """Note that a message could not be sent: it waits longer each time, and is dead after the fifth."""
        tries = message.tries + 1
        if tries >= MAX_TRIES:
            self._set(message.seq, "dead", reason)
        else:
            self._set(message.seq, "waiting", reason, wait_s=_WAITS_S[tries - 1])

    def retry_dead(self) -> int:
        """Let dead messages be tried again from the beginning; return how many."""
        with self._database.transaction() as database:
            return database.execute(
                "UPDATE outbox SET status = 'waiting', tries = 0, next_try = 0 WHERE status = 'dead'"
            ).rowcount

    def next_wait_s(self, sinks: Sequence[str]) -> float:
        """Return the seconds until a message to one of these sinks is due; infinite where none waits."""
        marks = ", ".join("?" * len(sinks))
        query = f"SELECT min(next_try) FROM outbox AS one WHERE {_IN_TURN} AND sink IN ({marks})"  # noqa: S608  # fixed
        ((due,),) = self._database.read(query, *sinks)
        return math.inf if due is None else max(0.0, due - self._now_s())

    def deliveries(self, *, alert: str | None = None, status: Status | None = None, most: int = 200) -> list[Delivery]:
        """Return what became of messages, the latest first."""
        rows = self._database.read(
            "SELECT seq, sink, alert, state, status, tries, reason FROM outbox "
            "WHERE (?1 IS NULL OR alert = ?1) AND (?2 IS NULL OR status = ?2) ORDER BY seq DESC LIMIT ?3",
            alert,
            status,
            most,
        )
        return [Delivery(*row) for row in rows]

    def count(self, status: Status) -> int:
        """Return how many messages are in a state."""
        ((number,),) = self._database.read("SELECT count(*) FROM outbox WHERE status = ?", status)
        return int(number)

    def _set(self, seq: int, status: Status, reason: str, *, wait_s: float = 0.0) -> None:
        with self._database.transaction() as database:
            database.execute(
                "UPDATE outbox SET status = ?, reason = ?, changed = ?, next_try = ? WHERE seq = ?",
                (status, reason, self._now_s(), self._now_s() + wait_s, seq),
            )

    def _now_s(self) -> float:
        return self._clock().timestamp()
