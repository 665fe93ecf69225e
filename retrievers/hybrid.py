"""Search by meaning and by words at once, as one LangChain retriever."""

import threading
from dataclasses import dataclass

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field, PrivateAttr
from typing_extensions import override

from retrievers.errors import VectorError
from retrievers.faiss_store import FaissStore
from retrievers.keyword import KeywordIndex

__all__ = ["HybridRetriever"]

# Measured best of 0.1 to 1 on English and Chinese sample questions; the ranking is flat around it.
_WORD_WEIGHT = 0.5


class HybridRetriever(BaseRetriever):
    """Candidates by meaning (the store) and by words (BM25), in the order of one relevance.

    Each document found has the metadata `relevance`, in [0, 1]: the weighted mean of its cosine to the question
    and of the share of the question's words that stand in it. Unlike a rank it can be compared with a threshold.

    Attributes:
        store: where the documents lie; the keyword index follows its changes by itself.
        k: how many documents are returned; `invoke(question, k=3)` overrides it for one call.
        fetch_k: how many candidates each of the two searches contributes.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    store: FaissStore
    k: int = Field(default=5, ge=1)
    fetch_k: int = Field(default=50, ge=1)

    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)
    _keywords: "_Keywords | None" = PrivateAttr(default=None)

    @override
    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        count = self.k if k is None else k
        if count < 1:
            msg = f"k must be at least 1, got {count}"
            raise VectorError(msg)
        fetch = max(count, self.fetch_k)
        keywords = self._keyword_index()
        candidates = self.store.similarity_search_with_score(query, fetch)
        by_words = [keywords.documents[place].id for place, _ in keywords.index.search(query, fetch)]
        known = {document.id for document, _ in candidates}
        candidates += self.store.score_by_ids(query, [id_ for id_ in by_words if id_ and id_ not in known])
        found = [(document, cosine) for document, cosine in candidates if document.id in keywords.places]
        shares = keywords.index.word_shares(query, [keywords.places[document.id or ""] for document, _ in found])
        ranked = [
            _with_relevance(document, cosine, share) for (document, cosine), share in zip(found, shares, strict=True)
        ]
        return sorted(ranked, key=lambda document: -document.metadata["relevance"])[:count]

    def _keyword_index(self) -> "_Keywords":
        with self._lock:
            if self._keywords is None or self._keywords.num_changes != self.store.num_changes:
                num_changes = self.store.num_changes
                documents = self.store.all_documents()
                self._keywords = _Keywords(
                    num_changes=num_changes,
                    documents=documents,
                    index=KeywordIndex([document.page_content for document in documents]),
                    places={document.id or "": place for place, document in enumerate(documents)},
                )
            return self._keywords


@dataclass(frozen=True, slots=True)
class _Keywords:
    num_changes: int  # of the store, when the index was built
    documents: list[Document]
    index: KeywordIndex
    places: dict[str, int]


def _with_relevance(document: Document, cosine: float, word_share: float) -> Document:
    relevance = (max(0.0, min(1.0, cosine)) + _WORD_WEIGHT * word_share) / (1 + _WORD_WEIGHT)
    return document.model_copy(update={"metadata": {**document.metadata, "relevance": relevance}})
