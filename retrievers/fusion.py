"""Reciprocal rank fusion."""

from collections.abc import Sequence


def fuse_rankings(
    rankings: Sequence[Sequence[str]], *, weights: Sequence[float] | None = None, damping: float = 60.0
) -> list[str]:
    """Return the ids of all rankings, best first, by reciprocal rank fusion.

    Only ranks count, never scores: a cosine and a BM25 score have no common unit.

    Args:
        rankings: one list of document ids per search, best first; an id at most once per list.
        weights: how much each ranking counts, positive, in their order; None counts them alike.
        damping: how little the first rank weighs (the `k` of the paper); larger is flatter.

    Returns:
        Each id once. Ties keep the order in which the ids were first seen.

    Raises:
        ValueError: if `damping` or a weight is not positive, there is not one weight per ranking, or an id comes
            twice in one ranking.

    Example:
        >>> fuse_rankings([["a", "b"], ["b", "c"]])
        ['b', 'a', 'c']
        >>> fuse_rankings([["a", "b"], ["c", "b"]], weights=[1, 3])
        ['b', 'c', 'a']

    References:
        Cormack, Clarke and Buettcher, "Reciprocal rank fusion outperforms Condorcet", SIGIR 2009.
    """
    factors = [1.0] * len(rankings) if weights is None else list(weights)
    _check(rankings, factors, damping)
    score: dict[str, float] = {}
    for ranking, factor in zip(rankings, factors, strict=True):
        for rank, doc_id in enumerate(ranking, start=1):
            score[doc_id] = score.get(doc_id, 0.0) + factor / (damping + rank)
    return sorted(score, key=score.__getitem__, reverse=True)  # sorted() is stable: ties keep order


def _check(rankings: Sequence[Sequence[str]], weights: Sequence[float], damping: float) -> None:
    if not damping > 0:
        msg = f"damping must be positive, got {damping}"
        raise ValueError(msg)
    if len(weights) != len(rankings):
        msg = f"got {len(weights)} weights for {len(rankings)} rankings; give one per ranking"
        raise ValueError(msg)
    if not all(weight > 0 for weight in weights):
        msg = f"every weight must be positive, got {list(weights)}; leave out a ranking that is not to count"
        raise ValueError(msg)
    for ranking in rankings:
        if len(set(ranking)) < len(ranking):
            twice = next(doc_id for index, doc_id in enumerate(ranking) if doc_id in ranking[:index])
            msg = f"{twice!r} comes twice in one ranking; keep its best rank only"
            raise ValueError(msg)
