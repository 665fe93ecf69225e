"""Diversity sampling: rows that stand for many others."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llms.arrays import FloatArray, IntArray
from llms.texts.folding import text_key

# of the mean distance between texts: "my card is lost" and "my card was lost" have a thirtieth of it between them
_NEAR_SHARE = 0.06
_NUM_NEIGHBOURS = 20  # whose closeness says how typical a row is, as in the paper
_MAX_CLUSTERS = 1_000  # more take minutes and, beside so many covered rows, find little
_FEW_DISTANCES = 20_000
_MAX_IN_PRODUCT = 2_000  # rows of one cluster that are compared with each other


class ChosenRows:
    """Rows that were chosen so far; another one is taken only if it says something else.

    Args:
        texts: that are known, such as labelled ones.
        vectors: (texts, dimension) of length 1.
        spread: of all texts that may be taken; see `llms.encoder.cosine_floor.vector_spread`.

    Example:
        >>> chosen = ChosenRows(["It is lost"], np.array([[1.0, 0.0]], dtype=np.float32))
        >>> chosen.take("IT IS LOST!", np.array([0.0, 1.0])), chosen.take("Stolen", np.array([1.0, 0.01]))
        (False, False)
        >>> chosen.take("Stolen", np.array([0.0, 1.0]))
        True
    """

    def __init__(self, texts: Sequence[str], vectors: FloatArray, *, spread: float = 1.0) -> None:
        self._near_cosine = 1 - 1e-6 - _NEAR_SHARE * spread
        self._keys = {text_key(text) for text in texts}
        self._vectors = np.array(vectors, dtype=np.float32)
        self._num_chosen = len(vectors)

    def take(self, text: str, vector: FloatArray) -> bool:
        """Return whether the text is neither equal nor nearly equal to a chosen one; if so, it is chosen now."""
        if text_key(text) in self._keys:
            return False
        known = self._vectors[: self._num_chosen]
        if len(known) and float((known @ vector).max()) >= self._near_cosine:
            return False
        self._keys.add(text_key(text))
        self._add(vector)
        return True

    def _add(self, vector: FloatArray) -> None:
        if self._num_chosen == len(self._vectors):  # grow by doubling: one copy per row would be quadratic
            room = np.zeros((max(64, len(self._vectors)), len(vector)), dtype=np.float32)
            self._vectors = np.concatenate([self._vectors.reshape(-1, len(vector)), room])
        self._vectors[self._num_chosen] = vector
        self._num_chosen += 1


@dataclass(frozen=True, slots=True)
class TypicalRow:
    """A row that stands for its cluster: its index, and how many other rows the cluster has."""

    place: int
    num_similar: int


def cluster_vectors(
    vectors: FloatArray, num_clusters: int, *, seed: int, weights: npt.NDArray[np.floating] | None = None
) -> IntArray:
    """Return the cluster of each vector, (rows,) from 0 to `num_clusters` less 1; some may stay empty.

    Args:
        weights: (rows,), how much each row pulls a centre; all the same by default.
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning

    if num_clusters >= len(vectors):
        return np.arange(len(vectors), dtype=np.int64)
    if len(vectors) * num_clusters <= _FEW_DISTANCES:  # small groups are found more reliably so
        model = KMeans(num_clusters, random_state=seed, n_init=10)
    else:
        model = MiniBatchKMeans(num_clusters, random_state=seed, n_init=3, max_iter=50, batch_size=1024)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of equal vectors there are fewer clusters; that is fine
        clusters: IntArray = model.fit(vectors, sample_weight=weights).labels_.astype(np.int64)
    return clusters


