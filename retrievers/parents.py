"""Parent documents of chunks, put together from the chunks they were cut into."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from langchain_core.documents import Document

from retrievers.faiss_store import FaissStore

_KEY_FIELDS = ("source", "row", "parent_start")  # chunks that agree in all three are all that a parent holds


def parent_key(document: Document) -> Hashable:
    """Return what tells parents apart; a document that is no chunk of a parent is its own."""
    if "parent_start" not in document.metadata:
        return ("id", document.id)
    return tuple(repr(document.metadata.get(field)) for field in _KEY_FIELDS)


def assemble_parents(
    store: FaissStore, chunks: Sequence[Document], condition: Mapping[str, Any] | None = None
) -> list[Document]:
    """Return each chunk with the text of its parent; a document that is no chunk comes back as it is.

    Metadata stays that of the chunk, so that `start` and `end` still cite what was found, and `body_start` tells
    where that begins in the longer text.

    Args:
        store: holds the chunks of the parents.
        chunks: each of another parent.
        condition: a filter; chunks that do not match are left out of the text, as white space of their length.
    """
    wanted = [chunk for chunk in chunks if "parent_start" in chunk.metadata]
    if not wanted:
        return list(chunks)
    members: dict[Hashable, list[Document]] = {}
    for member in _find(store, wanted, condition):
        members.setdefault(parent_key(member), []).append(member)
    return [_as_parent(chunk, members[key]) if (key := parent_key(chunk)) in members else chunk for chunk in chunks]


def _find(store: FaissStore, chunks: Sequence[Document], condition: Mapping[str, Any] | None) -> list[Document]:
    """Return all documents that belong to the chunks' parents."""
    either: list[Mapping[str, Any]] = [{"$and": [_equals(chunk, field) for field in _KEY_FIELDS]} for chunk in chunks]
    wanted: Mapping[str, Any] = {"$or": either} if condition is None else {"$and": [{"$or": either}, condition]}
    return store.find(wanted)


def _equals(chunk: Document, field: str) -> Mapping[str, Any]:
    return {field: chunk.metadata.get(field, {"$exists": False})}


def _as_parent(chunk: Document, members: Sequence[Document]) -> Document:
    first_start = int(chunk.metadata["parent_start"])
    members = sorted(members, key=lambda document: int(document.metadata["start"]))
    # what stands before a body belongs to its first row: the header of a table that the parent may hold itself
    first = members[0] if int(members[0].metadata["start"]) == first_start else chunk
    title = first.page_content[: int(first.metadata.get("body_start", 0))]
    text = ""
    for member in members:
        gap = int(member.metadata["start"]) - first_start - len(text)
        if gap < 0:
            continue  # the document was cut twice, in different ways: one way is enough
        text += " " if gap == 1 else "\n" * gap  # what lay between them was white space; offsets stay true
        text += member.page_content[int(member.metadata.get("body_start", 0)) :]
    body_start = len(title) + int(chunk.metadata["start"]) - first_start
    return chunk.model_copy(
        update={"page_content": title + text, "metadata": {**chunk.metadata, "body_start": body_start}}
    )
