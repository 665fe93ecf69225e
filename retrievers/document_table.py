"""The SQLite database behind a store: documents, their vectors, and what they were made with."""

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from retrievers.errors import StoreFolderError, StoreMismatchError, VectorError
from retrievers.filters import compile_filter

__all__ = ["DocumentRow", "DocumentTable", "metadata_json"]

FloatArray = npt.NDArray[np.float32]
DocumentRow = tuple[str, str, str, FloatArray]
"""Id, text, metadata as JSON, vector."""

_SCHEMA_VERSION = "1"
_DATABASE_NAME = "store.sqlite"
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


class DocumentTable:
    """Documents and vectors in one file, or in memory; every error of SQLite comes as a `StoreFolderError`.

    Args:
        folder: where the file lies; made if missing. None keeps everything in memory.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.lock = threading.RLock()
        self._database = _open_database(folder)

    def __len__(self) -> int:
        count: int = self._read("SELECT count(*) FROM documents")[0][0]
        return count

    def close(self) -> None:
        """Release the file."""
        self._database.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the lock and one transaction; an error takes everything back."""
        with self.lock, _typed_errors(self.folder), self._database:
            yield

    def commit(self) -> None:
        """Make what was written so far durable."""
        self._database.commit()

    def insert(self, rows: Sequence[DocumentRow]) -> list[int]:
        """Add documents whose ids are not there and return their row numbers; within a transaction."""
        self._set_manifest({"dimension": str(len(rows[0][3]))})
        added = [
            self._database.execute(
                "INSERT INTO documents (id, text, metadata, vector) VALUES (?, ?, ?, ?)",
                (id_, text, metadata, vector.tobytes()),
            ).lastrowid
            for id_, text, metadata, vector in rows
        ]
        return [row for row in added if row is not None]

    def delete(self, ids: Sequence[str]) -> list[int]:
        """Remove documents and return the row numbers of those that were there; within a transaction."""
        removed: list[int] = []
        for id_ in ids:
            found = self._database.execute("DELETE FROM documents WHERE id = ? RETURNING row", (id_,)).fetchall()
            removed.extend(row for (row,) in found)
        return removed

    def all_ids(self) -> list[str]:
        """Return every id, oldest first."""
        return [id_ for (id_,) in self._read("SELECT id FROM documents ORDER BY row")]

    def all_documents(self) -> list[Document]:
        """Return every document, oldest first."""
        return [_as_document(*row) for row in self._read("SELECT id, text, metadata FROM documents ORDER BY row")]

    def by_ids(self, ids: Sequence[str]) -> list[Document]:
        """Return the documents with these ids, in their order; missing ones are left out."""
        sql = "SELECT id, text, metadata FROM documents WHERE id = ?"
        return [_as_document(*row) for id_ in ids for row in self._read(sql, [id_])]

    def by_row(self, row: int) -> Document:
        """Return the document with this row number."""
        return _as_document(*self._read("SELECT id, text, metadata FROM documents WHERE row = ?", [row])[0])

    def vectors(self, ids: Sequence[str]) -> FloatArray:
        """Return the vectors of these ids, (ids, dimension)."""
        found = [self._read("SELECT vector FROM documents WHERE id = ?", [id_])[0][0] for id_ in ids]
        return np.stack([np.frombuffer(vector, dtype=np.float32) for vector in found])

    def matching_rows(self, condition: Mapping[str, Any]) -> npt.NDArray[np.int64]:
        """Return the row numbers of the documents that a metadata filter matches."""
        sql, parameters = compile_filter(condition)
        # the condition is made of fixed words and question marks; every value is a parameter
        rows = self._read(f"SELECT row FROM documents WHERE {sql}", parameters)  # noqa: S608
        return np.array([row for (row,) in rows], dtype=np.int64)

    def load_vectors(self) -> tuple[npt.NDArray[np.int64], FloatArray] | None:
        """Return all row numbers and vectors after a check of the file, or None where there are none.

        Raises:
            StoreFolderError: if the file is damaged.
        """
        if (state := self._read("PRAGMA quick_check(1)")[0][0]) != "ok":
            msg = f"the store in {self.folder} is damaged: {state}; restore it, or build it anew"
            raise StoreFolderError(msg)
        rows = self._read("SELECT row, vector FROM documents ORDER BY row")
        if not rows:
            return None
        size_bytes = 4 * int(self.manifest()["dimension"])
        if any(len(vector) != size_bytes for _, vector in rows):
            msg = f"the store in {self.folder} is damaged: a vector is cut; restore it, or build it anew"
            raise StoreFolderError(msg)
        vectors = np.stack([np.frombuffer(vector, dtype=np.float32) for _, vector in rows])
        return np.array([row for row, _ in rows], dtype=np.int64), vectors

    def manifest(self) -> dict[str, str]:
        """Return what the store was made with: format, embedding, dimension."""
        return dict(self._read("SELECT name, value FROM manifest"))

    def check_manifest(self, embedding: Embeddings) -> None:
        """Refuse an embedding other than the one the store was made with; a new store remembers this one.

        Raises:
            StoreMismatchError: naming both.
        """
        manifest, name, identity = self.manifest(), _embedding_name(embedding), _embedding_identity(embedding)
        version = manifest.get("schema_version", _SCHEMA_VERSION)
        if version != _SCHEMA_VERSION:
            msg = (
                f"the store in {self.folder} has format {version}, this version reads {_SCHEMA_VERSION}; build it anew"
            )
            raise StoreMismatchError(msg)
        if manifest.get("embedding_identity", identity) != identity:
            built_with = f"{manifest.get('embedding')} (dimension {manifest.get('dimension', '?')})"
            msg = (
                f"the store in {self.folder} was built with {built_with}, it is opened with {name}; "
                "open it with the former, or build it anew"
            )
            raise StoreMismatchError(msg)
        with self.transaction():
            self._set_manifest({"schema_version": _SCHEMA_VERSION, "embedding": name, "embedding_identity": identity})

    def _set_manifest(self, values: Mapping[str, str]) -> None:
        self._database.executemany("INSERT OR REPLACE INTO manifest VALUES (?, ?)", list(values.items()))

    def _read(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        with self.lock, _typed_errors(self.folder):
            return self._database.execute(sql, parameters).fetchall()


def metadata_json(metadata: Mapping[str, Any]) -> str:
    """Return metadata as JSON.

    Raises:
        VectorError: if they hold something JSON cannot.
    """
    try:
        text = json.dumps(dict(metadata), ensure_ascii=False, allow_nan=False)
        text.encode("utf-8")  # refuses lone surrogates, which are no JSON either
    except (TypeError, ValueError) as error:
        msg = f"metadata must be JSON (text, numbers, booleans, lists, mappings): {error}"
        raise VectorError(msg) from error
    return text


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


@contextlib.contextmanager
def _typed_errors(folder: Path | None) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        msg = f"the store in {folder} cannot be read or written: {error}; restore it, or build it anew"
        raise StoreFolderError(msg) from error


def _embedding_name(embedding: Embeddings) -> str:
    """Return how people call this embedding: class, model name, fingerprint."""
    kind = type(embedding).__name__
    name = next((str(v) for v in (getattr(embedding, a, None) for a in ("model_name", "model")) if v), "")
    fingerprint = getattr(embedding, "fingerprint", "")
    return " ".join(part for part in (kind, name, fingerprint) if part)


def _embedding_identity(embedding: Embeddings) -> str:
    """Return what tells its vectors from others': the fingerprint, whatever its name, else class and model name."""
    return getattr(embedding, "fingerprint", "") or _embedding_name(embedding)


def _as_document(id_: str, text: str, metadata: str) -> Document:
    return Document(id=id_, page_content=text, metadata=json.loads(metadata))
