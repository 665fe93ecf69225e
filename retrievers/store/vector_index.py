"""Vector index in memory: immutable snapshots, swapped by reference, searched while they change."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from llms.arrays import BoolArray, FloatArray, IntArray
from retrievers.store.ann import AnnIndex, Metric, faiss_metric
from retrievers.store.arrays import GrowingArray, is_among

Found = list[tuple[int, float]]
"""Row numbers and closeness, best first; closeness is an inner product, or a negative squared distance."""

_SMALL_SHARE = 0.1  # below it, comparing the allowed vectors one by one is faster than searching all
_SCAN_BLOCK = 65_536  # vectors copied at once when only some are allowed
_FEW_QUERIES, _ALWAYS, _HARDLY_EVER = 4, 20, 128_000  # FAISS's own setting is the last
_NONE = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Segment:
    """Vectors in ascending order of their row numbers, with an approximate index over all of them or none."""

    rows: IntArray
    vectors: FloatArray  # (rows, dimension)
    ann: AnnIndex | None = None

    def take(self, mask: BoolArray) -> "Segment":
        """Return a copy of some of the vectors."""
        return Segment(self.rows[mask], self.vectors[mask])


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a search sees: a large part that hardly changes, what came since, and what is gone."""

    base: Segment
    recent: Segment
    dead: IntArray  # ascending

    @property
    def num_vectors(self) -> int:
        """How many vectors lie here, gone ones included."""
        return len(self.base.rows) + len(self.recent.rows)

    def alive(self) -> Segment:
        """Return all vectors that are not gone, as one copy."""
        parts = [segment.take(~is_among(self.dead, segment.rows)) for segment in (self.base, self.recent)]
        return Segment(np.concatenate([part.rows for part in parts]), np.concatenate([part.vectors for part in parts]))

    def vectors_of(self, rows: IntArray) -> tuple[BoolArray, FloatArray]:
        """Return which of the row numbers are here, and their vectors in this order, zeros where one is not."""
        found = np.zeros((len(rows), self.base.vectors.shape[1]), dtype=np.float32)
        are_here = np.zeros(len(rows), dtype=bool)
        for segment in (self.base, self.recent):
            if len(segment.rows):
                indices = np.minimum(np.searchsorted(segment.rows, rows), len(segment.rows) - 1)
                is_here = segment.rows[indices] == rows
                found[is_here] = segment.vectors[indices[is_here]]
                are_here |= is_here
        return are_here, found

    def search(self, queries: FloatArray, k: int, metric: Metric, allowed: IntArray | None = None) -> list[Found]:
        """Return the nearest rows of each query, at most `k`, all that are allowed if there are fewer.

        Exact without an approximate index; with one, filters still never lose what they allow.

        Args:
            queries: (n, dimension) float32.
            allowed: ascending row numbers that may be found; None allows all.
        """
        parts = []
        with _threads_for(len(queries)):
            for segment in (self.base, self.recent):
                mask = self._mask(segment, allowed)
                count = len(segment.rows) if mask is None else int(np.count_nonzero(mask))
                if count:
                    closeness, indices = _search_segment(segment, queries, min(k, count), mask, count, metric)
                    parts.append((closeness, np.where(indices < 0, -1, segment.rows[indices])))
        if not parts:
            return [[] for _ in queries]
        closeness, rows = (np.concatenate(arrays, axis=1) for arrays in zip(*parts, strict=True))
        order = np.argsort(-closeness, axis=1, kind="stable")[:, :k]
        closeness, rows = np.take_along_axis(closeness, order, axis=1), np.take_along_axis(rows, order, axis=1)
        return [
            [(row, value) for row, value in zip(*pair, strict=True) if row >= 0]
            for pair in zip(rows.tolist(), closeness.tolist(), strict=True)
        ]

    def _mask(self, segment: Segment, allowed: IntArray | None) -> BoolArray | None:
        if allowed is None:
            dead = is_among(self.dead, segment.rows) if len(self.dead) else None
            return ~dead if dead is not None and dead.any() else None
        mask = is_among(allowed, segment.rows)
        if len(self.dead):
            mask &= ~is_among(self.dead, segment.rows)
        return mask


