"""Durable LangChain vector store: SQLite is the truth, FAISS finds the neighbours."""

import math
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore
from langchain_core.vectorstores.utils import maximal_marginal_relevance
from typing_extensions import override

from llms import CallGatherer
from llms.arrays import FloatArray, IntArray
from llms.texts import check_text
from retrievers.errors import StoreFolderError, StoreMismatchError, VectorError
from retrievers.store.ann import Metric
from retrievers.store.arguments import check_choice, check_k, checked_rows, refuse_unknown
from retrievers.store.database import Database
from retrievers.store.document_table import DocumentTable, NewDocument
from retrievers.store.filters import parse_filter
from retrievers.store.indexed_table import IndexedTable, IndexKind, ProgressCallback
from retrievers.store.keyword_index import COMMON_SHARE, DocumentFrequencies, search_words, word_shares
from retrievers.store.manifest import check_manifest, new_manifest
from retrievers.store.namespaces import list_namespaces, store_folder
from retrievers.store.vector_index import Found

Filter = Mapping[str, Any] | None
Scored = list[tuple[Document, float]]
_NUM_TRIES, _NUM_FREE_TRIES = 10, 3  # of a search whose finds are removed before their texts are read


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreInfo:
    """What a store holds and how it is searched.

    Attributes:
        index: "flat" compares all vectors; "hnsw" and "ivf" are approximate.
        num_not_indexed: vectors that came after the approximate index was built; they are compared one by one.
        num_removed: documents that are gone, but whose space is not given back yet.
        problem: what was found wrong and how the store goes on; empty if all is well.
    """

    num_documents: int
    dimension: int | None
    metric: str
    index: str
    embedding: str
    num_not_indexed: int
    num_removed: int
    problem: str


@dataclass(frozen=True, slots=True)
class _Request:
    vector: FloatArray
    k: int
    allowed: IntArray | None


