"""Pages of the lists of conversations: keys in the order of a list, read as far as a page goes."""

import itertools
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Generic, NamedTuple, Protocol, TypeVar

from langgraph.store.base import BaseStore

from chains.customer_service.messages import ConversationKey, label, read_label
from chains.errors import ChainInputError

Line = TypeVar("Line")
_NUM_COUNTED = 1_000
_AT_A_TIME = _NUM_COUNTED + 1  # one read tells whether there are more than are counted
_TIME = re.compile(r"[0-9T:.-]{0,32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOrder:
    """Which list of conversations, and in what order.

    Attributes:
        namespace: of the store; below it is one for each owner.
        time_field: of the values there, a time in UTC.
    """

    namespace: str
    time_field: str
    is_latest_first: bool

    def namespace_of(self, owner: str | None) -> tuple[str, ...]:
        """Return where the values of an owner stand in the store, or with None those of all.

        Example:
            >>> LATEST.namespace_of("a.%")
            ('overviews', '612e25')
        """
        return (self.namespace,) if owner is None else (self.namespace, label(owner))

    def owner_of(self, namespace: Sequence[str]) -> str:
        """Return the owner whose `namespace_of` this is."""
        return read_label(namespace[1])


LATEST = ListOrder(namespace="overviews", time_field="updated", is_latest_first=True)
LONGEST_WAITING = ListOrder(namespace="inbox", time_field="since", is_latest_first=False)


def entries_namespace(key: ConversationKey) -> tuple[str, ...]:
    """Return where the entries of a conversation stand in the store."""
    return "entries", label(key.owner), label(key.conversation)


class ListedKey(NamedTuple):
    """Where a conversation stands in a list; keys sort as the list does.

    Attributes:
        time: ISO 8601 in UTC without a zone, so that it sorts as text; empty where a damaged value has none.
    """

    time: str
    owner: str
    conversation: str

    @classmethod
    def at(cls, time: datetime) -> "ListedKey":
        """Return the key that comes before those of a moment and after those of all earlier ones.

        Example:
            >>> from datetime import timezone
            >>> ListedKey.at(datetime(2026, 3, 2, 9, 30, tzinfo=timezone.utc)).time
            '2026-03-02T09:30:00'
        """
        return cls(time.astimezone(UTC).replace(tzinfo=None).isoformat(), "", "")

    @property
    def key(self) -> ConversationKey:
        """The conversation."""
        return ConversationKey(owner=self.owner, conversation=self.conversation)

    @property
    def cursor(self) -> str:
        """What `of_cursor` reads.

        Example:
            >>> ListedKey("2026-03-02T09:30:00", "shop", "c1").cursor
            '2026-03-02T09:30:00/73686f70/6331'
        """
        return f"{self.time}/{self.key.thread_id}"

    @classmethod
    def of_cursor(cls, cursor: str) -> "ListedKey":
        """Return the key whose `cursor` this is.

        Raises:
            ChainInputError: if it is none.
        """
        time, _, thread_id = cursor.partition("/")
        try:
            key = ConversationKey.of_thread(thread_id)
            is_valid = _TIME.fullmatch(time) is not None and "\0" not in key.conversation
        except ValueError:
            is_valid = False
        if not is_valid:
            msg = f"`after` must be what `next` of another page says, got {cursor[:200]!r}"
            raise ChainInputError(msg)
        return cls(time, key.owner, key.conversation)


class ListedEntry(NamedTuple):
    """An entry of a transcript: its key in the store, and how many turns it holds."""

    name: str
    num_turns: int


class ConversationLists(Protocol):
    """The order of lists and of transcripts, asked of a database without reading what stands in them."""

    def read_keys(self, order: ListOrder, owner: str | None, *, after: ListedKey | None, limit: int) -> list[ListedKey]:
        """Return the keys of a list behind `after`, or from its beginning; with the owner None those of all.

        A call reads as many keys as it returns.
        """
        ...

    def read_entries(self, key: ConversationKey) -> list[ListedEntry]:
        """Return all entries of a conversation, oldest first."""
        ...


class SortedLists:
    """Lists of a store that keeps no order: read whole and sorted at each call, for stores in memory."""

    def __init__(self, store: BaseStore) -> None:
        self._store = store

    def read_keys(self, order: ListOrder, owner: str | None, *, after: ListedKey | None, limit: int) -> list[ListedKey]:
        """Return keys as `ConversationLists.read_keys`."""
        values = [item.value for item in self._store.search((order.namespace,), limit=sys.maxsize)]
        keys = [
            ListedKey(str(value.get(order.time_field, "")).rstrip("Z"), value["owner"], value["conversation"])
            for value in values
            if owner in (None, value["owner"])
        ]
        keys.sort(reverse=order.is_latest_first)
        behind = (key for key in keys if after is None or (key < after if order.is_latest_first else key > after))
        return list(itertools.islice(behind, limit))

    def read_entries(self, key: ConversationKey) -> list[ListedEntry]:
        """Return entries as `ConversationLists.read_entries`."""
        items = self._store.search(entries_namespace(key), limit=sys.maxsize)
        items.sort(key=lambda item: item.value["number"])
        return [ListedEntry(item.key, len(item.value["turns"])) for item in items]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """Which part of a list.

    Attributes:
        limit: lines at most.
        skip: lines left out before; each is read over.
        after: `next` of the page before; costs the same at the end of a list as at its beginning.
        is_shown: whether the conversations of an owner are for the reader.

    Raises:
        ChainInputError: if a number is negative.
    """

    limit: int = 50
    skip: int = 0
    after: str | None = None
    is_shown: Callable[[str], bool] = field(default=lambda owner: True)  # noqa: ARG005  # of everyone

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        if self.limit < 1 or self.skip < 0:
            msg = f"limit must be at least 1 and skip at least 0, got {self.limit} and {self.skip}"
            raise ChainInputError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Line]):
    """Some lines of a list.

    Attributes:
        lines: in the order of the list.
        num_lines: of the whole list. Counting ends at 1,000, or one behind a page that `skip` leads to and that is not
            the last, so that a page costs the same however long the list is.
        is_count_exact: whether `num_lines` is all there are.
        next: where the next page begins, for `PageRequest.after`; None with the last one.
    """

    lines: tuple[Line, ...]
    num_lines: int
    is_count_exact: bool
    next: str | None


