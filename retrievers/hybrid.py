"""Search by meaning and by words at once, as one LangChain retriever."""

import threading

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field, PrivateAttr
from typing_extensions import override

from retrievers.faiss_store import FaissStore
from retrievers.fusion import fuse_rankings
from retrievers.keyword import KeywordIndex

__all__ = ["HybridRetriever"]


class HybridRetriever(BaseRetriever):
    """Fuses the store's ranking by meaning with BM25 over the same documents.

    Each document found has the metadata `relevance`: its cosine to the question, in [0, 1].

    Attributes:
        store: where the documents lie; the keyword index follows its changes by itself.
        k: how many documents are returned; `invoke(question, k=3)` overrides it for one call.
        fetch_k: how many each of the two searches contributes before fusion.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    store: FaissStore
    k: int = Field(default=5, ge=1)
    fetch_k: int = Field(default=50, ge=1)

    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)
    _keywords: tuple[int, KeywordIndex, list[Document]] | None = PrivateAttr(default=None)

    @override
    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        count = self.k if k is None else k
        fetch = max(count, self.fetch_k)
        dense = self.store.similarity_search_with_score(query, fetch)
        documents = {document.id or "": document for document, _ in dense}
        cosines = {document.id or "": cosine for document, cosine in dense}
        index, indexed = self._keyword_index()
        by_words = [indexed[place] for place, _ in index.search(query, fetch)]
        documents |= {document.id or "": document for document in by_words if document.id not in documents}
        order = fuse_rankings([list(cosines), [document.id or "" for document in by_words]])[:count]
        return [_with_relevance(documents[id_], cosines.get(id_, 0.0)) for id_ in order]

    def _keyword_index(self) -> tuple[KeywordIndex, list[Document]]:
        with self._lock:
            if self._keywords is None or self._keywords[0] != self.store.num_changes:
                num_changes = self.store.num_changes
                documents = self.store.all_documents()
                self._keywords = (num_changes, KeywordIndex([d.page_content for d in documents]), documents)
            return self._keywords[1], self._keywords[2]


def _with_relevance(document: Document, cosine: float) -> Document:
    return document.model_copy(update={"metadata": {**document.metadata, "relevance": max(0.0, min(1.0, cosine))}})
