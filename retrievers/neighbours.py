"""Item-item model for large catalogues: each item is predicted from its best neighbours alone."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from llms.arrays import DoubleArray
from llms.errors import OptionValueError
from retrievers.collaborative import Scores, history_arrays, scaled_user_items
from retrievers.interactions import Interactions

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_BLOCK = 256  # items whose cosines to all others are in memory at once


class NeighbourRecommender:
    """The linear model of `ItemItemRecommender`, solved for each item among its nearest items only.

    Memory and time grow with the number of items times that of neighbours, not with its square. With as many
    neighbours as items it is the same model.

    Args:
        items: the item axis.
        neighbours: `(num_items, num_neighbours)` rows of the items that predict each item.
        weights: `(num_items, num_neighbours)`, what having a neighbour adds to the item; 0 where there is none.

    Example:
        Whoever had "a" had "b" too.

        >>> neighbours, weights = np.array([[1], [0], [0]]), np.array([[0.9], [0.9], [0.0]])
        >>> NeighbourRecommender(("a", "b", "c"), neighbours, weights).score_items({"a": 2.0}).round(1)
        array([0. , 1.8, 0. ], dtype=float32)

    References:
        Ning and Karypis, "SLIM: sparse linear methods for top-N recommender systems", ICDM 2011, whose fsSLIM chooses
        neighbours first; Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019, for the closed form.
    """

    def __init__(self, items: Sequence[str], neighbours: NDArray[np.integer], weights: NDArray[np.floating]) -> None:
        from scipy.sparse import csr_matrix

        self.items = tuple(items)
        self.neighbours = np.asarray(neighbours, dtype=np.int32)
        self.weights = np.asarray(weights, dtype=np.float32)
        self._positions = {item: at for at, item in enumerate(self.items)}
        starts = np.arange(len(self.items) + 1) * self.neighbours.shape[1]
        shape = (len(self.items), len(self.items))
        # a copy, because taking the zeros out moves what is left within the arrays themselves
        cells = (self.weights.ravel(), self.neighbours.ravel(), starts)
        to_item: Any = csr_matrix(cells, shape=shape, copy=True)
        to_item.eliminate_zeros()
        self._from_item: Any = to_item.T.tocsr()  # row i says what having item i adds to others

    @classmethod
    def train(
        cls,
        interactions: Interactions,
        *,
        ridge: float = 300.0,
        user_power: float = 0.25,
        num_neighbours: int = 100,
        now: datetime | None = None,
    ) -> Self:
        """Return the model for these interactions.

        Args:
            interactions: what users did; their decayed strengths at `now` are the model's input.
            ridge: as of `ItemItemRecommender`.
            user_power: as of `ItemItemRecommender`.
            num_neighbours: how many items may predict an item: those used most like it, by cosine.
            now: the moment strengths are measured at, by default the last event.

        Raises:
            TrainingDataError: if there are no interactions.
            OptionValueError: if `ridge` or `num_neighbours` is not positive.
        """
        if ridge <= 0 or num_neighbours < 1:
            msg = f"ridge must be positive and num_neighbours at least 1, got {ridge} and {num_neighbours}"
            raise OptionValueError(msg)
        user_items: Any = scaled_user_items(interactions, user_power=user_power, now=now).tocsc()
        size = user_items.shape[1]
        neighbours = np.zeros((size, num_neighbours), dtype=np.int32)
        weights = np.zeros((size, num_neighbours), dtype=np.float32)
        for item, found in _nearest(user_items, num_neighbours):
            chosen: Any = user_items[:, [item, *found]]
            gram: DoubleArray = (chosen.T @ chosen).toarray()
            inner = gram[1:, 1:] + ridge * np.eye(len(found))
            neighbours[item, : len(found)] = found
            weights[item, : len(found)] = np.linalg.solve(inner, gram[1:, 0])
        return cls(interactions.items, neighbours, weights)

    def score_items(self, history: Mapping[str, float]) -> Scores:
        """Return the predicted strength of every item; 0 where nothing speaks for it."""
        rows, strengths = history_arrays(history, self._positions)
        scores = np.zeros(len(self.items), dtype=np.float32)
        found = self._from_item[rows]
        np.add.at(scores, found.indices, found.data * np.repeat(strengths, np.diff(found.indptr)))
        return scores

    def score_many(self, user_items: "csr_matrix") -> Scores:
        """Return `(num_users, num_items)`: as `score_items`, for each row of strengths on the item axis.

        A row is the same whatever other rows there are.
        """
        scores: Scores = (user_items @ self._from_item).toarray()
        return scores

    def weights_to(self, row: int, sources: Sequence[int]) -> Scores:
        """Return what having each of these items adds to the item of `row`."""
        is_source = self.neighbours[row] == np.array(sources, dtype=np.int32)[:, np.newaxis]  # (sources, neighbours)
        weights: Scores = (is_source * self.weights[row]).sum(axis=1, dtype=np.float32)
        return weights

    def nearest(self, count: int) -> tuple[NDArray[np.int32], Scores]:
        """Return `(num_items, count)` each: the items that speak most for an item, and how much; 0 for none."""
        count = min(count, self.weights.shape[1])
        best = np.argpartition(-self.weights, count - 1, axis=1)[:, :count]
        return np.take_along_axis(self.neighbours, best, axis=1), np.take_along_axis(self.weights, best, axis=1).clip(0)


def _nearest(user_items: Any, count: int) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Yield each item that has any, with the rows of up to `count` others, by the cosine of who used them how much."""
    from scipy.sparse import diags

    lengths = np.sqrt(np.asarray(user_items.multiply(user_items).sum(axis=0)).ravel())
    unit: Any = (user_items @ diags(np.divide(1.0, lengths, where=lengths > 0, out=np.zeros_like(lengths)))).tocsc()
    transposed = unit.T.tocsr()
    for start in range(0, unit.shape[1], _BLOCK):
        cosines: Any = (transposed @ unit[:, start : start + _BLOCK]).tocsc()  # (num_items, block)
        for column in range(cosines.shape[1]):
            part = slice(cosines.indptr[column], cosines.indptr[column + 1])
            rows, values = cosines.indices[part], cosines.data[part]
            others = (rows != start + column) & (values > 0)
            rows, values = rows[others], values[others]
            # of equal ones the earlier rows, whatever order the product left them in
            best = np.lexsort((rows, -values))[:count]
            if len(best):
                yield start + column, np.sort(rows[best])
