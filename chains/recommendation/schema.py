"""Data types of recommendation: request, ranked items, list."""

from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

from chains.recommendation.ranking import DiversityMethod
from llms.texts import Id
from retrievers import DatedEvent


class RecommendationRequest(BaseModel):
    """Whom to recommend to, and what this one list must respect.

    Example:
        >>> RecommendationRequest(user="u7", k=3).exclude
        ()
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    user: Id = Field(description="May be unknown: then the list is for a newcomer.")
    k: int = Field(default=10, ge=1, le=100, description="Length of the list, if the catalogue allows it.")
    events: tuple[DatedEvent, ...] = Field(
        default=(), description="What the user just did; changes this list at once, without training."
    )
    exclude: tuple[Id, ...] = Field(
        default=(), description="Item ids that must not be recommended; ids that do not exist are passed over."
    )
    max_price: float | None = Field(
        default=None, ge=0.0, description="Only items known to cost at most this; items without a price are left out."
    )

    query: str | None = Field(
        default=None,
        min_length=1,
        max_length=500,
        description="What the user looks for, in their words; a price in it, such as `under 50`, is a limit.",
    )
    diversity: float | None = Field(
        default=None, ge=0.0, le=1.0, description="How varied: 0 by interest alone, 1 as different as possible."
    )
    diversity_method: DiversityMethod | None = Field(
        default=None, description="mmr: against the places before; dpp: by the volume that the list spans."
    )
    max_per_tag: int | None = Field(
        default=None, ge=1, description="How many items may share a tag, as long as others are left."
    )
    popularity_discount: float | None = Field(
        default=None,
        ge=0.0,
        le=100.0,
        description="Log-odds taken from the most popular item, and less from others; 0.5 shows more of the catalogue.",
    )


class RankedItem(BaseModel):
    """One recommended item, with why it is there."""

    model_config = ConfigDict(frozen=True)

    id: str
    title: str
    score: float = Field(ge=0.0, le=1.0, description="What the list is ordered by, before diversity moves places.")
    reason: str = Field(description="One sentence, true of the parts.")
    parts: dict[str, float] = Field(
        description="`interest`: the probability of interest. All others: what this part added to the log-odds, "
        "compared with an average item."
    )
    price: float | None = Field(default=None, description="None if it is not known.")
    tags: tuple[str, ...] = ()
    propensity: float = Field(
        default=1.0,
        gt=0.0,
        le=1.0,
        description="How likely the item was to come to this place, given those before; below 1 where a share of "
        "places goes to new items. To be sent with the event `show`.",
    )


class UnderstoodQuery(BaseModel):
    """What was read out of a query by rules."""

    model_config = ConfigDict(frozen=True)

    text: str = Field(description="Without what was read as a price.")
    min_price: float | None = None
    max_price: float | None = None
    tags: tuple[str, ...] = Field(default=(), description="Tags of the catalogue that the query names.")


class Recommendation(BaseModel):
    """The list for one user, best first; each item at most once."""

    model_config = ConfigDict(frozen=True)

    user: str
    items: tuple[RankedItem, ...]
    list_id: str = Field(default="", description="Of who asked what when; to be sent with events of the kind `show`.")
    cold: bool = Field(description="True if nothing was known of the user: the list is what is popular and new.")
    unknown_items: tuple[str, ...] = Field(
        default=(), description="Ids of the request that are no items, such as deleted ones; they were passed over."
    )
    num_future_events: int = Field(
        default=0, ge=0, description="Events dated more than ten minutes ahead of the clock; they were set aside."
    )
    distance: float | None = Field(
        default=None, description="Mean distance, 1 less the cosine of their texts, of two items of the list."
    )
    understood: UnderstoodQuery | None = Field(default=None, description="Of a request with a query.")


class SimilarRequest(BaseModel):
    """Which item others are wanted like."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    item: Id
    k: int = Field(default=10, ge=1, le=100)
    user: Id | None = Field(default=None, description="Whose hidden items are left out.")


class SimilarItem(BaseModel):
    """One item like another, with why."""

    model_config = ConfigDict(frozen=True)

    id: str
    title: str
    price: float | None = Field(default=None, description="None if it is not known.")
    tags: tuple[str, ...] = ()
    score: float = Field(ge=0.0, le=1.0, description="How alike they are, by texts and by what people use together.")
    reason: str


class SimilarItems(BaseModel):
    """The items most like one, most alike first."""

    model_config = ConfigDict(frozen=True)

    item: str
    items: tuple[SimilarItem, ...]


@runtime_checkable
class SimilarFinder(Protocol):
    """A chain of lists that also finds items like another one."""

    def find_similar(self, request: SimilarRequest | dict[str, Any]) -> SimilarItems:
        """Return the items most like one.

        Raises:
            UnknownItemError: if there is no such item.
        """
        ...
