"""Replay of logged lists: what another way to make lists would have earned, by inverse propensities."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from chains.errors import ChainInputError
from llms.errors import OptionValueError
from retrievers import INTEREST_KINDS, Event, EventKind, Interactions

_TICK = timedelta(microseconds=1)

RankAt = Callable[[str, datetime, int], Sequence[str]]
"""`(user, moment, k) -> ids`: the list somebody would have got at a moment, made from what was known before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """What counts as a success of a place, and how sure the figures are."""

    reward_kinds: frozenset[EventKind] = frozenset(INTEREST_KINDS) - {EventKind.VIEW}
    reward_hours: float = 24.0  # after the list was shown
    max_weight: float = 100.0  # of one place: a probability that is told too small must not decide alone
    num_resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values that have no meaning."""
        if not self.reward_hours > 0 or not self.max_weight >= 1 or self.num_resamples < 1:
            msg = (
                "reward_hours must be positive, max_weight and num_resamples at least 1, got "
                f"{self.reward_hours}, {self.max_weight} and {self.num_resamples}"
            )
            raise OptionValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPlace:
    """One place of a list that was shown, with what came of it."""

    user: str
    item: str
    list_id: str
    place: int  # from 1
    propensity: float
    time: datetime
    reward: float  # 1 if the user took an interest in the item afterwards, else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayReport:
    """What a way to make lists earns, in successes per place."""

    num_lists: int
    num_places: int
    num_matching: int  # places that this way would have filled alike; only these tell anything of it
    num_clipped: int  # of these, such as had more than the largest weight
    value: float | None  # None if no place matches
    low: float | None  # 95 % bootstrap interval, over users
    high: float | None
    effective_size: float  # so many places of equal weight would tell as much
    support: float  # mean weight: about 1 if what this way shows could have been shown, less where it could not


def collect_places(events: Iterable[Event], options: ReplayOptions | None = None) -> list[ShownPlace]:
    """Return the places of all lists that were shown with a list, a place and a propensity, in time order.

    What a user does counts for the last time the item was shown to them before, if that is not too long ago.
    """
    chosen = options or ReplayOptions()
    window = timedelta(hours=chosen.reward_hours)
    ordered = sorted(events, key=lambda event: (event.time, event.event is not EventKind.SHOW))
    latest: dict[tuple[str, str], int] = {}  # user and item -> number of the show that counts now
    shows: list[Event] = []
    earned: set[int] = set()
    for event in ordered:
        pair = event.user, event.item
        if event.event is EventKind.SHOW and event.list_id and event.place and event.propensity:
            latest[pair] = len(shows)
            shows.append(event)
        elif event.event in chosen.reward_kinds and event.is_interest and pair in latest:
            number = latest[pair]
            if event.time - shows[number].time <= window:
                earned.add(number)
    return [
        ShownPlace(
            user=event.user,
            item=event.item,
            list_id=event.list_id,
            place=event.place or 0,
            propensity=event.propensity or 0.0,
            time=event.time,
            reward=float(number in earned),
        )
        for number, event in enumerate(shows)
    ]


def replay_lists(
    rank: RankAt, places: Sequence[ShownPlace], options: ReplayOptions | None = None
) -> tuple[ReplayReport, ReplayReport]:
    """Return what lists by `rank` would have earned where `places` were shown, and what the shown ones earned.

    Each place is a choice of its own: of an item for a user, given what stands before it. `rank` would have chosen
    the first item of its list that does not stand there, and the place counts if that one was shown.

    Raises:
        ChainInputError: if nothing was shown with a propensity.
    """
    if not places:
        msg = (
            "no list was shown that can be replayed; send events of the kind show with the list_id of the list and "
            "the place and propensity of each item, and set recommendation.exploration_share above 0"
        )
        raise ChainInputError(msg)
    chosen = options or ReplayOptions()
    matches = np.zeros(len(places), dtype=bool)
    lists = _group_lists(places)
    for numbers in lists:
        first = places[numbers[0]]
        length = max(places[number].place for number in numbers)
        ranked = rank(first.user, first.time, length)
        before: set[str] = set()
        for number in numbers:
            expected = next((item for item in ranked if item not in before), None)
            matches[number] = expected == places[number].item
            before.add(places[number].item)
    rewards = np.array([place.reward for place in places])
    weights = 1 / np.array([place.propensity for place in places])
    users = [place.user for place in places]
    num_lists = len(lists)
    replayed = estimate_value(np.where(matches, weights, 0.0), rewards, users, num_lists=num_lists, options=chosen)
    shown = estimate_value(np.ones(len(places)), rewards, users, num_lists=num_lists, options=chosen)
    return replayed, shown


def estimate_value(
    weights: NDArray[np.floating],
    rewards: NDArray[np.floating],
    users: Sequence[str],
    *,
    num_lists: int = 0,
    options: ReplayOptions | None = None,
) -> ReplayReport:
    """Return the self-normalised estimate of what a way to make lists earns per place (SNIPS).

    Args:
        weights: `(places,)`: how likely the item is in its place by that way, over how likely it was when shown.
        rewards: `(places,)`.
        users: of each place; intervals are over users, since places of one user are not independent.
        num_lists: for the report.
        options: the largest weight, and the intervals.

    Example:
        >>> weights, rewards = np.array([2.0, 0.0, 4.0, 1.0]), np.array([1.0, 1.0, 0.0, 1.0])
        >>> report = estimate_value(weights, rewards, ["a", "a", "b", "c"])
        >>> round(report.value, 3), round(report.effective_size, 3), report.support
        (0.429, 2.333, 1.75)

    References:
        Swaminathan and Joachims, "The self-normalized estimator for counterfactual learning", NeurIPS 2015.
    """
    chosen = options or ReplayOptions()
    clipped = np.minimum(np.asarray(weights, dtype=np.float64), chosen.max_weight)
    total = float(clipped.sum())
    value = low = high = None
    if total > 0:
        value = float(clipped @ rewards) / total
        low, high = _resample(clipped, rewards, users, chosen)
    return ReplayReport(
        num_lists=num_lists,
        num_places=len(clipped),
        num_matching=int((clipped > 0).sum()),
        num_clipped=int((clipped < weights).sum()),
        value=value,
        low=low,
        high=high,
        effective_size=total**2 / float((clipped**2).sum()) if total > 0 else 0.0,
        support=total / len(clipped),
    )


class PastRecord:
    """Behaviour as it was known right before a moment, which can be moved.

    Args:
        interactions: all that happened, also after the moment.

    Attributes:
        moment: nothing from then on is known.
    """

    def __init__(self, interactions: Interactions) -> None:
        self._interactions = interactions
        self.moment = interactions.now

    def history(self, user: str) -> Sequence[Event]:
        """Return the user's events, oldest first."""
        return [event for event in self._interactions.history(user) if event.time < self.moment]

    def popularity(self, days: float | None, now: datetime) -> Mapping[str, int]:
        """Return item id -> number of different users with interest in it in the last `days` (None: ever)."""
        return self._interactions.popularity(days, min(now, self.moment - _TICK))


def _group_lists(places: Sequence[ShownPlace]) -> list[list[int]]:
    """Return the numbers of the places of each list, in the order of its places; lists in the order of time."""

    def name(number: int) -> tuple[str, str]:
        return places[number].user, places[number].list_id

    ordered = sorted(range(len(places)), key=lambda number: (*name(number), places[number].place))
    lists = [list(numbers) for _, numbers in itertools.groupby(ordered, key=name)]
    return sorted(lists, key=lambda numbers: places[numbers[0]].time)


def _resample(
    weights: NDArray[np.float64], rewards: NDArray[np.floating], users: Sequence[str], options: ReplayOptions
) -> tuple[float, float]:
    names, numbers = np.unique(np.array(users, dtype=np.str_), return_inverse=True)
    earned = np.bincount(numbers, weights * rewards, len(names))
    spent = np.bincount(numbers, weights, len(names))
    rng = np.random.default_rng(options.seed)
    draws = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=options.num_resamples)
    totals = draws @ spent
    values = (draws @ earned)[totals > 0] / totals[totals > 0]
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
