"""Ranking: explicit extra weights on scores, and diversity within a list."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from chains.recommendation.features import FEATURE_NAMES
from llms.arrays import DoubleArray
from llms.errors import OptionValueError

# Every feature that can differ between two items belongs to one part, so that a reason can be given for it.
PART_FEATURES: Mapping[str, tuple[str, ...]] = {
    "taste": ("taste_cosine", "recent_cosine", "tag_affinity"),
    "collaborative": ("collaborative", "collaborative_share", "collaborative_recent", "factors"),
    "popularity": ("popularity", "trend", "trend_latest", "popularity_if_cold"),
    "newness": ("newness", "newness_if_cold"),
    "price": ("price_match",),
}

DiversityMethod = Literal["mmr", "dpp"]

FULL_DIVERSITY_RANK = 5  # counted from 0

# The one feature of each part that an extra weight of RankingOptions multiplies; all lie between 0 and 1.
_WEIGHTED_FEATURES = {"popularity": "trend", "newness": "newness", "price": "price_match"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingOptions:
    """What counts beside the interest model, and how varied a list must be.

    The weights are log-odds added at a full match: 0.7 doubles the odds. They are 0 by default because the interest
    model has seen the same features; set them to push a list on purpose.
    """

    price_weight: float = 0.0
    newness_weight: float = 0.0
    popularity_weight: float = 0.0
    popularity_discount: float = 0.0  # log-odds taken from the most popular item, and less from others: more coverage
    diversity: float = 0.5  # 0: by score alone; 1: from the sixth place on by difference alone
    method: DiversityMethod = "mmr"
    max_per_tag: int | None = None  # of the items of a list that share a tag, as long as others are left
    pool_size: int = 50  # only the best of this many compete for places, so that variety cannot bring up the worst

    def __post_init__(self) -> None:
        """Refuse values that have no meaning."""
        if not 0 <= self.diversity <= 1:
            msg = f"diversity must lie between 0 and 1, got {self.diversity}"
            raise OptionValueError(msg)
        if self.pool_size < 1 or (self.max_per_tag is not None and self.max_per_tag < 1):
            msg = f"pool_size and max_per_tag must be at least 1, got {self.pool_size} and {self.max_per_tag}"
            raise OptionValueError(msg)
        if self.method not in get_args(DiversityMethod):
            msg = f"method must be one of {', '.join(get_args(DiversityMethod))}, got {self.method!r}"
            raise OptionValueError(msg)
        if not 0 <= self.popularity_discount < math.inf:
            msg = f"popularity_discount must be finite and at least 0, got {self.popularity_discount}"
            raise OptionValueError(msg)


def group_parts(
    weighed: DoubleArray, features: NDArray[np.floating], options: RankingOptions
) -> dict[str, DoubleArray]:
    """Return what each part adds to the log-odds of each item, extra weights included.

    Args:
        weighed: `(rows, num_features)` as from `InterestModel.weigh`.
        features: `(rows, num_features)`, the features themselves.
        options: the extra weights.

    Returns:
        part -> `(rows,)`, in the order of `PART_FEATURES`.
    """
    extra = {"popularity": options.popularity_weight, "newness": options.newness_weight, "price": options.price_weight}
    columns = {name: at for at, name in enumerate(FEATURE_NAMES)}
    parts: dict[str, DoubleArray] = {}
    for part, names in PART_FEATURES.items():
        parts[part] = weighed[:, [columns[name] for name in names]].sum(axis=1)
        if part in extra:
            parts[part] = parts[part] + extra[part] * features[:, columns[_WEIGHTED_FEATURES[part]]]
    parts["popularity"] = parts["popularity"] - options.popularity_discount * features[:, columns["popularity"]]
    return parts


def combine_scores(log_odds: DoubleArray, features: NDArray[np.floating], options: RankingOptions) -> DoubleArray:
    """Return the log-odds the list is ordered by: interest, plus the explicit weights.

    Example:
        >>> features = np.zeros((1, len(FEATURE_NAMES)))
        >>> features[0, FEATURE_NAMES.index("newness")] = 0.5
        >>> combine_scores(np.array([-1.0]), features, RankingOptions(newness_weight=2.0)).tolist()
        [0.0]
    """
    columns = {part: features[:, FEATURE_NAMES.index(name)] for part, name in _WEIGHTED_FEATURES.items()}
    combined: DoubleArray = (
        log_odds
        + options.price_weight * columns["price"]
        + options.newness_weight * columns["newness"]
        + options.popularity_weight * columns["popularity"]
        - options.popularity_discount * features[:, FEATURE_NAMES.index("popularity")]
    )
    return combined


def select_diverse(
    scores: DoubleArray,
    vectors: NDArray[np.floating],
    *,
    k: int,
    diversity: float,
    method: DiversityMethod = "mmr",
    tags: Sequence[Sequence[str]] = (),
    max_per_tag: int | None = None,
) -> list[int]:
    """Return up to `k` rows, each place going to the best mix of score and difference from the places before.

    With "mmr" the share of difference grows from 0 at the first place to `diversity` at the sixth and stays there,
    because the first places earn most by being right. Difference is measured from all places before, not only from
    the closest one: what a reader sees is how varied the list is as a whole. With "dpp" each place goes to what adds
    most to the volume that the list spans, each item as long as it is good (greedy, for a determinantal point process).
    Either way a shorter list is the beginning of a longer one.

    Args:
        scores: `(rows,)`, any scale; they are stretched to 0..1 over the rows given.
        vectors: `(rows, dim)`, unit length.
        k: how many rows to choose; more than there are gives all.
        diversity: 0 orders by score; 1 orders all from the sixth place on by difference alone.
        method: how difference is weighed.
        tags: of each row; needed for `max_per_tag`.
        max_per_tag: how many rows may share a tag; where no other row is left, the best ones go on.

    Returns:
        Each row at most once. The first is always the best score; ties go to the earlier row.

    Example:
        Row 1 repeats row 0, so row 2 passes it.

        >>> vectors = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> select_diverse(np.array([3.0, 2.2, 2.0]), vectors, k=3, diversity=1.0)
        [0, 2, 1]
        >>> select_diverse(np.array([3.0, 2.2, 2.0]), vectors, k=3, diversity=0.9, method="dpp")
        [0, 2, 1]
        >>> select_diverse(
        ...     np.array([3.0, 2.2, 2.0]), vectors, k=3, diversity=0.0, tags=[["a"], ["a"], ["b"]], max_per_tag=1
        ... )
        [0, 2, 1]

    References:
        After Carbonell and Goldstein, "The use of MMR, diversity-based reranking", SIGIR 1998, who weigh every place
        alike and take the largest cosine. Chen, Zhang and Zhou, "Fast greedy MAP inference for determinantal point
        process to improve recommendation diversity", NeurIPS 2018.
    """
    spread = float(np.ptp(scores)) if len(scores) else 0.0
    relevance = (scores - scores.min()) / spread if spread > 0 else np.zeros(len(scores))
    gains: _Gains = (
        _MarginalRelevance(relevance, vectors, diversity)
        if method == "mmr" or diversity == 0
        else _Determinant(relevance, vectors, diversity)
    )
    free = np.ones(len(scores), dtype=bool)
    used: Counter[str] = Counter()
    chosen: list[int] = []
    for rank in range(min(k, len(scores))):
        may = free
        if max_per_tag is not None:
            within = np.array([all(used[tag] < max_per_tag for tag in of_row) for of_row in tags])
            may = free & within if (free & within).any() else free
        best = int(np.argmax(np.where(may, gains.at(rank), -np.inf)))
        gains.choose(best)
        free[best] = False
        if max_per_tag is not None:
            used.update(dict.fromkeys(tags[best], 1))
        chosen.append(best)
    return chosen


class _Gains(Protocol):
    """What each row would add to the rows chosen so far."""

    def at(self, rank: int) -> DoubleArray: ...

    def choose(self, row: int) -> None: ...


class _MarginalRelevance:
    def __init__(self, relevance: DoubleArray, vectors: NDArray[np.floating], diversity: float) -> None:
        self._relevance = relevance
        self._vectors = vectors
        self._diversity = diversity
        self._cosine_sums = np.zeros(len(relevance))  # to the rows chosen so far

    def at(self, rank: int) -> DoubleArray:
        share = self._diversity * min(1.0, rank / FULL_DIVERSITY_RANK)
        gains: DoubleArray = (1 - share) * self._relevance - share * self._cosine_sums / max(rank, 1)
        return gains

    def choose(self, row: int) -> None:
        if self._diversity:
            self._cosine_sums += self._vectors @ self._vectors[row]


class _Determinant:
    """Greedy choice for the kernel `quality x likeness x quality`, by an incremental Cholesky factorisation."""

    def __init__(self, relevance: DoubleArray, vectors: NDArray[np.floating], diversity: float) -> None:
        # the logarithm of a determinant is a sum: this much relevance against that much volume
        self._quality = relevance * (1 - diversity) / diversity
        self._vectors = np.asarray(vectors, dtype=np.float64)
        self._left = np.ones(len(relevance))  # squared length of what the chosen rows do not span
        self._columns: list[DoubleArray] = []

    def at(self, rank: int) -> DoubleArray:
        if rank == 0:
            return self._quality
        gains: DoubleArray = self._quality + np.log(np.maximum(self._left, 1e-9))
        return gains

    def choose(self, row: int) -> None:
        # from 0 for opposite directions to 1 for the same: with bare cosines opposite ones would count as alike
        column = (1 + self._vectors @ self._vectors[row]) / 2
        for earlier in self._columns:
            column = column - earlier * earlier[row]
        column = column / math.sqrt(max(float(self._left[row]), 1e-9))
        self._columns.append(column)
        self._left = np.maximum(self._left - column**2, 0.0)
