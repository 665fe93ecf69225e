"""User-item interactions: events in time, and the matrix of them."""

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from llms.errors import DataFileError
from llms.texts import Id
from retrievers.event_times import EARLIEST, EventTime, PastTime, end_of_record

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


SECONDS_PER_DAY = 86_400.0
AnyEvent = TypeVar("AnyEvent", bound="DatedEvent")


class EventKind(StrEnum):
    """What happened between a user and an item: `INTEREST_KINDS` are signs of interest, the others are not."""

    VIEW = "view"
    CLICK = "click"
    COMMENT = "comment"
    SHARE = "share"
    BUY = "buy"
    SHOW = "show"  # it stood in a list for the user, who need not have looked
    HIDE = "hide"  # never to be shown to the user again; says nothing of their taste
    DISLIKE = "dislike"  # the same, and a sign against what is like it


INTEREST_KINDS = (EventKind.VIEW, EventKind.CLICK, EventKind.COMMENT, EventKind.SHARE, EventKind.BUY)
"""What a user did out of interest, from the weakest sign to the strongest."""

UNWANTED_KINDS = frozenset({EventKind.HIDE, EventKind.DISLIKE})


class DatedEvent(BaseModel):
    """One user did one thing with one item at one time, which may still be to come."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    user: Id
    item: Id
    event: EventKind
    time: EventTime
    text: str = Field(default="", description="Of a comment: what was written.")
    opinion: float | None = Field(
        default=None, ge=-1.0, le=1.0, description="Of a comment: from -1, all against, to 1, all for; None if unknown."
    )
    list_id: str = Field(default="", max_length=64, description="Of a show: the list in which the item stood.")
    place: int | None = Field(default=None, ge=1, le=100, description="Of a show: where it stood, from 1.")
    propensity: float | None = Field(
        default=None, gt=0.0, le=1.0, description="Of a show: how likely the item was to come there, as the list says."
    )

    @property
    def is_interest(self) -> bool:
        """Whether it tells of interest: a comment against an item does not."""
        return self.event in INTEREST_KINDS and (self.opinion is None or self.opinion >= 0)


class Event(DatedEvent):
    """One user did one thing with one item at one time."""

    time: PastTime


@dataclass(frozen=True, slots=True, kw_only=True)
class EventWeights:
    """How much each kind of event says about a taste, and how fast that fades.

    Example:
        >>> from datetime import UTC
        >>> bought = Event(user="u", item="a", event="buy", time=datetime(2026, 1, 1, tzinfo=UTC))
        >>> EventWeights(buy=2.0, half_life_days=30).strength(bought, now=datetime(2026, 1, 31, tzinfo=UTC))
        1.0
    """

    view: float = 0.5
    click: float = 0.8
    comment: float = 0.9
    share: float = 1.0
    buy: float = 1.0
    dislike: float = -1.0
    half_life_days: float = 90.0  # infinity: nothing fades

    def __post_init__(self) -> None:
        """Refuse weights that would make a sign of interest count against its item, or a dislike for it."""
        for kind in INTEREST_KINDS:
            if not 0 <= self.weight(kind) < math.inf:
                msg = f"the weight of {kind.value!r} must be finite and at least 0, got {self.weight(kind)}"
                raise ValueError(msg)
        if not -math.inf < self.dislike <= 0:
            msg = f"the weight of 'dislike' must be finite and at most 0, got {self.dislike}"
            raise ValueError(msg)
        if not self.half_life_days > 0:
            msg = f"half_life_days must be positive, got {self.half_life_days}"
            raise ValueError(msg)

    def weight(self, kind: EventKind) -> float:
        """Return the weight of a fresh event of this kind; what says nothing of a taste weighs 0."""
        return float(getattr(self, kind.value, 0.0))

    def strength(self, event: DatedEvent, now: datetime) -> float:
        """Return what the event still counts at `now`: half after each half-life, 0 if it lies ahead of `now`.

        A comment whose opinion is known counts by that: a bad one is a sign against the item.
        """
        age_days = (now - event.time).total_seconds() / SECONDS_PER_DAY
        return 0.0 if age_days < 0 else self.fresh_strength(event) * 0.5 ** (age_days / self.half_life_days)

    def fresh_strength(self, event: DatedEvent) -> float:
        """Return what the event counted when it happened."""
        return self.weight(event.event) * (1.0 if event.opinion is None else event.opinion)


def sum_strengths(events: Iterable[DatedEvent], weights: EventWeights, now: datetime) -> dict[str, float]:
    """Return item id -> summed strength of the events at `now`, in the order the items were first seen.

    Items whose events all lie ahead of `now`, or weigh nothing, are left out; what is disliked is below 0.
    """
    strengths: dict[str, float] = {}
    for event in events:
        strength = weights.strength(event, now)
        if strength:
            strengths[event.item] = strengths.get(event.item, 0.0) + strength
    return strengths


def identify_event(event: DatedEvent) -> tuple[str, str, EventKind, int]:
    """Return what makes two events one: user, item, kind and second."""
    return event.user, event.item, event.event, int(event.time.timestamp())


def different_events(events: Iterable[AnyEvent]) -> list[AnyEvent]:
    """Return the events in time order, each once; of equal ones the earliest counts."""
    different: dict[tuple[str, str, EventKind, int], AnyEvent] = {}
    for event in sorted(events, key=lambda event: event.time):
        different.setdefault(identify_event(event), event)
    return list(different.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class EventColumns:
    """Events as arrays, one row each: what counting needs, without a look at the objects."""

    users: NDArray[np.int64]  # which user, by a number
    items: NDArray[np.int64]  # rows of the item axis
    microseconds: NDArray[np.int64]  # since EARLIEST
    is_interest: NDArray[np.bool_]

    @classmethod
    def of(cls, events: Sequence[Event], users: Mapping[str, int], items: Mapping[str, int]) -> "EventColumns":
        """Return the columns of events whose users and items all have numbers."""
        return cls(
            users=np.array([users[event.user] for event in events], dtype=np.int64),
            items=np.array([items[event.item] for event in events], dtype=np.int64),
            microseconds=np.array([_microseconds(event.time) for event in events], dtype=np.int64),
            is_interest=np.array([event.is_interest for event in events], dtype=np.bool_),
        )

    def joined(self, later: "EventColumns") -> "EventColumns":
        """Return these rows and then those of `later`."""
        names = ("users", "items", "microseconds", "is_interest")
        return EventColumns(**{name: np.concatenate([getattr(self, name), getattr(later, name)]) for name in names})

    def count_users(self, num_items: int, *, days: float | None, now: datetime) -> NDArray[np.int64]:
        """Return `(num_items,)`: of how many different users there is interest in the last `days` (None: ever)."""
        end = _microseconds(now)
        chosen = self.is_interest & (self.microseconds <= end)
        if days is not None:
            chosen &= self.microseconds > end - timedelta(days=days) // timedelta(microseconds=1)
        pairs = np.unique(self.users[chosen] * num_items + self.items[chosen])
        return np.bincount(pairs % num_items, minlength=num_items)


def _microseconds(time: datetime) -> int:
    return (time - EARLIEST) // timedelta(microseconds=1)


class Interactions:
    """Events in time order, with the matrix and the counts that recommenders learn from.

    Args:
        events: in any order; equal times keep the order given. Events of one user, item, kind and second are one:
            the earliest counts, `num_repeats` says how many were left out.
        weights: what each kind of event counts.
        items: the item axis, for example a catalogue's ids; without it, the items in order of first appearance.

    Raises:
        DataFileError: if an event names an item that is not on the given axis.

    Example:
        >>> from datetime import UTC
        >>> def on_day(day: int, user: str, item: str) -> Event:
        ...     return Event(user=user, item=item, event="click", time=datetime(2026, 1, day, tzinfo=UTC))
        >>> seen = Interactions([on_day(3, "u", "b"), on_day(1, "u", "a")], EventWeights(click=1, half_life_days=2))
        >>> seen.items, seen.user_items().toarray().tolist()
        (('a', 'b'), [[0.5, 1.0]])
    """

    def __init__(
        self, events: Iterable[Event], weights: EventWeights | None = None, *, items: Sequence[str] | None = None
    ) -> None:
        given = list(events)
        self.events: tuple[Event, ...] = tuple(different_events(given))
        self.num_repeats = len(given) - len(self.events)
        self.weights = weights or EventWeights()
        self.items = tuple(dict.fromkeys(event.item for event in self.events) if items is None else items)
        self.users = tuple(dict.fromkeys(event.user for event in self.events))
        self._item_positions = {item: at for at, item in enumerate(self.items)}
        self._user_positions = {user: at for at, user in enumerate(self.users)}
        self._refuse_unknown_items()
        self._histories: dict[str, list[Event]] = {user: [] for user in self.users}
        for event in self.events:
            self._histories[event.user].append(event)

    def __len__(self) -> int:
        return len(self.events)

    @functools.cached_property  # asked for each user by whatever measures lists
    def now(self) -> datetime:
        """The moment this record ends: the time of the last event that the others bear out (`end_of_record`).

        Raises:
            DataFileError: if there are no events.
        """
        if not self.events:
            msg = "there are no events, so there is no last one; pass `now`"
            raise DataFileError(msg)
        return end_of_record([event.time for event in self.events])

    def history(self, user: str) -> tuple[Event, ...]:
        """Return the user's events, oldest first; empty for a user nobody has seen."""
        return tuple(self._histories.get(user, ()))

    def user_items(self, now: datetime | None = None) -> "csr_matrix":
        """Return the summed, decayed strength of every user for every item.

        Args:
            now: the moment strengths are measured at, by default the last event; later events count nothing.

        Returns:
            `(num_users, num_items)` float64 in the order of `users` and `items`; below 0 for what is disliked.
        """
        from scipy.sparse import csr_matrix

        moment = now if now is not None or not self.events else self.now
        columns = self.columns
        ages = 0.0 if moment is None else (_microseconds(moment) - columns.microseconds) / (SECONDS_PER_DAY * 1e6)
        fresh = np.array([self.weights.fresh_strength(event) for event in self.events], dtype=np.float64)
        strengths = np.where(ages >= 0, fresh * 0.5 ** (np.maximum(ages, 0.0) / self.weights.half_life_days), 0.0)
        shape = (len(self.users), len(self.items))
        matrix: Any = csr_matrix((strengths, (columns.users, columns.items)), shape=shape, dtype=np.float64)
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        return matrix

    def split_by_time(self, share: float) -> "tuple[Interactions, Interactions]":
        """Return the oldest `share` of the events and the rest, cut at one moment for all users.

        Events of the very moment of the cut all go to the later part, so that nothing in the first part is as late as
        anything in the second. Both parts keep the item axis.

        Raises:
            ValueError: if `share` is not between 0 and 1, or one part would be empty.
        """
        if not 0 < share < 1:
            msg = f"share must lie between 0 and 1, got {share}"
            raise ValueError(msg)
        cut = self.events[int(len(self.events) * share)].time if self.events else None
        early = [event for event in self.events if cut is not None and event.time < cut]
        if cut is None or not early:
            msg = f"{len(self.events)} events cannot be cut at {share}: one part would be empty"
            raise ValueError(msg)
        late = self.events[len(early) :]
        return (
            Interactions(early, self.weights, items=self.items),
            Interactions(late, self.weights, items=self.items),
        )

    def popularity(self, days: float | None = 30, now: datetime | None = None) -> Mapping[str, int]:
        """Return item id -> number of different users with a sign of interest in the last `days` before `now`.

        Users are counted, not events: one busy user must not make an item popular.

        Args:
            days: length of the window; None for all time.
            now: the window's end, included; by default the last event.

        Returns:
            Every item of the axis, in its order; 0 where nobody came.
        """
        end = now if now is not None or not self.events else self.now
        if end is None:
            return dict.fromkeys(self.items, 0)
        counts = self.columns.count_users(len(self.items), days=days, now=end)
        return dict(zip(self.items, counts.tolist(), strict=True))

    @functools.cached_property
    def columns(self) -> EventColumns:
        """The events as arrays, in their order."""
        return EventColumns.of(self.events, self._user_positions, self._item_positions)

    def _refuse_unknown_items(self) -> None:
        unknown = sorted({event.item for event in self.events} - set(self.items))
        if unknown:
            msg = f"{len(unknown)} items of the events are not on the item axis, for example {unknown[:3]}"
            raise DataFileError(msg)
