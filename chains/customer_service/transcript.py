"""Transcripts in a LangGraph store: everything that was said, one entry per message, written once.

The graph's state holds the latest turns only. It is written anew at each step, so with all turns in it the cost of a
message would grow with the conversation.
"""

import sys
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple, TypeVar

from langgraph.store.base import BaseStore, GetOp, Item, PutOp, SearchItem
from pydantic import BaseModel, ConfigDict, ValidationError

from chains.customer_service.listing import (
    LATEST,
    LONGEST_WAITING,
    ConversationLists,
    ListedKey,
    ListOrder,
    Page,
    PageRequest,
    SortedLists,
    entries_namespace,
    iterate_keys,
    read_page,
)
from chains.customer_service.messages import (
    ConversationKey,
    ConversationOverview,
    HandOver,
    Message,
    Turn,
    WaitingConversation,
)
from chains.customer_service.schema import ServiceReply
from chains.errors import ConversationStorageError
from llms.field_errors import describe_fault, field_of

_Stored = TypeVar("_Stored", bound=BaseModel)


class Entry(BaseModel):
    """A message, and what was said because of it; `reply` is what its sender was told.

    Attributes:
        number: counts the messages of a conversation.
        turns: empty where staff closed without a word; one where a person is awaited; else message and answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    turns: tuple[Turn, ...]
    reply: ServiceReply | None = None


class LatestTurns(NamedTuple):
    """Some of the turns of a conversation, oldest first, and how many there are in all."""

    turns: tuple[Turn, ...]
    num_turns: int


class Transcripts:
    """The entries, the overview and the hand-over inbox of all owners.

    Args:
        store: of LangGraph.
        lists: the order of the lists in the store's database; without them each page reads all conversations.

    Example:
        >>> from langgraph.store.memory import InMemoryStore
        >>> from chains.customer_service.messages import now
        >>> transcripts = Transcripts(InMemoryStore())
        >>> key = ConversationKey(owner="shop", conversation="c1")
        >>> message = Message(id="m1", sender="staff", text="Good morning", time=now())
        >>> turn = Turn(id="m1", speaker="staff", text=message.text, time=message.time)
        >>> transcripts.write(key, message, Entry(number=1, turns=(turn,)), hand_over=None)
        >>> [turn.text for turn in transcripts.turns(key)]
        ['Good morning']
    """

    def __init__(self, store: BaseStore, lists: ConversationLists | None = None) -> None:
        self._store = store
        self._lists = SortedLists(store) if lists is None else lists

    def find(self, key: ConversationKey, message: Message) -> Entry | None:
        """Return the entry of a message, or None where it was not handled yet."""
        item = self._store.get(entries_namespace(key), _entry_name(message))
        return None if item is None else _read(Entry, item)

    def write(self, key: ConversationKey, message: Message, entry: Entry, *, hand_over: HandOver | None) -> None:
        """Write an entry and whether a person is awaited after it; writing it again changes nothing."""
        overview = ConversationOverview(
            owner=key.owner, conversation=key.conversation, updated=message.time, num_messages=entry.number
        ).model_dump(mode="json")
        key_fields = {"owner": key.owner, "conversation": key.conversation}
        waiting = None if hand_over is None else hand_over.model_dump(mode="json") | key_fields
        self._store.batch(
            [
                PutOp(entries_namespace(key), _entry_name(message), entry.model_dump(mode="json"), index=False),
                PutOp(LATEST.namespace_of(key.owner), key.conversation, overview, index=False),
                PutOp(LONGEST_WAITING.namespace_of(key.owner), key.conversation, waiting, index=False),
            ]
        )

    def turns(self, key: ConversationKey) -> list[Turn]:
        """Return all turns, oldest first; none if there is no such conversation."""
        entries = [_read(Entry, item) for item in self._all(entries_namespace(key))]
        return [turn for entry in sorted(entries, key=lambda entry: entry.number) for turn in entry.turns]

    def latest_turns(self, key: ConversationKey, *, limit: int, skip: int) -> LatestTurns:
        """Return some of the latest turns, oldest first; of a long conversation the rest is counted, not read.

        Args:
            key: of the conversation.
            limit: turns at most.
            skip: turns left out behind them.
        """
        entries = self._lists.read_entries(key)
        num_turns = sum(entry.num_turns for entry in entries)
        end = max(0, num_turns - skip)
        begin = max(0, end - limit)
        wanted: list[GetOp] = []
        num_before = num_read = 0
        for entry in entries:
            if num_read < end and num_read + entry.num_turns > begin:
                num_before = num_before if wanted else num_read
                wanted.append(GetOp(entries_namespace(key), entry.name))
            num_read += entry.num_turns
        items = self._store.batch(wanted)
        turns = [turn for item in items if isinstance(item, Item) for turn in _read(Entry, item).turns]
        return LatestTurns(tuple(turns[begin - num_before : end - num_before]), num_turns)

    def is_known(self, key: ConversationKey) -> bool:
        """Return whether the conversation has at least one entry."""
        return self._store.get(LATEST.namespace_of(key.owner), key.conversation) is not None

    def hand_over(self, key: ConversationKey) -> WaitingConversation | None:
        """Return why a person is awaited, or None where none is."""
        item = self._store.get(LONGEST_WAITING.namespace_of(key.owner), key.conversation)
        return None if item is None else _read(WaitingConversation, item)

    def overviews(self, owner: str | None) -> list[ConversationOverview]:
        """Return the conversations of an owner, or of all, the latest first."""
        found = [_read(ConversationOverview, item) for item in self._all(LATEST.namespace_of(owner))]
        return sorted(found, key=lambda overview: overview.updated, reverse=True)

    def waiting(self, owner: str | None) -> list[WaitingConversation]:
        """Return the conversations of an owner, or of all, in which a person is awaited, the longest waiting first."""
        found = [_read(WaitingConversation, item) for item in self._all(LONGEST_WAITING.namespace_of(owner))]
        return sorted(found, key=lambda waiting: waiting.since)

    def page_of_overviews(self, owner: str | None, request: PageRequest) -> Page[ConversationOverview]:
        """Return some of `overviews`; a conversation that ends meanwhile is missing in its page."""
        return self._page(LATEST, ConversationOverview, owner, request)

    def page_of_waiting(self, owner: str | None, request: PageRequest) -> Page[WaitingConversation]:
        """Return some of `waiting`; a conversation that ends meanwhile is missing in its page."""
        return self._page(LONGEST_WAITING, WaitingConversation, owner, request)

    def keys_of(self, owner: str) -> Iterator[ConversationKey]:
        """Yield the conversations of an owner, the latest first; they may be deleted meanwhile."""
        return (listed.key for listed in iterate_keys(self._lists, LATEST, owner))

    def keys_before(self, time: datetime) -> Iterator[ConversationKey]:
        """Yield the conversations whose last message is older than a moment; they may be deleted meanwhile."""
        return (listed.key for listed in iterate_keys(self._lists, LATEST, None, after=ListedKey.at(time)))

    def delete(self, key: ConversationKey) -> None:
        """Delete what the store holds of a conversation."""
        names = [(entries_namespace(key), item.key) for item in self._all(entries_namespace(key))]
        names += [
            (LATEST.namespace_of(key.owner), key.conversation),
            (LONGEST_WAITING.namespace_of(key.owner), key.conversation),
        ]
        self._store.batch([PutOp(namespace, name, None) for namespace, name in names])

    def _page(self, order: ListOrder, kind: type[_Stored], owner: str | None, request: PageRequest) -> Page[_Stored]:
        page = read_page(self._lists, order, owner, request)
        # in one go, for a database behind a network
        items = self._store.batch([GetOp(order.namespace_of(key.owner), key.conversation) for key in page.lines])
        return Page(
            lines=tuple(_read(kind, item) for item in items if isinstance(item, Item)),
            num_lines=page.num_lines,
            is_count_exact=page.is_count_exact,
            next=page.next,
        )

    def _all(self, namespace: tuple[str, ...]) -> list[SearchItem]:
        # in one go: the store orders by a time in seconds, so pages of it could overlap
        return self._store.search(namespace, limit=sys.maxsize)


def _read(kind: type[_Stored], item: SearchItem | Item) -> _Stored:
    """Return what stands in an item.

    Raises:
        ConversationStorageError: if this version cannot read it.
    """
    try:
        return kind.model_validate(item.value)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        msg = (
            f"a stored {kind.__name__} cannot be read (field {field_of(fault)!r}: {describe_fault(fault)}); if a later "
            "version wrote it, use that one, or restore the file from before"
        )
        raise ConversationStorageError(msg) from error


def _entry_name(message: Message) -> str:
    return f"{message.sender}:{message.id}"
