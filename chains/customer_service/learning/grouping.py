"""Groups of requests that ask for the same, found by the meaning of their texts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from langchain_core.embeddings import Embeddings

from chains.customer_service.learning.requests import LoggedRequest
from llms.arrays import DoubleArray, FloatArray, IntArray
from llms.errors import OptionValueError
from llms.texts import text_key
from retrievers import nearest_rows

_NUM_NEIGHBOURS = 10  # whose groups say how sure a group is
_MAX_DEPTH = 4  # of the splits that a person can ask for
_KMEANS_BATCH = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupingOptions:
    """When requests ask for the same.

    Attributes:
        max_distance: two groups become one while the mean squared distance between their texts, of unit vectors, is
            below it; in (0, 2).
        min_requests: smaller groups are left out: what is rare is answered by people.
        min_customers: a group that fewer people asked is about them.
        max_leaves: of the tree of groups; of more different texts the most alike are put together first.
    """

    max_distance: float = 0.9
    min_requests: int = 3
    min_customers: int = 2
    max_leaves: int = 8_000

    def __post_init__(self) -> None:
        """Refuse values that cannot be meant."""
        if not 0 < self.max_distance < 2:
            msg = f"max_distance must lie between 0 and 2, got {self.max_distance}"
            raise OptionValueError(msg)
        for name in ("min_requests", "min_customers", "max_leaves"):
            if getattr(self, name) < 1:
                msg = f"{name} must be at least 1, got {getattr(self, name)}"
                raise OptionValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestGroup:
    """Requests that ask for the same.

    Attributes:
        requests: the most typical first.
        paths: of each request, to which side it would go in each further split of the group, such as "01".
        confidence: share of the most similar texts of its texts that are in it, too; in [0, 1].
    """

    requests: tuple[LoggedRequest, ...]
    paths: tuple[str, ...]
    confidence: float


def group_requests(
    requests: Sequence[LoggedRequest], *, embeddings: Embeddings, options: GroupingOptions | None = None
) -> list[RequestGroup]:
    """Return the groups of requests that are large enough, the largest first.

    Each different text is embedded and placed once, however often it was said.

    Args:
        requests: of conversations; those that are in no group are left out of the result.
        embeddings: turns texts into vectors.
        options: default: `GroupingOptions()`.
    """
    options = options or GroupingOptions()
    same: dict[str, list[LoggedRequest]] = {}
    for request in requests:
        same.setdefault(text_key(request.text), []).append(request)
    copies = list(same.values())
    if len(copies) < 2:
        return [
            RequestGroup(requests=tuple(only), paths=("",) * len(only), confidence=1.0)
            for only in copies
            if _is_large(only, options)
        ]
    vectors = _unit(np.asarray(embeddings.embed_documents([same[0].text for same in copies]), dtype=np.float32))
    clusters = cluster_vectors(vectors, options)
    confidence = _confidences(vectors, clusters)
    groups = []
    for cluster, sure in zip(clusters, confidence, strict=True):
        order = _typical_first(vectors, cluster.rows, [len(copies[row]) for row in cluster.rows])
        members = [(request, cluster.paths[at]) for at in order for request in copies[cluster.rows[at]]]
        found = tuple(request for request, _ in members)
        if _is_large(found, options):
            groups.append(RequestGroup(requests=found, paths=tuple(path for _, path in members), confidence=sure))
    return sorted(groups, key=lambda group: -len(group.requests))


@dataclass(frozen=True, slots=True)
class VectorCluster:
    """Rows that lie together, and the way from the whole cluster down to each of them."""

    rows: tuple[int, ...]
    paths: tuple[str, ...]


def cluster_vectors(vectors: FloatArray, options: GroupingOptions) -> list[VectorCluster]:
    """Return the clusters of unit vectors; each row is in one of them.

    Args:
        vectors: (rows, dimension), at least two rows of length one.
    """
    from scipy.cluster.hierarchy import linkage

    leaves, centres = _leaves(vectors, options.max_leaves)
    tree = linkage(centres.astype(np.float64), "average")
    clusters = []
    for root in _cut(tree, len(centres), options.max_distance):
        found = [(row, path) for leaf, path in _walk(tree, len(centres), root) for row in leaves[leaf]]
        clusters.append(VectorCluster(tuple(row for row, _ in found), tuple(path for _, path in found)))
    return clusters


def _leaves(vectors: FloatArray, most: int) -> tuple[list[list[int]], FloatArray]:
    """Return the rows of each leaf of the tree, and its centre."""
    if len(vectors) <= most:
        return [[row] for row in range(len(vectors))], vectors
    from sklearn.cluster import MiniBatchKMeans

    model = MiniBatchKMeans(most, init="random", n_init=1, batch_size=_KMEANS_BATCH, random_state=0).fit(vectors)
    by_leaf: dict[int, list[int]] = {}
    for row, leaf in enumerate(model.labels_):
        by_leaf.setdefault(int(leaf), []).append(row)
    rows = list(by_leaf.values())
    return rows, _unit(np.stack([vectors[members].mean(axis=0) for members in rows]))


def _cut(tree: DoubleArray, num_leaves: int, height: float) -> Iterator[int]:
    """Yield the nodes of a tree below which everything is closer than a height."""
    waiting = [num_leaves + len(tree) - 1]
    while waiting:
        node = waiting.pop()
        if node < num_leaves or tree[node - num_leaves, 2] <= height:
            yield node
        else:
            waiting += [int(child) for child in tree[node - num_leaves, :2]]


def _walk(tree: DoubleArray, num_leaves: int, root: int) -> Iterator[tuple[int, str]]:
    """Yield the leaves below a node with the way to each, as far as anybody goes."""
    waiting = [(root, "")]
    while waiting:
        node, path = waiting.pop()
        if node < num_leaves:
            yield node, path
            continue
        # the larger side first
        children = sorted(map(int, tree[node - num_leaves, :2]), key=lambda child: -_size(tree, num_leaves, child))
        is_deep = len(path) >= _MAX_DEPTH
        waiting += [(child, path if is_deep else f"{path}{side}") for side, child in enumerate(children)]


def _size(tree: DoubleArray, num_leaves: int, node: int) -> int:
    return 1 if node < num_leaves else int(tree[node - num_leaves, 3])


def _typical_first(vectors: FloatArray, rows: Sequence[int], counts: Sequence[int]) -> IntArray:
    """Return the places of rows, those nearest to where most of them lie first."""
    inside = vectors[list(rows)]
    centre = _unit(np.average(inside, axis=0, weights=counts)[np.newaxis])[0]
    return np.argsort(-(inside @ centre), kind="stable")


def _confidences(vectors: FloatArray, clusters: Sequence[VectorCluster]) -> list[float]:
    cluster_of = np.empty(len(vectors), dtype=np.int64)
    for number, cluster in enumerate(clusters):
        cluster_of[list(cluster.rows)] = number
    _, neighbours = nearest_rows(vectors, _NUM_NEIGHBOURS)
    is_inside = cluster_of[neighbours] == cluster_of[:, np.newaxis]
    sizes = np.bincount(cluster_of, minlength=len(clusters))
    # of a small group not all neighbours can be in it
    possible = np.minimum(sizes[cluster_of] - 1, neighbours.shape[1])
    shares = is_inside.sum(axis=1) / np.maximum(possible, 1)
    sums = np.bincount(cluster_of, weights=shares, minlength=len(clusters))
    return [float(value) for value in sums / np.maximum(sizes, 1)]


def _is_large(requests: Sequence[LoggedRequest], options: GroupingOptions) -> bool:
    customers = {request.customer or f"\0{request.conversation}" for request in requests}
    return len(requests) >= options.min_requests and len(customers) >= options.min_customers


def _unit(vectors: FloatArray) -> FloatArray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0).astype(np.float32)
