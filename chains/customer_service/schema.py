"""What goes into the customer-service chain and what comes out."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Citation", "Route", "ServiceReply", "ServiceRequest"]

Route = Literal["template", "curated", "answer", "clarify", "handover"]


class ServiceRequest(BaseModel):
    """One message of a customer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str = Field(description="What the customer wrote.")


class Citation(BaseModel):
    """A span of a knowledge article that an answer rests on."""

    model_config = ConfigDict(frozen=True)

    source: str = Field(description="File name of the article.")
    start: int = Field(ge=0, description="First character of the quote in the article.")
    end: int = Field(ge=0, description="One past the last character of the quote in the article.")
    quote: str


class ServiceReply(BaseModel):
    """What the customer is told, on which ground, and why this way."""

    model_config = ConfigDict(frozen=True)

    text: str
    route: Route = Field(
        description="template: an approved answer; answer: composed from the knowledge base; clarify: a question "
        "back; handover: a person takes over; curated: an answer matched by meaning."
    )
    intent: str | None = Field(default=None, description="What the customer wants, where the classifier is sure.")
    probability: float | None = Field(default=None, description="Calibrated probability of the likeliest intent.")
    citations: tuple[Citation, ...] = ()
    reason: str = Field(description="Why this route was taken, for staff.")
