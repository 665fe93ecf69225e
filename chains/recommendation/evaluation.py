"""Offline evaluation of recommenders over the full catalogue: metrics with intervals, and baselines."""

import functools
import itertools
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from langchain_core.runnables import Runnable
from numpy.typing import NDArray

from chains.errors import ChainInputError
from chains.recommendation.schema import Recommendation, RecommendationRequest
from chains.recommendation.user_profile import embed_user
from retrievers import (
    INTEREST_KINDS,
    EventKind,
    Interactions,
    ItemCatalogue,
    ItemItemRecommender,
    PopularityRecommender,
    sum_strengths,
)
from retrievers.metrics import catalogue_coverage, intra_list_distance, ndcg_at_k, novelty, recall_at_k

RankItems = Callable[[str, int], Sequence[str]]
"""`(user, k) -> ids`: the best `k` items the user has not used, best first."""

NUM_TIE_ORDERS = 5  # shuffles of equal scores whose figures are averaged

ScoreItems = Callable[[Mapping[str, float]], NDArray[np.floating]]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationOptions:
    """What counts as a hit, and how sure the figures are."""

    k: int = 10
    relevant_kinds: frozenset[EventKind] = frozenset(INTEREST_KINDS) - {EventKind.VIEW}
    warm_only: bool = False  # leave out users without a past; the report says how many there were
    num_resamples: int = 1000
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RecommendationReport:
    """Means over users; `ndcg_low` and `ndcg_high` are a 95 % bootstrap interval over users."""

    num_users: int
    num_cold_users: int  # among the users of the later part, whether evaluated or not
    ndcg: float
    ndcg_low: float
    ndcg_high: float
    recall: float
    coverage: float
    intra_list_distance: float
    novelty: float  # bits
    ndcg_by_user: Mapping[str, float]  # for paired comparisons


def evaluate_recommender(
    rank: RankItems,
    *,
    train: Interactions,
    test: Interactions,
    vectors: NDArray[np.floating],
    options: EvaluationOptions | None = None,
) -> RecommendationReport:
    """Return how well the lists of `rank` foresee the events of `test`.

    What a user did in `train` is neither expected nor allowed in a list, for every method alike. All items compete:
    there are no sampled negatives. Where a method leaves items equal (`RankByScore`), their order is shuffled, and
    figures are the mean of five shuffles: the order of a catalogue must not decide for a method or against it.

    Args:
        rank: made from `train` alone.
        train: the past; its item axis is the catalogue.
        test: what came after, on the same axis.
        vectors: `(num_items, dim)` for the distances within lists, in the order of the axis.
        options: what to measure.

    Raises:
        ChainInputError: if a list holds an item of the user's past, one item twice, or more than `k`; or if no user
            has anything to be foreseen.
    """
    chosen = options or EvaluationOptions()
    relevant, num_cold = _find_relevant(train, test, chosen)
    if not relevant:
        msg = "no user of the later part has a new item of the relevant kinds; take a longer later part"
        raise ChainInputError(msg)
    orders = (
        [rank.shuffled(chosen.seed + at) for at in range(NUM_TIE_ORDERS)] if isinstance(rank, RankByScore) else [rank]
    )
    all_lists = [
        {user: _checked(order(user, chosen.k), user, train, chosen.k) for user in relevant} for order in orders
    ]
    ndcg = {
        user: float(np.mean([ndcg_at_k(lists[user], items, chosen.k) for lists in all_lists]))
        for user, items in relevant.items()
    }
    low, high = _bootstrap(np.array(list(ndcg.values())), chosen)
    measure = functools.partial(_measure_lists, relevant=relevant, train=train, vectors=vectors, k=chosen.k)
    figures = [measure(lists) for lists in all_lists]
    return RecommendationReport(
        num_users=len(relevant),
        num_cold_users=num_cold,
        ndcg=float(np.mean(list(ndcg.values()))),
        ndcg_low=low,
        ndcg_high=high,
        **{name: float(np.mean([of_order[name] for of_order in figures])) for name in figures[0]},
        ndcg_by_user=ndcg,
    )


def _measure_lists(
    lists: Mapping[str, Sequence[str]],
    *,
    relevant: Mapping[str, set[str]],
    train: Interactions,
    vectors: NDArray[np.floating],
    k: int,
) -> dict[str, float]:
    """Return the figures of lists beside nDCG, by their names in the report."""
    positions = {item: at for at, item in enumerate(train.items)}
    popularity = train.popularity(days=None)
    distances = [intra_list_distance(vectors[[positions[item] for item in ranked]]) for ranked in lists.values()]
    return {
        "recall": float(np.mean([recall_at_k(lists[user], items, k) for user, items in relevant.items()])),
        "coverage": catalogue_coverage(list(lists.values()), len(train.items)),
        "intra_list_distance": float(np.mean(distances)),
        "novelty": float(np.mean([novelty(ranked, popularity, len(train.users)) for ranked in lists.values()])),
    }


