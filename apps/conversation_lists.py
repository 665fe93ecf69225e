"""Lists of conversations by indexes of the database: a page costs what it shows, however many there are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from chains.customer_service import (
    LATEST,
    LONGEST_WAITING,
    ConversationKey,
    ListedEntry,
    ListedKey,
    ListOrder,
    entries_namespace,
)

RunStatement = Callable[[str, Sequence[Any]], Sequence[tuple[Any, ...]]]
"""Runs a statement with its parameters and returns the rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlDialect:
    """What differs between the databases.

    Attributes:
        parameter: how a parameter is written.
        field: SQL for a field of a row's value, as text.
        num_turns: SQL for the number of turns in an entry.
        collation: makes a text sort by its bytes.
    """

    parameter: str
    field: str
    num_turns: str
    collation: str


# LangGraph writes values as bytes, which not every version of SQLite takes for JSON
SQLITE = SqlDialect(
    parameter="?",
    field="json_extract(CAST(value AS TEXT), '$.{}')",
    num_turns="json_array_length(CAST(value AS TEXT), '$.turns')",
    collation="BINARY",
)
POSTGRES = SqlDialect(
    parameter="%s",
    field="value ->> '{}'",
    num_turns="jsonb_array_length(value -> 'turns')",
    collation='"C"',
)


class IndexedLists:
    """The lists of a LangGraph store in a database, by indexes over its rows.

    No row is written twice: the database keeps the indexes, also those of rows that earlier versions wrote.

    Args:
        run: runs a statement in the database; should prefer an index in the wanted order to sorting.
        dialect: of the database.
    """

    def __init__(self, run: RunStatement, dialect: SqlDialect) -> None:
        self.run = run
        self._dialect = dialect

    def make_indexes(self) -> None:
        """Make the indexes that are not there yet; the first time that reads the whole database."""
        for order in (LATEST, LONGEST_WAITING):
            time, prefix, key = self._columns(order)
            condition = _condition(order)
            for name, columns in (("everyone", (time, prefix, key)), ("owner", (prefix, time, key))):
                self.run(
                    f"CREATE INDEX IF NOT EXISTS conversations_{order.namespace}_of_{name} "
                    f"ON store ({', '.join(columns)}) WHERE {condition}",
                    (),
                )

    def read_keys(self, order: ListOrder, owner: str | None, *, after: ListedKey | None, limit: int) -> list[ListedKey]:
        """Return keys as `ConversationLists.read_keys`."""
        sql, values = self.select_keys(order, owner, after=after, limit=limit)
        return [
            ListedKey(time, order.owner_of(prefix.split(".")), conversation)
            for time, prefix, conversation in self.run(sql, values)
        ]

    def read_entries(self, key: ConversationKey) -> list[ListedEntry]:
        """Return entries as `ConversationLists.read_entries`."""
        number = f"CAST({self._dialect.field.format('number')} AS INTEGER)"
        rows = self.run(
            f"SELECT {number}, key, {self._dialect.num_turns} FROM store "  # noqa: S608  # fixed names
            f"WHERE prefix = {self._dialect.parameter}",
            (_prefix(entries_namespace(key)),),
        )
        return [ListedEntry(name, num_turns) for _, name, num_turns in sorted(rows)]

    def select_keys(
        self, order: ListOrder, owner: str | None, *, after: ListedKey | None, limit: int
    ) -> tuple[str, list[Any]]:
        """Return the statement of `read_keys` and its parameters."""
        columns = self._columns(order)
        parameter = self._dialect.parameter
        conditions, values = [_condition(order)], []
        if owner is not None:
            conditions.append(f"{columns[1]} = {parameter}")
            values.append(_prefix(order.namespace_of(owner)))
        if after is not None:
            sign = "<" if order.is_latest_first else ">"
            # SQLite begins in an index over an expression at one value, not at a row of them
            conditions.append(f"{columns[0]} {sign}= {parameter}")
            conditions.append(f"({', '.join(columns)}) {sign} ({', '.join([parameter] * 3)})")
            values += [after.time, after.time, _prefix(order.namespace_of(after.owner)), after.conversation]
        direction = "DESC" if order.is_latest_first else "ASC"
        sql = (
            f"SELECT {', '.join(columns)} FROM store WHERE {' AND '.join(conditions)} "  # noqa: S608  # fixed names
            f"ORDER BY {', '.join(f'{column} {direction}' for column in columns)} LIMIT {parameter}"
        )
        return sql, [*values, limit]

    def _columns(self, order: ListOrder) -> tuple[str, str, str]:
        time = f"coalesce(rtrim({self._dialect.field.format(order.time_field)}, 'Z'), '')"
        collation = self._dialect.collation
        return f"({time}) COLLATE {collation}", f"prefix COLLATE {collation}", f"key COLLATE {collation}"


def _condition(order: ListOrder) -> str:
    # a function, so that no index over prefixes promises to be of use
    return f"substr(prefix, 1, {len(order.namespace) + 1}) = '{order.namespace}.'"


def _prefix(namespace: Sequence[str]) -> str:
    return ".".join(namespace)  # as LangGraph stores it
