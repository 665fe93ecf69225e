"""Local fine-tuned models as LangChain objects.

Here belongs everything that touches weights: loading, generating, classifying, embedding, fine-tuning. Nothing
here knows of documents, retrieval or a use case. Importing this package loads no weights and no model library.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llms.byte_store import SqliteByteStore
    from llms.chat_model import LocalChatModel
    from llms.classification import Classification
    from llms.classifier import LocalClassifier
    from llms.classifier_group import ClassifierGroup
    from llms.embeddings import LocalEmbeddings
    from llms.errors import TuneChainError
    from llms.explanation import Explanation
    from llms.reranker import LocalReranker
    from llms.tagger import LocalTagger
    from llms.tagging import Span, Tagging
    from llms.text_model import LocalLLM

__all__ = [
    "Classification",
    "ClassifierGroup",
    "Explanation",
    "LocalChatModel",
    "LocalClassifier",
    "LocalEmbeddings",
    "LocalLLM",
    "LocalReranker",
    "LocalTagger",
    "Span",
    "SqliteByteStore",
    "Tagging",
    "TuneChainError",
]

_MODULES = {
    "Classification": "llms.classification",
    "ClassifierGroup": "llms.classifier_group",
    "Explanation": "llms.explanation",
    "LocalChatModel": "llms.chat_model",
    "LocalClassifier": "llms.classifier",
    "LocalEmbeddings": "llms.embeddings",
    "LocalLLM": "llms.text_model",
    "LocalReranker": "llms.reranker",
    "LocalTagger": "llms.tagger",
    "Span": "llms.tagging",
    "SqliteByteStore": "llms.byte_store",
    "Tagging": "llms.tagging",
    "TuneChainError": "llms.errors",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        msg = f"module 'llms' has no attribute {name!r}; it has {', '.join(__all__)}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(_MODULES[name]), name)
