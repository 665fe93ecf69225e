"""Files to the knowledge index; only what changed is embedded again."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from retrievers import FaissStore, read_documents, split_documents

__all__ = ["IndexReport", "refresh_index"]


@dataclass(frozen=True, slots=True)
class IndexReport:
    """How many files were added, changed, no longer there, or left as they were."""

    added: int
    updated: int
    removed: int
    unchanged: int


def refresh_index(store: FaissStore, paths: Sequence[Path]) -> IndexReport:
    """Make the store hold exactly the documents under `paths`.

    New and changed chunks are stored before old ones are removed: a kill in between leaves a store that the next
    call puts right.
    """
    chunks = {chunk.id or "": chunk for chunk in split_documents(read_documents(paths))}
    stored = {document.id or "": document for document in store.all_documents()}
    new_ids = [id_ for id_ in chunks if id_ not in stored]
    old_ids = [id_ for id_ in stored if id_ not in chunks]
    if new_ids:
        store.add_documents([chunks[id_] for id_ in new_ids], ids=new_ids)
    if old_ids:
        store.delete(old_ids)
    before = {document.metadata["source"] for document in stored.values()}
    now = {chunk.metadata["source"] for chunk in chunks.values()}
    touched = {chunks[id_].metadata["source"] for id_ in new_ids} | {stored[id_].metadata["source"] for id_ in old_ids}
    return IndexReport(
        added=len(now - before),
        updated=len(now & before & touched),
        removed=len(before - now),
        unchanged=len((now & before) - touched),
    )
