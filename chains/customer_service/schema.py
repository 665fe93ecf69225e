"""Data types of the customer-service chain: request, reply, citations, events."""

from collections.abc import Mapping
from typing import Literal, TypedDict

from pydantic import BaseModel, ConfigDict, Field

Route = Literal["template", "curated", "answer", "clarify", "handover"]


class OpenQuestion(BaseModel):
    """What the assistant asked back; the next request carries it, so that the answer can be understood.

    Attributes:
        intents: the one intent whose slot is asked for, or the intents to choose between.
        slot: the name of the slot that is asked for, or None where an intent is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    intents: tuple[str, ...] = Field(min_length=1)
    slot: str | None = None


class ServiceRequest(BaseModel):
    """One message of a customer, with what earlier turns brought."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str = Field(description="What the customer wrote.")
    slots: Mapping[str, str] = Field(default={}, description="Slots known already, such as the number of an order.")
    open_question: OpenQuestion | None = Field(default=None, description="What the last reply asked back.")


class Citation(BaseModel):
    """A span of a knowledge article that an answer rests on."""

    model_config = ConfigDict(frozen=True)

    source: str = Field(description="File name of the article.")
    start: int = Field(ge=0, description="First character of the quote in the article.")
    end: int = Field(ge=0, description="One past the last character of the quote in the article.")
    quote: str


class StepTime(BaseModel):
    """How long one step of a reply took."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(description="intent, curated, lookup, search, route, compose or quote.")
    milliseconds: float = Field(ge=0)


class ServiceReply(BaseModel):
    """What the customer is told, on which ground, and why this way."""

    model_config = ConfigDict(frozen=True)

    text: str
    route: Route = Field(
        description="template: an approved answer; curated: the answer of a known question matched by meaning; "
        "answer: composed or quoted from the knowledge base; clarify: a question back; handover: a person takes over."
    )
    intent: str | None = Field(default=None, description="What the customer wants, where the classifier is sure.")
    probability: float | None = Field(default=None, description="Calibrated probability of the likeliest intent.")
    known_question: str | None = Field(default=None, description="Id of the known question that was answered.")
    citations: tuple[Citation, ...] = ()
    slots: Mapping[str, str] = Field(default={}, description="Slots known after this message.")
    open_question: OpenQuestion | None = Field(default=None, description="What a clarifying reply asks.")
    reason: str = Field(description="Why this route was taken, for staff.")
    summary: str | None = Field(default=None, description="With a hand-over: what a person should know.")
    steps: tuple[StepTime, ...] = Field(default=(), description="Latency of each step, in order.")


class ServiceEvent(TypedDict, total=False):
    """What happens while a reply is made: custom events of the run, named `customer_service`.

    `step` names a step that ended, `route` the way taken, `text` a part of the answer that passed its check; the parts
    joined are the text of the reply.
    """

    step: str
    milliseconds: float
    route: Route
    text: str