def find_typical_rows(vectors: FloatArray, covered: FloatArray, num_rows: int, *, seed: int) -> list[TypicalRow]:
    """Return the most typical row of each cluster without a covered one, large clusters first.

    There are as many clusters as covered and wanted rows together, up to 1,000 or what is wanted, so that in the
    beginning at least `num_rows` of them hold no covered row.

    Args:
        vectors: (rows, dimension) of length 1, to choose from.
        covered: (covered rows, dimension), that are stood for already.
        num_rows: about how many are wanted; fewer or more may come.
        seed: of the clusters.

    Example:
        >>> apart = np.repeat(np.eye(2, dtype=np.float32), [5, 3], axis=0)
        >>> [(row.place, row.num_similar) for row in find_typical_rows(apart, apart[:0], 2, seed=0)]
        [(0, 4), (5, 2)]

    References:
        Hacohen, Dekel and Weinshall, "Active learning on a budget: opposite strategies suit high and low budgets",
        ICML 2022, algorithm 1 (TypiClust).
    """
    both = np.concatenate([vectors, covered])
    num_clusters = min(len(covered) + num_rows, max(num_rows, _MAX_CLUSTERS))
    clusters = cluster_vectors(both, num_clusters, seed=seed)
    own = clusters[: len(vectors)]
    is_covered = np.zeros(int(clusters.max(initial=0)) + 1, dtype=bool)
    is_covered[clusters[len(vectors) :]] = True
    sizes = np.bincount(own, minlength=len(is_covered))
    # members cluster by cluster, from one sort instead of one search per cluster
    order = np.argsort(own, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)])
    rows: list[TypicalRow] = []
    for cluster in np.argsort(-sizes, kind="stable"):
        if sizes[cluster] and not is_covered[cluster]:
            members = order[starts[cluster] : starts[cluster + 1]]
            rows.append(TypicalRow(_most_typical(vectors, members), len(members) - 1))
    return rows


def _most_typical(vectors: FloatArray, members: IntArray) -> int:
    """Return the member with the largest mean cosine to its nearest others."""
    compared = vectors[members[:_MAX_IN_PRODUCT]]
    cosines = compared @ compared.T
    k = min(_NUM_NEIGHBOURS + 1, len(compared))  # itself is among them
    typicality = np.partition(cosines, len(compared) - k, axis=1)[:, -k:].mean(axis=1)
    return int(members[int(np.round(typicality, 6).argmax())])  # rounded, so that of equals the first is taken


def find_central_rows(vectors: FloatArray, clusters: IntArray) -> IntArray:
    """Return the row of each cluster that is nearest to its middle, (clusters that are not empty,).

    Example:
        >>> vectors = np.array([[1, 0], [0.8, 0.6], [0.6, 0.8], [0, -1]], dtype=np.float32)
        >>> find_central_rows(vectors, np.array([0, 0, 0, 2])).tolist()
        [1, 3]
    """
    names, own = np.unique(clusters, return_inverse=True)
    middles = np.zeros((len(names), vectors.shape[1]), dtype=np.float32)
    np.add.at(middles, own, vectors)
    closeness = (vectors * middles[own]).sum(axis=1)
    order = np.lexsort((-closeness, own))  # by cluster, nearest first
    firsts = np.searchsorted(own[order], np.arange(len(names)))
    central: IntArray = order[firsts].astype(np.int64)
    return central


def find_farthest_rows(vectors: FloatArray, covered: FloatArray) -> Iterator[int]:
    """Yield the rows one by one, each the farthest from all covered ones and those before it (greedy k-center).

    Example:
        >>> vectors = np.array([[1, 0], [0.9, 0.1], [-1, 0], [0, 1]], dtype=np.float32)
        >>> list(find_farthest_rows(vectors, vectors[:1]))
        [2, 3, 1, 0]

    References:
        Sener and Savarese, "Active learning for convolutional neural networks: a core-set approach", ICLR 2018.
    """
    nearest = np.full(len(vectors), -np.inf, dtype=np.float32)  # cosine to the nearest covered row
    for start in range(0, len(covered), _MAX_IN_PRODUCT):
        np.maximum(nearest, (vectors @ covered[start : start + _MAX_IN_PRODUCT].T).max(axis=1), out=nearest)
    for _ in range(len(vectors)):
        index = int(nearest.argmin())
        yield index
        np.maximum(nearest, vectors @ vectors[index], out=nearest)
        nearest[index] = np.inf  # never again
