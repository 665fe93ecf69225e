"""Manifest of a store: what it was made with and how much it holds, in one checked row."""

import json
import sqlite3
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from langchain_core.embeddings import Embeddings

from retrievers.errors import StoreMismatchError

MANIFEST_SCHEMA = "CREATE TABLE manifest (number INTEGER PRIMARY KEY, content TEXT NOT NULL, checksum INTEGER NOT NULL)"


def read_manifest(connection: sqlite3.Connection) -> dict[str, Any]:
    """Return what the store remembers.

    Raises:
        sqlite3.DatabaseError: if it is not what was written.
    """
    found = connection.execute("SELECT ifnull(CAST(content AS TEXT), ''), checksum FROM manifest").fetchall()
    if len(found) != 1 or zlib.crc32(found[0][0].encode()) != found[0][1]:
        msg = "its manifest is not what was written"
        error = sqlite3.DatabaseError(msg)
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error
    values: dict[str, Any] = json.loads(found[0][0])
    return values


def write_manifest(connection: sqlite3.Connection, values: Mapping[str, Any]) -> None:
    """Remember exactly `values`; within a transaction."""
    content = json.dumps(values)
    sql = "INSERT OR REPLACE INTO manifest VALUES (1, ?, ?)"
    connection.execute(sql, (content, zlib.crc32(content.encode())))


def new_manifest(embedding: Embeddings, metric: str) -> dict[str, Any]:
    """Return what a new store remembers."""
    return {
        "embedding": _embedding_name(embedding),
        "embedding_identity": _embedding_identity(embedding),
        "metric": metric,
    }


def check_manifest(
    manifest: Mapping[str, Any], embedding: Embeddings, metric: str | None, *, folder: Path | None
) -> None:
    """Refuse an embedding or a metric other than those the store was made with.

    Raises:
        StoreMismatchError: naming both.
    """
    if manifest["embedding_identity"] != _embedding_identity(embedding):
        built_with = f"{manifest['embedding']} (dimension {manifest.get('dimension', '?')})"
        msg = (
            f"the store in {folder} was built with {built_with}, it is opened with {_embedding_name(embedding)}; "
            "open it with the former, or build it anew"
        )
        raise StoreMismatchError(msg)
    if metric is not None and manifest["metric"] != metric:
        msg = (
            f"the store in {folder} compares by {manifest['metric']}, it is opened with {metric}; "
            "leave the metric out, or build it anew"
        )
        raise StoreMismatchError(msg)


def _embedding_name(embedding: Embeddings) -> str:
    """Return how people call this embedding: class, model name, fingerprint."""
    kind = type(embedding).__name__
    name = next((str(v) for v in (getattr(embedding, a, None) for a in ("model_name", "model")) if v), "")
    fingerprint = getattr(embedding, "fingerprint", "")
    return " ".join(part for part in (kind, name, fingerprint) if part)


def _embedding_identity(embedding: Embeddings) -> str:
    """Return what tells its vectors from others': the fingerprint, whatever its name, else class and model name."""
    return getattr(embedding, "fingerprint", "") or _embedding_name(embedding)
