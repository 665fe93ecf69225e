"""Wire format of conversations: requests, and their views for customers and for staff."""

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, Field

from apps.feedback import Thumb
from apps.server.schemas import MAX_MESSAGE_CHARS, wire_config
from chains.customer_service import (
    MAX_CHOICE_CHARS,
    Citation,
    ConversationOverview,
    HandOver,
    OpenQuestion,
    ServiceReply,
    StepTime,
    TemplateBook,
    Turn,
    WaitingConversation,
)

_COUNT = "All there are. Counting ends at 1,000, or one behind the page that `skip` leads to."
_NEXT = "For `after`, to read on; null with the last page."
MessageId = Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,64}$")]


class Identity(BaseModel):
    """Who asks, and what to show to them."""

    model_config = wire_config({"owner": "anna", "is_staff": False, "language": "en"})

    owner: str
    is_staff: bool
    language: str = Field(description="Of the workspace.")


class NewConversationRequest(BaseModel):
    """Nothing needs to be said about a conversation that begins."""

    model_config = wire_config({})


class NewConversation(BaseModel):
    """The id of a conversation that has not begun: nothing is kept before its first message."""

    model_config = wire_config({"id": "0b6f1c1e-6b7e-4d1f-9a52-0d0d6a2a2f11"})

    id: str


class MessageRequest(BaseModel):
    """One message of a customer."""

    model_config = wire_config({"message_id": "m1", "text": "Where is my parcel?"})

    message_id: MessageId = Field(description="Chosen by the client; sent again, it brings the same reply.")
    text: str = Field(min_length=1, max_length=MAX_MESSAGE_CHARS)


class AnswerRequest(BaseModel):
    """What a person of the staff says to a customer."""

    model_config = wire_config({"text": "We have found it; it comes tomorrow.", "close": True})

    text: str = Field(max_length=MAX_MESSAGE_CHARS, description="May be empty if `close` is true.")
    close: bool = Field(default=False, description="The assistant answers again from now on.")
    message_id: MessageId | None = Field(default=None, description="Sent again, it says nothing twice.")


class FeedbackRequest(BaseModel):
    """What somebody thinks of an answer."""

    model_config = wire_config({"thumb": "down", "correction": "Refunds take five days."})

    thumb: Thumb
    correction: str | None = Field(default=None, max_length=MAX_MESSAGE_CHARS, description="What would be right.")


class Choice(BaseModel):
    """One of the intents that the assistant asks about."""

    model_config = wire_config({"title": "Refunds", "text": "1. Refunds"})

    title: str
    text: str = Field(description="The message that chooses it.")


class ReplyDetails(BaseModel):
    """How a reply came about; only staff see it."""

    model_config = wire_config({"route": "template", "intent": "refund_status", "probability": 0.97, "reason": "sure"})

    route: str
    intent: str | None = None
    probability: float | None = Field(default=None, description="Calibrated, of the likeliest intent.")
    reason: str
    summary: str | None = Field(default=None, description="With a hand-over: what a person should know.")
    question: str | None = Field(default=None, description="The message as it was understood.")
    steps: tuple[StepTime, ...] = Field(default=(), description="How long each step took, in order.")


class TurnView(BaseModel):
    """One thing that was said."""

    model_config = wire_config(
        {"id": "m1", "speaker": "customer", "text": "Where is my parcel?", "time": "2026-03-02T09:30:00Z"}
    )

    id: str
    speaker: str = Field(description="customer, assistant or staff.")
    text: str
    time: AwareDatetime
    citations: tuple[Citation, ...] = ()
    choices: tuple[Choice, ...] = Field(default=(), description="Quick answers to a question of the assistant.")
    details: ReplyDetails | None = Field(default=None, description="Of the assistant's turns, for staff only.")


class ReplyView(BaseModel):
    """The reply to a message, as the customer reads it."""

    model_config = wire_config({"turn": "m1.reply", "text": "Refunds take five days.", "awaits_person": False})

    turn: str | None = Field(description="The id of the assistant's turn; null where it says nothing.")
    text: str = Field(description="Empty while a person is awaited.")
    citations: tuple[Citation, ...] = ()
    choices: tuple[Choice, ...] = Field(default=(), description="Quick answers to a question of the assistant.")
    awaits_person: bool = Field(description="A colleague will answer; look at the conversation from time to time.")
    details: ReplyDetails | None = Field(default=None, description="For staff only.")


class ConversationView(BaseModel):
    """A conversation, oldest turn first."""

    model_config = wire_config({"id": "0b6f1c1e-6b7e-4d1f-9a52-0d0d6a2a2f11", "turns": [], "num_turns": 0})

    id: str
    turns: tuple[TurnView, ...]
    num_turns: int = Field(description="All there are; `skip` leads to earlier ones.")
    awaits_person: bool
    hand_over: HandOver | None = Field(default=None, description="Why a person is awaited, for staff only.")


class ConversationList(BaseModel):
    """Conversations, the latest first."""

    model_config = wire_config({"conversations": [], "num_conversations": 0})

    conversations: tuple[ConversationOverview, ...]
    num_conversations: int = Field(description=_COUNT)
    is_count_exact: bool = Field(default=True, description="Whether `num_conversations` is all there are.")
    next: str | None = Field(default=None, description=_NEXT)


class Inbox(BaseModel):
    """Conversations in which a person is awaited, the longest waiting first."""

    model_config = wire_config({"waiting": [], "num_waiting": 0})

    waiting: tuple[WaitingConversation, ...]
    num_waiting: int = Field(description=_COUNT)
    is_count_exact: bool = Field(default=True, description="Whether `num_waiting` is all there are.")
    next: str | None = Field(default=None, description=_NEXT)


def turn_id(inner_id: str) -> str:
    """Return the id of a turn as it stands in an address.

    Example:
        >>> turn_id("m1/reply")
        'm1.reply'
    """
    return inner_id.replace("/", ".")


def view_turn(turn: Turn, templates: TemplateBook, *, is_staff: bool) -> TurnView:
    """Return a turn as customers or staff see it."""
    view = TurnView(id=turn_id(turn.id), speaker=turn.speaker, text=turn.text, time=turn.time)
    if turn.reply is None:
        return view
    details = _details(turn.reply, question=turn.question) if is_staff else None
    choices = _choices(turn.reply.open_question, templates)
    return view.model_copy(update={"citations": turn.reply.citations, "choices": choices, "details": details})


def view_reply(reply: ServiceReply, templates: TemplateBook, *, message_id: str, is_staff: bool) -> ReplyView:
    """Return a reply as customers or staff see it."""
    return ReplyView(
        turn=turn_id(f"{message_id}/reply") if reply.text else None,
        text=reply.text,
        citations=reply.citations,
        choices=_choices(reply.open_question, templates),
        awaits_person=reply.route == "handover",
        details=_details(reply, question=None) if is_staff else None,
    )


def _details(reply: ServiceReply, *, question: str | None) -> ReplyDetails:
    return ReplyDetails(
        route=reply.route,
        intent=reply.intent,
        probability=reply.probability,
        reason=reply.reason,
        summary=reply.summary,
        question=question,
        steps=reply.steps,
    )


def _choices(question: OpenQuestion | None, templates: TemplateBook) -> tuple[Choice, ...]:
    """Return the intents to choose between; none where a slot is asked for."""
    if question is None or question.slot is not None or len(question.intents) < 2:
        return ()
    titles = [templates.title(intent) for intent in question.intents]
    return tuple(
        Choice(title=title, text=f"{number}. {title}"[:MAX_CHOICE_CHARS].rstrip())
        for number, title in enumerate(titles, start=1)
    )
