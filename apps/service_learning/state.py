"""What was read from logs, and the groups that were found in it: resumable, and without private data."""

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from apps.service_learning.database import LearningDatabase, put_fact
from apps.service_learning.decisions import DECISION, TakenDecision, in_force, names_of
from apps.service_learning.slots import count_shapes
from chains.customer_service.learning import GroupDraft, LoggedConversation, LoggedRequest
from llms.texts import text_key

_REQUEST = TypeAdapter(LoggedRequest)
LATER_SHARE = 0.2  # of the conversations with a time: the latest, on which the gain is shown
_MIN_DATED = 20  # of fewer, none is held back


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadConversation:
    """A conversation of a log that was read, and what is kept of it.

    Attributes:
        key: tells it from every other one, and nothing else.
        request: without private data; None where nothing was asked.
    """

    key: bytes
    request: LoggedRequest | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRequest:
    """A request with its place in the state."""

    seq: int
    request: LoggedRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredGroup:
    """A group with what a person reviews of it, and its members, the most typical first.

    Attributes:
        members: (place of a request in the state, its path in further splits).
    """

    id: str
    draft: GroupDraft
    members: tuple[tuple[int, str], ...]


class LearningState:
    """What a workspace has learnt from logs.

    Each part of the work is one transaction: after a kill, the same command goes on where it was.

    Args:
        path: of the file, which is made if it is not there.

    Attributes:
        database: the connection that it works with.
        secret: makes keys and pseudonyms that nobody can find by trying, without this file.

    Raises:
        LearningFileError: if it is no such file; any method may raise it.
    """

    def __init__(self, path: Path) -> None:
        self.database = LearningDatabase(path)
        self.secret = bytes.fromhex(self.database.fact("salt") or "")

    def close(self) -> None:
        """Let go of the file."""
        self.database.close()

    # --- conversations

    def key_of(self, conversation: LoggedConversation) -> bytes:
        """Return what tells a conversation from every other one; without the file nobody finds its text by it."""
        said = [[message.role, message.text] for message in conversation.messages]
        content = json.dumps([conversation.id, said], ensure_ascii=False)
        return hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=16, key=self.secret).digest()

    def is_known(self, key: bytes) -> bool:
        """Return whether a conversation was read before."""
        return bool(self.database.read("SELECT 1 FROM conversations WHERE key = ?", key))

    def add(self, conversations: Sequence[ReadConversation], private: Sequence[tuple[str, str]] = ()) -> int:
        """Keep conversations, each once; return how many are new.

        Args:
            private: kind and text of the private data that was replaced in these; what is kept of it is how much there
                was, and what numbers look like.
        """
        kinds = Counter(kind for kind, _ in private)
        shapes = [(kind, shape, count) for (kind, shape), count in count_shapes(private).items()]
        with self.database.transaction() as database:
            before = database.total_changes
            database.executemany(
                "INSERT OR IGNORE INTO conversations (key, time, request) VALUES (?, ?, ?)",
                [(one.key, _time_of(one.request), _dump(one.request)) for one in conversations],
            )
            added = database.total_changes - before
            database.executemany(
                "INSERT INTO private_counts VALUES (?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
                kinds.items(),
            )
            database.executemany(
                "INSERT INTO shapes VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count", shapes
            )
        return added

    def private_counts(self) -> dict[str, int]:
        """Return how much private data of each kind was replaced."""
        return dict(self.database.read("SELECT kind, count FROM private_counts ORDER BY kind"))

    def shapes(self) -> dict[tuple[str, str], int]:
        """Return (kind, shape) -> how often numbers of that kind looked so."""
        return {(kind, shape): count for kind, shape, count in self.database.read("SELECT * FROM shapes")}

    def count_conversations(self) -> int:
        """Return how many conversations were read."""
        return int(self.database.read("SELECT COUNT(*) FROM conversations")[0][0])

    def count_requests(self) -> int:
        """Return how many conversations ask for something."""
        return int(self.database.read("SELECT COUNT(*) FROM conversations WHERE request IS NOT NULL")[0][0])

    def hold_back_latest(self) -> int:
        """Set the cut in time: what came last is for measuring, not for learning; return how many that are.

        What was learnt from before stays learnt from.
        """
        with self.database.transaction() as database:
            times = [
                time
                for (time,) in database.execute(
                    "SELECT time FROM conversations WHERE time IS NOT NULL AND request IS NOT NULL ORDER BY time"
                )
            ]
            database.execute("UPDATE conversations SET is_later = 0")
            if len(times) >= _MIN_DATED:
                cut = times[-max(1, int(len(times) * LATER_SHARE))]
                database.execute(
                    "UPDATE conversations SET is_later = 1 WHERE time >= ? AND request IS NOT NULL "
                    "AND seq NOT IN (SELECT conversation FROM members)",
                    (cut,),
                )
            (count,) = database.execute("SELECT COUNT(*) FROM conversations WHERE is_later").fetchone()
        return int(count)

    def later_requests(self) -> list[LoggedRequest]:
        """Return the requests of after the cut in time, the oldest first."""
        rows = self.database.read("SELECT request FROM conversations WHERE is_later ORDER BY time, seq")
        return [_REQUEST.validate_json(request) for (request,) in rows]

    def has_published(self) -> bool:
        """Return whether anything that was learnt was ever written into the records."""
        return bool(self.database.read("SELECT 1 FROM publications LIMIT 1"))

    def free_requests(self) -> list[StoredRequest]:
        """Return the requests to learn from that say nothing which is in a group that a person has touched."""
        with self.database.transaction() as database:
            untouched = set(untouched_ids(database))
            taken = {
                seq
                for group, seq in database.execute("SELECT group_id, conversation FROM members")
                if group not in untouched
            }
            rows = database.execute(
                "SELECT seq, request FROM conversations WHERE request IS NOT NULL AND NOT is_later ORDER BY seq"
            )
            stored = [StoredRequest(seq=seq, request=_REQUEST.validate_json(request)) for seq, request in rows]
        decided = {text_key(one.request.text) for one in stored if one.seq in taken}
        return [one for one in stored if text_key(one.request.text) not in decided]

    def read_requests(self, places: Iterable[int]) -> list[LoggedRequest]:
        """Return requests by their places in the state, in this order."""
        wanted = list(places)
        found: dict[int, LoggedRequest] = {}
        for part in _parts(wanted):
            marks = ", ".join("?" * len(part))
            rows = self.database.read(f"SELECT seq, request FROM conversations WHERE seq IN ({marks})", *part)  # noqa: S608  # question marks only
            found.update((seq, _REQUEST.validate_json(request)) for seq, request in rows)
        return [found[place] for place in wanted]

    def read_outcomes(self, places: Iterable[int]) -> dict[str, float | None]:
        """Return conversation -> how well it went, for requests by their places."""
        found: dict[str, float | None] = {}
        for part in _parts(list(places)):
            marks = ", ".join("?" * len(part))
            rows = self.database.read(
                f"SELECT json_extract(request, '$.conversation'), outcome FROM conversations WHERE seq IN ({marks})",  # noqa: S608  # question marks only
                *part,
            )
            found.update(rows)
        return found

    # --- groups

    def replace_groups(self, groups: Sequence[StoredGroup], outcomes: Mapping[int, float | None], done: str) -> None:
        """Keep the groups that were found, in place of those that nobody has touched.

        Args:
            groups: new ones, of requests that are free.
            outcomes: place of a request -> how well it went.
            done: what they were made of; `is_done` says so from now on.
        """
        with self.database.transaction() as database:
            _delete_groups(database, untouched_ids(database))
            database.executemany(
                "UPDATE conversations SET outcome = ? WHERE seq = ?", [(value, seq) for seq, value in outcomes.items()]
            )
            for group in groups:
                put_group(database, group, born=0)
            put_fact(database, "grouped", done)

    def is_done(self, done: str) -> bool:
        """Return whether the groups were found in what there is now."""
        return self.database.fact("grouped") == done


