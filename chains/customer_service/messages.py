"""Data types of conversations: keys, messages, turns, overviews and hand-overs."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from chains.customer_service.schema import ServiceReply

Sender = Literal["customer", "staff"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationKey:
    """Which conversation of which owner; nothing is ever looked up by the conversation alone.

    Example:
        >>> ConversationKey(owner="shop", conversation="c1").thread_id
        '73686f70/6331'
    """

    owner: str
    conversation: str

    @property
    def thread_id(self) -> str:
        """The name of the graph's thread; two keys never share one."""
        return f"{label(self.owner)}/{label(self.conversation)}"

    @classmethod
    def of_thread(cls, thread_id: str) -> "ConversationKey":
        """Return the key whose `thread_id` this is.

        Example:
            >>> ConversationKey.of_thread("73686f70/6331")
            ConversationKey(owner='shop', conversation='c1')
        """
        owner, conversation = (read_label(part) for part in thread_id.split("/"))
        return cls(owner=owner, conversation=conversation)


class Message(BaseModel):
    """What a customer or a person of the staff sends; the same id of the same sender always means the same message."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    sender: Sender
    text: str
    time: AwareDatetime
    closes: bool = Field(default=False, description="Staff only: the assistant answers again from now on.")


class Turn(BaseModel):
    """One thing that was said."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    speaker: Literal["customer", "assistant", "staff"]
    text: str
    time: AwareDatetime
    reply: ServiceReply | None = Field(default=None, description="With the assistant's turns: the whole reply.")
    question: str | None = Field(default=None, description="With the assistant's turns: the message as understood.")


class ConversationOverview(BaseModel):
    """One line of a list of conversations."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    owner: str
    conversation: str
    updated: AwareDatetime
    num_messages: int = Field(description="Messages of the customer and of staff, without the assistant's replies.")


class HandOver(BaseModel):
    """Why and since when a person is awaited: the value of the graph's interrupt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    since: AwareDatetime
    summary: str = Field(description="What the person should know before reading the turns.")
    reason: str = Field(description="Why the assistant did not answer.")


class WaitingConversation(HandOver):
    """One line of a hand-over inbox."""

    owner: str
    conversation: str


def label(text: str) -> str:
    """Return an owner or a conversation in characters that no database reads as a pattern or a separator.

    Example:
        >>> label("a.%")
        '612e25'
    """
    return text.encode().hex()


def read_label(text: str) -> str:
    """Return the text whose `label` this is.

    Raises:
        ValueError: if it is none.

    Example:
        >>> read_label("612e25")
        'a.%'
    """
    return bytes.fromhex(text).decode()


def now() -> datetime:
    """Return the time in UTC, so that times sort as texts, too."""
    return datetime.now(UTC)
