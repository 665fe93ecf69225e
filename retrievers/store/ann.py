"""Approximate nearest neighbours over a fixed set of vectors: HNSW and IVF from FAISS."""

import io
import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from llms.arrays import BoolArray, FloatArray, IntArray
from retrievers.errors import StoreDamagedError

Metric = Literal["cosine", "inner_product", "l2"]
AnnKind = Literal["hnsw", "ivf"]

# Links per vector and breadth of search: recall@10 above 0.98 on sentence vectors, see docs/benchmarks/store.md.
_HNSW_LINKS = 32
_HNSW_BREADTH_BUILDING = 64
_HNSW_BREADTH_SEARCHING = 128
_IVF_TRAINING_VECTORS_PER_LIST = 64
_BLOCK = 2_000  # vectors between two looks at whether the work is still wanted


class AnnIndex:
    """An index over `vectors`; positions count from 0 in their order. It never changes once built.

    Attributes:
        kind: "hnsw" or "ivf".
        vectors: (n, dimension) float32; for HNSW they lie in the index itself.
    """

    def __init__(self, kind: AnnKind, index: Any, vectors: FloatArray, *, storage: Any = None) -> None:
        self.kind = kind
        self.vectors = vectors
        self._index = index
        self._storage = storage  # FAISS holds a bare pointer to it

    def search(self, queries: FloatArray, k: int, mask: BoolArray | None) -> tuple[FloatArray, IntArray]:
        """Return scores as FAISS gives them and positions, (queries, k) each; position -1 where nothing was found.

        Args:
            mask: which positions may be found; None allows all.
        """
        import faiss

        selector = None if mask is None else faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))
        scores, positions = self._index.search(queries, k, params=self._parameters(k, selector))
        return scores, positions

    def to_bytes(self) -> bytes:
        """Return the index without the vectors."""
        import faiss

        if self.kind == "hnsw":
            graph: bytes = faiss.serialize_index(self._index, faiss.IO_FLAG_SKIP_STORAGE).tobytes()
            return graph
        lists = np.empty(self._index.ntotal, dtype=np.int32)
        inverted = self._index.invlists
        for number in range(self._index.nlist):
            size = inverted.list_size(number)
            if size:
                lists[faiss.rev_swig_ptr(inverted.get_ids(number), size)] = number
        file = io.BytesIO()
        centroids = self._index.quantizer.reconstruct_n(0, self._index.nlist)
        np.savez(file, centroids=centroids, lists=lists)
        return file.getvalue()

    def _parameters(self, k: int, selector: Any) -> Any:
        import faiss

        if self.kind == "hnsw":
            return faiss.SearchParametersHNSW(sel=selector, efSearch=max(_HNSW_BREADTH_SEARCHING, 2 * k))
        return faiss.SearchParametersIVF(sel=selector, nprobe=max(8, self._index.nlist // 8))


def build_ann(
    kind: AnnKind, vectors: FloatArray, metric: Metric, *, report: Callable[[int], object] = lambda _done: None
) -> AnnIndex:
    """Return an index over `vectors`; the same vectors in the same order need not give the same links.

    Args:
        report: called with the number of vectors that are in; what it raises ends the work.
    """
    index: Any = _new_hnsw(vectors, metric) if kind == "hnsw" else _new_ivf(_centroids(vectors, metric), metric)
    for start in range(0, len(vectors), _BLOCK):
        report(start)
        index.add(vectors[start : start + _BLOCK])
    report(len(vectors))
    return _wrap(kind, index, vectors)


def read_ann(kind: AnnKind, content: bytes, vectors: FloatArray, metric: Metric) -> AnnIndex:
    """Return the index that `to_bytes` gave, over the same vectors.

    Raises:
        StoreDamagedError: if it is not one over as many vectors.
    """
    import faiss

    if kind == "ivf":
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            centroids, lists = arrays["centroids"], arrays["lists"].astype(np.int64)
        index = _new_ivf(centroids, metric)
        _check_size(len(lists), len(vectors))
        ids = np.arange(len(lists), dtype=np.int64)
        index.add_core(len(lists), *(faiss.swig_ptr(array) for array in (vectors, ids, lists)))
        return _wrap(kind, index, vectors)
    index = faiss.deserialize_index(np.frombuffer(content, dtype=np.uint8), faiss.IO_FLAG_SKIP_STORAGE)
    _check_size(index.ntotal, len(vectors))
    storage = faiss.IndexFlat(vectors.shape[1], faiss_metric(metric))
    storage.add(vectors)
    index.storage = storage
    index.own_fields = False
    return _wrap(kind, index, vectors, storage=storage)


def faiss_metric(metric: Metric) -> int:
    """Return FAISS's number for a metric; cosines are inner products of unit vectors."""
    import faiss

    number: int = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
    return number


def _wrap(kind: AnnKind, index: Any, vectors: FloatArray, *, storage: Any = None) -> AnnIndex:
    import faiss

    if kind == "hnsw":  # the graph holds every vector: the other copy can go
        flat = faiss.downcast_index(index.storage)
        vectors = faiss.rev_swig_ptr(flat.get_xb(), vectors.size).reshape(vectors.shape)
    return AnnIndex(kind, index, vectors, storage=storage)


def _new_hnsw(vectors: FloatArray, metric: Metric) -> Any:
    import faiss

    index = faiss.IndexHNSWFlat(vectors.shape[1], _HNSW_LINKS, faiss_metric(metric))
    index.hnsw.efConstruction = _HNSW_BREADTH_BUILDING
    return index


def _new_ivf(centroids: FloatArray, metric: Metric) -> Any:
    import faiss

    dimension = centroids.shape[1]
    quantizer = faiss.IndexFlat(dimension, faiss_metric(metric))
    quantizer.add(centroids)
    index = faiss.IndexIVFFlat(quantizer, dimension, len(centroids), faiss_metric(metric))
    index.own_fields = True
    quantizer.this.disown()  # the index frees it
    index.is_trained = True
    return index


def _centroids(vectors: FloatArray, metric: Metric) -> FloatArray:
    import faiss

    num_lists = max(1, min(len(vectors), round(2 * math.sqrt(len(vectors)))))
    sample_size = min(len(vectors), num_lists * _IVF_TRAINING_VECTORS_PER_LIST)
    sample = vectors[np.random.default_rng(0).choice(len(vectors), sample_size, replace=False)]
    kmeans = faiss.Kmeans(
        vectors.shape[1],
        num_lists,
        niter=10,
        seed=0,
        spherical=metric == "cosine",
        min_points_per_centroid=1,
        max_points_per_centroid=_IVF_TRAINING_VECTORS_PER_LIST,
    )
    kmeans.train(np.ascontiguousarray(sample))
    centroids: FloatArray = kmeans.centroids
    return centroids


def _check_size(found: int, expected: int) -> None:
    if found != expected:
        msg = f"an index over {found} vectors was saved for {expected}"
        raise StoreDamagedError(msg)
