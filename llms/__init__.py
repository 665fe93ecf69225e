"""Local fine-tuned models as LangChain objects.

Here belongs everything that touches weights: loading, generating, classifying, embedding, fine-tuning. Nothing
here knows of documents, retrieval or a use case. Importing this package loads no weights and no model library.

One folder per kind of model (`chat`, `classifier`, `tagger`, `encoder`, `reranker`), the engines that run chat models
(`engines`), and how each kind is trained (`finetuning`, with a folder of the same name). Public besides the names
below: `errors`, `metrics`, `texts`, `fakes`, `conformance`, `manifest`, and `finetuning`.
"""

from typing import TYPE_CHECKING

from llms.lazy_names import lazy_names

if TYPE_CHECKING:
    from llms.byte_store import SqliteByteStore
    from llms.call_gathering import CallGatherer
    from llms.chat.chat_model import LocalChatModel
    from llms.chat.fitted_choices import FittedChoices
    from llms.chat.text_model import LocalLLM
    from llms.classifier.group import ClassifierGroup
    from llms.classifier.local_classifier import LocalClassifier
    from llms.classifier.results import Classification, Explanation
    from llms.device import choose_device
    from llms.encoder.cosine_floor import above_floor, find_cosine_floor, remove_shared_part
    from llms.encoder.local_embeddings import LocalEmbeddings
    from llms.encoder.vector_cache import RecentVectors
    from llms.errors import TuneChainError
    from llms.loading import resolve_model
    from llms.reranker.local_reranker import LocalReranker
    from llms.tagger.local_tagger import LocalTagger
    from llms.tagger.results import Span, Tagging

__all__ = [
    "CallGatherer",
    "Classification",
    "ClassifierGroup",
    "Explanation",
    "FittedChoices",
    "LocalChatModel",
    "LocalClassifier",
    "LocalEmbeddings",
    "LocalLLM",
    "LocalReranker",
    "LocalTagger",
    "RecentVectors",
    "Span",
    "SqliteByteStore",
    "Tagging",
    "TuneChainError",
    "above_floor",
    "choose_device",
    "find_cosine_floor",
    "remove_shared_part",
    "resolve_model",
]

__getattr__ = lazy_names(
    __name__,
    {
        "byte_store": ["SqliteByteStore"],
        "call_gathering": ["CallGatherer"],
        "chat.chat_model": ["LocalChatModel"],
        "chat.fitted_choices": ["FittedChoices"],
        "chat.text_model": ["LocalLLM"],
        "classifier.group": ["ClassifierGroup"],
        "classifier.local_classifier": ["LocalClassifier"],
        "classifier.results": ["Classification", "Explanation"],
        "device": ["choose_device"],
        "encoder.cosine_floor": ["above_floor", "find_cosine_floor", "remove_shared_part"],
        "encoder.local_embeddings": ["LocalEmbeddings"],
        "encoder.vector_cache": ["RecentVectors"],
        "errors": ["TuneChainError"],
        "loading": ["resolve_model"],
        "reranker.local_reranker": ["LocalReranker"],
        "tagger.local_tagger": ["LocalTagger"],
        "tagger.results": ["Span", "Tagging"],
    },
)
