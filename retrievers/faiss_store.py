"""A durable LangChain vector store: SQLite is the truth, FAISS finds the neighbours."""

import contextlib
import json
import sqlite3
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from retrievers.errors import StoreFolderError, StoreMismatchError, VectorError
from retrievers.filters import compile_filter

__all__ = ["FaissStore"]

FloatArray = npt.NDArray[np.float32]
_SCHEMA_VERSION = "1"
_DATABASE_NAME = "store.sqlite"
_MAX_TEXT_CHARS = 1_000_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS manifest (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS documents (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    text TEXT NOT NULL,
    metadata TEXT NOT NULL,
    vector BLOB NOT NULL
);
"""


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
        self._lock = threading.RLock()
        self._database = _open_database(self.folder)
        self._index: Any = None
        self.num_changes = 0
        try:
            self._check_manifest()
            self._load_index()
        except Exception:
            self.close()
            raise

    def __len__(self) -> int:
        count: int = self._read("SELECT count(*) FROM documents")[0][0]
        return count

    def close(self) -> None:
        """Release the files; the store must not be used afterwards."""
        self._database.close()

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
        metadata = [_metadata_json(entry) for entry in metadatas or [{}] * len(checked)]
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
        with self._write():
            wanted = [id_ for (id_,) in self._read("SELECT id FROM documents")] if ids is None else ids
            removed = [row for id_ in wanted if (row := self._delete_row(id_)) is not None]
            self._database.commit()  # durable first; the index in memory follows
            self._remove_from_index(removed)
        return True

    @override
    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        found: list[Document] = []
        for id_ in ids:
            rows = self._read("SELECT id, text, metadata FROM documents WHERE id = ?", [id_])
            found.extend(_as_document(*row) for row in rows)
        return found

    def all_documents(self) -> list[Document]:
        """Return every document, oldest first."""
        rows = self._read("SELECT id, text, metadata FROM documents ORDER BY row")
        return [_as_document(*row) for row in rows]

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
        with self._lock:  # no document may go between its text and its vector
            documents = self.get_by_ids(ids)
            if not documents:
                return []
            cosines = self._vectors([document.id or "" for document in documents]) @ vector
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
        with self._lock:
            found = self._search(vector.tolist(), max(k, fetch_k), condition=filter)
            if not found:
                return []
            candidates = self._vectors([document.id or "" for document, _ in found])
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
        with self._lock:
            if self._index is None:
                return []
            query = self._checked_vectors([vector], expected=1)
            parameters = None
            if condition is not None:
                allowed = self._matching_rows(condition)
                k = min(k, len(allowed))
                parameters = faiss.SearchParameters(sel=faiss.IDSelectorBatch(allowed))  # type: ignore[call-arg]
            k = min(k, self._index.ntotal)
            if k == 0:
                return []
            scores, rows = self._index.search(query, k, params=parameters)
            return [
                (_as_document(*self._read("SELECT id, text, metadata FROM documents WHERE row = ?", [int(row)])[0]), s)
                for row, s in zip(rows[0], scores[0].tolist(), strict=True)
                if row >= 0
            ]

    def _upsert(self, rows: Sequence[tuple[str, str, str, FloatArray]]) -> None:
        with self._write():
            removed = [row for id_, *_ in rows if (row := self._delete_row(id_)) is not None]
            added = [
                self._database.execute(
                    "INSERT INTO documents (id, text, metadata, vector) VALUES (?, ?, ?, ?)",
                    (id_, text, metadata, vector.tobytes()),
                ).lastrowid
                for id_, text, metadata, vector in rows
            ]
            self._set_manifest("dimension", str(len(rows[0][3])))
            self._database.commit()  # durable first; the index in memory follows
            self._remove_from_index(removed)
            self._add_to_index(np.array(added, dtype=np.int64), np.stack([vector for *_, vector in rows]))

    def _delete_row(self, id_: str) -> int | None:
        rows = self._database.execute("DELETE FROM documents WHERE id = ? RETURNING row", (id_,)).fetchall()
        return int(rows[0][0]) if rows else None

    def _load_index(self) -> None:
        if (state := self._read("PRAGMA quick_check(1)")[0][0]) != "ok":
            msg = f"the store in {self.folder} is damaged: {state}; restore it, or build it anew"
            raise StoreFolderError(msg)
        rows = self._read("SELECT row, vector FROM documents ORDER BY row")
        if rows:
            size = 4 * int(self._manifest()["dimension"])
            if any(len(vector) != size for _, vector in rows):
                msg = f"the store in {self.folder} is damaged: a vector is cut; restore it, or build it anew"
                raise StoreFolderError(msg)
            vectors = np.stack([np.frombuffer(vector, dtype=np.float32) for _, vector in rows])
            self._add_to_index(np.array([row for row, _ in rows], dtype=np.int64), vectors)

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

    def _vectors(self, ids: Sequence[str]) -> FloatArray:
        found = [self._read("SELECT vector FROM documents WHERE id = ?", [id_])[0][0] for id_ in ids]
        return np.stack([np.frombuffer(vector, dtype=np.float32) for vector in found])

    def _matching_rows(self, condition: Mapping[str, Any]) -> npt.NDArray[np.int64]:
        sql, parameters = compile_filter(condition)
        # the condition is made of fixed words and question marks; every value is a parameter
        rows = self._read(f"SELECT row FROM documents WHERE {sql}", parameters)  # noqa: S608
        return np.array([row for (row,) in rows], dtype=np.int64)

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
        dimension = self._manifest().get("dimension")
        if dimension is not None and int(dimension) != array.shape[1]:
            msg = (
                f"the store holds vectors of dimension {dimension}, got {array.shape[1]}; "
                "use the model it was built with"
            )
            raise StoreMismatchError(msg)
        lengths = np.linalg.norm(array, axis=1, keepdims=True)
        unit: FloatArray = array / np.maximum(lengths, 1e-12)
        return unit

    def _check_manifest(self) -> None:
        manifest, name = self._manifest(), _embedding_name(self.embedding)
        if (version := manifest.get("schema_version", _SCHEMA_VERSION)) != _SCHEMA_VERSION:
            msg = (
                f"the store in {self.folder} has format {version}, this version reads {_SCHEMA_VERSION}; build it anew"
            )
            raise StoreMismatchError(msg)
        identity = _embedding_identity(self.embedding)
        if manifest.get("embedding_identity", identity) != identity:
            msg = (
                f"the store in {self.folder} was built with {manifest.get('embedding')} (dimension {manifest.get('dimension', '?')}), "
                f"it is opened with {name}; open it with the former, or build it anew"
            )
            raise StoreMismatchError(msg)
        with self._write():
            self._set_manifest("schema_version", _SCHEMA_VERSION)
            self._set_manifest("embedding", name)
            self._set_manifest("embedding_identity", identity)

    def _manifest(self) -> dict[str, str]:
        return dict(self._read("SELECT name, value FROM manifest"))

    def _set_manifest(self, name: str, value: str) -> None:
        self._database.execute("INSERT OR REPLACE INTO manifest VALUES (?, ?)", (name, value))

    def _read(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        with self._lock, _typed_errors(self.folder):
            return self._database.execute(sql, parameters).fetchall()

    @contextlib.contextmanager
    def _write(self) -> Iterator[None]:
        """Hold the lock and one transaction; an error takes everything back."""
        with self._lock, _typed_errors(self.folder), self._database:
            yield


@contextlib.contextmanager
def _typed_errors(folder: Path | None) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        msg = f"the store in {folder} cannot be read or written: {error}; restore it, or build it anew"
        raise StoreFolderError(msg) from error


def _check_k(k: int) -> None:
    if k < 1:
        msg = f"k must be at least 1, got {k}"
        raise VectorError(msg)


def _open_database(folder: Path | None) -> sqlite3.Connection:
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(folder / _DATABASE_NAME if folder else ":memory:", check_same_thread=False)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")  # what is acknowledged survives a power cut
        database.executescript(_SCHEMA)
    except (OSError, sqlite3.Error) as error:
        msg = f"{folder} cannot be opened as a store: {error}; give an empty or an existing store's folder"
        raise StoreFolderError(msg) from error
    return database


def _embedding_name(embedding: Embeddings) -> str:
    """Return how people call this embedding: class, model name, fingerprint."""
    kind = type(embedding).__name__
    name = next((str(v) for v in (getattr(embedding, a, None) for a in ("model_name", "model")) if v), "")
    fingerprint = getattr(embedding, "fingerprint", "")
    return " ".join(part for part in (kind, name, fingerprint) if part)


def _embedding_identity(embedding: Embeddings) -> str:
    """Return what tells its vectors from others': the fingerprint, whatever its name, else class and model name."""
    return getattr(embedding, "fingerprint", "") or _embedding_name(embedding)


def _metadata_json(metadata: Mapping[str, Any]) -> str:
    try:
        text = json.dumps(dict(metadata), ensure_ascii=False, allow_nan=False)
        text.encode("utf-8")  # refuses lone surrogates, which are no JSON either
    except (TypeError, ValueError) as error:
        msg = f"metadata must be JSON (text, numbers, booleans, lists, mappings): {error}"
        raise VectorError(msg) from error
    return text


def _as_document(id_: str, text: str, metadata: str) -> Document:
    return Document(id=id_, page_content=text, metadata=json.loads(metadata))
