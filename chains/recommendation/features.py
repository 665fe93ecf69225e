"""Features of the interest model: one row of numbers per user and item, all from before one moment."""

import copy
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from chains.recommendation.coarse_vectors import CoarseVectors
from chains.recommendation.queries import ItemWords
from chains.recommendation.text_map import blend_factors, learn_text_map, map_texts, smooth_vectors
from chains.recommendation.user_profile import UserProfile, embed_users
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
    text_users: float = 0.0  # so many users count as much as the text of an item; 0: texts and users are kept apart

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
        if not 0 <= self.text_users < math.inf:
            msg = f"text_users must be finite and at least 0, got {self.text_users}"
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
    """What is learnt from who used what, without a look at texts but for the map from these to the factors."""

    item_item: ItemItemRecommender | NeighbourRecommender
    factors: FactorRecommender
    text_map: FloatArray | None = None  # see `learn_text_map`

    @classmethod
    def learn(
        cls, interactions: Interactions, options: FeatureOptions, *, now: datetime, vectors: FloatArray | None = None
    ) -> "BehaviourModels":
        """Return the models for the events up to `now`.

        Args:
            interactions: what people did.
            options: how features are computed.
            now: the moment.
            vectors: `(num_items, dim)` of the texts, for what these foretell of items that few have used.

        Raises:
            TrainingDataError: if there are none.
        """
        is_dense = len(interactions.items) <= options.max_dense_items
        train = ItemItemRecommender.train if is_dense else NeighbourRecommender.train
        factors = FactorRecommender.train(interactions, num_factors=options.num_factors, now=now)
        text_map = None
        if options.text_users and vectors is not None:
            num_users = interactions.columns.count_users(len(interactions.items), days=None, now=now)
            text_map = learn_text_map(vectors, factors.factors, num_users, text_users=options.text_users)
        return cls(
            item_item=train(interactions, ridge=options.ridge, user_power=options.user_power, now=now),
            factors=factors,
            text_map=text_map,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UserScores:
    """Some users against all items; computed once, since candidates and features need it alike."""

    profiles: tuple[UserProfile, ...]
    embeddings: FloatArray  # (num_users, dim)
    collaborative: FloatArray  # (num_users, num_items) what users with such a history went on to use
    collaborative_recent: FloatArray  # (num_users, num_items) the same, from the latest items only
    projected: FloatArray  # (num_users, num_factors)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Likes:
    """What users like, as arrays: one row for each user and item."""

    users: NDArray[np.intp]
    items: NDArray[np.intp]
    weights: NDArray[np.float64]


class FeatureTable:
    """All items as they looked at one moment, ready to be compared with any user.

    Args:
        catalogue: the items; its order is the row order of everything here.
        vectors: `(num_items, dim)` unit rows, one per item of the catalogue. Taste is told by `taste_vectors`, which
            lean on what is used together as far as the options say.
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
        self._behaviour = behaviour or BehaviourModels.learn(interactions, options, now=self.now, vectors=vectors)
        self.taste_vectors, self._factors = vectors, self._behaviour.factors
        if options.text_users:
            self._mix_texts_and_users(interactions)
        self._is_in_stock: BoolArray = np.array([item.stock != 0 for item in self.items])
        self._see(interactions)
        self.prices = np.array([np.nan if item.price is None else item.price for item in self.items])
        self._log_prices = np.log1p(self.prices)
        self._tags = _share_tags(self.items)
        self._users = _users_of_items(interactions)

    def _mix_texts_and_users(self, interactions: Interactions) -> None:
        """Let texts count for what has few users, and what is used together for what has many."""
        text_users, behaviour = self.options.text_users, self._behaviour
        num_users = interactions.columns.count_users(len(self.items), days=None, now=self.now)
        self.taste_vectors = smooth_vectors(self.vectors, behaviour.item_item, num_users, text_users=text_users)
        if behaviour.text_map is not None:
            foretold = map_texts(behaviour.text_map, self.vectors)
            blended = blend_factors(behaviour.factors.factors, foretold, num_users, text_users=text_users)
            self._factors = FactorRecommender(interactions.items, blended)

    def _see(self, record: BehaviourRecord) -> None:
        """Take up what depends on the moment."""
        self.record = record
        self._thresholds: dict[tuple[float, float], float] = {}
        today = self.now.astimezone(UTC).date()
        self.has_begun: BoolArray = np.array([item.has_begun(today) for item in self.items])
        self.is_available: BoolArray = self.has_begun & self._is_in_stock
        self._popularity = self._count_users(record, None)
        self._trend = self._count_users(record, self.options.trend_days)
        self._latest = self._count_users(record, self.options.latest_days)
        self._newness = _measure_newness(self.items, self.now, self.options.newness_days)
        self._popularity_share = _squash_counts(self._popularity)
        self._trend_share = _squash_counts(self._trend)
        self._latest_share = _squash_counts(self._latest)
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
        """Return what is known of one user and all items."""
        return self.score_users((profile,))

    def score_users(self, profiles: Sequence[UserProfile]) -> UserScores:
        """Return what is known of some users and all items; none depends on which others are among them."""
        strengths = self._on_axis([profile.strengths for profile in profiles])
        recent = self._on_axis([dict.fromkeys(profile.recent[: self.options.num_recent], 1.0) for profile in profiles])
        item_item = self._behaviour.item_item
        return UserScores(
            profiles=tuple(profiles),
            embeddings=embed_users(self.taste_vectors, strengths),
            collaborative=item_item.score_many(strengths),
            collaborative_recent=item_item.score_many(recent),
            projected=self._factors.project(strengths),
        )

    def _on_axis(self, histories: Sequence[Mapping[str, float]]) -> Any:
        """Return a sparse `(num_histories, num_items)` float32."""
        from scipy.sparse import csr_matrix

        positions = self.catalogue.positions
        items = np.array([positions[item] for history in histories for item in history], dtype=np.int32)
        weights = np.array([weight for history in histories for weight in history.values()], dtype=np.float32)
        starts = np.cumsum([0, *(len(history) for history in histories)])
        return csr_matrix((weights, items, starts), shape=(len(histories), len(self.items)))

    @functools.cached_property
    def coarse(self) -> CoarseVectors:
        """The vectors of the items, as the search for candidates has them."""
        return CoarseVectors(self.taste_vectors)

    @functools.cached_property
    def words(self) -> ItemWords:
        """The words of the items, for searches; made with the first of them."""
        return ItemWords([item.text for item in self.items])

    @functools.cached_property
    def rows_of_tags(self) -> Mapping[str, NDArray[np.intp]]:
        """Tag -> rows of the items that have it."""
        found: dict[str, list[int]] = {}
        for row, item in enumerate(self.items):
            for tag in dict.fromkeys(item.tags):
                found.setdefault(tag, []).append(row)
        return {tag: np.array(rows, dtype=np.intp) for tag, rows in found.items()}

    def compare_with(self, row: int) -> tuple[FloatArray, FloatArray]:
        """Return `(num_items,)` each: the cosines to an item, and from 0 to 1 how much having it speaks for others."""
        cosines: FloatArray = self.vectors @ self.vectors[row]
        together = self._behaviour.item_item.score_many(self._on_axis([{self.items[row].id: 1.0}]))[0].clip(0)
        return cosines, together / max(float(together.max()), 1e-6)

    def general_orders(self) -> tuple[NDArray[np.intp], ...]:
        """Return the rows of all items, best first, by what speaks for them whoever asks.

        That is popularity over three windows, and newness; of equal items the earlier comes first.
        """
        return self._orders

    def compute(
        self,
        users: UserScores,
        rows: NDArray[np.intp] | None = None,
        owners: NDArray[np.intp] | None = None,
    ) -> FloatArray:
        """Return the features of users and items, one row for each pair.

        Args:
            users: at this table's moment or later.
            rows: of the catalogue; by default all, in order.
            owners: for each of `rows` the number of the user in `users`, in ascending order; by default the first.

        Returns:
            `(num_rows, num_features)` float32 in the order of `FEATURE_NAMES`, without NaN. For a user of whom
            nothing is known all features about their taste are 0.
        """
        rows = np.arange(len(self.catalogue)) if rows is None else rows
        owners = np.zeros(len(rows), dtype=np.intp) if owners is None else owners
        collaborative = users.collaborative[owners, rows]
        most = users.collaborative.max(axis=1).clip(1e-6)
        num_recent = np.array([len(profile.recent) for profile in users.profiles])
        cold = (1.0 / (1.0 + num_recent))[owners]
        likes = self._collect_likes(users.profiles)
        taste, recent = self._compare_vectors(users, rows, owners)
        popularity, newness = self._popularity_share[rows], self._newness[rows]
        columns: dict[str, NDArray[np.floating]] = {
            "taste_cosine": taste,
            "recent_cosine": recent,
            "collaborative": _squash_scores(collaborative),
            "collaborative_share": (collaborative / most[owners]).clip(-1, 1),
            "collaborative_recent": _squash_scores(users.collaborative_recent[owners, rows]),
            "factors": _squash_scores(self._score_factors(users, rows, owners)),
            "popularity": popularity,
            "trend": self._trend_share[rows],
            "trend_latest": self._latest_share[rows],
            "newness": newness,
            "price_match": self._match_prices(likes, rows, owners, len(users.profiles)),
            "tag_affinity": self._match_tags(likes, rows, owners, len(users.profiles)),
            "popularity_if_cold": popularity * cold,
            "newness_if_cold": newness * cold,
            "history_size": np.log1p(num_recent)[owners],
        }
        table = np.empty((len(rows), len(FEATURE_NAMES)), dtype=np.float32)
        for column, name in enumerate(FEATURE_NAMES):
            table[:, column] = columns[name]
        return table

    def _compare_vectors(
        self, users: UserScores, rows: NDArray[np.intp], owners: NDArray[np.intp]
    ) -> tuple[FloatArray, FloatArray]:
        """Return, per pair, the cosine to the user's embedding, and the best one to the user's recent items."""
        taste = np.zeros(len(rows), dtype=np.float32)
        recent = np.zeros(len(rows), dtype=np.float32)
        bounds = np.searchsorted(owners, np.arange(len(users.profiles) + 1))
        for user, profile in enumerate(users.profiles):
            part = slice(bounds[user], bounds[user + 1])
            if profile.strengths:  # one product for each user: its last bits depend on its shape
                indices = self._rows_of(profile.recent[: self.options.num_recent])
                targets = np.vstack([users.embeddings[user], self.taste_vectors[indices]])
                cosines = self.taste_vectors[rows[part]] @ targets.T  # (rows, 1 + recent)
                taste[part] = cosines[:, 0]
                if len(indices):
                    recent[part] = _leave_out_own(cosines[:, 1:], rows[part], indices).max(axis=1)
        return taste, recent

    def _rows_of(self, items: Sequence[str]) -> NDArray[np.intp]:
        return np.array([self.catalogue.positions[item] for item in items], dtype=np.intp)

    def closest_recent(self, recent: tuple[str, ...], rows: NDArray[np.intp]) -> tuple[FloatArray, NDArray[np.intp]]:
        """Return, per row, the best cosine to the recent items and which of them it is (0 if there are none).

        An item does not resemble itself: that somebody looked at it is no reason to show it again.
        """
        if not recent:
            return np.zeros(len(rows), dtype=np.float32), np.zeros(len(rows), dtype=np.intp)
        indices = self._rows_of(recent)
        cosines = _leave_out_own(self.vectors[rows] @ self.vectors[indices].T, rows, indices)  # (rows, recent)
        return cosines.max(axis=1), cosines.argmax(axis=1)

    def trending_days(self, row: int, *, share: float) -> float | None:
        """Return the shorter window over which an item is among this share of the most used, if there is one."""
        for counts, days in ((self._latest, self.options.latest_days), (self._trend, self.options.trend_days)):
            if counts[row] >= self._least_of_most(days, counts, share):
                return days
        return None

    def is_popular(self, row: int, *, share: float) -> bool:
        """Return whether an item is among this share of those most used over all time."""
        return bool(self._popularity[row] >= self._least_of_most(math.inf, self._popularity, share))

    def is_hardly_used(self, max_users: int) -> BoolArray:
        """Return `(num_items,)`: whether so many people at most ever showed interest in an item."""
        is_few: BoolArray = self._popularity <= max_users
        return is_few

    def _least_of_most(self, days: float, counts: FloatArray, share: float) -> float:
        """Return how many users an item needs to be among the most used, which is asked for each item of a list."""
        if (days, share) not in self._thresholds:
            self._thresholds[days, share] = _least_among_most(counts, share)
        return self._thresholds[days, share]

    def find_companions(self, profile: UserProfile, rows: Sequence[int], *, min_users: int = 1) -> list[str | None]:
        """Return for each of some items the one of the history that adds most to its collaborative score, if any does.

        Args:
            profile: the user.
            rows: of the items.
            min_users: how many people must have used both.
        """
        items, weights = list(profile.likes), np.array(list(profile.likes.values()), dtype=np.float32)
        sources = [self.catalogue.positions[item] for item in items]
        found: list[str | None] = []
        for row in rows:
            added = self._behaviour.item_item.weights_to(row, sources) * weights
            ranked = np.argsort(-added, kind="stable")[: np.count_nonzero(added > 0)]
            often = (at for at in ranked.tolist() if self._have_common_users(row, sources[at], min_users))
            at = next(often, None)
            found.append(None if at is None else items[at])
        return found

    def _have_common_users(self, row: int, other: int, min_users: int) -> bool:
        starts = self._users.indptr  # counting takes long, and most items of a large catalogue have few users
        has_enough = min(starts[row + 1] - starts[row], starts[other + 1] - starts[other]) >= min_users
        return has_enough and self.count_common_users(row, other) >= min_users

    def count_common_users(self, row: int, other: int) -> int:
        """Return how many people showed interest in both of two items, by what the models were learnt from."""
        starts, users = self._users.indptr, self._users.indices
        fewer, more = sorted((users[starts[at] : starts[at + 1]] for at in (row, other)), key=len)
        places = np.searchsorted(more, fewer)  # both are sorted
        is_within = places < len(more)
        return int((more[places[is_within]] == fewer[is_within]).sum())

    def _score_factors(self, users: UserScores, rows: NDArray[np.intp], owners: NDArray[np.intp]) -> FloatArray:
        """Return, per pair, the user's strength for the item as the factors see it."""
        factors = self._factors.factors
        scores: FloatArray = np.einsum("ij,ij->i", factors[rows], users.projected[owners])
        totals = np.array([sum(map(abs, profile.strengths.values())) for profile in users.profiles])
        rounding = 1e-5 * totals  # of float32; with as many factors as items nothing else is left
        scores[np.abs(scores) < rounding[owners]] = 0.0
        return scores

    def _collect_likes(self, profiles: Sequence[UserProfile]) -> _Likes:
        likes = [profile.likes for profile in profiles]
        positions = self.catalogue.positions
        return _Likes(
            users=np.repeat(np.arange(len(likes)), [len(of_user) for of_user in likes]),
            items=np.array([positions[item] for of_user in likes for item in of_user], dtype=np.intp),
            weights=np.array([weight for of_user in likes for weight in of_user.values()], dtype=np.float64),
        )

    def _match_prices(
        self, likes: _Likes, rows: NDArray[np.intp], owners: NDArray[np.intp], num_users: int
    ) -> NDArray[np.float64]:
        """Return 1 for an item at the user's usual price, falling towards 0; 0 where a price is unknown."""
        known = self._log_prices[likes.items]
        priced = ~np.isnan(known)
        known, users, weights = known[priced], likes.users[priced], likes.weights[priced]
        totals = np.bincount(users, weights, num_users)
        scale = np.divide(1.0, totals, where=totals > 0, out=np.full(num_users, np.nan))
        usual = np.bincount(users, weights * known, num_users) * scale
        spread = np.sqrt(np.bincount(users, weights * (known - usual[users]) ** 2, num_users) * scale)
        # half the log unit at least: a single purchase says little about how wide a price band is
        match: NDArray[np.float64] = np.exp(
            -np.abs(self._log_prices[rows] - usual[owners]) / np.maximum(spread, 0.5)[owners]
        )
        return np.nan_to_num(match, nan=0.0)

    def _match_tags(
        self, likes: _Likes, rows: NDArray[np.intp], owners: NDArray[np.intp], num_users: int
    ) -> NDArray[np.float64]:
        """Return how much of the user's history shares the item's tags, 0 to 1."""
        tags = self._tags
        wanted = np.zeros((num_users, tags.shape[1]))
        pairs, cells = _cells_of(tags, likes.items)
        np.add.at(wanted, (likes.users[pairs], tags.indices[cells]), likes.weights[pairs])
        totals = np.bincount(likes.users, likes.weights, num_users)
        wanted /= np.where(totals > 0, totals, 1.0)[:, np.newaxis]
        pairs, cells = _cells_of(tags, rows)
        shares = tags.data[cells] * wanted[owners[pairs], tags.indices[cells]]
        return np.asarray(np.bincount(pairs, shares, len(rows)), dtype=np.float64)


def _leave_out_own(cosines: FloatArray, rows: NDArray[np.intp], indices: NDArray[np.intp]) -> FloatArray:
    """Return cosines of rows to some items, 0 where an item meets itself: that says nothing for it."""
    return np.where(rows[:, np.newaxis] == indices, np.float32(0), cosines)


def _cells_of(matrix: Any, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return of all cells of these rows of a sparse matrix: which of `rows` they belong to, and where they lie."""
    starts, ends = matrix.indptr[rows], matrix.indptr[rows + 1]
    lengths = ends - starts
    which = np.repeat(np.arange(len(rows)), lengths)
    first = np.cumsum(lengths) - lengths
    return which, np.arange(int(lengths.sum())) - first[which] + starts[which]


def _least_among_most(counts: FloatArray, share: float) -> float:
    """Return how many users an item needs to be among this share of the most used; one at least."""
    # fewer than so many items are used more than it
    rank = min(len(counts), max(1, math.ceil(share * len(counts))))
    return max(1.0, float(np.partition(counts, len(counts) - rank)[len(counts) - rank]))


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
