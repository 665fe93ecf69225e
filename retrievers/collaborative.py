"""Collaborative recommenders behind one protocol; none of them looks at texts."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from llms.errors import ModelFolderError, OptionValueError, TrainingDataError
from retrievers.interactions import Interactions

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Scores = NDArray[np.float32]
_BLOCK = 256  # items whose weights are looked through at once
MAX_DENSE_ITEMS = 2_000  # above, factors are found without a matrix of items by items, which grows with the square


class Recommender(Protocol):
    """Anything that turns what a user did into a score for every item."""

    @property
    def items(self) -> tuple[str, ...]:
        """The item axis of the scores."""
        ...

    def score_items(self, history: Mapping[str, float]) -> Scores:
        """Return `(num_items,)` scores, larger is better.

        Args:
            history: item id -> strength; ids the recommender never saw are left out, since it knows nothing of them.
                Items of the history get a score like all others: filtering them is the caller's decision.
        """
        ...


class PopularityRecommender:
    """The same scores for everybody: how many users each item had in a time window.

    Example:
        >>> PopularityRecommender(("a", "b"), np.array([1.0, 3.0])).score_items({}).tolist()
        [1.0, 3.0]
    """

    def __init__(self, items: Sequence[str], popularity: NDArray[np.floating]) -> None:
        self.items = tuple(items)
        self._popularity = np.asarray(popularity, dtype=np.float32)

    @classmethod
    def train(cls, interactions: Interactions, *, days: float | None = None, now: datetime | None = None) -> Self:
        """Return the recommender that counts users over the last `days` (None: all time)."""
        counts = interactions.popularity(days, now)
        return cls(interactions.items, np.array([counts[item] for item in interactions.items], dtype=np.float32))

    def score_items(self, history: Mapping[str, float]) -> Scores:  # noqa: ARG002  # the protocol's argument
        """Return the number of users of every item; the history does not matter."""
        return self._popularity.copy()


class ItemItemRecommender:
    """A linear model that predicts each item from all others, solved in closed form (EASE).

    Dense in the number of items: 5,000 items take some 10 s and 100 MB; `NeighbourRecommender` is for more.

    Args:
        items: the item axis.
        weights: `(num_items, num_items)`; row i says what having item i adds to every other item.

    Example:
        Whoever had "a" had "b" too, and never "c".

        >>> weights = np.array([[0.0, 0.9, -0.1], [0.9, 0.0, 0.0], [0.0, 0.0, 0.0]])
        >>> ItemItemRecommender(("a", "b", "c"), weights).score_items({"a": 2.0}).round(1)
        array([ 0. ,  1.8, -0.2], dtype=float32)

    References:
        Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019.
    """

    def __init__(self, items: Sequence[str], weights: NDArray[np.floating]) -> None:
        self.items = tuple(items)
        self.weights = np.asarray(weights, dtype=np.float32)
        self._positions = {item: at for at, item in enumerate(self.items)}

    @classmethod
    def train(
        cls, interactions: Interactions, *, ridge: float = 300.0, user_power: float = 0.25, now: datetime | None = None
    ) -> Self:
        """Return the model for these interactions.

        Args:
            interactions: what users did; their decayed strengths at `now` are the model's input.
            ridge: how strongly weights are pulled to 0; grows with the number of users and their strengths.
            user_power: how far busy users are scaled down: 0 not at all, 0.5 to equal total influence.
            now: the moment strengths are measured at, by default the last event.

        Raises:
            TrainingDataError: if there are no interactions.
            OptionValueError: if `ridge` is not positive.
        """
        if ridge <= 0:
            msg = f"ridge must be positive, got {ridge}"
            raise OptionValueError(msg)
        gram = _item_gram(interactions, user_power=user_power, now=now)  # (num_items, num_items)
        inverse = np.linalg.inv(gram + ridge * np.eye(len(gram)))
        weights = inverse / -np.diag(inverse)
        np.fill_diagonal(weights, 0.0)  # an item must not explain itself
        return cls(interactions.items, weights)

    def score_items(self, history: Mapping[str, float]) -> Scores:
        """Return the predicted strength of every item; about 0 where nothing speaks for it."""
        rows, strengths = history_arrays(history, self._positions)
        return strengths @ self.weights[rows]

    def score_many(self, user_items: "csr_matrix") -> Scores:
        """Return `(num_users, num_items)`: as `score_items`, for each row of strengths on the item axis.

        A row is the same whatever other rows there are.
        """
        scores: Scores = user_items @ self.weights
        return scores

    def weights_to(self, row: int, sources: Sequence[int]) -> Scores:
        """Return what having each of these items adds to the item of `row`."""
        weights: Scores = self.weights[list(sources), row]
        return weights

    def nearest(self, count: int) -> tuple[NDArray[np.int32], Scores]:
        """Return `(num_items, count)` each: the items that speak most for an item, and how much; 0 for none."""
        size = len(self.items)
        count = min(count, size)
        neighbours = np.empty((size, count), dtype=np.int32)
        for start in range(0, size, _BLOCK):  # all at once would need the memory of three such matrices
            part = slice(start, start + _BLOCK)
            neighbours[part] = np.argpartition(-self.weights[:, part], count - 1, axis=0)[:count].T
        return neighbours, np.take_along_axis(self.weights.T, neighbours, axis=1).clip(0)

    def save(self, path: Path) -> None:
        """Write the model to one `.npz` file."""
        _save_arrays(path, items=self.items, weights=self.weights)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the model saved at `path`.

        Raises:
            ModelFolderError: if the file is missing, damaged, or of another kind.
        """
        items, weights = _load_arrays(path)
        if weights.shape != (len(items), len(items)):
            msg = f"{path} holds weights of shape {weights.shape} for {len(items)} items; save the model again"
            raise ModelFolderError(msg)
        return cls(items, weights)


