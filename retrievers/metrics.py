"""Ranking metrics: pure functions on ids, each tested against values worked out by hand.

A ranking is a sequence of ids, best first. Where scores are tied, the caller has already put the ids into an
order; no function here sees scores, so none can hide a tie. An id that stands twice in a ranking earns once,
at its first rank, and still takes up both ranks.
"""

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "catalogue_coverage",
    "hit_at_k",
    "intra_list_distance",
    "ndcg_at_k",
    "novelty",
    "recall_at_k",
    "reciprocal_rank",
]


def recall_at_k(ranked: Sequence[str], relevant: Collection[str], k: int) -> float:
    """Return the share of the relevant ids that stand among the first `k`.

    Returns:
        0 to 1. A ranking shorter than `k` is taken as it is; an empty one gives 0.

    Raises:
        ValueError: if nothing is relevant (the share is undefined) or `k` is below 1.

    Example:
        >>> recall_at_k(["a", "x", "b", "y"], {"a", "b"}, k=2)
        0.5
    """
    _check(relevant, k)
    return len(set(ranked[:k]) & set(relevant)) / len(set(relevant))


def hit_at_k(ranked: Sequence[str], relevant: Collection[str], k: int) -> float:
    """Return 1.0 if at least one of the first `k` ids is relevant, else 0.0; its mean is the hit rate.

    Raises:
        ValueError: if nothing is relevant or `k` is below 1.

    Example:
        >>> hit_at_k(["x", "a"], {"a"}, k=2), hit_at_k(["x", "a"], {"a"}, k=1)
        (1.0, 0.0)
    """
    _check(relevant, k)
    return float(not set(ranked[:k]).isdisjoint(relevant))


def reciprocal_rank(ranked: Sequence[str], relevant: Collection[str]) -> float:
    """Return one over the rank of the first relevant id; its mean over queries is the MRR.

    Returns:
        0 to 1; 0 if no relevant id was ranked.

    Raises:
        ValueError: if nothing is relevant.

    Example:
        >>> reciprocal_rank(["x", "a", "b"], {"a", "b"})
        0.5
    """
    _check(relevant, 1)
    return next((1.0 / rank for rank, found in enumerate(ranked, start=1) if found in relevant), 0.0)


def ndcg_at_k(ranked: Sequence[str], relevant: Collection[str], k: int) -> float:
    """Return the discounted gain of the first `k` ids as a share of the best that was possible.

    Args:
        ranked: ids, best first.
        relevant: ids that count 1 each, or a mapping id -> gain (positive) for graded relevance.
        k: how many ranks count; the best possible list is cut at `k` too.

    Returns:
        0 to 1; 0 for an empty ranking.

    Raises:
        ValueError: if nothing is relevant, a gain is not positive, or `k` is below 1.

    Example:
        One of two relevant ids, at rank 2, earns 1/log2(3) of the 1 + 1/log2(3) that were possible.

        >>> round(ndcg_at_k(["x", "a"], {"a", "b"}, k=2), 4)
        0.3869

    References:
        Jarvelin and Kekalainen, "Cumulated gain-based evaluation of IR techniques", TOIS 2002.
    """
    _check(relevant, k)
    gains = dict(relevant) if isinstance(relevant, Mapping) else dict.fromkeys(relevant, 1.0)
    if min(gains.values()) <= 0:
        msg = f"every gain must be positive, got {min(gains.values())}; leave irrelevant ids out"
        raise ValueError(msg)
    # an id seen before earns nothing, but keeps its rank
    earned = [gains.get(found, 0.0) if found not in ranked[:at] else 0.0 for at, found in enumerate(ranked[:k])]
    return _discounted_sum(earned) / _discounted_sum(sorted(gains.values(), reverse=True)[:k])


def catalogue_coverage(rankings: Sequence[Sequence[str]], num_items: int) -> float:
    """Return the share of a catalogue that stands in at least one of the rankings.

    Returns:
        0 to 1; 0 where there are no rankings.

    Raises:
        ValueError: if `num_items` is below 1, or the rankings hold more ids than the catalogue.

    Example:
        >>> catalogue_coverage([["a", "b"], ["b"]], num_items=4)
        0.5
    """
    shown = {found for ranking in rankings for found in ranking}
    if num_items < max(1, len(shown)):
        msg = f"num_items must be at least 1 and at least the {len(shown)} ids ranked, got {num_items}"
        raise ValueError(msg)
    return len(shown) / num_items


def intra_list_distance(vectors: NDArray[np.floating]) -> float:
    """Return the mean cosine distance between the items of one list: how varied it is.

    Args:
        vectors: `(num_items, dim)`, one row per item of the list, in any order; rows need not be unit length.

    Returns:
        0 (all alike) to 2; 0 for fewer than two items. A zero vector has distance 1 to everything.

    Example:
        >>> intra_list_distance(np.array([[1.0, 0.0], [0.0, 2.0]]))
        1.0

    References:
        Ziegler et al., "Improving recommendation lists through topic diversification", WWW 2005.
    """
    num_items = len(vectors)
    if num_items < 2:
        return 0.0
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(lengths > 0, lengths, 1.0)
    cosine_sum = float((unit @ unit.T).sum() - (unit * unit).sum())  # without each item's cosine to itself
    return 1.0 - cosine_sum / (num_items * (num_items - 1))


def novelty(ranked: Sequence[str], popularity: Mapping[str, float], num_users: int) -> float:
    """Return the mean surprise of a list in bits: how few people already know its items.

    Args:
        ranked: the ids of one list.
        popularity: id -> number of users who know it; an id left out counts as known to nobody.
        num_users: number of users behind `popularity`.

    Returns:
        Mean of `-log2(share of users)`, at least 0; 0 for an empty list. One user is added to both counts, so that
        an item nobody knows has a finite surprise.

    Raises:
        ValueError: if `num_users` is below 1 or an item is known to more users than there are.

    Example:
        Known to 3 of 7: the share is (3 + 1) / (7 + 1), one bit.

        >>> novelty(["a"], {"a": 3}, num_users=7)
        1.0

    References:
        Vargas and Castells, "Rank and relevance in novelty and diversity metrics", RecSys 2011.
    """
    if num_users < max(1.0, *popularity.values(), 1.0):
        msg = f"num_users must be at least 1 and at least the largest popularity, got {num_users}"
        raise ValueError(msg)
    surprise = [-math.log2((popularity.get(found, 0.0) + 1) / (num_users + 1)) for found in ranked]
    return sum(surprise) / len(surprise) if surprise else 0.0


def _check(relevant: Collection[str], k: int) -> None:
    if not relevant:
        msg = "nothing is relevant, so there is nothing to measure; leave such queries out and report how many"
        raise ValueError(msg)
    if k < 1:
        msg = f"k must be at least 1, got {k}"
        raise ValueError(msg)


def _discounted_sum(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))
