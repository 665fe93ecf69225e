"""What texts say of items, weighed against what people did with them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from llms.arrays import FloatArray
from retrievers import ItemItemRecommender, NeighbourRecommender

_NUM_NEIGHBOURS = 10  # whose texts speak for an item that is used together with them
_RIDGE = 10.0  # of the map from texts to factors; items count up to 1 each
_MAX_MAPPED = 20_000  # items the map is learnt from, the most used ones


def learn_text_map(
    vectors: FloatArray, factors: FloatArray, num_users: NDArray[np.integer], *, text_users: float
) -> FloatArray:
    """Return the linear map from texts to factors that fits the items which are used, by ridge regression.

    By it an item that nobody has used has a place among the others, and words that say nothing of who uses an item do
    not move it.

    Args:
        vectors: `(num_items, dim)`, unit rows.
        factors: `(num_items, num_factors)`, as people's behaviour has them.
        num_users: `(num_items,)`, of whom there is interest in the item.
        text_users: so many users count as much as the text; an item of so many has half the weight of one of very many.

    Returns:
        `(dim + 1, num_factors)` float32; the last row is what is added to all items.
    """
    known = np.argsort(-num_users, kind="stable")[:_MAX_MAPPED]
    known = known[num_users[known] > 0]
    weights = num_users[known] / (num_users[known] + text_users)
    texts, targets = vectors[known].astype(np.float64), factors[known].astype(np.float64)
    middle, usual = weights @ texts / weights.sum(), weights @ targets / weights.sum()
    texts = texts - middle
    gram = (texts * weights[:, np.newaxis]).T @ texts + _RIDGE * np.eye(texts.shape[1])
    to_factors = np.linalg.solve(gram, (texts * weights[:, np.newaxis]).T @ (targets - usual))
    text_map: FloatArray = np.vstack([to_factors, usual - middle @ to_factors]).astype(np.float32)
    return text_map


def map_texts(text_map: FloatArray, vectors: FloatArray) -> FloatArray:
    """Return `(num_items, num_factors)`: what a map from `learn_text_map` foretells of texts."""
    foretold: FloatArray = vectors @ text_map[:-1] + text_map[-1]
    return foretold


def blend_factors(
    factors: FloatArray, foretold: FloatArray, num_users: NDArray[np.integer], *, text_users: float
) -> FloatArray:
    """Return factors in which what texts foretell stands in for users whom items did not have when they were learnt."""
    is_learnt = factors.any(axis=1)  # others have users since, of whom the factors know nothing
    own = np.where(is_learnt, num_users / (num_users + text_users), 0.0).astype(np.float32)[:, np.newaxis]
    blended: FloatArray = own * factors + (1 - own) * foretold
    return blended


def smooth_vectors(
    vectors: FloatArray,
    item_item: ItemItemRecommender | NeighbourRecommender,
    num_users: NDArray[np.integer],
    *,
    text_users: float,
) -> FloatArray:
    """Return unit vectors that lean, the more users an item has, on the texts of what is used together with it.

    What is written about an item is up to whoever sells it; what it is used with is not.

    Args:
        vectors: `(num_items, dim)`, unit rows.
        item_item: says what is used together.
        num_users: `(num_items,)`, of whom there is interest in the item.
        text_users: so many users count as much as the text.
    """
    from scipy.sparse import csr_matrix

    neighbours, weights = item_item.nearest(_NUM_NEIGHBOURS)
    totals = weights.sum(axis=1)
    has_any = totals > 0
    shares = np.divide(weights, totals[:, np.newaxis], where=has_any[:, np.newaxis], out=np.zeros_like(weights))
    starts = np.arange(len(vectors) + 1) * neighbours.shape[1]
    matrix: Any = csr_matrix((shares.ravel(), neighbours.ravel(), starts), shape=(len(vectors), len(vectors)))
    own = np.where(has_any, text_users / (num_users + text_users), 1.0).astype(np.float32)[:, np.newaxis]
    smoothed: FloatArray = own * vectors + (1 - own) * np.asarray(matrix @ vectors, dtype=np.float32)
    lengths = np.linalg.norm(smoothed, axis=1, keepdims=True)
    unit: FloatArray = np.divide(smoothed, lengths, where=lengths > 0, out=vectors.astype(np.float32))
    return unit
