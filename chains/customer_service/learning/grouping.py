"""Groups of requests that ask for the same, found by the meaning of their texts."""

import warnings
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from langchain_core.embeddings import Embeddings

from chains.customer_service.learning.placeholders import without_placeholders
from chains.customer_service.learning.requests import LoggedRequest
from chains.customer_service.learning.word_vectors import join_vectors, unit_vectors, word_vectors
from llms import find_cosine_floor, remove_shared_part
from llms.arrays import DoubleArray, FloatArray, IntArray
from llms.errors import OptionValueError
from llms.texts import text_key
from retrievers import nearest_rows

if TYPE_CHECKING:
    import networkx as nx

_MAX_DEPTH = 4  # of the splits that a person can ask for
_NUM_JUDGING = 10  # neighbours of a text whose groups say how sure its own is
_GROUPS_AT_ONE = 10  # for which a resolution of 1 is right
_FEWEST_NEIGHBOURS = 5
_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupingOptions:
    """When requests ask for the same; docs/benchmarks/service_from_logs.md says how the numbers were chosen.

    Attributes:
        max_neighbours: texts that a text is linked with; fewer where there are few texts.
        max_resolution: of the groups, where there are many: more of it gives more and smaller ones. It counts from
            1 on, which is right for few groups.
        min_likeness: cosine of two texts that are linked, where unrelated ones have 0; a text without a link is alone.
        word_weight: of shared words beside meaning; more where the encoder does not know the language.
        answer_weight: of shared words of the answers beside the requests: what is answered alike asks for the same.
        min_requests: smaller groups are left out: what is rare is answered by people.
        min_customers: a group that fewer people asked is about them.
    """

    max_neighbours: int = 30
    max_resolution: float = 4.0
    min_likeness: float = 0.35
    word_weight: float = 0.25
    answer_weight: float = 0.5
    min_requests: int = 3
    min_customers: int = 2

    def __post_init__(self) -> None:
        """Refuse values that cannot be meant."""
        if not self.max_resolution >= 1:
            msg = f"max_resolution must be at least 1, got {self.max_resolution}"
            raise OptionValueError(msg)
        for name in ("word_weight", "answer_weight"):
            if not 0 <= getattr(self, name) < float("inf"):
                msg = f"{name} must be a number from 0 on, got {getattr(self, name)}"
                raise OptionValueError(msg)
        if not 0 <= self.min_likeness < 1:
            msg = f"min_likeness must lie in [0, 1), got {self.min_likeness}"
            raise OptionValueError(msg)
        for name in ("max_neighbours", "min_requests", "min_customers"):
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
    if not copies:
        return []
    vectors = request_vectors([same[0].text for same in copies], embeddings, options)
    answers = [_usual_answer(same) for same in copies]
    if options.answer_weight and any(answers):
        vectors = unit_vectors(join_vectors(vectors, word_vectors(answers), word_weight=options.answer_weight))
    group_of = cluster_vectors(vectors, options)
    confidences = _confidences(vectors, group_of)
    groups = []
    for number in range(int(group_of.max()) + 1):
        rows = _typical_first(vectors, np.flatnonzero(group_of == number), [len(same) for same in copies])
        found = tuple(request for row in rows for request in copies[row])
        if _is_large(found, options):
            paths = split_paths(vectors[rows])
            of_requests = tuple(path for row, path in zip(rows, paths, strict=True) for _ in copies[row])
            groups.append(RequestGroup(requests=found, paths=of_requests, confidence=float(confidences[number])))
    return sorted(groups, key=lambda group: -len(group.requests))


def _usual_answer(requests: Sequence[LoggedRequest]) -> str:
    """Return the answer that was given most often, without placeholders; "" where there is none."""
    given = Counter(request.answer for request in requests if request.answer)
    return without_placeholders(given.most_common(1)[0][0]) if given else ""


def request_vectors(texts: Sequence[str], embeddings: Embeddings, options: GroupingOptions | None = None) -> FloatArray:
    """Return the unit vectors that texts are grouped by: of their meaning, and beside it of their words.

    Args:
        texts: different ones of one log, at least one.
        embeddings: turns texts into vectors.
        options: default: `GroupingOptions()`.
    """
    options = options or GroupingOptions()
    plain = [without_placeholders(text).strip() or text for text in texts]
    vectors = unit_vectors(np.asarray(embeddings.embed_documents(plain), dtype=np.float32))
    vectors = remove_shared_part(vectors, find_cosine_floor(embeddings, plain[0]))
    if not options.word_weight:
        return vectors
    return unit_vectors(join_vectors(vectors, word_vectors(plain), word_weight=options.word_weight))


