"""Integrity check of a store's file, row by row."""

import sqlite3
import zlib
from collections.abc import Mapping
from typing import Any

# A flipped bit may turn a text into a number or nothing at all: as what they should be, they fail their checksum.
DOCUMENTS = (
    "SELECT row, ifnull(CAST(id AS TEXT), ''), ifnull(CAST(text AS TEXT), ''), ifnull(CAST(metadata AS TEXT), ''), "
    "checksum FROM documents"
)
VECTORS = "SELECT row, ifnull(CAST(vector AS BLOB), x''), checksum FROM vectors"


def document_checksum(id_: str, text: str, metadata: str) -> int:
    """Return a number that changes whenever one bit of a document does; `metadata` is JSON."""
    return zlib.crc32("\x1f".join((id_, text, metadata)).encode())


def find_damage(connection: sqlite3.Connection, manifest: Mapping[str, Any], num_remembered_commits: int) -> str:
    """Return the first thing found that is not what was written, in words, or an empty text.

    Vectors are compared with their checksums when they are loaded, and words when they are summed up.
    """
    if (lost := num_remembered_commits - manifest["num_commits"]) > 0:
        return f"its last {lost} writes are missing"
    if (state := connection.execute("PRAGMA integrity_check(1)").fetchone()[0]) != "ok":
        return str(state)
    count = total = 0
    for row, id_, text, metadata, checksum in connection.execute(DOCUMENTS):
        if document_checksum(id_, text, metadata) != checksum:
            return f"the document in row {row} is not what was written"
        count, total = count + 1, total + checksum
    if (count, total) != (manifest["num_documents"], manifest["checksum"]):
        return f"{manifest['num_documents']} documents were written, {count} are there"
    if damage := _damaged_history(connection, manifest):
        return damage
    documents, vectors, removed = (
        {row for (row,) in connection.execute(f"SELECT CAST(row AS INTEGER) FROM {table}")}  # noqa: S608  # fixed names
        for table in ("documents", "vectors", "tombstones")
    )
    return "" if documents == vectors - removed and not documents & removed else "documents and vectors do not match"


def _damaged_history(connection: sqlite3.Connection, manifest: Mapping[str, Any]) -> str:
    """Return what is wrong with the numbers of rows and removals, which never are used twice."""
    count, first, last = connection.execute("SELECT count(*), min(number), max(number) FROM tombstones").fetchone()
    if count and (last, last - first + 1) != (manifest["last_tombstone"], count):
        return "its list of removals is not what was written"
    last_row = connection.execute("SELECT max(row) FROM vectors").fetchone()[0] or 0
    return "" if last_row <= manifest["last_row"] else "its rows are not what was written"
