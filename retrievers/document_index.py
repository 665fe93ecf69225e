"""LangChain's `DocumentIndex` over a store."""

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.indexing.base import DeleteResponse, DocumentIndex, UpsertResponse
from pydantic import ConfigDict, Field
from typing_extensions import override

from retrievers.errors import SearchArgumentError
from retrievers.faiss_store import FaissStore


class FaissDocumentIndex(DocumentIndex):
    """Adds, deletes, gets and finds the documents of a store.

    LangChain's interface is in beta; a store and its index may be used side by side.

    Attributes:
        store: where the documents lie.
        k: how many documents a search returns.

    Example:
        >>> from llms.fakes import HashedEmbeddings
        >>> index = FaissDocumentIndex(store=FaissStore(embedding=HashedEmbeddings()))
        >>> index.upsert([Document("red shoe", id="a"), Document("blue sky", id="b")])
        {'succeeded': ['a', 'b'], 'failed': []}
        >>> index.delete(["a", "nobody"])["num_deleted"]
        1
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    store: FaissStore
    k: int = Field(default=4, ge=1)

    @override
    def upsert(self, items: Sequence[Document], /, **kwargs: Any) -> UpsertResponse:
        """Store documents, replacing those with the same ids; all of them or, with an error, none."""
        return {"succeeded": self.store.add_documents(list(items), **kwargs), "failed": []}

    @override
    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> DeleteResponse:
        """Remove documents by id.

        Raises:
            SearchArgumentError: without ids; `FaissStore.delete` empties a store.
        """
        if ids is None:
            msg = "delete needs ids; to empty the store call delete() on the store itself"
            raise SearchArgumentError(msg)
        there = [document.id or "" for document in self.store.get_by_ids(list(dict.fromkeys(ids)))]
        self.store.delete(there, **kwargs)
        return {"succeeded": there, "num_deleted": len(there), "failed": [], "num_failed": 0}

    @override
    def get(self, ids: Sequence[str], /, **kwargs: Any) -> list[Document]:
        return self.store.get_by_ids(ids)

    @override
    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None, **kwargs: Any
    ) -> list[Document]:
        return self.store.similarity_search(query, self.k if k is None else k, **kwargs)
