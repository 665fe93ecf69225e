"""Storage of conversations: one SQLite file for one process, or a PostgreSQL database for several."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.store.base import BaseStore
from langgraph.store.sqlite import SqliteStore
from typing_extensions import override

from apps.conversation_lists import POSTGRES, SQLITE, IndexedLists
from apps.errors import SettingsError, WorkspaceError
from apps.sqlite_files import check_format, compact_sqlite, connect_private
from chains.customer_service import ConversationKey, Transcripts
from chains.errors import ConversationBusyError

_FORMAT = 1
_POSTGRES_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationStorage:
    """What `build_service_conversation` and `Conversations` need to keep conversations.

    Attributes:
        lists: the order of the lists in the database.
        errors: what the database raises.
        find_threads: returns the ids of the graph's threads that begin with a text.
        compact: takes what was deleted out of the files, also where a version before overwrote nothing.
        shared_lock: a lock that other processes see, by a thread's id.
    """

    checkpointer: BaseCheckpointSaver[Any]
    store: BaseStore
    lists: IndexedLists
    errors: tuple[type[Exception], ...]
    find_threads: Callable[[str], list[str]]
    compact: Callable[[], None]
    shared_lock: Callable[[str], AbstractContextManager[Any]] = nullcontext

    @property
    def transcripts(self) -> Transcripts:
        """What was said."""
        return Transcripts(self.store, self.lists)

    def keys_of(self, owner: str) -> list[ConversationKey]:
        """Return the conversations of an owner, also those of which only the beginning of a first message is there."""
        known = set(self.transcripts.keys_of(owner))
        begun = {
            ConversationKey.of_thread(name)
            for name in self.find_threads(ConversationKey(owner=owner, conversation="").thread_id)
        }
        return sorted(known | begun, key=lambda key: key.conversation)

    def delete(self, key: ConversationKey) -> None:
        """Delete all that is held of a conversation."""
        with self.shared_lock(key.thread_id):
            self.transcripts.delete(key)
            self.checkpointer.delete_thread(key.thread_id)


@contextmanager
def open_sqlite(path: Path) -> Iterator[ConversationStorage]:
    """Open a file of conversations, which is made if it is not there; everything acknowledged survives a power cut.

    Raises:
        ConversationBusyError: if another process has it open: two could not keep the order of messages.
        WorkspaceError: if it is no file of conversations, or cannot be opened.
    """
    with ExitStack() as stack:
        try:
            # not of one thread: a server opens it in another one than it closes it in
            stack.enter_context(FileLock(f"{path}.lock", blocking=False, thread_local=False))
            # a connection each: one of them opens its transactions itself, the other leaves that to Python
            checkpointer = _SqliteCheckpointer(
                stack.enter_context(closing(connect_private(path, isolation_level=""))), serde=_plain_values()
            )
            store = SqliteStore(stack.enter_context(closing(connect_private(path, isolation_level=None))))
            check_format(path, store.conn, _FORMAT)
            checkpointer.setup()
            store.setup()

            def run_in_store(sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
                with store.lock:  # as the store itself: a connection does one thing at a time
                    return store.conn.execute(sql, values).fetchall()

            lists = IndexedLists(run_in_store, SQLITE)
            lists.make_indexes()
        except Timeout as error:
            msg = f"another process has {path} open; end it, or let both use a PostgreSQL database"
            raise ConversationBusyError(msg) from error
        except (sqlite3.Error, OSError) as error:
            msg = (
                f"{path} cannot be opened as a file of conversations: {error}; check the file, its folder and the disk"
            )
            raise WorkspaceError(msg) from error
        yield ConversationStorage(
            checkpointer=checkpointer,
            store=store,
            lists=lists,
            errors=(sqlite3.Error,),
            find_threads=checkpointer.find_threads,
            compact=lambda: compact_sqlite(store.conn),
        )


@contextmanager
def open_postgres(url: str, *, max_connections: int = 16) -> Iterator[ConversationStorage]:
    """Open a PostgreSQL database of conversations; its tables are made if they are not there.

    Raises:
        SettingsError: if its packages are not installed, or the database does not answer.
    """
    try:
        import psycopg
        from langgraph.checkpoint.postgres import PostgresSaver
        from langgraph.store.postgres import PostgresStore
        from psycopg.rows import DictRow, dict_row, tuple_row
        from psycopg_pool import ConnectionPool, PoolTimeout
    except ImportError as error:
        msg = (
            f"conversations in PostgreSQL need more packages ({error}); run: "
            "pip install langgraph-checkpoint-postgres 'psycopg[binary]'"
        )
        raise SettingsError(msg) from error

    def open_pool() -> ConnectionPool[psycopg.Connection[DictRow]]:
        options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
        pool: ConnectionPool[psycopg.Connection[DictRow]] = ConnectionPool(
            url, min_size=1, max_size=max_connections, kwargs=options, open=False
        )
        pool.open(wait=True, timeout=_POSTGRES_TIMEOUT_S)
        return pool

    with ExitStack() as stack:

        @contextmanager
        def shared_lock(name: str) -> Iterator[None]:
            with lock_pool.connection() as connection:
                # PostgreSQL lets go of it when the connection ends, so a killed process holds nobody up
                connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (name,))
                try:
                    yield
                finally:
                    connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (name,))

        def run_in_store(sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
            with (
                pool.connection() as connection,
                connection.transaction(),
                connection.cursor(row_factory=tuple_row) as cursor,
            ):
                # it takes the rows of a list for fewer than they are, and would sort them all to show the first
                cursor.execute("SET LOCAL enable_sort = off")
                cursor.execute(sql.encode(), values)
                return [] if cursor.description is None else cursor.fetchall()

        try:
            pool = stack.enter_context(open_pool())
            # apart from the others: each message holds one while it works, and must still get one to work with
            lock_pool = stack.enter_context(open_pool())
            checkpointer, store = PostgresSaver(pool, serde=_plain_values()), PostgresStore(pool)
            checkpointer.setup()
            store.setup()
            lists = IndexedLists(run_in_store, POSTGRES)
            with shared_lock("indexes"):  # of two servers that make an index at once, one would fail
                lists.make_indexes()
        except (psycopg.Error, PoolTimeout) as error:
            msg = "the PostgreSQL database of the setting 'customer_service.conversations' cannot be used; is it up?"
            raise SettingsError(msg) from error

        def find_threads(prefix: str) -> list[str]:
            with pool.connection() as connection:
                found = connection.execute(
                    "SELECT DISTINCT thread_id FROM checkpoints WHERE starts_with(thread_id, %s)", (prefix,)
                )
                return [row["thread_id"] for row in found]

        yield ConversationStorage(
            checkpointer=checkpointer,
            store=store,
            lists=lists,
            errors=(psycopg.Error, PoolTimeout),
            find_threads=find_threads,
            compact=lambda: None,  # its own vacuum does that
            shared_lock=shared_lock,
        )


class _SqliteCheckpointer(SqliteSaver):
    """LangGraph's checkpointer, and what it lacks for long conversations and for deleting."""

    @override
    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        if strategy != "keep_latest":
            msg = f"only the strategy keep_latest is there, got {strategy!r}"
            raise NotImplementedError(msg)
        with self.cursor() as cursor:
            for table in ("checkpoints", "writes"):
                cursor.executemany(
                    f"DELETE FROM {table} WHERE thread_id = ? AND checkpoint_id < "  # noqa: S608  # two fixed names
                    "(SELECT max(checkpoint_id) FROM checkpoints WHERE thread_id = ?)",
                    [(thread_id, thread_id) for thread_id in thread_ids],
                )

    @override
    def delete_thread(self, thread_id: str) -> None:
        super().delete_thread(thread_id)
        # what was deleted stands in the write-ahead log until that is begun anew; the lock, since no other thread can
        # commit on the connection meanwhile
        with self.lock:
            self.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def find_threads(self, prefix: str) -> list[str]:
        """Return the ids of threads that begin with `prefix`."""
        with self.cursor(transaction=False) as cursor:
            cursor.execute(
                "SELECT DISTINCT thread_id FROM checkpoints WHERE thread_id >= ? AND thread_id < ?",
                (prefix, f"{prefix}\U0010ffff"),
            )
            return [row[0] for row in cursor]


def _plain_values() -> JsonPlusSerializer:
    """Return a serializer that rebuilds no class but LangGraph's own list of harmless ones."""
    return JsonPlusSerializer(allowed_msgpack_modules=None)
