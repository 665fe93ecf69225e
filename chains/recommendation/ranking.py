"""Ranking: explicit extra weights on scores, and diversity by marginal relevance."""

from collections.abc import Mapping
from dataclasses import dataclass

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
    diversity: float = 0.5  # 0: by score alone; 1: from the sixth place on by difference alone
    pool_size: int = 50  # only the best of this many compete for places, so that variety cannot bring up the worst

    def __post_init__(self) -> None:
        """Refuse values that have no meaning."""
        if not 0 <= self.diversity <= 1:
            msg = f"diversity must lie between 0 and 1, got {self.diversity}"
            raise OptionValueError(msg)
        if self.pool_size < 1:
            msg = f"pool_size must be at least 1, got {self.pool_size}"
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
    )
    return combined


def select_diverse(scores: DoubleArray, vectors: NDArray[np.floating], *, k: int, diversity: float) -> list[int]:
    """Return up to `k` rows, each place going to the best mix of score and difference from the places before.

    The share of difference grows from 0 at the first place to `diversity` at the sixth and stays there, because the
    first places earn most by being right; a shorter list is the beginning of a longer one. Difference is measured
    from all places before, not only from the closest one: what a reader sees is how varied the list is as a whole.

    Args:
        scores: `(rows,)`, any scale; they are stretched to 0..1 over the rows given.
        vectors: `(rows, dim)`, unit length.
        k: how many rows to choose; more than there are gives all.
        diversity: 0 orders by score; 1 orders all from the sixth place on by difference alone.

    Returns:
        Each row at most once. The first is always the best score; ties go to the earlier row.

    Example:
        Row 1 repeats row 0, so row 2 passes it.

        >>> vectors = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> select_diverse(np.array([3.0, 2.2, 2.0]), vectors, k=3, diversity=1.0)
        [0, 2, 1]

    References:
        After Carbonell and Goldstein, "The use of MMR, diversity-based reranking", SIGIR 1998, who weigh every place
        alike and take the largest cosine.
    """
    spread = float(np.ptp(scores)) if len(scores) else 0.0
    relevance = (scores - scores.min()) / spread if spread > 0 else np.zeros(len(scores))
    cosine_sums = np.zeros(len(scores))  # to the rows chosen so far
    free = np.ones(len(scores), dtype=bool)
    chosen: list[int] = []
    for rank in range(min(k, len(scores))):
        share = diversity * min(1.0, rank / FULL_DIVERSITY_RANK)
        gain = (1 - share) * relevance - share * cosine_sums / max(rank, 1)
        best = int(np.argmax(np.where(free, gain, -np.inf)))
        cosine_sums += vectors @ vectors[best]
        free[best] = False
        chosen.append(best)
    return chosen
