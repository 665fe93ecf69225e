"""Conversations of a support log, whatever program wrote them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

LoggedRole = Literal["customer", "agent", "bot"]


@dataclass(frozen=True, kw_only=True)
class LoggedMessage:
    """One message of a logged conversation.

    Attributes:
        role: who wrote it; a bot is a program that answered for the company.
        text: plain text, without mark-up, quoted history and signatures.
        time: when it was written, with its zone, or None where the log does not say.
    """

    role: LoggedRole
    text: str
    time: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class LoggedConversation:
    """What a customer and a company wrote to each other about one concern.

    Attributes:
        id: unique in its log.
        source: the file and line it begins at, as a person would look it up.
        messages: in the order of their times, or of the log where times are missing.
        customer: who wrote, as a name that stays the same over conversations and tells nothing else, or None.
        is_resolved: whether the log says that the concern was settled; None where it says nothing.
        rating: the customer's judgement from -1 (bad) to 1 (good), or None.
        tags: words that staff put on it, such as a category.
    """

    id: str
    source: str
    messages: tuple[LoggedMessage, ...]
    customer: str | None = None
    is_resolved: bool | None = None
    rating: float | None = None
    tags: tuple[str, ...] = ()
