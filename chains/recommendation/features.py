"""Features of the interest model: one row of numbers per user and item, all from before one moment."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from chains.recommendation.user_profile import UserProfile, embed_user
from llms.arrays import FloatArray
from llms.errors import OptionValueError
from retrievers import FactorRecommender, Interactions, ItemCatalogue, ItemItemRecommender

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

    def __post_init__(self) -> None:
        """Refuse values no feature can be computed with."""
        for name in ("ridge", "num_factors", "num_recent", "trend_days", "latest_days", "newness_days"):
            if not getattr(self, name) > 0:
                msg = f"{name} must be positive, got {getattr(self, name)}"
                raise OptionValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class BehaviourModels:
    """What is learnt from who used what, without a look at texts."""

    item_item: ItemItemRecommender
    factors: FactorRecommender

    @classmethod
    def learn(cls, interactions: Interactions, options: FeatureOptions, *, now: datetime) -> "BehaviourModels":
        """Return the models for the events up to `now`.

        Raises:
            TrainingDataError: if there are none.
        """
        return cls(
            item_item=ItemItemRecommender.train(
                interactions, ridge=options.ridge, user_power=options.user_power, now=now
            ),
            factors=FactorRecommender.train(interactions, num_factors=options.num_factors, now=now),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UserScores:
    """A user against all items; computed once per list, since candidates and features need it alike."""

    profile: UserProfile
    embedding: FloatArray  # (dim,)
    collaborative: FloatArray  # (num_items,) what users with such a history went on to use


class FeatureTable:
    """All items as they looked at one moment, ready to be compared with any user.

    Args:
        catalogue: the items; its order is the row order of everything here.
        vectors: `(num_items, dim)` unit rows, one per item of the catalogue.
        interactions: events on the catalogue's item axis; those after `now` do not exist for this table.
        options: how features are computed.
        now: by default the last event.
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
        self.vectors = vectors
        self.options = options
        self.now = now or interactions.now
        self._behaviour = behaviour or BehaviourModels.learn(interactions, options, now=self.now)
        self._popularity = _count_users(interactions, None, self.now)
        self._trend = _count_users(interactions, options.trend_days, self.now)
        self._latest = _count_users(interactions, options.latest_days, self.now)
        self._newness = _measure_newness(catalogue, self.now, options.newness_days)
        prices = [item.price for item in catalogue.values()]
        self._log_prices = np.array([np.nan if price is None else np.log1p(price) for price in prices])
        self._tags = _share_tags(catalogue)

    def score_user(self, profile: UserProfile) -> UserScores:
        """Return a user's embedding, and what the collaborative model expects of them."""
        return UserScores(
            profile=profile,
            embedding=embed_user(self.vectors, self.catalogue.positions, profile.strengths),
            collaborative=self._behaviour.item_item.score_items(profile.strengths),
        )

    def general_scores(self) -> tuple[FloatArray, ...]:
        """Return what speaks for items whoever asks, each `(num_items,)`: popularity over three windows, newness."""
        return self._popularity, self._trend, self._latest, self._newness

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
        popularity = _squash_counts(self._popularity)
        columns: dict[str, NDArray[np.floating] | float] = {
            "taste_cosine": (self.vectors @ user.embedding)[rows],
            "recent_cosine": self.closest_recent(recent, rows)[0],
            "collaborative": _squash_scores(collaborative)[rows],
            "collaborative_share": (collaborative / max(float(collaborative.max()), 1e-6)).clip(-1, 1)[rows],
            "collaborative_recent": _squash_scores(behaviour.item_item.score_items(dict.fromkeys(recent, 1.0)))[rows],
            "factors": _squash_scores(behaviour.factors.score_items(strengths))[rows],
            "popularity": popularity[rows],
            "trend": _squash_counts(self._trend)[rows],
            "trend_latest": _squash_counts(self._latest)[rows],
            "newness": self._newness[rows],
            "price_match": self._match_prices(strengths)[rows],
            "tag_affinity": self._match_tags(strengths)[rows],
            "popularity_if_cold": popularity[rows] * cold,
            "newness_if_cold": self._newness[rows] * cold,
            "history_size": float(np.log1p(len(user.profile.recent))),
        }
        table = np.empty((len(rows), len(FEATURE_NAMES)), dtype=np.float32)
        for column, name in enumerate(FEATURE_NAMES):
            table[:, column] = columns[name]
        return table

    def closest_recent(self, recent: tuple[str, ...], rows: NDArray[np.intp]) -> tuple[FloatArray, NDArray[np.intp]]:
        """Return, per row, the best cosine to the recent items and which of them it is (0 if there are none)."""
        if not recent:
            return np.zeros(len(rows), dtype=np.float32), np.zeros(len(rows), dtype=np.intp)
        indices = [self.catalogue.positions[item] for item in recent]
        cosines = self.vectors[rows] @ self.vectors[indices].T  # (rows, recent)
        return cosines.max(axis=1), cosines.argmax(axis=1)

    def trending_days(self, row: int, *, share: float) -> float | None:
        """Return the shorter window over which an item is among this share of the most used, if there is one."""
        for counts, days in ((self._latest, self.options.latest_days), (self._trend, self.options.trend_days)):
            if counts[row] >= max(float(np.quantile(counts, 1 - share)), 1.0):
                return days
        return None

    def find_companion(self, profile: UserProfile, row: int) -> str | None:
        """Return the item of the history that adds most to an item's collaborative score, if any adds."""
        weights, index = self._behaviour.item_item.weights[:, row], self.catalogue.positions
        added = {item: strength * weights[index[item]] for item, strength in profile.strengths.items()}
        best = max(added, key=added.__getitem__, default=None)
        return best if best is not None and added[best] > 0 else None

    def _match_prices(self, strengths: Mapping[str, float]) -> NDArray[np.float64]:
        """Return 1 for an item at the user's usual price, falling towards 0; 0 where a price is unknown."""
        indices = [self.catalogue.positions[item] for item in strengths]
        known = self._log_prices[indices]
        priced = ~np.isnan(known)
        if not priced.any():
            return np.zeros(len(self.catalogue))
        weights = np.array(list(strengths.values()))[priced]
        usual = np.average(known[priced], weights=weights)
        spread = np.sqrt(np.average((known[priced] - usual) ** 2, weights=weights))
        # half the log unit at least: a single purchase says little about how wide a price band is
        match: NDArray[np.float64] = np.exp(-np.abs(self._log_prices - usual) / max(float(spread), 0.5))
        return np.nan_to_num(match, nan=0.0)

    def _match_tags(self, strengths: Mapping[str, float]) -> NDArray[np.float64]:
        """Return how much of the user's history shares the item's tags, 0 to 1."""
        if not strengths:
            return np.zeros(len(self.catalogue))
        indices = [self.catalogue.positions[item] for item in strengths]
        weights = np.array(list(strengths.values()))
        affinity: NDArray[np.float64] = self._tags @ (weights @ (self._tags[indices] > 0) / weights.sum())
        return affinity