def cluster_vectors(vectors: FloatArray, options: GroupingOptions | None = None) -> IntArray:
    """Return the number of the cluster of each row, from 0 on.

    Rows are linked with their nearest ones, the stronger the more alike they are; clusters are what holds together in
    this graph more than chance would have it. So nobody has to say how many there are, nor how far apart.

    Args:
        vectors: (rows, dimension), each of length one.
        options: default: `GroupingOptions()`.

    References:
        Blondel, Guillaume, Lambiotte and Lefebvre, "Fast unfolding of communities in large networks", Journal of
        Statistical Mechanics 2008; Reichardt and Bornholdt, "Statistical mechanics of community detection", Physical
        Review E 2006, for the resolution; Fortunato and Barthélemy, "Resolution limit in community detection", PNAS
        2007, for what a fixed one does.
    """
    options = options or GroupingOptions()
    clusters = np.zeros(len(vectors), dtype=np.int64)
    # in order of their first rows, since sets have none
    for number, rows in enumerate(sorted(map(sorted, _find_communities(_link(vectors, options), options)))):
        clusters[rows] = number
    return clusters


def _find_communities(graph: "nx.Graph[int]", options: GroupingOptions) -> Collection[set[int]]:
    from networkx.algorithms.community import louvain_communities

    # a resolution that is right for a hundred groups takes chance for a reason where there are five, and one that is
    # right for five lets small ones go under among a hundred
    found: Collection[set[int]] = louvain_communities(graph, resolution=1.0, seed=_SEED)
    num_groups = sum(len(rows) >= options.min_requests for rows in found)
    resolution = min(options.max_resolution, num_groups / _GROUPS_AT_ONE)
    return louvain_communities(graph, resolution=resolution, seed=_SEED) if resolution > 1 else found


def _link(vectors: FloatArray, options: GroupingOptions) -> "nx.Graph[int]":
    from networkx import Graph

    # among few texts the thirtieth neighbour is of another group
    k = min(options.max_neighbours, max(_FEWEST_NEIGHBOURS, int(len(vectors) ** 0.5)))
    cosines, rows = nearest_rows(vectors, k)
    weights: dict[tuple[int, int], float] = {}
    for row, (near, closeness) in enumerate(zip(rows.tolist(), cosines.tolist(), strict=True)):
        for other, cosine in zip(near, closeness, strict=True):
            if cosine >= options.min_likeness:  # who are neighbours of each other are linked twice as strongly
                edge = (row, other) if row < other else (other, row)
                weights[edge] = weights.get(edge, 0.0) + cosine**2
    graph: nx.Graph[int] = Graph()
    graph.add_nodes_from(range(len(vectors)))
    graph.add_weighted_edges_from((*edge, weight) for edge, weight in weights.items())
    return graph


def split_paths(vectors: FloatArray) -> list[str]:
    """Return for each row to which side it goes where all rows are split in two, and each side again, and so on.

    Args:
        vectors: (rows, dimension).

    Example:
        >>> split_paths(np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32))
        ['0', '0', '1']
    """
    paths = [""] * len(vectors)
    for rows, side in _sides(vectors, np.arange(len(vectors)), _MAX_DEPTH):
        for row in rows:
            paths[row] += side
    return paths


def _sides(vectors: FloatArray, rows: IntArray, depth: int) -> Iterator[tuple[IntArray, str]]:
    from sklearn.cluster import KMeans

    if depth == 0 or len(rows) < 2 or np.allclose(vectors[rows], vectors[rows[0]], atol=1e-6):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of rows that are nearly equal, it says so
        sides = KMeans(2, n_init=3, random_state=_SEED).fit_predict(vectors[rows])
    halves = sorted((rows[sides == side] for side in (0, 1)), key=len, reverse=True)  # the larger side first
    if len(halves[1]) == 0:
        return
    for half, side in zip(halves, "01", strict=True):
        yield half, side
        yield from _sides(vectors, half, depth - 1)


def _typical_first(vectors: FloatArray, rows: IntArray, counts: Sequence[int]) -> IntArray:
    """Return rows, those nearest to where most texts of them lie first."""
    inside = vectors[rows]
    centre = unit_vectors(np.average(inside, axis=0, weights=[counts[row] for row in rows])[np.newaxis])[0]
    return rows[np.argsort(-(inside @ centre), kind="stable")]


def _confidences(vectors: FloatArray, group_of: IntArray) -> DoubleArray:
    """Return for each group the mean share of a text's nearest ones that are in it, of those that could be."""
    sizes = np.bincount(group_of)
    _, neighbours = nearest_rows(vectors, _NUM_JUDGING)
    num_inside = (group_of[neighbours] == group_of[:, np.newaxis]).sum(axis=1)
    possible = np.clip(sizes[group_of] - 1, 1, max(neighbours.shape[1], 1))
    shares = np.where(sizes[group_of] > 1, num_inside / possible, 1.0)
    means: DoubleArray = np.bincount(group_of, weights=shares) / sizes
    return means


def _is_large(requests: Sequence[LoggedRequest], options: GroupingOptions) -> bool:
    customers = {request.customer or f"\0{request.conversation}" for request in requests}
    return len(requests) >= options.min_requests and len(customers) >= options.min_customers
