"""User-item interactions: events in time, and the matrix of them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from llms.errors import DataFileError
from llms.texts import Id
from retrievers.event_times import PastTime, end_of_record

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


SECONDS_PER_DAY = 86_400.0


class EventKind(StrEnum):
    """What a user did, from the weakest sign of interest to the strongest."""

    VIEW = "view"
    CLICK = "click"
    COMMENT = "comment"
    SHARE = "share"
    BUY = "buy"


class Event(BaseModel):
    """One user did one thing with one item at one time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    user: Id
    item: Id
    event: EventKind
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
    half_life_days: float = 90.0  # infinity: nothing fades

    def __post_init__(self) -> None:
        """Refuse weights that would make an event count against its item."""
        for kind in EventKind:
            if not 0 <= self.weight(kind) < math.inf:
                msg = f"the weight of {kind.value!r} must be finite and at least 0, got {self.weight(kind)}"
                raise ValueError(msg)
        if not self.half_life_days > 0:
            msg = f"half_life_days must be positive, got {self.half_life_days}"
            raise ValueError(msg)

    def weight(self, kind: EventKind) -> float:
        """Return the weight of a fresh event of this kind."""
        return float(getattr(self, kind.value))

    def strength(self, event: Event, now: datetime) -> float:
        """Return what the event still counts at `now`: half after each half-life, 0 if it lies ahead of `now`."""
        age_days = (now - event.time).total_seconds() / SECONDS_PER_DAY
        return 0.0 if age_days < 0 else self.weight(event.event) * 0.5 ** (age_days / self.half_life_days)


def sum_strengths(events: Iterable[Event], weights: EventWeights, now: datetime) -> dict[str, float]:
    """Return item id -> summed strength of the events at `now`, in the order the items were first seen.

    Items whose events all lie ahead of `now`, or weigh nothing, are left out.
    """
    strengths: dict[str, float] = {}
    for event in events:
        strength = weights.strength(event, now)
        if strength > 0:
            strengths[event.item] = strengths.get(event.item, 0.0) + strength
    return strengths


class Interactions:
    """Events in time order, with the matrix and the counts that recommenders learn from.

    Args:
        events: in any order; equal times keep the order given. Equal events count once: `num_repeats` says how many
            were left out.
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
        self.events: tuple[Event, ...] = tuple(sorted(dict.fromkeys(given), key=lambda event: event.time))
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

    @property
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
            `(num_users, num_items)` float64 in the order of `users` and `items`; never negative.
        """
        from scipy.sparse import csr_matrix

        moment = now if now is not None or not self.events else self.now
        strength = [self.weights.strength(event, moment) for event in self.events] if moment else []
        rows = [self._user_positions[event.user] for event in self.events]
        columns = [self._item_positions[event.item] for event in self.events]
        shape = (len(self.users), len(self.items))
        matrix: Any = csr_matrix((strength, (rows, columns)), shape=shape, dtype=np.float64)
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
        """Return item id -> number of different users with an event in the last `days` before `now`.

        Users are counted, not events: one busy user must not make an item popular.

        Args:
            days: length of the window; None for all time.
            now: the window's end, included; by default the last event.

        Returns:
            Every item of the axis, in its order; 0 where nobody came.
        """
        users: dict[str, set[str]] = {item: set() for item in self.items}
        end = now if now is not None or not self.events else self.now
        for event in self.events:
            if end is not None and event.time <= end and (days is None or event.time > end - timedelta(days=days)):
                users[event.item].add(event.user)
        return {item: len(found) for item, found in users.items()}

    def _refuse_unknown_items(self) -> None:
        unknown = sorted({event.item for event in self.events} - set(self.items))
        if unknown:
            msg = f"{len(unknown)} items of the events are not on the item axis, for example {unknown[:3]}"
            raise DataFileError(msg)
