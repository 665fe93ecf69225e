"""Features of the interest model: one row of numbers per user and item, all from before one moment."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from chains.recommendation.user_profile import UserProfile, embed_user
from llms.arrays import BoolArray, FloatArray
from llms.errors import OptionValueError
from retrievers import (
    Event,
    FactorRecommender,
    Interactions,
    Item,
    ItemCatalogue,
    ItemItemRecommender,
    NeighbourRecommender,
)

# Order is meaning: a saved model stores these names and refuses others.
FEATURE_NAMES = (
    "taste_cosine",  # to everything the user did
    "recent_cosine",  # to the closest of the latest items
    "collaborative",  # what users with such a history went on to use
    "collaborative_share",  # the same, as a share of the user's best item
    "collaborative_recent",  # the same, from the latest items only
    "factors",  # the user's place among the leading factors
    "popularity",  # all time
    "trend",  # over some weeks
    "trend_latest",  # over some days
    "newness",
    "price_match",
    "tag_affinity",
    "popularity_if_cold",  # popularity matters more, the less is known
    "newness_if_cold",
    "history_size",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureOptions:
    """Everything that changes the meaning of a feature; saved with the model that was trained on them."""

    ridge: float = 300.0
    user_power: float = 0.25
    num_factors: int = 20
    num_recent: int = 10
    trend_days: float = 30.0
    latest_days: float = 7.0
    newness_days: float = 30.0  # newness falls to 1/e over this time
    max_dense_items: int = 5_000  # of larger catalogues each item is predicted from its neighbours alone

    def __post_init__(self) -> None:
        """Refuse values no feature can be computed with."""
        for name in (
            "ridge",
            "num_factors",
            "num_recent",
            "trend_days",
            "latest_days",
            "newness_days",
            "max_dense_items",
        ):
            if not getattr(self, name) > 0:
                msg = f"{name} must be positive, got {getattr(self, name)}"
                raise OptionValueError(msg)


class BehaviourRecord(Protocol):
    """What people did so far; `Interactions` is one that does not grow."""

    def history(self, user: str) -> Sequence[Event]:
        """Return the user's events, oldest first; none for a user nobody has seen."""
        ...

    def popularity(self, days: float | None, now: datetime) -> Mapping[str, int]:
        """Return item id -> number of different users with interest in it in the last `days` (None: ever)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BehaviourModels:
    """What is learnt from who used what, without a look at texts."""

    item_item: ItemItemRecommender | NeighbourRecommender
    factors: FactorRecommender

    @classmethod
    def learn(cls, interactions: Interactions, options: FeatureOptions, *, now: datetime) -> "BehaviourModels":
        """Return the models for the events up to `now`.

        Raises:
            TrainingDataError: if there are none.
        """
        is_dense = len(interactions.items) <= options.max_dense_items
        train = ItemItemRecommender.train if is_dense else NeighbourRecommender.train
        return cls(
            item_item=train(interactions, ridge=options.ridge, user_power=options.user_power, now=now),
            factors=FactorRecommender.train(interactions, num_factors=options.num_factors, now=now),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UserScores:
    """A user against all items; computed once per list, since candidates and features need it alike."""

    profile: UserProfile
    embedding: FloatArray  # (dim,)
    cosines: FloatArray  # (num_items,) of the embedding and every item
    collaborative: FloatArray  # (num_items,) what users with such a history went on to use


class FeatureTable:
    """All items as they looked at one moment, ready to be compared with any user.

    Args:
        catalogue: the items; its order is the row order of everything here.
        vectors: `(num_items, dim)` unit rows, one per item of the catalogue.
        interactions: events on the catalogue's item axis; those after `now` do not exist for this table.
        options: how features are computed.
        now: the moment; by default that of the last event, which is right for a replay and wrong for a list of today.
        behaviour: what `BehaviourModels.learn` returns for all this, if it is known already.

    Raises:
        TrainingDataError: if there are no events up to `now`.
    """

    def __init__(
        self,
        *,
        catalogue: ItemCatalogue,
        vectors: FloatArray,
        interactions: Interactions,
        options: FeatureOptions,
        now: datetime | None = None,
        behaviour: BehaviourModels | None = None,
    ) -> None:
        self.catalogue = catalogue
        self.items = tuple(catalogue.values())
        self.vectors = vectors
        self.options = options
        self.now = now or interactions.now
        self._behaviour = behaviour or BehaviourModels.learn(interactions, options, now=self.now)
        self._is_in_stock: BoolArray = np.array([item.stock != 0 for item in self.items])
        self._see(interactions)
        self.prices = np.array([np.nan if item.price is None else item.price for item in self.items])
        self._log_prices = np.log1p(self.prices)
        self._tags = _share_tags(self.items)
        self._users = _users_of_items(interactions)

    def _see(self, record: BehaviourRecord) -> None:
        """Take up what depends on the moment."""
        self.record = record
        today = self.now.astimezone(UTC).date()
        self.has_begun: BoolArray = np.array([item.has_begun(today) for item in self.items])
        self.is_available: BoolArray = self.has_begun & self._is_in_stock
        self._popularity = self._count_users(record, None)
        self._trend = self._count_users(record, self.options.trend_days)
        self._latest = self._count_users(record, self.options.latest_days)
        self._newness = _measure_newness(self.items, self.now, self.options.newness_days)
        general = (self._popularity, self._trend, self._latest, self._newness)
        self._orders = tuple(np.argsort(-scores, kind="stable") for scores in general)

    def _count_users(self, record: BehaviourRecord, days: float | None) -> FloatArray:
        counts = record.popularity(days, self.now)
        return np.array([counts[item] for item in self.catalogue], dtype=np.float32)

    def at(self, now: datetime, record: BehaviourRecord) -> Self:
        """Return the same items at another moment: popularity, newness and what is available are of then.

        What was learnt of who uses what with what stays as it is.
        """
        table = copy.copy(self)
        table.now = now
        table._see(record)  # a copy of this very object
        return table

    def score_user(self, profile: UserProfile) -> UserScores:
        """Return a user's embedding, and what the collaborative model expects of them."""
        embedding = embed_user(self.vectors, self.catalogue.positions, profile.strengths)
        return UserScores(
            profile=profile,
            embedding=embedding,
            cosines=self.vectors @ embedding,
            collaborative=self._behaviour.item_item.score_items(profile.strengths),
        )

    def general_orders(self) -> tuple[NDArray[np.intp], ...]:
        """Return the rows of all items, best first, by what speaks for them whoever asks.

        That is popularity over three windows, and newness; of equal items the earlier comes first.
        """
        return self._orders

    def compute(self, user: UserScores, positions: NDArray[np.intp] | None = None) -> FloatArray:
        """Return the features of one user and many items.

        Args:
            user: at this table's moment or later.
            positions: rows of the catalogue; by default all, in order.

        Returns:
            `(num_positions, num_features)` float32 in the order of `FEATURE_NAMES`, without NaN. For a user of whom
            nothing is known all features about their taste are 0.
        """
        rows = np.arange(len(self.catalogue)) if positions is None else positions
        strengths, collaborative = user.profile.strengths, user.collaborative
        recent = user.profile.recent[: self.options.num_recent]
        behaviour = self._behaviour
        cold = 1.0 / (1.0 + len(user.profile.recent))
        likes = user.profile.likes
        popularity = _squash_counts(self._popularity)[rows]
        columns: dict[str, NDArray[np.floating] | float] = {
            "taste_cosine": user.cosines[rows],
            "recent_cosine": self.closest_recent(recent, rows)[0],
            "collaborative": _squash_scores(collaborative[rows]),
            "collaborative_share": (collaborative / max(float(collaborative.max()), 1e-6)).clip(-1, 1)[rows],
            "collaborative_recent": _squash_scores(behaviour.item_item.score_items(dict.fromkeys(recent, 1.0))[rows]),
            "factors": _squash_scores(behaviour.factors.score_items(strengths)[rows]),
            "popularity": popularity,
            "trend": _squash_counts(self._trend)[rows],
            "trend_latest": _squash_counts(self._latest)[rows],
            "newness": self._newness[rows],
            "price_match": self._match_prices(likes, rows),
            "tag_affinity": self._match_tags(likes, rows),
            "popularity_if_cold": popularity * cold,
            "newness_if_cold": self._newness[rows] * cold,
            "history_size": float(np.log1p(len(user.profile.recent))),
        }
        table = np.empty((len(rows), len(FEATURE_NAMES)), dtype=np.float32)
        for column, name in enumerate(FEATURE_NAMES):
            table[:, column] = columns[name]
        return table

    def closest_recent(self, recent: tuple[str, ...], rows: NDArray[np.intp]) -> tuple[FloatArray, NDArray[np.intp]]:
        """Return, per row, the best cosine to the recent items and which of them it is (0 if there are none).

        An item does not resemble itself: that somebody looked at it is no reason to show it again.
        """
        if not recent:
            return np.zeros(len(rows), dtype=np.float32), np.zeros(len(rows), dtype=np.intp)
        indices = [self.catalogue.positions[item] for item in recent]
        cosines = self.vectors[rows] @ self.vectors[indices].T  # (rows, recent)
        cosines = np.where(rows[:, np.newaxis] == np.array(indices), 0.0, cosines).astype(np.float32)
        return cosines.max(axis=1), cosines.argmax(axis=1)

    def trending_days(self, row: int, *, share: float) -> float | None:
        """Return the shorter window over which an item is among this share of the most used, if there is one."""
        for counts, days in ((self._latest, self.options.latest_days), (self._trend, self.options.trend_days)):
            if _is_among_most(counts, row, share=share):
                return days
        return None

    def is_popular(self, row: int, *, share: float) -> bool:
        """Return whether an item is among this share of those most used over all time."""
        return _is_among_most(self._popularity, row, share=share)

    def find_companion(self, profile: UserProfile, row: int, *, min_users: int = 1) -> str | None:
        """Return the item of the history that adds most to an item's collaborative score, if any adds.

        Args:
            profile: the user.
            row: of the item.
            min_users: how many people must have used both.
        """
        likes = profile.likes
        sources = [self.catalogue.positions[item] for item in likes]
        added = self._behaviour.item_item.weights_to(row, sources) * np.array(list(likes.values()), dtype=np.float32)
        for at in np.argsort(-added, kind="stable").tolist():
            if not added[at] > 0:
                break
            if self._count_common_users(row, sources[at]) >= min_users:
                return str(list(likes)[at])
        return None

    def _count_common_users(self, row: int, other: int) -> int:
        starts, users = self._users.indptr, self._users.indices
        of_row, of_other = (users[starts[at] : starts[at + 1]] for at in (row, other))
        return len(np.intersect1d(of_row, of_other, assume_unique=True))

    def _match_prices(self, likes: Mapping[str, float], rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return 1 for an item at the user's usual price, falling towards 0; 0 where a price is unknown."""
        indices = [self.catalogue.positions[item] for item in likes]
        known = self._log_prices[indices]
        priced = ~np.isnan(known)
        if not priced.any():
            return np.zeros(len(rows))
        weights = np.array(list(likes.values()))[priced]
        usual = np.average(known[priced], weights=weights)
        spread = np.sqrt(np.average((known[priced] - usual) ** 2, weights=weights))
        # half the log unit at least: a single purchase says little about how wide a price band is
        match: NDArray[np.float64] = np.exp(-np.abs(self._log_prices[rows] - usual) / max(float(spread), 0.5))
        return np.nan_to_num(match, nan=0.0)

    def _match_tags(self, likes: Mapping[str, float], rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return how much of the user's history shares the item's tags, 0 to 1."""
        if not likes:
            return np.zeros(len(rows))
        indices = [self.catalogue.positions[item] for item in likes]
        weights = np.array(list(likes.values()))
        wanted = (self._tags[indices] > 0).T @ weights / weights.sum()  # (num_tags,)
        affinity: NDArray[np.float64] = self._tags[rows] @ wanted
        return affinity


def _is_among_most(counts: FloatArray, row: int, *, share: float) -> bool:
    return bool(counts[row] >= 1 and (counts > counts[row]).sum() < share * len(counts))


def _squash_counts(counts: FloatArray) -> FloatArray:
    """Return counts on a log scale from 0 to 1, relative to the most popular item: growth leaves it in place."""
    squashed: FloatArray = np.log1p(counts) / np.log1p(max(float(counts.max()), 1.0))
    return squashed


def _squash_scores(scores: FloatArray) -> FloatArray:
    # scores spread over powers of ten around 0.01; asinh is linear near 0 and logarithmic beyond, for both signs
    squashed: FloatArray = np.arcsinh(scores * 100.0)
    return squashed


def _measure_newness(items: Sequence[Item], now: datetime, fall_days: float) -> FloatArray:
    """Return 1 for an item created today, falling with age; 0 where the date is unknown or still to come."""
    dates = [item.created for item in items]
    ages = np.array([np.inf if created is None else (now.date() - created).days for created in dates], dtype=float)
    return np.where(ages >= 0, np.exp(-np.abs(ages) / fall_days), 0.0).astype(np.float32)


def _users_of_items(interactions: Interactions) -> Any:
    """Return a sparse `(num_users, num_items)` by columns: who is interested in an item."""
    from scipy.sparse import csc_matrix

    columns = interactions.columns
    pairs = (columns.users[columns.is_interest], columns.items[columns.is_interest])
    shape = (len(interactions.users), len(interactions.items))
    users: Any = csc_matrix((np.ones(len(pairs[0]), dtype=np.bool_), pairs), shape=shape)
    users.sum_duplicates()
    return users


def _share_tags(items: Sequence[Item]) -> Any:
    """Return a sparse `(num_items, num_tags)`: rows of items with tags sum to 1, others are 0."""
    from scipy.sparse import csr_matrix

    columns = {tag: at for at, tag in enumerate(sorted({tag for item in items for tag in item.tags}))}
    cells = [
        (row, columns[tag], 1.0 / len(set(item.tags)))
        for row, item in enumerate(items)
        for tag in dict.fromkeys(item.tags)
    ]
    rows, tags, shares = zip(*cells, strict=True) if cells else ((), (), ())
    return csr_matrix((shares, (rows, tags)), shape=(len(items), max(len(columns), 1)))
