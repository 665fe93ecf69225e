"""Several rankings to one."""

from collections.abc import Sequence

__all__ = ["fuse_rankings"]


def fuse_rankings(rankings: Sequence[Sequence[str]], *, damping: float = 60.0) -> list[str]:
    """Return the ids of all rankings, best first, by reciprocal rank fusion.

    Only ranks count, never scores: a cosine and a keyword score have no common unit.

    Args:
        rankings: one list of ids per retriever, best first; an id at most once per list.
        damping: how little the first place weighs (the `k` of the paper); larger is flatter.

    Returns:
        Each id once. Ties keep the order in which the ids were first seen.

    Raises:
        ValueError: if `damping` is not positive.

    Example:
        >>> fuse_rankings([["a", "b"], ["b", "c"]])
        ['b', 'a', 'c']

    References:
        Cormack, Clarke and Buettcher, "Reciprocal rank fusion outperforms Condorcet", SIGIR 2009.
    """
    if damping <= 0:
        msg = f"damping must be positive, got {damping}"
        raise ValueError(msg)
    score: dict[str, float] = {}
    for ranking in rankings:
        for place, id_ in enumerate(ranking, start=1):
            score[id_] = score.get(id_, 0.0) + 1.0 / (damping + place)
    return sorted(score, key=score.__getitem__, reverse=True)  # sorted() is stable: ties keep order
