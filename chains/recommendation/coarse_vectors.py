"""Coarse vectors: a fast search for what is near a user, whose result does not depend on how many users ask at once."""

import numpy as np
from numpy.typing import NDArray

from llms.arrays import FloatArray

MAX_FULL_ITEMS = 20_000  # vectors of more items are searched in fewer dimensions
NUM_DIMENSIONS = 96
_NUM_SAMPLED = 20_000
# whole numbers up to here are exact in float32, so their sums are, in whatever order a matrix product adds them up
_LARGEST_EXACT = 2**24


class CoarseVectors:
    """Vectors rounded to small whole numbers: good for finding candidates, not for telling how near they are.

    A product of matrices adds up in an order that depends on their shapes, so the last bit of a score would differ
    between one user and a hundred. Whole numbers that are small enough have no last bit to lose.

    Args:
        vectors: `(num_items, dim)`, unit rows.

    Example:
        >>> coarse = CoarseVectors(np.eye(3, dtype=np.float32))
        >>> scores = coarse.score(np.array([[0.8, 0.6, 0.0]], dtype=np.float32))
        >>> np.argsort(-scores[0]).tolist()
        [0, 1, 2]
    """

    def __init__(self, vectors: FloatArray) -> None:
        self._projection = _find_projection(vectors) if len(vectors) > MAX_FULL_ITEMS else None
        projected = vectors if self._projection is None else vectors @ self._projection
        self._numbers = self._round(projected)  # (num_items, dimensions)

    def score(self, embeddings: FloatArray) -> FloatArray:
        """Return `(num_users, num_items)`: larger is nearer; a row's scores have no scale that others share."""
        numbers = np.stack([self._round(self._project(embedding)) for embedding in embeddings])
        scores: FloatArray = numbers @ self._numbers.T
        return scores

    def _project(self, embedding: FloatArray) -> FloatArray:
        # one at a time, so that no sum depends on who else is asked about
        return embedding if self._projection is None else embedding @ self._projection

    @staticmethod
    def _round(vectors: FloatArray) -> FloatArray:
        num_levels = np.floor(np.sqrt(_LARGEST_EXACT / vectors.shape[-1]))
        largest = max(float(np.abs(vectors).max()), 1e-12)
        rounded: FloatArray = np.rint(vectors * (num_levels / largest)).astype(np.float32)
        return rounded


def _find_projection(vectors: FloatArray) -> FloatArray:
    """Return `(dim, dimensions)`: the directions in which the vectors differ most, from a sample of them."""
    step = max(1, len(vectors) // _NUM_SAMPLED)
    sampled = vectors[::step].astype(np.float64)
    _, directions = np.linalg.eigh(sampled.T @ sampled)
    projection: FloatArray = directions[:, -NUM_DIMENSIONS:].astype(np.float32)
    return projection


def take_best(scores: NDArray[np.floating], allowed: NDArray[np.bool_], count: int) -> NDArray[np.intp]:
    """Return the rows of the `count` best scores that are allowed, in order of rows; of equal ones the earlier.

    Example:
        >>> take_best(np.array([1.0, 3.0, 2.0, 2.0]), np.array([True, False, True, True]), 2).tolist()
        [2, 3]
    """
    rows = _likely_rows(scores, allowed, count)
    if len(rows) <= count:
        return rows
    found = scores[rows]
    least = np.partition(found, len(rows) - count)[len(rows) - count]
    above = found > least
    equal = np.flatnonzero(found == least)[: count - int(above.sum())]
    above[equal] = True
    best: NDArray[np.intp] = rows[above]
    return best


def _likely_rows(scores: NDArray[np.floating], allowed: NDArray[np.bool_], count: int) -> NDArray[np.intp]:
    """Return the allowed rows, of many items only those that a sample of the scores says may be among the best."""
    step = len(scores) // (16 * count)
    if step > 1:
        sample = scores[::step]
        rank = min(len(sample) - 1, 4 * count // step + 8)
        floor = np.partition(sample, len(sample) - 1 - rank)[len(sample) - 1 - rank]
        for likely in (scores > floor, scores >= floor):  # of scores that are mostly 0, few are above
            rows = np.flatnonzero(likely & allowed)
            if len(rows) >= count:
                return rows
    return np.flatnonzero(allowed)
