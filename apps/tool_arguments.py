"""Arguments of the tools, with limits that keep every call short."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from apps.applications import ClassifierName
from apps.server.schemas import MAX_MESSAGE_CHARS, WireId, WirePost
from retrievers import EventKind

_ShortText = Annotated[str, Field(min_length=1, max_length=MAX_MESSAGE_CHARS)]
_SlotValue = Annotated[str, Field(min_length=1, max_length=200)]


class _Arguments(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AnswerArguments(_Arguments):
    """One question of a customer."""

    question: _ShortText = Field(description="What the customer wrote, in the customer's own words.")
    slots: dict[str, _SlotValue] = Field(
        default={},
        max_length=20,
        description="Details known already, by the slot names of an earlier result, such as an order number.",
    )


class PostsArguments(_Arguments):
    """Posts in any order."""

    posts: tuple[WirePost, ...] = Field(min_length=1, max_length=50)


class AlertsArguments(_Arguments):
    """Which alerts to show."""

    state: Literal["open", "all"] = Field(default="open", description="open: those that have not ended.")
    topic: str | None = Field(default=None, max_length=200, description="Only of this topic.")


class RecommendArguments(_Arguments):
    """Whom to recommend to."""

    user: WireId = Field(description="Id of the user; an unknown one gets what is popular and new.")
    k: int = Field(default=5, ge=1, le=20, description="Length of the list.")
    exclude: tuple[WireId, ...] = Field(
        default=(), max_length=100, description="Item ids that must not be in the list."
    )
    max_price: float | None = Field(
        default=None, ge=0.0, allow_inf_nan=False, description="Only items at most so dear."
    )
    query: str | None = Field(
        default=None,
        min_length=1,
        max_length=500,
        description="What the user looks for, in words, such as: something quiet for a small kitchen under 50.",
    )


class SimilarArguments(_Arguments):
    """Which item others are wanted like."""

    item: WireId = Field(description="Id of the item.")
    k: int = Field(default=5, ge=1, le=20, description="How many.")


class EventArguments(_Arguments):
    """What a user just did with an item."""

    user: WireId = Field(description="Id of the user.")
    item: WireId = Field(description="Id of the item.")
    event: EventKind = Field(description="What the user did.")
    text: str = Field(default="", max_length=MAX_MESSAGE_CHARS, description="Of a comment: what was written.")


class ClassifyArguments(_Arguments):
    """Texts for one classifier."""

    model: ClassifierName = Field(description="intent: what a customer wants; topic and sentiment: of a post.")
    texts: tuple[_ShortText, ...] = Field(min_length=1, max_length=32)