class FaissStore(VectorStore):
    """Documents with their vectors in a folder, found by meaning, by words and by metadata.

    Every write is one transaction, made durable before it is acknowledged, and whatever serves searching is made
    from it: the two cannot disagree, nothing is pickled, and a kill at any moment loses nothing acknowledged. Adding
    an id again replaces the document; without ids, the same text and metadata are the same document. Searches never
    wait for writes. Several processes may have the folder open; the first that writes is the only one that may,
    until it closes the store, and the others see what it wrote at their next search.

    What a score means depends on the metric; relevance, from `similarity_search_with_relevance_scores`, is always
    in [0, 1] and larger for nearer documents:

    - "cosine": the cosine, in [-1, 1]; relevance is the cosine with everything below 0 set to 0.
    - "inner_product": the inner product, unbounded; relevance is 1 / (1 + exp(-score)).
    - "l2": the Euclidean distance, in [0, inf), smaller is nearer; relevance is 1 / (1 + score).

    Filters are exact, also in batches and with diverse results: `k` documents come back whenever `k` match. See
    `retrievers.store.filters.parse_filter` for their language.

    Args:
        folder: where the store lies; made if missing. None keeps everything in memory.
        embedding: turns texts into vectors; the store remembers which one built it.
        namespace: the tenant whose documents are meant, in a folder that has namespaces; each is a store of its own.
        metric: "cosine", "inner_product" or "l2"; None takes what the store was built with, cosines for a new one.
        index: "auto" compares all vectors up to 200,000 and takes HNSW above; "flat", "hnsw", "ivf" fix it.
        durable: without it a power cut may lose the last writes, whole; a killed process loses none either way.
        keywords: keep the words of the texts, for `keyword_search` and `HybridRetriever`; decided for a new store.

    Raises:
        StoreMismatchError: if the folder was built with another embedding model or metric.
        StoreFolderError: if the folder cannot be opened, is no store, or is damaged.
        NamespaceError: if a namespace is missing or cannot be one.

    Example:
        >>> from llms.fakes import HashedEmbeddings
        >>> store = FaissStore(embedding=HashedEmbeddings())
        >>> store.add_texts(["red shoe", "blue sky"], [{"price": 40}, {"price": 0}], ids=["a", "b"])
        ['a', 'b']
        >>> store.similarity_search("shoe", k=1, filter={"price": {"$lt": 50}})[0].id
        'a'
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        embedding: Embeddings,
        namespace: str | None = None,
        metric: Metric | None = None,
        index: IndexKind = "auto",
        durable: bool = True,
        keywords: bool = True,
    ) -> None:
        check_choice("metric", metric, (None, "cosine", "inner_product", "l2"))
        check_choice("index", index, ("auto", "flat", "hnsw", "ivf"))
        self.folder = store_folder(Path(folder) if folder is not None else None, namespace)
        self.namespace = namespace
        self.embedding = embedding
        database = Database(self.folder, durable=durable)
        try:
            new = new_manifest(embedding, metric or "cosine")
            self._documents = DocumentTable(database, new_manifest=new, has_words=keywords)
            manifest = self._documents.manifest()
            check_manifest(manifest, embedding, metric, folder=self.folder)
            self.metric: Metric = manifest["metric"]
            self._index = IndexedTable(self._documents, metric=self.metric, kind=index)
        except BaseException:
            database.close()
            raise
        self._frequencies = DocumentFrequencies()
        self._gatherer: CallGatherer[_Request, Found] = CallGatherer(self._answer)
        self._closing = weakref.finalize(self, self._index.close)  # at the latest when the program ends

    def __len__(self) -> int:
        return len(self._documents)

    def __enter__(self) -> "FaissStore":
        """Return the store, to be closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the store."""
        self.close()

    def close(self) -> None:
        """Release the files and the right to write; the store must not be used afterwards.

        It happens by itself when the store is no longer referred to, and when the program ends.
        """
        self._closing()

    @property
    @override
    def embeddings(self) -> Embeddings:
        return self.embedding

    def info(self) -> StoreInfo:
        """Return what the store holds and how it is searched."""
        snapshot, manifest = self._index.snapshot(), self._documents.manifest()
        return StoreInfo(
            num_documents=manifest["num_documents"],
            dimension=self._index.dimension,
            metric=self.metric,
            index=snapshot.base.ann.kind if snapshot.base.ann else "flat",
            embedding=manifest["embedding"],
            num_not_indexed=len(snapshot.recent.rows) if snapshot.base.ann else 0,
            num_removed=len(snapshot.dead),
            problem="; ".join(filter(None, [self._documents.problem, self._index.problem])),
        )

    @staticmethod
    def namespaces(folder: str | Path) -> list[str]:
        """Return the namespaces that a folder holds."""
        return list_namespaces(Path(folder))

    @staticmethod
    def stored_documents(folder: str | Path) -> list[Document]:
        """Return every document that a folder holds, oldest first, whatever embedding its vectors are of.

        Raises:
            StoreFolderError: if the folder holds no store, or cannot be read.
        """
        path = store_folder(Path(folder), None)
        database = Database(path)
        try:
            if not database.exists():
                msg = f"{folder} holds no store; name the folder that a FaissStore was made with"
                raise StoreFolderError(msg)
            return list(DocumentTable(database, new_manifest={}, has_words=False).documents())
        finally:
            database.close()

    # --- writing

    @override
    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Store texts, replacing documents with the same ids, and return their ids; all of them or none.

        Args:
            batch_size: texts embedded at a time; None leaves it to the embedding.

        Raises:
            InputTextError: for a text or id that is no text, is too long, or holds NUL or a lone surrogate.
            VectorError: for metadata that is no JSON, or vectors that no index should hold.
            StoreBusyError: if somebody else writes to the store.
        """
        refuse_unknown(kwargs)
        checked, metadata, new_ids = checked_rows(texts, metadatas, ids)
        if not checked:
            return []
        size = batch_size or len(checked)
        blocks = [self._embed(checked[start : start + size]) for start in range(0, len(checked), size)]
        self._store(checked, metadata, new_ids, np.concatenate(blocks))
        return new_ids

    def add_vectors(
        self,
        texts: Iterable[str],
        vectors: Sequence[Sequence[float]] | FloatArray,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
    ) -> list[str]:
        """Store texts whose vectors are known already; else as `add_texts`."""
        checked, metadata, new_ids = checked_rows(texts, metadatas, ids)
        if checked:
            self._store(checked, metadata, new_ids, self._checked_vectors(vectors, expected=len(checked)))
        return new_ids

    @override
    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool | None:
        """Remove documents by id, all of them without ids; ids that are not there are no error."""
        refuse_unknown(kwargs)
        self._index.delete(None if ids is None else [check_text(id_) for id_ in ids])
        return True

    def compact(self, report: ProgressCallback = lambda _done, _total: None) -> None:
        """Build the index anew over what is there, and give back the space of what is gone.

        It happens by itself when enough has changed; this does it now, and waits.

        Args:
            report: called with the number of vectors indexed so far and the number of all.
        """
        self._index.compact(report)

    def _store(self, texts: Sequence[str], metadata: Sequence[str], ids: Sequence[str], vectors: FloatArray) -> None:
        last = {id_: index for index, id_ in enumerate(ids)}  # of an id given twice, the later one counts
        self._index.replace([NewDocument(id_, texts[i], metadata[i], vectors[i]) for id_, i in last.items()])

    # --- reading

    @override
    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        return [document for _, document in self._documents.by_ids([check_text(id_) for id_ in ids])]

    def all_documents(self) -> list[Document]:
        """Return every document, oldest first."""
        return list(self._documents.documents())

    @override
    def similarity_search(self, query: str, k: int = 4, *, filter: Filter = None, **kwargs: Any) -> list[Document]:
        return [document for document, _ in self.similarity_search_with_score(query, k, filter=filter, **kwargs)]

    @override
    def similarity_search_with_score(self, query: str, k: int = 4, *, filter: Filter = None, **kwargs: Any) -> Scored:
        """Return the `k` nearest documents that match the filter, with scores, nearest first."""
        return self.batch_search([query], k, filter=filter, **kwargs)[0]

    @override
    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, *, filter: Filter = None, **kwargs: Any
    ) -> list[Document]:
        refuse_unknown(kwargs)
        return [document for document, _ in self.search_vectors([embedding], k, filter=filter)[0]]

    def batch_search(
        self,
        queries: Sequence[str],
        k: int = 4,
        *,
        filter: Filter = None,  # noqa: A002  # LangChain's name for it
        **kwargs: Any,
    ) -> list[Scored]:
        """Return for each query what `similarity_search_with_score` returns, from one search for all of them."""
        refuse_unknown(kwargs)
        return self.search_vectors(self.embed_queries(queries), k, filter=filter)

    def search_vectors(
        self,
        vectors: Sequence[Sequence[float]] | FloatArray,
        k: int = 4,
        *,
        filter: Filter = None,  # noqa: A002  # LangChain's name for it
    ) -> list[Scored]:
        """Return the documents nearest to each vector, with scores, nearest first.

        Args:
            vectors: (n, dimension).
        """
        check_k(k)
        queries = self._checked_vectors(vectors, expected=len(vectors))
        for attempt in range(_NUM_TRIES):
            if attempt < _NUM_FREE_TRIES:
                found, documents = self._found_with_documents(queries, k, filter, self._gatherer.call)
            else:  # hold writes off, so that nothing found can go; alone, for others may wait for this very lock
                with self._documents.database.lock:
                    found, documents = self._found_with_documents(queries, k, filter, self._answer)
            if all(row in documents for rows in found for row, _ in rows):
                break
        return [[(documents[row], self._score(near)) for row, near in rows if row in documents] for rows in found]

    def keyword_search(
        self,
        query: str,
        k: int = 4,
        *,
        filter: Filter = None,  # noqa: A002  # LangChain's name for it
    ) -> Scored:
        """Return at most `k` documents that match the filter and share a word with the query, by BM25, best first.

        Raises:
            StoreMismatchError: if the store was made without keywords.
        """
        found = self._search_words(query, k, filter, COMMON_SHARE)
        documents = self._documents.by_rows(row for row, _ in found)
        return [(documents[row], score) for row, score in found if row in documents]

    def keyword_ids(
        self,
        query: str,
        k: int = 4,
        *,
        filter: Filter = None,  # noqa: A002  # LangChain's name for it
        max_word_share: float = COMMON_SHARE,
    ) -> list[str]:
        """Return the ids of what `keyword_search` finds, in its order, in less time.

        Args:
            max_word_share: words that stand in a larger share of all documents hardly move the order and take most of
                the time; they are left out, unless the query has no others.
        """
        found = self._search_words(query, k, filter, max_word_share)
        ids = self._documents.ids_of_rows([row for row, _ in found])
        return [ids[row] for row, _ in found if row in ids]

    def _search_words(self, query: str, k: int, condition: Filter, max_word_share: float) -> list[tuple[int, float]]:
        check_k(k)
        self._check_has_words()
        allowed = self._allowed_rows(condition)
        rows = None if allowed is None else allowed.tolist()
        text, frequencies = check_text(query), self._frequencies
        with self._documents.database.reading() as connection:
            return search_words(connection, text, k, rows, frequencies=frequencies, max_word_share=max_word_share)

    def word_shares(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return how much of the query stands in each text: 0 for none of its words, 1 for every word once.

        Words that are rare in the store count more; a text that repeats them may reach 2.2.
        """
        self._check_has_words()
        with self._documents.database.reading() as connection:
            return word_shares(connection, check_text(query), texts, frequencies=self._frequencies)

    def find(self, filter: Mapping[str, Any]) -> list[Document]:  # noqa: A002  # LangChain's name for it
        """Return every document that matches the filter, oldest first."""
        rows = self._index.matching_rows(parse_filter(filter)).tolist()
        documents = self._documents.by_rows(rows)
        return [documents[row] for row in rows if row in documents]

    def score_by_ids(self, query: str | FloatArray, ids: Sequence[str]) -> Scored:
        """Return the documents with these ids and their scores for the query, in the order of `ids`.

        Ids that the store does not hold are left out.

        Args:
            query: a text, or its vector from `embed_queries`.
        """
        if not ids:
            return []
        vector = self.embed_queries([query])[0] if isinstance(query, str) else query
        for _ in range(_NUM_TRIES):
            rows_and_documents = self._documents.by_ids(ids)
            rows = np.array([row for row, _ in rows_and_documents], dtype=np.int64)
            is_here, vectors = self._index.snapshot().vectors_of(rows)
            if is_here.all():
                break
        near = -np.sum((vectors - vector) ** 2, axis=1) if self.metric == "l2" else vectors @ vector
        scored = zip(rows_and_documents, near.tolist(), is_here.tolist(), strict=True)
        return [(document, self._score(value)) for (_, document), value, here in scored if here]

    @override
    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: Filter = None,
        **kwargs: Any,
    ) -> list[Document]:
        refuse_unknown(kwargs)
        vector = self.embed_queries([query])[0]
        return self.max_marginal_relevance_search_by_vector(vector.tolist(), k, fetch_k, lambda_mult, filter=filter)

    @override
    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: Filter = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Return `k` of the `fetch_k` nearest documents that match the filter, near and unlike each other by cosine."""
        refuse_unknown(kwargs)
        check_k(k)
        query = self._checked_vectors([embedding], expected=1)
        allowed = self._allowed_rows(filter)
        snapshot = self._index.snapshot()
        found = snapshot.search(query, max(k, fetch_k), self.metric, allowed)[0]
        documents = self._documents.by_rows(row for row, _ in found)
        rows = np.array([row for row, _ in found if row in documents], dtype=np.int64)
        if not len(rows):
            return []
        _, vectors = snapshot.vectors_of(rows)
        chosen = maximal_marginal_relevance(query[0], list(vectors), lambda_mult=lambda_mult, k=k)
        return [documents[int(rows[index])] for index in chosen]

    @override
    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return self.relevance

    @classmethod
    @override
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        folder: str | Path | None = None,
        **kwargs: Any,
    ) -> "FaissStore":
        """Return a store that holds `texts`; other arguments are those of the constructor."""
        store = cls(folder, embedding=embedding, **kwargs)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    # --- vectors

    def embed_queries(self, queries: Sequence[str]) -> FloatArray:
        """Return the vectors of questions, (n, dimension) float32, as `search_vectors` takes them."""
        checked = [check_text(query) for query in queries]
        embed_array = getattr(self.embedding, "embed_array", None)
        if embed_array and len(checked) > 1:
            return self._checked_vectors(embed_array(checked, role="query"), expected=len(checked))
        return self._checked_vectors([self.embedding.embed_query(query) for query in checked], expected=len(checked))

    def relevance(self, score: float) -> float:
        """Return the relevance, in [0, 1], that a score of this store's metric stands for."""
        if self.metric == "inner_product":
            return 1 / (1 + math.exp(-max(-700.0, min(700.0, score))))
        return 1 / (1 + score) if self.metric == "l2" else max(0.0, min(1.0, score))

    def _found_with_documents(
        self,
        queries: FloatArray,
        k: int,
        condition: Filter,
        answer: Callable[[Sequence[_Request]], Sequence[Found]],
    ) -> tuple[Sequence[Found], dict[int, Document]]:
        allowed = self._allowed_rows(condition)
        found = answer([_Request(query, k, allowed) for query in queries])
        return found, self._documents.by_rows({row for rows in found for row, _ in rows})

    def _allowed_rows(self, condition: Filter) -> IntArray | None:
        """Return the rows that match; None for all, where there is no filter or an empty one."""
        if condition is None or condition == {}:
            return None
        return self._index.matching_rows(parse_filter(condition))

    def _answer(self, requests: Sequence[_Request]) -> list[Found]:
        """Return what each request asks for; those without a filter share one search."""
        snapshot = self._index.snapshot()
        answers: list[Found] = [[] for _ in requests]
        groups: dict[int, list[int]] = {}
        for index, request in enumerate(requests):
            groups.setdefault(id(request.allowed), []).append(index)
        for indices in groups.values():
            queries = np.stack([requests[index].vector for index in indices])
            k = max(requests[index].k for index in indices)
            found = snapshot.search(queries, k, self.metric, requests[indices[0]].allowed)
            for index, rows in zip(indices, found, strict=True):
                answers[index] = rows[: requests[index].k]
        return answers

    def _score(self, near: float) -> float:
        return math.sqrt(max(0.0, -near)) if self.metric == "l2" else near

    def _embed(self, texts: list[str]) -> FloatArray:
        embed_array = getattr(self.embedding, "embed_array", None)
        vectors = embed_array(texts, role="document") if embed_array else self.embedding.embed_documents(texts)
        return self._checked_vectors(vectors, expected=len(texts))

    def _checked_vectors(self, vectors: Sequence[Sequence[float]] | FloatArray, *, expected: int) -> FloatArray:
        """Return (expected, dimension) float32 rows, of length 1 for cosines, or refuse what no index should hold."""
        try:
            array = np.ascontiguousarray(vectors, dtype=np.float32)
        except (TypeError, ValueError) as error:
            msg = f"the embedding gave no rows of numbers of one length: {error}; nothing was stored"
            raise VectorError(msg) from error
        if array.ndim != 2 or len(array) != expected or not array.shape[1]:
            msg = f"the embedding gave {array.shape} for {expected} texts; expected ({expected}, dimension)"
            raise VectorError(msg)
        if not np.isfinite(array).all():
            msg = "the embedding gave NaN or infinity; nothing was stored"
            raise VectorError(msg)
        dimension = self._index.dimension
        if dimension is not None and dimension != array.shape[1]:
            msg = (
                f"the store holds vectors of dimension {dimension}, got {array.shape[1]}; "
                "use the model it was built with"
            )
            raise StoreMismatchError(msg)
        if self.metric != "cosine":
            return array
        unit: FloatArray = array / np.maximum(np.linalg.norm(array, axis=1, keepdims=True), 1e-12)
        return unit

    def _check_has_words(self) -> None:
        if not self._documents.has_words:
            msg = f"the store in {self.folder or 'memory'} was made without keywords; make one with keywords=True"
            raise StoreMismatchError(msg)
