"""Feedback on single answers, in one SQLite file, for a later review."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from apps.errors import FeedbackFileError
from apps.private_files import make_private

Thumb = Literal["up", "down"]

_COLUMNS = ("owner", "conversation", "turn", "rated_by", "thumb", "correction", "time")
_TABLE = (
    "CREATE TABLE IF NOT EXISTS feedback (owner TEXT NOT NULL, conversation TEXT NOT NULL, turn TEXT NOT NULL, "
    "rated_by TEXT NOT NULL, thumb TEXT NOT NULL, correction TEXT, time TEXT NOT NULL, "
    "PRIMARY KEY (owner, conversation, turn, rated_by)) STRICT"
)
_PUT = f"INSERT OR REPLACE INTO feedback ({', '.join(_COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?, ?)"  # noqa: S608  # fixed
_GET = f"SELECT {', '.join(_COLUMNS)} FROM feedback ORDER BY time, owner, conversation, turn"  # noqa: S608  # fixed


class Feedback(BaseModel):
    """What one person thought of one answer.

    The words of question and answer are not repeated here: `Conversations.turns` has them under `owner`,
    `conversation` and `turn`, until the conversation is deleted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    owner: str = Field(description="Whose conversation it is.")
    conversation: str
    turn: str = Field(description="The id of the assistant's turn.")
    rated_by: str
    thumb: Thumb
    correction: str | None = Field(default=None, description="What would have been right.")
    time: datetime


class FeedbackStore:
    """The feedback of a workspace, in one SQLite file that is made with the first thumb.

    Of one person and one answer the last thumb counts. What was put is on the disk.

    Example:
        >>> import tempfile
        >>> store = FeedbackStore(Path(tempfile.mkdtemp()) / "feedback.sqlite")
        >>> store.put(owner="anna", conversation="c1", turn="m1/reply", rated_by="anna", thumb="up")
        >>> store.put(owner="anna", conversation="c1", turn="m1/reply", rated_by="anna", thumb="down")
        >>> [(feedback.owner, feedback.thumb) for feedback in store.read()]
        [('anna', 'down')]
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    def put(
        self, *, owner: str, conversation: str, turn: str, rated_by: str, thumb: Thumb, correction: str | None = None
    ) -> None:
        """Keep a thumb, in place of an earlier one.

        Raises:
            FeedbackFileError: if the file cannot be used; any method may raise it.
        """
        row = (owner, conversation, turn, rated_by, thumb, correction, datetime.now(UTC).isoformat())
        with self._open() as database, database:
            database.execute(_PUT, row)

    def read(self) -> list[Feedback]:
        """Return all feedback, the oldest first."""
        if not self._path.exists():
            return []
        with self._open() as database:
            rows = database.execute(_GET).fetchall()
        return [Feedback.model_validate(dict(zip(_COLUMNS, row, strict=True))) for row in rows]

    def delete(self, owner: str, conversation: str) -> None:
        """Delete what was said about a conversation; none is left in the file."""
        self._delete("owner = ? AND conversation = ?", owner, conversation)

    def of_person(self, name: str) -> list[Feedback]:
        """Return what was said about somebody's conversations, or by them."""
        return [feedback for feedback in self.read() if name in (feedback.owner, feedback.rated_by)]

    def delete_person(self, name: str) -> None:
        """Delete what was said about somebody's conversations, and by them; none is left in the file."""
        self._delete("owner = ? OR rated_by = ?", name, name)

    def delete_before(self, time: datetime) -> None:
        """Delete what was said earlier; none is left in the file."""
        self._delete("time < ?", time.astimezone(UTC).isoformat())

    def _delete(self, condition: str, *values: str) -> None:
        if not self._path.exists():
            return
        with self._open() as database, database:
            database.execute(f"DELETE FROM feedback WHERE {condition}", values)  # noqa: S608  # fixed conditions

    def compact(self) -> None:
        """Write the file anew: of what the earliest versions deleted, the words may still stand in it."""
        if self._path.exists():
            with self._open() as database:
                database.execute("VACUUM")

    def close(self) -> None:
        """Let go of the file; the next use opens it again."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                if self._connection is None:
                    make_private(self._path)
                    self._connection = sqlite3.connect(self._path, timeout=5.0, check_same_thread=False)
                    self._connection.execute("PRAGMA synchronous = FULL")
                    self._connection.execute("PRAGMA secure_delete = ON")
                    self._connection.execute(_TABLE)
                yield self._connection
            except (sqlite3.Error, OSError) as error:
                self._close()
                msg = f"the feedback in {self._path} cannot be used: {error}; check the file and the disk"
                raise FeedbackFileError(msg) from error