def iterate_keys(
    lists: ConversationLists, order: ListOrder, owner: str | None, *, after: ListedKey | None = None
) -> Iterator[ListedKey]:
    """Yield the keys of a list behind `after`; what is yielded may be deleted meanwhile."""
    return _iterate_keys(lists, order, owner, after=after, at_a_time=_AT_A_TIME)


def read_page(lists: ConversationLists, order: ListOrder, owner: str | None, request: PageRequest) -> Page[ListedKey]:
    """Return the keys of a page.

    Raises:
        ChainInputError: if `request.after` is none that a page gave.
    """

    def iterate_shown(after: ListedKey | None, num: int) -> Iterator[ListedKey]:
        keys = _iterate_keys(lists, order, owner, after=after, at_a_time=min(num, _AT_A_TIME))
        return itertools.islice((key for key in keys if request.is_shown(key.owner)), num)

    num_passed = request.skip + request.limit
    num_counted = max(_NUM_COUNTED, num_passed + 1)
    found: list[ListedKey] = []  # those of the page, and the first of the next
    num_lines = 0
    for num_lines, key in enumerate(iterate_shown(None, num_counted + 1), start=1):
        if request.after is None and request.skip < num_lines <= num_passed + 1:
            found.append(key)
    if request.after is not None:
        after = ListedKey.of_cursor(request.after)
        found = list(itertools.islice(iterate_shown(after, num_passed + 1), request.skip, None))
    lines = tuple(found[: request.limit])
    return Page(
        lines=lines,
        num_lines=min(num_lines, num_counted),
        is_count_exact=num_lines <= num_counted,
        next=lines[-1].cursor if len(found) > request.limit else None,
    )


def _iterate_keys(
    lists: ConversationLists, order: ListOrder, owner: str | None, *, after: ListedKey | None, at_a_time: int
) -> Iterator[ListedKey]:
    while True:
        keys = lists.read_keys(order, owner, after=after, limit=at_a_time)
        yield from keys
        if len(keys) < at_a_time:
            return
        after = keys[-1]
