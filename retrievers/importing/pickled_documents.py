"""Documents in the pickle of a langchain-community FAISS store."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llms.texts import check_text
from retrievers.errors import OldStoreError
from retrievers.importing.allowed_names import Record, plain_value
from retrievers.importing.inert_pickle import SizeBudget, read_inert_pickle
from retrievers.store.arguments import metadata_json

_MAX_PICKLE_BYTES = 2 << 30
_MAX_STORED_CHARS = 1_000_000  # of a text, as a store takes it


@dataclass(frozen=True, slots=True)
class OldDocument:
    """A document of an old store; its metadata are JSON already."""

    id: str
    text: str
    metadata: dict[str, Any]


def read_documents_pickle(path: Path) -> tuple[dict[str, OldDocument], dict[int, str], dict[str, str]]:
    """Return documents by id, ids by their position in the index, and why documents were left out, by id.

    Raises:
        OldStoreError: if the file cannot be read; as `UnsafePickleError` if it asks for anything but documents.
    """
    data = _read_bytes(path)
    try:
        value = read_inert_pickle(data)
        records, ids_by_position = _parts(value)
        documents, skipped = _documents(records, SizeBudget(len(data)))
    except OldStoreError as error:
        msg = f"{path} is not imported: {error}"
        raise type(error)(msg) from error
    return documents, ids_by_position, skipped


def _read_bytes(path: Path) -> bytes:
    try:
        size_bytes = path.stat().st_size
        if size_bytes > _MAX_PICKLE_BYTES:
            msg = f"{path} has {size_bytes:,} bytes, at most {_MAX_PICKLE_BYTES:,} are read; split the store"
            raise OldStoreError(msg)
        return path.read_bytes()
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}; name the folder given to save_local, and its index_name"
        raise OldStoreError(msg) from error


def _parts(value: Any) -> tuple[dict[Any, Any], dict[int, str]]:
    """Return the documents by id, still stand-ins, and the ids by position."""
    if type(value) is tuple and len(value) == 2:
        docstore, ids_by_position = value
        if isinstance(docstore, Record) and docstore.kind == "docstore" and type(ids_by_position) is dict:
            records = docstore.state.get("_dict") if type(docstore.state) is dict else None
            if type(records) is dict and _are_places(ids_by_position):
                return records, {position: str(id_) for position, id_ in ids_by_position.items()}
    msg = "it holds no in-memory docstore with the ids of an index, as save_local writes them"
    raise OldStoreError(msg)


def _are_places(ids_by_position: Mapping[Any, Any]) -> bool:
    return all(type(position) is int and type(id_) in (str, int) for position, id_ in ids_by_position.items())


def _documents(records: Mapping[Any, Any], budget: SizeBudget) -> tuple[dict[str, OldDocument], dict[str, str]]:
    documents: dict[str, OldDocument] = {}
    skipped: dict[str, str] = {}
    for key, record in records.items():
        id_ = str(key)
        if id_ in documents:
            skipped[id_] = "two documents have this id, once as a number; the first is kept"
            continue
        try:
            documents[id_] = _document(id_, record, budget)
        except OldStoreError:
            raise
        except ValueError as error:
            skipped[id_] = str(error)
    return documents, skipped


def _document(id_: str, record: Any, budget: SizeBudget) -> OldDocument:
    """Return a document that a store takes.

    Raises:
        ValueError: if no store takes it; the message says why.
    """
    state = record.state if isinstance(record, Record) and record.kind == "document" else {}
    fields = state.get("__dict__", state) if type(state) is dict else {}
    fields = fields if type(fields) is dict else {}
    text = fields.get("page_content")
    if type(text) is not str or not id_:
        msg = "it has no id" if type(text) is str else "it is no document with a text"
        raise ValueError(msg)
    check_text(id_)
    budget.spend(len(text))  # one text may stand in any number of documents
    check_text(text, max_chars=_MAX_STORED_CHARS)
    metadata = fields.get("metadata") or {}
    if type(metadata) is not dict:
        msg = f"its metadata are a {type(metadata).__name__}, not a mapping"
        raise ValueError(msg)
    try:
        plain = plain_value(metadata, budget.spend)
    except OldStoreError:
        raise
    except ValueError as error:
        msg = f"metadata cannot be kept: {error}"
        raise ValueError(msg) from error
    metadata_json(plain)
    return OldDocument(id_, text, plain)
