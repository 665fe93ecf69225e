"""Deterministic stand-ins without weights, for tests of this library and of code that uses it."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from pydantic import PrivateAttr
from typing_extensions import override

from llms.classification import Classification
from llms.errors import UnknownOptionError
from llms.options import GenerationOptions, merge_options
from llms.stopping import StopFilter
from llms.tagging import Span, Tagging
from llms.texts import check_text

__all__ = ["FixedClassifier", "FixedTagger", "HashedEmbeddings", "ScriptedChatModel"]


class HashedEmbeddings(Embeddings):
    """Unit vectors from hashed lower-case words: texts that share words are close, nothing is learnt.

    Example:
        >>> vectors = HashedEmbeddings(dimension=8).embed_documents(["red shoe", "red shoe"])
        >>> len(vectors[0]), vectors[0] == vectors[1]
        (8, True)
    """

    def __init__(self, *, dimension: int = 64) -> None:
        self.dimension = dimension

    @property
    def fingerprint(self) -> str:
        """A name that changes whenever the vectors would."""
        return f"hashed-{self.dimension}"

    @override
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self._embed(text) for text in texts]

    @override
    def embed_query(self, text: str) -> list[float]:
        return self._embed(text)

    def _embed(self, text: str) -> list[float]:
        vector = np.zeros(self.dimension)
        for word in check_text(text).lower().split() or [""]:
            seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
            vector += np.random.default_rng(seed).standard_normal(self.dimension)
        unit: list[float] = (vector / np.linalg.norm(vector)).tolist()
        return unit


class FixedClassifier(Runnable[str, Classification]):
    """A classifier that answers from a table of words: the first word found in the text decides.

    Args:
        labels_by_word: word -> label; looked for in lower case, in the order given.
        default: the label where no word is found; it comes with `accepted=False`.

    Example:
        >>> FixedClassifier({"refund": "refund_status"}).invoke("Where is my REFUND?").label
        'refund_status'
    """

    def __init__(self, labels_by_word: Mapping[str, str], *, default: str = "other", probability: float = 0.9) -> None:
        self.labels_by_word = dict(labels_by_word)
        self.default = default
        self.probability = probability

    @override
    def invoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> Classification:
        if kwargs:
            msg = f"a classifier takes no call options, got {sorted(kwargs)}; set them at construction"
            raise UnknownOptionError(msg)
        text = check_text(input).lower()
        found = [label for word, label in self.labels_by_word.items() if word in text]
        labels = list(dict.fromkeys([*self.labels_by_word.values(), self.default]))
        label = found[0] if found else self.default
        probability = self.probability if len(labels) > 1 else 1.0
        rest = (1.0 - probability) / max(len(labels) - 1, 1)
        return Classification(
            label=label,
            probability=probability,
            probabilities={label: probability} | {name: rest for name in labels if name != label},
            in_scope=1.0 if found else 0.0,
            accepted=bool(found),
        )


class FixedTagger(Runnable[str, Tagging]):
    """A tagger that answers from a table of terms: each place where one stands as a whole word is a span.

    Args:
        labels_by_term: term -> label; capitals do not matter, and of terms that overlap the longest counts.

    Example:
        >>> FixedTagger({"lyon": "place"}).invoke("From Lyon").spans[0].label
        'place'
    """

    def __init__(self, labels_by_term: Mapping[str, str], *, probability: float = 0.9) -> None:
        self.labels_by_term = {term.lower(): label for term, label in labels_by_term.items()}
        self.probability = probability
        terms = sorted(self.labels_by_term, key=lambda term: (-len(term), term))
        pattern = "|".join(rf"(?<!\w){re.escape(term)}(?!\w)" if term.isascii() else re.escape(term) for term in terms)
        self._pattern = re.compile(pattern or r"(?!)", re.IGNORECASE)

    @override
    def invoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> Tagging:
        if kwargs:
            msg = f"a tagger takes no call options, got {sorted(kwargs)}; set them at construction"
            raise UnknownOptionError(msg)
        spans = tuple(
            Span(
                start=found.start(),
                end=found.end(),
                label=self.labels_by_term[found.group().lower()],
                text=found.group(),
                probability=self.probability,
            )
            for found in self._pattern.finditer(check_text(input))
        )
        return Tagging(text=input, spans=spans)


class ScriptedChatModel(BaseChatModel):
    """A chat model that answers with the given texts in turn and remembers what it was asked.

    As the real one it ends before a stop text and refuses options that do not exist.

    Example:
        >>> model = ScriptedChatModel(answers=["yes", "no"])
        >>> model.invoke("first?").text, model.invoke("second?").text, model.invoke("third?").text
        ('yes', 'no', 'yes')
    """

    answers: Sequence[str]
    _prompts: list[list[BaseMessage]] = PrivateAttr(default_factory=list)

    @property
    def prompts(self) -> list[list[BaseMessage]]:
        """The messages of every call so far, oldest first."""
        return self._prompts

    @property
    @override
    def _llm_type(self) -> str:
        return "scripted"

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        answer = "".join(self._words(messages, stop, kwargs))
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content=answer))])

    @override
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for word in self._words(messages, stop, kwargs):
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))

    def _words(self, messages: list[BaseMessage], stop: list[str] | None, options: Mapping[str, Any]) -> list[str]:
        """Return the next answer up to the stop text, in pieces that joined are the answer."""
        filter_ = StopFilter(merge_options(GenerationOptions(), options, stop=stop).stop)
        self._prompts.append(messages)
        answer = self.answers[(len(self._prompts) - 1) % len(self.answers)]
        return re.findall(r"\S+\s*|\s+", filter_.push(answer) + filter_.finish()) or [""]
