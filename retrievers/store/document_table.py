"""The documents of a store and their vectors in SQLite: the truth that every index is made from."""

import contextlib
import hashlib
import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from langchain_core.documents import Document

from llms.arrays import FloatArray, IntArray
from retrievers.errors import StoreDamagedError, StoreMismatchError
from retrievers.store.checking import DOCUMENTS, VECTORS, document_checksum, find_damage
from retrievers.store.database import Database, damaged_message
from retrievers.store.keyword_index import KEYWORD_SCHEMA, add_words, drop_words, remove_words, sum_words, words_rules
from retrievers.store.manifest import MANIFEST_SCHEMA, read_manifest, write_manifest

_SCHEMA_VERSION = 2
# Removed rows keep their vectors until the next compaction: a saved index may still hold them.
_SCHEMA = """
CREATE TABLE documents (
    row INTEGER PRIMARY KEY,
    key INTEGER NOT NULL,
    id TEXT NOT NULL,
    text TEXT NOT NULL,
    metadata TEXT NOT NULL,
    checksum INTEGER NOT NULL
);
CREATE INDEX documents_key ON documents (key);
CREATE TABLE vectors (row INTEGER PRIMARY KEY, vector BLOB NOT NULL, checksum INTEGER NOT NULL);
CREATE TABLE tombstones (number INTEGER PRIMARY KEY, row INTEGER NOT NULL);
"""
_EMPTY = {
    "schema_version": _SCHEMA_VERSION,
    "dimension": 0,
    "num_documents": 0,
    "checksum": 0,  # the sum over all documents: no loss, change or double keeps it and their number
    "words_checksum": 0,
    "last_row": 0,  # no number is used twice: others tell by it what is new
    "last_tombstone": 0,
    "num_commits": 0,
    "epoch": 0,
}
_VECTORS_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A document that is to be stored; `metadata` is JSON."""

    id: str
    text: str
    metadata: str
    vector: FloatArray


@dataclass(frozen=True, slots=True)
class StoredVectors:
    """Vectors that lie in the file, those of removed documents included, and how far its history goes.

    Attributes:
        rows: ascending, (n,).
        vectors: (n, dimension) float32.
        removed: ascending row numbers.
        last_tombstone: number of the last removal.
        epoch: how often removed vectors have been thrown away.
    """

    rows: IntArray
    vectors: FloatArray
    removed: IntArray
    last_tombstone: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Written:
    """Rows that one transaction took away and added, and the number of the last removal so far."""

    removed: IntArray
    added: IntArray
    last_tombstone: int


class DocumentTable:
    """Documents, vectors and words of one store.

    Args:
        database: where they lie.
        new_manifest: what a new store remembers.
        has_words: keep the words of the texts for keyword search, in a new store.

    Attributes:
        has_words: whether the words of the texts are kept.
        problem: what was found wrong at opening and put right; empty if nothing was.

    Raises:
        StoreMismatchError: if the file has another format.
        StoreDamagedError: if it is none of ours, or not what was written.
    """

    def __init__(self, database: Database, *, new_manifest: Mapping[str, Any], has_words: bool) -> None:
        self.database = database
        if database.folder is None or not database.exists():
            with database.creating() as connection:
                if not _tables(connection):
                    connection.execute("BEGIN IMMEDIATE")
                    for statement in (MANIFEST_SCHEMA, *_SCHEMA.split(";\n"), *KEYWORD_SCHEMA[: 3 * has_words]):
                        connection.execute(statement)  # not as a script, which would end the transaction
                    write_manifest(connection, {**new_manifest, **_EMPTY, "words_rules": words_rules()})
                    connection.execute("COMMIT")
        self.problem = ""
        self._check_version()
        self._check_file()

    @property
    def folder(self) -> Path | None:
        """Where the file lies."""
        return self.database.folder

    def __len__(self) -> int:
        count: int = self.manifest()["num_documents"]
        return count

    def manifest(self) -> dict[str, Any]:
        """Return what the store was made with and how many documents it holds."""
        with self.database.reading() as connection:
            return read_manifest(connection)

    # --- writing

    def replace(self, documents: Sequence[NewDocument]) -> Written:
        """Store documents in place of those with their ids."""
        with self._changing() as (connection, manifest):
            manifest["dimension"] = len(documents[0].vector)
            removed = self._remove(connection, [document.id for document in documents], manifest)
            added = [self._insert(connection, document, manifest) for document in documents]
            return _written(removed, added, manifest)

    def delete(self, ids: Sequence[str] | None) -> Written:
        """Remove documents, all for None; ids that are not there are left out."""
        with self._changing() as (connection, manifest):
            if ids is None:
                ids = [id_ for (id_,) in connection.execute("SELECT id FROM documents ORDER BY row").fetchall()]
            return _written(self._remove(connection, ids, manifest), [], manifest)

    def forget_removed(self, last_tombstone: int) -> int:
        """Throw away the vectors removed up to `last_tombstone`; return the new epoch."""
        with self._changing() as (connection, manifest):
            condition = "SELECT row FROM tombstones WHERE number <= ?"
            connection.execute(f"DELETE FROM vectors WHERE row IN ({condition})", [last_tombstone])  # noqa: S608
            connection.execute("DELETE FROM tombstones WHERE number <= ?", [last_tombstone])
            manifest["epoch"] += 1
        epoch: int = manifest["epoch"]
        return epoch

    def _rebuild_words(self) -> None:
        with self._changing() as (connection, manifest):
            drop_words(connection)
            manifest |= {"words_rules": words_rules(), "words_checksum": 0}
            for row, text in connection.execute("SELECT row, text FROM documents ORDER BY row").fetchall():
                manifest["words_checksum"] += add_words(connection, row, text)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[tuple[sqlite3.Connection, dict[str, Any]]]:
        """Hold one transaction and the manifest, which is written with it."""
        with self.database.writing() as connection:
            manifest = read_manifest(connection)
            yield connection, manifest
            manifest["num_commits"] += 1
            write_manifest(connection, manifest)
        self.database.remember_commits(manifest["num_commits"])

    def _insert(self, connection: sqlite3.Connection, new: NewDocument, manifest: dict[str, Any]) -> int:
        checksum = document_checksum(new.id, new.text, new.metadata)
        manifest["last_row"] = row = manifest["last_row"] + 1
        connection.execute(
            "INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?)",
            (row, _key(new.id), new.id, new.text, new.metadata, checksum),
        )
        vector = new.vector.tobytes()
        connection.execute("INSERT INTO vectors VALUES (?, ?, ?)", (row, vector, zlib.crc32(vector)))
        if self.has_words:
            manifest["words_checksum"] += add_words(connection, row, new.text)
        manifest["num_documents"] += 1
        manifest["checksum"] += checksum
        return int(row)

    def _remove(self, connection: sqlite3.Connection, ids: Iterable[str], manifest: dict[str, Any]) -> list[int]:
        removed = []
        for id_ in ids:
            sql = "DELETE FROM documents WHERE key = ? AND id = ? RETURNING row, text, checksum"
            for row, text, checksum in connection.execute(sql, (_key(id_), id_)).fetchall():
                manifest["last_tombstone"] += 1
                connection.execute("INSERT INTO tombstones VALUES (?, ?)", (manifest["last_tombstone"], row))
                if self.has_words:
                    manifest["words_checksum"] -= remove_words(connection, row, text)
                manifest["num_documents"] -= 1
                manifest["checksum"] -= checksum
                removed.append(row)
        return removed

    # --- reading

    def by_ids(self, ids: Sequence[str]) -> list[tuple[int, Document]]:
        """Return rows and documents with these ids, in their order; missing ones are left out."""
        asked = json.dumps([[_key(id_), id_] for id_ in dict.fromkeys(ids)])
        records = self._read_at_once(
            "json_each(?) AS asked CROSS JOIN documents "
            "ON documents.key = asked.value ->> 0 AND documents.id = asked.value ->> 1",
            asked,
        )
        found = {record[1]: (record[0], self._as_document(*record)) for record in records}
        return [found[id_] for id_ in ids if id_ in found]

    def by_rows(self, rows: Iterable[int]) -> dict[int, Document]:
        """Return the documents of these rows that are there."""
        asked = json.dumps([int(row) for row in rows])
        records = self._read_at_once("json_each(?) AS asked CROSS JOIN documents ON documents.row = asked.value", asked)
        return {record[0]: self._as_document(*record) for record in records}

    def ids_of_rows(self, rows: Sequence[int]) -> dict[int, str]:
        """Return the ids of the documents of these rows that are there."""
        sql = (
            "SELECT json_group_object(documents.row, documents.id) FROM json_each(?) AS asked "
            "CROSS JOIN documents ON documents.row = asked.value"
        )
        with self.database.reading() as connection:
            (found,) = connection.execute(sql, (json.dumps([int(row) for row in rows]),)).fetchone()
        ids: dict[str, str] = json.loads(found)
        return {int(row): id_ for row, id_ in ids.items()}

    def _read_at_once(self, tables: str, asked: str) -> list[list[Any]]:
        """Return records as one value of one row: at each step of SQLite another thread may take the interpreter."""
        columns = "documents.row, documents.id, documents.text, documents.metadata, documents.checksum"
        sql = f"SELECT json_group_array(json_array({columns})) FROM {tables}"  # noqa: S608  # constants
        with self.database.reading() as connection:
            (found,) = connection.execute(sql, (asked,)).fetchone()
        records: list[list[Any]] = json.loads(found)
        return records

    def documents(self) -> Iterator[Document]:
        """Yield every document, oldest first, as they were at the first."""
        with self.database.reading() as connection:
            for record in connection.execute(f"{DOCUMENTS} ORDER BY row"):
                yield self._as_document(*record)

    def metadata_after(self, row: int) -> tuple[list[int], list[dict[str, Any]]]:
        """Return rows and metadata of the documents that came after `row`, oldest first."""
        sql = "SELECT row, metadata FROM documents WHERE row > ? ORDER BY row"
        with self.database.reading() as connection:
            found = connection.execute(sql, (row,)).fetchall()
        return [row for row, _ in found], [json.loads(metadata) for _, metadata in found]

    def load_vectors(self, *, after_row: int = 0, after_tombstone: int = 0) -> StoredVectors:
        """Return every vector, or those that were added and removed since.

        Raises:
            StoreDamagedError: if one is not what was written.
        """
        with self.database.reading() as connection:
            manifest = read_manifest(connection)
            rows, vectors = self._vectors_after(connection, after_row, manifest["dimension"])
            removed = self._removed(connection, "number > ?", after_tombstone)
            return StoredVectors(rows, vectors, removed, manifest["last_tombstone"], manifest["epoch"])

    def last_tombstone_of(self, removed: IntArray) -> int:
        """Return the number of the last removal among `removed` rows, 0 for none."""
        with self.database.reading() as connection:
            numbers = {row: number for number, row in connection.execute("SELECT number, row FROM tombstones")}
        return max((numbers.get(int(row), 0) for row in removed), default=0)

    def rows_removed_up_to(self, tombstone: int) -> IntArray:
        """Return the rows whose removal is numbered at most `tombstone`, ascending."""
        with self.database.reading() as connection:
            return self._removed(connection, "number <= ?", tombstone)

    def _removed(self, connection: sqlite3.Connection, condition: str, number: int) -> IntArray:
        sql = f"SELECT CAST(row AS INTEGER) FROM tombstones WHERE {condition} ORDER BY row"  # noqa: S608  # fixed words
        found = connection.execute(sql, (number,))
        return np.array([row for (row,) in found], dtype=np.int64)

    def _check_version(self) -> None:
        with self.database.reading() as connection:
            tables = _tables(connection)
        if "manifest" not in tables:
            self._fail("it holds no store")
        self.has_words = "keywords" in tables
        version = self.manifest()["schema_version"]
        if version != _SCHEMA_VERSION:
            msg = (
                f"the store in {self.folder} has format {version}, this version reads {_SCHEMA_VERSION}; build it anew"
            )
            raise StoreMismatchError(msg)

    def _check_file(self) -> None:
        """Check the whole file: at a glance where it was closed in order, else row by row."""
        is_sealed = self.database.is_sealed
        remembered = self.database.num_remembered_commits()  # before the file is read: a writer may go on meanwhile
        with self.database.reading() as connection:
            manifest = read_manifest(connection)
            has_right_words = manifest["words_rules"] == words_rules()
            if self.folder is not None and not is_sealed:
                if damage := find_damage(connection, manifest, remembered):
                    self._fail(damage)
                # the words are made from the texts: where anything is wrong, they are made anew
                is_to_be_summed = self.has_words and has_right_words and is_sealed is None
                has_right_words &= not is_to_be_summed or sum_words(connection) == manifest["words_checksum"]
        if is_sealed is False:
            self.problem = "the file is not the one that was closed, but every document in it is right"
            has_right_words = False
        if self.has_words and not has_right_words:
            self._rebuild_words()
            self.database.stop_writing()

    def _vectors_after(self, connection: sqlite3.Connection, row: int, dimension: int) -> tuple[IntArray, FloatArray]:
        cursor = connection.execute(f"{VECTORS} WHERE row > ? ORDER BY row", (row,))
        rows: list[int] = []
        blocks: list[FloatArray] = []
        while block := cursor.fetchmany(_VECTORS_AT_ONCE):
            for number, vector, checksum in block:
                if zlib.crc32(vector) != checksum or len(vector) != 4 * dimension:
                    self._fail(f"the vector in row {number} is not what was written")
                rows.append(number)
            joined = b"".join([vector for _, vector, _ in block])
            blocks.append(np.frombuffer(joined, dtype=np.float32).reshape(-1, dimension))
        empty = np.zeros((0, dimension), dtype=np.float32)
        return np.array(rows, dtype=np.int64), np.concatenate(blocks) if blocks else empty

    def _as_document(self, row: int, id_: str, text: str, metadata: str, checksum: int) -> Document:
        if document_checksum(id_, text, metadata) != checksum:
            self._fail(f"the document in row {row} is not what was written")
        return Document(id=id_, page_content=text, metadata=json.loads(metadata))

    def _fail(self, what: str) -> NoReturn:
        raise StoreDamagedError(damaged_message(self.folder, what))


def _written(removed: Sequence[int], added: Sequence[int], manifest: Mapping[str, Any]) -> Written:
    gone, new = (np.array(sorted(numbers), dtype=np.int64) for numbers in (removed, added))
    return Written(gone, new, manifest["last_tombstone"])


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _key(id_: str) -> int:
    """Return a number that tells most ids apart: an index over numbers is a third of one over texts."""
    return int.from_bytes(hashlib.blake2b(id_.encode(), digest_size=8).digest(), "big", signed=True)
