"""Transcripts in a LangGraph store: everything that was said, one entry per message, written once.

The graph's state holds the latest turns only. It is written anew at each step, so with all turns in it the cost of a
message would grow with the conversation.
"""

import sys
from typing import TypeVar

from langgraph.store.base import BaseStore, Item, PutOp, SearchItem
from pydantic import BaseModel, ConfigDict, ValidationError

from chains.customer_service.messages import (
    ConversationKey,
    ConversationOverview,
    HandOver,
    Message,
    Turn,
    WaitingConversation,
    label,
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


class Transcripts:
    """The entries, the overview and the hand-over inbox of all owners.

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

    def __init__(self, store: BaseStore) -> None:
        self._store = store

    def find(self, key: ConversationKey, message: Message) -> Entry | None:
        """Return the entry of a message, or None where it was not handled yet."""
        item = self._store.get(_entries(key), _entry_name(message))
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
                PutOp(_entries(key), _entry_name(message), entry.model_dump(mode="json"), index=False),
                PutOp(_overviews(key.owner), key.conversation, overview, index=False),
                PutOp(_inbox(key.owner), key.conversation, waiting, index=False),
            ]
        )

    def turns(self, key: ConversationKey) -> list[Turn]:
        """Return all turns, oldest first; none if there is no such conversation."""
        entries = [_read(Entry, item) for item in self._all(_entries(key))]
        return [turn for entry in sorted(entries, key=lambda entry: entry.number) for turn in entry.turns]

    def is_known(self, key: ConversationKey) -> bool:
        """Return whether the conversation has at least one entry."""
        return self._store.get(_overviews(key.owner), key.conversation) is not None

    def hand_over(self, key: ConversationKey) -> WaitingConversation | None:
        """Return why a person is awaited, or None where none is."""
        item = self._store.get(_inbox(key.owner), key.conversation)
        return None if item is None else _read(WaitingConversation, item)

    def overviews(self, owner: str | None) -> list[ConversationOverview]:
        """Return the conversations of an owner, or of all, the latest first."""
        found = [_read(ConversationOverview, item) for item in self._all(_overviews(owner))]
        return sorted(found, key=lambda overview: overview.updated, reverse=True)

    def waiting(self, owner: str | None) -> list[WaitingConversation]:
        """Return the conversations of an owner, or of all, in which a person is awaited, the longest waiting first."""
        found = [_read(WaitingConversation, item) for item in self._all(_inbox(owner))]
        return sorted(found, key=lambda waiting: waiting.since)

    def delete(self, key: ConversationKey) -> None:
        """Delete what the store holds of a conversation."""
        names = [(_entries(key), item.key) for item in self._all(_entries(key))]
        names += [(_overviews(key.owner), key.conversation), (_inbox(key.owner), key.conversation)]
        self._store.batch([PutOp(namespace, name, None) for namespace, name in names])

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


def _entries(key: ConversationKey) -> tuple[str, ...]:
    return "entries", label(key.owner), label(key.conversation)


def _overviews(owner: str | None) -> tuple[str, ...]:
    return ("overviews",) if owner is None else ("overviews", label(owner))


def _inbox(owner: str | None) -> tuple[str, ...]:
    return ("inbox",) if owner is None else ("inbox", label(owner))