class FactorRecommender:
    """Items as points in a space of few dimensions: what is near to a user's items scores high.

    The factors are the leading eigenvectors of the item-item matrix (a truncated SVD of the user-item matrix), so a
    new user needs no training: their history is projected onto the factors. Of more than 2,000 items they are found
    without the matrix itself.

    Args:
        items: the item axis.
        factors: `(num_items, num_factors)`, orthonormal columns.

    References:
        Cremonesi, Koren and Turrin, "Performance of recommender algorithms on top-N tasks", RecSys 2010 (PureSVD).
    """

    def __init__(self, items: Sequence[str], factors: NDArray[np.floating]) -> None:
        self.items = tuple(items)
        self.factors = np.asarray(factors, dtype=np.float32)
        self._positions = {item: at for at, item in enumerate(self.items)}

    @classmethod
    def train(cls, interactions: Interactions, *, num_factors: int = 40, now: datetime | None = None) -> Self:
        """Return the model for these interactions; fewer items than `num_factors` give as many factors as items.

        Raises:
            TrainingDataError: if there are no interactions.
            OptionValueError: if `num_factors` is below 1.
        """
        if num_factors < 1:
            msg = f"num_factors must be at least 1, got {num_factors}"
            raise OptionValueError(msg)
        user_items = scaled_user_items(interactions, user_power=0.25, now=now)
        is_dense = user_items.shape[1] <= MAX_DENSE_ITEMS or min(user_items.shape) <= num_factors
        find = _find_factors if is_dense else _find_leading_factors
        return cls(interactions.items, find(user_items, num_factors))

    def project(self, user_items: "csr_matrix") -> Scores:
        """Return `(num_users, num_factors)`: where each row of strengths lies; a row does not depend on the others."""
        projected: Scores = user_items @ self.factors
        return projected

    def score_items(self, history: Mapping[str, float]) -> Scores:
        """Return the history as the factors see it: every item's strength after projection."""
        rows, strengths = history_arrays(history, self._positions)
        scores: Scores = self.factors @ (strengths @ self.factors[rows])
        rounding = 1e-5 * np.abs(strengths).sum()  # of float32; with as many factors as items nothing else is left
        scores[np.abs(scores) < rounding] = 0.0
        return scores


def _find_factors(user_items: Any, num_factors: int) -> NDArray[np.float64]:
    from scipy.linalg import eigh

    gram = (user_items.T @ user_items).toarray()
    size = len(gram)
    _, factors = eigh(gram, subset_by_index=(max(0, size - num_factors), size - 1))
    found: NDArray[np.float64] = factors
    return found


def _find_leading_factors(user_items: Any, num_factors: int) -> NDArray[np.float64]:
    from scipy.sparse.linalg import svds

    start = np.random.default_rng(0).normal(size=min(user_items.shape))  # the same start gives the same factors
    _, strengths, factors = svds(user_items, k=num_factors, v0=start)
    found: NDArray[np.float64] = factors[np.argsort(strengths)].T
    return found


def _item_gram(interactions: Interactions, *, user_power: float, now: datetime | None) -> NDArray[np.float64]:
    """Return the item-item matrix of summed products."""
    user_items = scaled_user_items(interactions, user_power=user_power, now=now)
    gram: NDArray[np.float64] = (user_items.T @ user_items).toarray()
    return gram


def scaled_user_items(interactions: Interactions, *, user_power: float, now: datetime | None) -> Any:
    """Return the sparse user-item matrix that models learn from: busy users scaled down, and no dislikes.

    Raises:
        TrainingDataError: if there is no interest to learn from.
    """
    from scipy.sparse import diags

    user_items: Any = interactions.user_items(now).maximum(0)  # (num_users, num_items)
    user_items.eliminate_zeros()
    totals = np.asarray(user_items.sum(axis=1)).ravel()
    if not totals.sum() > 0:
        msg = "there are no interactions to learn from; give events with a positive weight before `now`"
        raise TrainingDataError(msg)
    # scaled around the mean, so that one ridge fits data with short and with long histories
    scale = np.divide(totals, totals[totals > 0].mean(), where=totals > 0, out=np.ones_like(totals)) ** -user_power
    return diags(scale) @ user_items


def history_arrays(history: Mapping[str, float], positions: Mapping[str, int]) -> tuple[NDArray[np.intp], Scores]:
    """Return rows and strengths of the items of a history that are on the axis."""
    known = [(positions[item], strength) for item, strength in history.items() if item in positions]
    rows = np.array([row for row, _ in known], dtype=np.intp)
    return rows, np.array([strength for _, strength in known], dtype=np.float32)


def _save_arrays(path: Path, *, items: Sequence[str], weights: Scores) -> None:
    with path.open("wb") as file:  # an open file, because numpy would add an ending to a bare path
        np.savez_compressed(file, items=np.array(items, dtype=np.str_), weights=weights)


def _load_arrays(path: Path) -> tuple[tuple[str, ...], Scores]:
    import zipfile

    try:
        with np.load(path, allow_pickle=False) as arrays:
            return tuple(str(item) for item in arrays["items"]), np.asarray(arrays["weights"], dtype=np.float32)
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        msg = f"{path} is no saved recommender ({error}); train it and save it again"
        raise ModelFolderError(msg) from error