class VectorIndex:
    """The current snapshot, and the changes that lead to the next; one thread at a time may change it."""

    def __init__(self, dimension: int) -> None:
        self.snapshot = Snapshot(_empty(dimension), _empty(dimension), _NONE)
        self._rows = GrowingArray(_NONE)
        self._vectors = GrowingArray(np.zeros((0, dimension), dtype=np.float32))

    def load(self, base: Segment, recent: Segment, dead: IntArray) -> None:
        """Begin anew with what was stored."""
        self._rows, self._vectors = GrowingArray(recent.rows), GrowingArray(recent.vectors)
        self.snapshot = Snapshot(base, recent, dead)

    def add(self, rows: IntArray, vectors: FloatArray) -> None:
        """Add vectors; their row numbers are larger than all before."""
        self._rows.append(rows)
        self._vectors.append(vectors)
        self.snapshot = replace(self.snapshot, recent=Segment(self._rows.view(), self._vectors.view()))

    def remove(self, rows: IntArray) -> None:
        """Take vectors out of every later search; the ascending `rows` are not out yet."""
        if len(rows):
            dead = self.snapshot.dead
            self.snapshot = replace(self.snapshot, dead=np.insert(dead, np.searchsorted(dead, rows), rows))

    def fold(self, base: Segment) -> None:
        """Take `base`, made of an earlier snapshot's vectors, in the place of what it holds already."""
        snapshot = self.snapshot
        last = base.rows[-1] if len(base.rows) else -1
        rest = snapshot.recent.take(snapshot.recent.rows > last)
        dead = snapshot.dead[is_among(base.rows, snapshot.dead) | is_among(rest.rows, snapshot.dead)]
        self.load(base, rest, dead)


def _search_segment(
    segment: Segment, queries: FloatArray, k: int, mask: BoolArray | None, count: int, metric: Metric
) -> tuple[FloatArray, IntArray]:
    """Return closeness and indices, (queries, k); `count` is how many the mask allows."""
    total = len(segment.rows)
    if mask is not None and count < max(_SMALL_SHARE * total, 1_000):
        return _scan_some(segment.vectors, queries, k, np.flatnonzero(mask), metric)
    if segment.ann is not None:
        scores, indices = segment.ann.search(queries, k, mask)
        if (indices >= 0).all():
            return _closeness(scores, metric), indices
        return _scan_some(
            segment.vectors, queries, k, np.arange(total) if mask is None else np.flatnonzero(mask), metric
        )
    if mask is None:
        return _scan(segment.vectors, queries, k, metric)
    # few are left out: the nearest of all, and enough of them, hold the nearest of those allowed
    enough = min(total, k + total - count, math.ceil(2 * k * total / count) + 16)
    closeness, indices = _scan(segment.vectors, queries, enough, metric)
    is_allowed = mask[indices]
    if not (is_allowed.sum(axis=1) >= k).all():
        return _scan_some(segment.vectors, queries, k, np.flatnonzero(mask), metric)
    order = np.argsort(~is_allowed, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(closeness, order, axis=1), np.take_along_axis(indices, order, axis=1)


def _scan(vectors: FloatArray, queries: FloatArray, k: int, metric: Metric) -> tuple[FloatArray, IntArray]:
    import faiss

    # FAISS 1.15 takes matrix products from here on; by itself it does so for far larger batches only, though four
    # queries gain by it already, and one loses. It is a setting of the process: another thread costs time, no more.
    faiss.cvar.distance_compute_blas_threshold = _ALWAYS if len(queries) >= _FEW_QUERIES else _HARDLY_EVER
    scores, indices = faiss.knn(queries, vectors, k, metric=faiss_metric(metric))
    return _closeness(scores, metric), indices


def _scan_some(
    vectors: FloatArray, queries: FloatArray, k: int, indices: IntArray, metric: Metric
) -> tuple[FloatArray, IntArray]:
    """Return the nearest of the vectors at `indices`, exactly, copying a block of them at a time."""
    parts = []
    for start in range(0, len(indices), _SCAN_BLOCK):
        block = indices[start : start + _SCAN_BLOCK]
        closeness, found = _scan(vectors[block], queries, min(k, len(block)), metric)
        parts.append((closeness, block[found]))
    closeness, found = (np.concatenate(arrays, axis=1) for arrays in zip(*parts, strict=True))
    order = np.argsort(-closeness, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(closeness, order, axis=1), np.take_along_axis(found, order, axis=1)


def _closeness(scores: FloatArray, metric: Metric) -> FloatArray:
    return -scores if metric == "l2" else scores


@contextlib.contextmanager
def _threads_for(num_queries: int) -> Iterator[None]:
    """Search for one query on one thread: several would wait for the slowest whenever the cores are busy."""
    import faiss

    if num_queries > 1:
        yield
        return
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _empty(dimension: int) -> Segment:
    return Segment(_NONE, np.zeros((0, dimension), dtype=np.float32))
