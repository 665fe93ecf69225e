"""Candidate generation: the items worth scoring for a user, from four sources."""

import numpy as np
from numpy.typing import NDArray

from chains.recommendation.features import FeatureTable, UserScores


def collect_candidates(
    *, table: FeatureTable, user: UserScores, allowed: NDArray[np.bool_], num_per_source: int
) -> NDArray[np.intp]:
    """Return the rows of all items worth scoring, in catalogue order, each once.

    Sources: what is close to the user's embedding, what the collaborative model expects, what is popular, and what is
    new. The first two have nothing to say about a user nobody knows. What is not allowed is left out before the best
    are taken, so each source gives as many as asked for, if there are so many.

    Args:
        table: the items.
        user: whom the list is for.
        allowed: `(num_items,)`, False for items that must not be recommended.
        num_per_source: how many allowed items to take from each source.
    """
    rows = np.flatnonzero(allowed)
    picked = [_take_first(order, allowed, num_per_source) for order in table.general_orders()]
    if not user.profile.is_cold:
        picked += [_take_best(scores, rows, num_per_source) for scores in (user.collaborative, user.cosines)]
    return np.unique(np.concatenate(picked))


def _take_first(order: NDArray[np.intp], allowed: NDArray[np.bool_], count: int) -> NDArray[np.intp]:
    """Return the first `count` rows of an order that are allowed; most often they stand at its beginning."""
    length = 4 * count
    while True:
        found: NDArray[np.intp] = order[:length][allowed[order[:length]]]
        if len(found) >= count or length >= len(order):
            return found[:count]
        length *= 8


def _take_best(scores: NDArray[np.floating], rows: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """Return the `count` rows with the best scores; of equal ones the earlier."""
    if len(rows) > count:
        least = np.partition(scores[rows], len(rows) - count)[len(rows) - count]
        rows = rows[scores[rows] >= least]
    best: NDArray[np.intp] = rows[np.argsort(-scores[rows], kind="stable")[:count]]
    return best
