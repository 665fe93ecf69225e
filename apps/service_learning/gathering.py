"""Messages of a log put together to conversations, whatever their order in the file, in bounded memory."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from apps.service_learning.assembling import MAX_MESSAGES
from apps.service_learning.raw import RawConversation, RawMessage

_TABLES = """
    CREATE TABLE messages (conversation TEXT, line INTEGER, time REAL, speaker TEXT, text TEXT);
    CREATE TABLE details (conversation TEXT, name TEXT, value TEXT, PRIMARY KEY (conversation, name)) WITHOUT ROWID;
"""
# an index after the rows, not with each: without one every conversation would be looked for in all messages
_INDEX = "CREATE INDEX IF NOT EXISTS by_conversation ON messages (conversation, line)"
_IN_ORDER = "SELECT conversation FROM messages GROUP BY conversation ORDER BY MIN(line)"
_MESSAGES = "SELECT line, time, speaker, text FROM messages WHERE conversation = ? ORDER BY line"
_DETAILS = "SELECT name, value FROM details WHERE conversation = ?"
_BATCH = 5_000


class MessageGathering:
    """Messages in a file that the system deletes by itself, so that neither memory nor disk keeps them.

    Args:
        source: the log.
        gap: a longer silence begins a new conversation, where the log marks none; None where it does.
    """

    def __init__(self, source: str, *, gap: timedelta | None = None) -> None:
        self._source = source
        self._gap = gap
        self._database = sqlite3.connect("")  # a temporary file without a name
        self._database.executescript(_TABLES)
        self._waiting: list[tuple[Any, ...]] = []

    def __enter__(self) -> "MessageGathering":
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def add(self, conversation: str, message: RawMessage) -> None:
        """Keep a message."""
        time = message.time.timestamp() if message.time else None
        text = message.text.encode("utf-8", "surrogatepass")  # SQLite's own texts hold no halves of characters
        self._waiting.append((_storable(conversation), message.line, time, _storable(message.speaker), text))
        if len(self._waiting) >= _BATCH:
            self._write()

    def set_detail(self, conversation: str, name: str, value: str) -> None:
        """Keep what a row says of its whole conversation; the last row counts."""
        if value:
            self._database.execute(
                "INSERT OR REPLACE INTO details VALUES (?, ?, ?)", (_storable(conversation), name, _storable(value))
            )

    def conversations(self) -> Iterator[tuple[RawConversation, dict[str, str]]]:
        """Yield the conversations in the order of their first lines, with what rows said of them.

        Of one with too many messages only as many are held as tell that.
        """
        self._write()
        self._database.execute(_INDEX)
        for (name,) in self._database.execute(_IN_ORDER):
            details = dict(self._database.execute(_DETAILS, (name,)))
            for number, part in enumerate(self._parts(self._database.execute(_MESSAGES, (name,)))):
                suffix = f" ({number + 1})" if number else ""
                yield RawConversation(f"{name}{suffix}", self._source, part[0].line, part), details

    def _parts(self, rows: Iterator[tuple[Any, ...]]) -> Iterator[list[RawMessage]]:
        part: list[RawMessage] = []
        for line, seconds, speaker, text in rows:
            time = None if seconds is None else datetime.fromtimestamp(seconds, UTC)
            message = RawMessage(speaker, text.decode("utf-8", "surrogatepass"), time, line)
            if part and self._gap and time and part[-1].time and abs(time - part[-1].time) > self._gap:
                yield part
                part = []
            if len(part) <= MAX_MESSAGES:  # one more tells that there are too many
                part.append(message)
        if part:
            yield part

    def _write(self) -> None:
        self._database.executemany("INSERT INTO messages VALUES (?, ?, ?, ?, ?)", self._waiting)
        self._waiting.clear()


def _storable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
