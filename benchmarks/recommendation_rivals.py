"""Rivals of the recommenders: item neighbours and a factor model of implicit feedback, in plain numpy."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrievers.collaborative import history_arrays, scaled_user_items
from retrievers.interactions import Interactions

ScoreItems = Callable[[Mapping[str, float]], NDArray[np.floating]]


@dataclass(frozen=True, kw_only=True)
class AlsOptions:
    """Of the factor model; the best of a grid on inner splits of MovieLens (part `models`)."""

    num_factors: int = 64
    ridge: float = 60.0
    confidence: float = 10.0  # of a strength of 1, beside that of what was not used, which is 1
    num_rounds: int = 10
    seed: int = 0


class AlsRecommender:
    """Factors of users and items by alternating least squares; a user's own are solved for from their history.

    References:
        Hu, Koren and Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008.
    """

    def __init__(self, interactions: Interactions, options: AlsOptions) -> None:
        user_items = scaled_user_items(interactions, user_power=0.0, now=None).tocsr()
        item_users = user_items.T.tocsr()
        rng = np.random.default_rng(options.seed)
        self._options = options
        self._positions = {item: at for at, item in enumerate(interactions.items)}
        self.items = interactions.items
        self.item_factors = rng.normal(0, 0.01, size=(user_items.shape[1], options.num_factors))
        for _ in range(options.num_rounds):
            self.user_factors = _solve(user_items, self.item_factors, options)
            self.item_factors = _solve(item_users, self.user_factors, options)

    def score_items(self, history: Mapping[str, float]) -> NDArray[np.floating]:
        """Return `(num_items,)` scores."""
        rows, strengths = history_arrays(history, self._positions)
        gram = self.item_factors.T @ self.item_factors
        is_liked = strengths > 0
        user = _solve_row(gram, self.item_factors[rows[is_liked]], strengths[is_liked], self._options)
        scores: NDArray[np.floating] = self.item_factors @ user
        return scores


def _solve(matrix: Any, factors: NDArray[np.float64], options: AlsOptions) -> NDArray[np.float64]:
    gram = factors.T @ factors
    solved = np.empty((matrix.shape[0], factors.shape[1]))
    for row in range(len(solved)):
        part = slice(matrix.indptr[row], matrix.indptr[row + 1])
        solved[row] = _solve_row(gram, factors[matrix.indices[part]], matrix.data[part], options)
    return solved


def _solve_row(
    gram: NDArray[np.float64], used: NDArray[np.float64], strengths: NDArray[np.floating], options: AlsOptions
) -> NDArray[np.float64]:
    """Return the factors of one user or item from those of what it was used with."""
    extra = options.confidence * strengths
    left = gram + (used * extra[:, np.newaxis]).T @ used + options.ridge * np.eye(len(gram))
    solved: NDArray[np.float64] = np.linalg.solve(left, used.T @ (1 + extra))
    return solved


def train_item_knn(interactions: Interactions, *, num_neighbours: int = 100) -> ScoreItems:
    """Return the scores of item neighbours: the summed cosines of a history's items to an item's nearest ones."""
    user_items = scaled_user_items(interactions, user_power=0.0, now=None)
    lengths = np.sqrt(np.asarray(user_items.multiply(user_items).sum(axis=0)).ravel())
    cosines = (user_items.T @ user_items).toarray() / np.maximum(np.outer(lengths, lengths), 1e-12)
    np.fill_diagonal(cosines, 0.0)
    if num_neighbours < len(cosines):
        least = np.partition(cosines, -num_neighbours, axis=0)[-num_neighbours]
        cosines[cosines < least] = 0.0
    positions = {item: at for at, item in enumerate(interactions.items)}

    def score_items(history: Mapping[str, float]) -> NDArray[np.floating]:
        rows, strengths = history_arrays(history, positions)
        scores: NDArray[np.floating] = strengths @ cosines[rows]
        return scores

    return score_items
