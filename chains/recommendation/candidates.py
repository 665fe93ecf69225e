"""Candidate generation: the items worth scoring for a user, from four sources."""

import numpy as np
from langchain_core.vectorstores import VectorStore
from numpy.typing import NDArray

from chains.recommendation.features import FeatureTable, UserScores


def collect_candidates(
    *,
    table: FeatureTable,
    store: VectorStore,
    user: UserScores,
    allowed: NDArray[np.bool_],
    num_per_source: int,
) -> NDArray[np.intp]:
    """Return the rows of all items worth scoring, in catalogue order, each once.

    Sources: what is close to the user's embedding in the store, what the collaborative model expects, what is popular,
    and what is new. The first two have nothing to say about a user nobody knows.

    Args:
        table: the items.
        store: holds the items under their ids; documents that are not in the catalogue are passed over, because a
            store may still hold what the catalogue has dropped.
        user: whom the list is for.
        allowed: `(num_items,)`, False for items that must not be recommended.
        num_per_source: how many allowed items to take from each source.
    """
    picked = [_take_best(scores, allowed, num_per_source) for scores in table.general_scores()]
    if not user.profile.is_cold:
        picked.append(_take_best(user.collaborative, allowed, num_per_source))
        # what is not allowed may fill the first ranks, so it is asked for on top
        num_asked = min(len(allowed), num_per_source + int((~allowed).sum()))
        found = store.similarity_search_by_vector(user.embedding.tolist(), k=num_asked)
        rows = [table.catalogue.positions[doc.id] for doc in found if doc.id and doc.id in table.catalogue]
        picked.append(np.array([row for row in rows if allowed[row]][:num_per_source], dtype=np.intp))
    return np.unique(np.concatenate(picked))


def _take_best(scores: NDArray[np.floating], allowed: NDArray[np.bool_], count: int) -> NDArray[np.intp]:
    best = np.argsort(-np.where(allowed, scores, -np.inf), kind="stable")[:count]
    return best[allowed[best]]