def put_group(database: sqlite3.Connection, group: StoredGroup, *, born: int) -> None:
    """Write a group; `born` is the decision that made it, or 0."""
    database.execute("INSERT INTO groups VALUES (?, ?, ?)", (group.id, group.draft.model_dump_json(), born))
    database.executemany(
        "INSERT INTO members VALUES (?, ?, ?, ?)",
        [(group.id, place, seq, path) for place, (seq, path) in enumerate(group.members)],
    )


def read_decisions(database: sqlite3.Connection) -> list[TakenDecision]:
    """Return all decisions, the oldest first."""
    rows = database.execute("SELECT seq, time, person, decision FROM decisions ORDER BY seq")
    return [
        TakenDecision(seq=seq, time=time, person=person, decision=DECISION.validate_json(decision))
        for seq, time, person, decision in rows
    ]


def untouched_ids(database: sqlite3.Connection) -> list[str]:
    """Return the groups that no decision in force names, and that none made."""
    named = {name for one in in_force(read_decisions(database)) for name in names_of(one.decision)}
    found = database.execute("SELECT id FROM groups WHERE born = 0 ORDER BY id")
    return [name for (name,) in found if name not in named]


def _delete_groups(database: sqlite3.Connection, names: Sequence[str]) -> None:
    database.executemany("DELETE FROM groups WHERE id = ?", [(name,) for name in names])
    database.executemany("DELETE FROM members WHERE group_id = ?", [(name,) for name in names])


def _parts(values: Sequence[int]) -> Iterator[Sequence[int]]:
    return (values[start : start + 500] for start in range(0, len(values), 500))


def _dump(request: LoggedRequest | None) -> str | None:
    return None if request is None else _REQUEST.dump_json(request).decode()


def _time_of(request: LoggedRequest | None) -> float | None:
    return None if request is None or request.time is None else request.time.timestamp()
