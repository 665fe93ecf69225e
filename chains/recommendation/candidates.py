"""Candidate generation: the items worth scoring for a user, from four sources."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from chains.recommendation.coarse_vectors import take_best
from chains.recommendation.features import FeatureTable, UserScores


def collect_candidates(
    *, table: FeatureTable, users: UserScores, allowed: NDArray[np.bool_], num_per_source: Sequence[int]
) -> list[NDArray[np.intp]]:
    """Return for each user the rows of all items worth scoring, in catalogue order, each once.

    Sources: what is close to the user's embedding, what the collaborative model expects, what is popular, and what is
    new. The first two have nothing to say about a user nobody knows, nor the second about what it does not expect. What
    is not allowed is left out before the best are taken, so the others give as many as asked for, if there are so many.

    Args:
        table: the items.
        users: whom the lists are for.
        allowed: `(num_users, num_items)`, False for items that must not be recommended.
        num_per_source: for each user, how many allowed items to take from each source.
    """
    orders = table.general_orders()
    nearness = table.coarse.score(users.embeddings)
    candidates = []
    for user, profile in enumerate(users.profiles):
        may, count = allowed[user], num_per_source[user]
        picked = [_take_first(order, may, count) for order in orders]
        if not profile.is_cold:
            expected = users.collaborative[user]
            picked += [take_best(expected, may & (expected > 0), count), take_best(nearness[user], may, count)]
        candidates.append(np.unique(np.concatenate(picked)))
    return candidates


def _take_first(order: NDArray[np.intp], allowed: NDArray[np.bool_], count: int) -> NDArray[np.intp]:
    """Return the first `count` rows of an order that are allowed; most often they stand at its beginning."""
    length = 4 * count
    while True:
        found: NDArray[np.intp] = order[:length][allowed[order[:length]]]
        if len(found) >= count or length >= len(order):
            return found[:count]
        length *= 8
