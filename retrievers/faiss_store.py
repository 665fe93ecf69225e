"""A durable LangChain vector store: SQLite is the truth, FAISS finds the neighbours."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore
from langchain_core.vectorstores.utils import maximal_marginal_relevance
from typing_extensions import override

from llms.texts import check_text
from retrievers.document_table import DocumentRow, DocumentTable, metadata_json
from retrievers.errors import StoreMismatchError, VectorError

__all__ = ["FaissStore"]

FloatArray = npt.NDArray[np.float32]
_MAX_TEXT_CHARS = 1_000_000


class FaissStore(VectorStore):
    """Documents with their vectors in a folder, found by meaning.

    Every write is one SQLite transaction, made durable before it is acknowledged; the FAISS index is built from
    it when the store opens, so the two can never disagree. Nothing is pickled. Adding an id again replaces the
    document. One process may write; a store that is open does not see what another process writes later.

    Scores are cosines: 1 is the same direction, 0 unrelated, -1 opposite. Relevance is the cosine with
    everything below 0 set to 0.

    Args:
        folder: where the store lies; made if missing. None keeps everything in memory.
        embedding: turns texts into vectors; the store remembers which one built it.

    Raises:
        StoreMismatchError: if the folder was built with another embedding model.
        StoreFolderError: if the folder cannot be opened or is damaged.

    Example:
        >>> from llms.fakes import HashedEmbeddings
        >>> store = FaissStore(embedding=HashedEmbeddings())
        >>> store.add_texts(["red shoe", "blue sky"], ids=["a", "b"])
        ['a', 'b']
        >>> store.similarity_search("shoe", k=1)[0].id
        'a'
    """

    def __init__(self, folder: str | Path | None = None, *, embedding: Embeddings) -> None:
        self.folder = Path(folder) if folder is not None else None
        self.embedding = embedding
        self._table = DocumentTable(self.folder)
        self._index: Any = None
        self.num_changes = 0
        try:
            self._table.check_manifest(embedding)
            self._load_index()
        except Exception:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._table)

    def close(self) -> None:
        """Release the files; the store must not be used afterwards."""
        self._table.close()

    @property
    @override
    def embeddings(self) -> Embeddings:
        return self.embedding

    @override
    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        checked = [check_text(text, max_chars=_MAX_TEXT_CHARS) for text in texts]
        if not checked:
            return []
        metadata = [metadata_json(entry) for entry in metadatas or [{}] * len(checked)]
        new_ids = [check_text(str(id_)) if id_ else str(uuid.uuid4()) for id_ in ids or [None] * len(checked)]
        if not len(checked) == len(metadata) == len(new_ids):
            msg = f"got {len(checked)} texts, {len(metadata)} metadata and {len(new_ids)} ids; give one per text"
            raise VectorError(msg)
        vectors = self._checked_vectors(self.embedding.embed_documents(checked), expected=len(checked))
        last = {id_: place for place, id_ in enumerate(new_ids)}  # of an id given twice, the later one counts
        rows = [(id_, checked[i], metadata[i], vectors[i]) for id_, i in last.items()]
        self._upsert(rows)
        return new_ids

    @override
    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool | None:
        with self._table.transaction():
            removed = self._table.delete(self._table.all_ids() if ids is None else ids)
            self._table.commit()  # durable first; the index in memory follows
            self._remove_from_index(removed)
        return True

    @override
    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        return self._table.by_ids(ids)

    def all_documents(self) -> list[Document]:
        """Return every document, oldest first."""
        return self._table.all_documents()

    @override
    def similarity_search(
        self, query: str, k: int = 4, *, filter: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> list[Document]:
        return [document for document, _ in self.similarity_search_with_score(query, k, filter=filter)]

    @override
    def similarity_search_with_score(
        self, query: str, k: int = 4, *, filter: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        vector = self.embedding.embed_query(check_text(query))
        return self._search(vector, k, condition=filter)

    @override
    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, *, filter: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> list[Document]:
        return [document for document, _ in self._search(embedding, k, condition=filter)]

    def score_by_ids(self, query: str, ids: Sequence[str]) -> list[tuple[Document, float]]:
        """Return the documents with these ids and their cosines to the query, in the order of `ids`.

        Ids that the store does not hold are left out.
        """
        if not ids:
            return []
        vector = self._checked_vectors([self.embedding.embed_query(check_text(query))], expected=1)[0]
        with self._table.lock:  # no document may go between its text and its vector
            documents = self.get_by_ids(ids)
            if not documents:
                return []
            cosines = self._table.vectors([document.id or "" for document in documents]) @ vector
        return list(zip(documents, cosines.tolist(), strict=True))

    @override
    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        _check_k(k)
        vector = np.asarray(self.embedding.embed_query(check_text(query)), dtype=np.float32)
        with self._table.lock:
            found = self._search(vector.tolist(), max(k, fetch_k), condition=filter)
            if not found:
                return []
            candidates = self._table.vectors([document.id or "" for document, _ in found])
        chosen = maximal_marginal_relevance(vector, list(candidates), lambda_mult=lambda_mult, k=k)
        return [found[place][0] for place in chosen]

    @override
    def _select_relevance_score_fn(self) -> Any:
        return lambda cosine: max(0.0, min(1.0, cosine))

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
        store = cls(folder, embedding=embedding)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    def _search(
        self, vector: Sequence[float], k: int, *, condition: Mapping[str, Any] | None
    ) -> list[tuple[Document, float]]:
        import faiss

        _check_k(k)
        with self._table.lock:
            if self._index is None:
                return []
            query = self._checked_vectors([vector], expected=1)
            parameters = None
            if condition is not None:
                allowed = self._table.matching_rows(condition)
                k = min(k, len(allowed))
                parameters = faiss.SearchParameters(sel=faiss.IDSelectorBatch(allowed))  # type: ignore[call-arg]
            k = min(k, self._index.ntotal)
            if k == 0:
                return []
            scores, rows = self._index.search(query, k, params=parameters)
            return [
                (self._table.by_row(int(row)), score)
                for row, score in zip(rows[0], scores[0].tolist(), strict=True)
                if row >= 0
            ]

    def _upsert(self, rows: Sequence[DocumentRow]) -> None:
        with self._table.transaction():
            removed = self._table.delete([id_ for id_, *_ in rows])
            added = self._table.insert(rows)
            self._table.commit()  # durable first; the index in memory follows
            self._remove_from_index(removed)
            self._add_to_index(np.array(added, dtype=np.int64), np.stack([vector for *_, vector in rows]))

    def _load_index(self) -> None:
        stored = self._table.load_vectors()
        if stored is not None:
            self._add_to_index(*stored)

    def _add_to_index(self, rows: npt.NDArray[np.int64], vectors: FloatArray) -> None:
        import faiss

        if self._index is None:
            self._index = faiss.IndexIDMap2(faiss.IndexFlatIP(vectors.shape[1]))
        self._index.add_with_ids(vectors, rows)
        self.num_changes += 1

    def _remove_from_index(self, rows: Sequence[int]) -> None:
        if rows:
            self._index.remove_ids(np.array(rows, dtype=np.int64))
            self.num_changes += 1

    def _checked_vectors(self, vectors: Sequence[Sequence[float]], *, expected: int) -> FloatArray:
        """Return (expected, dimension) float32 rows of length 1, or refuse what no index should hold."""
        try:
            array = np.asarray(vectors, dtype=np.float32)
        except (TypeError, ValueError) as error:
            msg = f"the embedding gave no rows of numbers of one length: {error}; nothing was stored"
            raise VectorError(msg) from error
        if array.ndim != 2 or len(array) != expected:
            msg = f"the embedding gave {array.shape} for {expected} texts; expected ({expected}, dimension)"
            raise VectorError(msg)
        if not np.isfinite(array).all():
            msg = "the embedding gave NaN or infinity; nothing was stored"
            raise VectorError(msg)
        dimension = self._table.manifest().get("dimension")
        if dimension is not None and int(dimension) != array.shape[1]:
            msg = (
                f"the store holds vectors of dimension {dimension}, got {array.shape[1]}; "
                "use the model it was built with"
            )
            raise StoreMismatchError(msg)
        lengths = np.linalg.norm(array, axis=1, keepdims=True)
        unit: FloatArray = array / np.maximum(lengths, 1e-12)
        return unit


def _check_k(k: int) -> None:
    if k < 1:
        msg = f"k must be at least 1, got {k}"
        raise VectorError(msg)
