"""Finding: documents, items and neighbours, by meaning and by words.

Here belongs everything that searches: files to documents, chunks, stores, retrievers, item lists and who
touched what. Nothing here knows what an answer is for. Importing this package loads no model library.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retrievers.chunking import split_documents
    from retrievers.documents import read_documents
    from retrievers.faiss_store import FaissStore
    from retrievers.fusion import fuse_rankings
    from retrievers.hybrid import HybridRetriever
    from retrievers.threshold import FittedThreshold, LabelledQuestion, fit_min_relevance

__all__ = [
    "FaissStore",
    "FittedThreshold",
    "HybridRetriever",
    "LabelledQuestion",
    "fit_min_relevance",
    "fuse_rankings",
    "read_documents",
    "split_documents",
]

_MODULES = {
    "FaissStore": "retrievers.faiss_store",
    "FittedThreshold": "retrievers.threshold",
    "HybridRetriever": "retrievers.hybrid",
    "LabelledQuestion": "retrievers.threshold",
    "fit_min_relevance": "retrievers.threshold",
    "fuse_rankings": "retrievers.fusion",
    "read_documents": "retrievers.documents",
    "split_documents": "retrievers.chunking",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        msg = f"module 'retrievers' has no attribute {name!r}; it has {', '.join(__all__)}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(_MODULES[name]), name)