def _count_users(interactions: Interactions, days: float | None, now: datetime) -> FloatArray:
    counts = interactions.popularity(days, now)
    return np.array([counts[item] for item in interactions.items], dtype=np.float32)


def _squash_counts(counts: FloatArray) -> FloatArray:
    """Return counts on a log scale from 0 to 1, relative to the most popular item: growth leaves it in place."""
    squashed: FloatArray = np.log1p(counts) / np.log1p(max(float(counts.max()), 1.0))
    return squashed


def _squash_scores(scores: FloatArray) -> FloatArray:
    # scores spread over powers of ten around 0.01; asinh is linear near 0 and logarithmic beyond, for both signs
    squashed: FloatArray = np.arcsinh(scores * 100.0)
    return squashed


def _measure_newness(catalogue: ItemCatalogue, now: datetime, fall_days: float) -> FloatArray:
    """Return 1 for an item created today, falling with age; 0 where the date is unknown or still to come."""
    dates = [item.created for item in catalogue.values()]
    ages = np.array([np.inf if created is None else (now.date() - created).days for created in dates], dtype=float)
    return np.where(ages >= 0, np.exp(-np.abs(ages) / fall_days), 0.0).astype(np.float32)


def _share_tags(catalogue: ItemCatalogue) -> NDArray[np.float64]:
    """Return `(num_items, num_tags)`: rows of items with tags sum to 1, others are 0."""
    columns = {tag: at for at, tag in enumerate(sorted({tag for item in catalogue.values() for tag in item.tags}))}
    table = np.zeros((len(catalogue), max(len(columns), 1)))
    for row, item in enumerate(catalogue.values()):
        for tag in item.tags:
            table[row, columns[tag]] = 1.0 / len(set(item.tags))
    return table
