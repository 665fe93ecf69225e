"""Documents to an index that holds exactly them; only what changed is embedded again."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from langchain_core.documents import Document

from retrievers import FaissStore, read_documents, split_documents

__all__ = ["IndexReport", "make_store_hold", "refresh_index"]


@dataclass(frozen=True, slots=True)
class IndexReport:
    """How many files were added, changed, no longer there, or left as they were."""

    added: int
    updated: int
    removed: int
    unchanged: int


def refresh_index(store: FaissStore, paths: Sequence[Path]) -> IndexReport:
    """Make the store hold exactly the documents under `paths`, cut into chunks; see `make_store_hold`."""
    chunks = split_documents(read_documents(paths))
    before = {document.metadata["source"] for document in store.all_documents()}
    now = {chunk.metadata["source"] for chunk in chunks}
    touched = {document.metadata["source"] for document in make_store_hold(store, chunks)}
    return IndexReport(
        added=len(now - before),
        updated=len(now & before & touched),
        removed=len(before - now),
        unchanged=len((now & before) - touched),
    )


def make_store_hold(store: FaissStore, documents: Sequence[Document]) -> list[Document]:
    """Make the store hold exactly these documents, by their ids, and return those written or removed.

    New and changed ones are stored before old ones are removed: a kill in between leaves a store that the next
    call puts right.
    """
    wanted = {document.id or "": document for document in documents}
    stored = {document.id or "": document for document in store.all_documents()}
    # text and metadata are compared, too: a new title changes the text of chunks whose ids stay
    new = [document for id_, document in wanted.items() if not _is_same(stored.get(id_), document)]
    old = [document for id_, document in stored.items() if id_ not in wanted]
    if new:
        store.add_documents(new, ids=[document.id or "" for document in new])
    if old:
        store.delete([document.id or "" for document in old])
    return new + old


def _is_same(stored: Document | None, document: Document) -> bool:
    if stored is None:
        return False
    return (stored.page_content, stored.metadata) == (document.page_content, document.metadata)