def compare_reports(
    ours: RecommendationReport, other: RecommendationReport, *, seed: int = 0
) -> tuple[float, float, float]:
    """Return the mean difference in nDCG, ours minus the other, and its 95 % interval, paired by user.

    Raises:
        ChainInputError: if the reports are not about the same users.
    """
    if ours.ndcg_by_user.keys() != other.ndcg_by_user.keys():
        msg = "two reports can be compared if they are about the same users; measure both on the same events"
        raise ChainInputError(msg)
    gaps = np.array([ndcg - other.ndcg_by_user[user] for user, ndcg in ours.ndcg_by_user.items()])
    low, high = _bootstrap(gaps, EvaluationOptions(seed=seed))
    return float(gaps.mean()), low, high


def rank_with_chain(chain: "Runnable[RecommendationRequest | dict[str, Any], Recommendation]") -> RankItems:
    """Return the chain as a function `(user, k) -> ids`."""

    def rank(user: str, k: int) -> Sequence[str]:
        return [item.id for item in chain.invoke(RecommendationRequest(user=user, k=k)).items]

    return rank


def build_baselines(
    *, catalogue: ItemCatalogue, vectors: NDArray[np.float32], train: Interactions, ridge: float = 300.0
) -> dict[str, RankItems]:
    """Return the methods every recommender must be shown beside, by name.

    Args:
        catalogue: the items, in the order of the item axis.
        vectors: `(num_items, dim)` unit rows.
        train: the past they learn from.
        ridge: for the item-item model; tune it as carefully as anything of ours.
    """
    item_item = ItemItemRecommender.train(train, ridge=ridge)
    scorers: dict[str, ScoreItems] = {
        "popularity": PopularityRecommender.train(train).score_items,
        "popularity of 30 days": PopularityRecommender.train(train, days=30).score_items,
        "popularity of 7 days": PopularityRecommender.train(train, days=7).score_items,
        "text only": lambda history: vectors @ embed_user(vectors, catalogue.positions, history),
        "item-item (EASE)": item_item.score_items,
    }
    return {name: RankByScore(score_items=scorer, train=train) for name, scorer in scorers.items()}


@dataclass(frozen=True, kw_only=True)
class RankByScore:
    """A ranking by score without what the user has used; the order of equal items is drawn from a seed."""

    score_items: ScoreItems = field(repr=False)
    train: Interactions = field(repr=False)
    seed: int = 0

    def shuffled(self, seed: int) -> "RankByScore":
        """Return the same ranking with equal items in another order."""
        return replace(self, seed=seed)

    def __call__(self, user: str, k: int) -> Sequence[str]:
        """Return the best `k` items of a user."""
        train = self.train
        seen = _used_items(train, user)
        scores = self.score_items(sum_strengths(train.history(user), train.weights, train.now))
        # one order for all users would show all of them the same of the equal items
        order = np.random.default_rng((self.seed, zlib.crc32(user.encode()))).permutation(len(scores))
        ordered = (train.items[at] for at in order[np.argsort(-scores[order], kind="stable")].tolist())
        return list(itertools.islice((item for item in ordered if item not in seen), k))


def _find_relevant(
    train: Interactions, test: Interactions, options: EvaluationOptions
) -> tuple[dict[str, set[str]], int]:
    """Return the new items each user went on to use, and how many of these users have no past."""
    relevant: dict[str, set[str]] = {}
    num_cold = 0
    for user in test.users:
        seen = _used_items(train, user)
        wanted = {
            event.item for event in test.history(user) if event.event in options.relevant_kinds and event.is_interest
        }
        wanted -= seen
        num_cold += bool(wanted) and not seen
        if wanted and (seen or not options.warm_only):
            relevant[user] = wanted
    return relevant, num_cold


def _used_items(train: Interactions, user: str) -> set[str]:
    """Return what a user has used or does not want; what was only shown to them may still be foreseen."""
    return {event.item for event in train.history(user) if event.event is not EventKind.SHOW}


def _checked(ranked: Sequence[str], user: str, train: Interactions, k: int) -> list[str]:
    seen = _used_items(train, user)
    if len(ranked) > k or len(set(ranked)) < len(ranked) or seen.intersection(ranked):
        msg = f"the list for {user!r} must hold at most {k} different items they have not used, got {list(ranked)}"
        raise ChainInputError(msg)
    return list(ranked)


def _bootstrap(values: NDArray[np.float64], options: EvaluationOptions) -> tuple[float, float]:
    from scipy.stats import bootstrap

    if np.ptp(values) == 0:  # of which scipy makes NaN
        return float(values[0]), float(values[0])
    interval = bootstrap(
        (values,),
        np.mean,
        n_resamples=options.num_resamples,
        method="percentile",
        rng=np.random.default_rng(options.seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)
